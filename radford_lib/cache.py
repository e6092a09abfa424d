"""The cache: derived folders, each whole or absent, safe to share between processes."""

import atexit
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from radford_lib.errors import RadfordError
from radford_lib.files import write_text

INDEX = "index.json"
ABANDONED = 24 * 3600  # seconds without a write: its process was killed


def cache_folder() -> Path:
    """Folder of derived files: ``RADFORD_CACHE``, or ``radford`` in the user's cache folder.

    Where it cannot be written, a temporary folder that lives as long as the process, with one line
    of notice on stderr.
    """
    named = os.environ.get("RADFORD_CACHE")
    if named:
        return writable_or_temporary(Path(named).expanduser().absolute())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return writable_or_temporary(Path(base).absolute() / "radford")


@functools.cache
def writable_or_temporary(wanted: Path) -> Path:
    """``wanted`` if files can be made in it, else a temporary folder removed at exit."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="radford-cache-"))
        print(
            f"cannot write the cache {wanted} ({error.strerror}); using {folder} for this run: "
            "set RADFORD_CACHE to a folder you can write",
            file=sys.stderr,
        )
        atexit.register(remove, folder, os.getpid())
        return folder


def remove(folder: Path, owner: int) -> None:
    """Remove a temporary cache, unless in a fork of the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def cached_folder(name: str, build: Callable[[Path], None]) -> Path:
    """Folder ``name`` of the cache, filled by ``build`` the first time.

    ``build`` writes files (no folders) into an empty folder, which is renamed into place with an
    index of the sizes; of two processes that build at once, one wins and both read the same. A
    folder whose files no longer have their sizes is built again. Raises ``RadfordError`` where the
    disk is full or cannot be written.
    """
    target = cache_folder() / name
    if is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, target.name)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise RadfordError(f"cannot write {target}: {error.strerror}") from error
    try:
        build(building)
        sizes = {path.name: path.stat().st_size for path in building.iterdir()}
        write_text(building / INDEX, json.dumps(sizes, indent=1, sort_keys=True))
        building.chmod(0o755)
        put_in_place(building, target)
    except OSError as error:
        raise RadfordError(
            f"cannot write {target}: {error.strerror or error}: free some space, "
            "or set RADFORD_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def sweep(parent: Path, name: str) -> None:
    """Remove temporary folders of ``name`` that killed processes have left in ``parent``."""
    for folder in parent.glob(f".{name}.*"):
        try:
            last = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
        except OSError:
            continue
        if time.time() - last > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(building: Path, target: Path) -> None:
    """Rename ``building`` to ``target``, unless another process has just put a whole one there."""
    if target.exists() and not is_whole(target):
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        target.rename(aside / target.name)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        building.rename(target)
    except OSError:
        if not is_whole(target):
            raise


def is_whole(folder: Path) -> bool:
    """Whether every file that the folder's index lists is there with its size."""
    try:
        sizes = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
