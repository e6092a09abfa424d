"""Packs: real data sets in compact files, listed in a manifest with their hashes.

A pack is described by ``packs.yml`` (the built-in ones) or by a ``NAME.manifest.json`` that
``radford data fetch`` writes into the data folder; the latter comes first.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from radford_lib.cache import cache_folder
from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import write_text

CHUNK = 1 << 20


@dataclass(frozen=True)
class PackFile:
    """One file of a pack: path relative to the data folder, what it must be, what it holds."""

    path: str
    sha256: str
    bytes: int
    split: str
    count: int | None = None
    what: str = ""


@dataclass(frozen=True)
class Pack:
    """A real data set: how its files are laid out, where they are from and on what terms.

    ``kind`` is images, corpus, texts or weights; ``layout`` names the reader. ``folder`` holds the
    files. ``classes`` and ``attribute_names`` are set where the files do not hold them.
    """

    name: str
    kind: str
    layout: str
    title: str
    licence: str
    origin: str
    folder: Path
    files: tuple[PackFile, ...]
    fetched: bool = False
    classes: tuple[str, ...] = ()
    attribute_names: tuple[str, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Size of all files together, in bytes."""
        return sum(file.bytes for file in self.files)

    @property
    def state(self) -> str:
        """Whether the files are ``there``, ``in part`` or ``missing``; contents are not read."""
        found = sum((self.folder / file.path).is_file() for file in self.files)
        return "there" if found == len(self.files) else "in part" if found else "missing"

    def in_split(self, *splits: str) -> tuple[PackFile, ...]:
        """The files of these splits, in the manifest's order."""
        return tuple(file for file in self.files if file.split in splits)

    def file(self, ending: str) -> PackFile:
        """The one file whose path ends so. Raises ``RadfordError`` where the manifest has none."""
        for file in self.files:
            if file.path.endswith(ending):
                return file
        raise RadfordError(f"the manifest of pack '{self.name}' lists no '{ending}': {self.mend}")

    @property
    def mend(self) -> str:
        """What a user does to get the pack (again)."""
        from radford_lib.data.sources import sources

        if self.name in sources():
            return f"run `radford data fetch {self.name}`"
        return f"copy its files into {self.folder} again"


def data_folder() -> Path:
    """Folder of packs: ``RADFORD_DATA``, or ``radford`` in the user's data folder."""
    named = os.environ.get("RADFORD_DATA")
    if named:
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base).absolute() / "radford"


@functools.cache
def builtin_manifest() -> dict[str, dict[str, Any]]:
    """``packs.yml`` as it is written: pack name to its description."""
    text = Path(__file__).with_name("packs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["packs"]


def packs() -> dict[str, Pack]:
    """All packs by name: the built-in ones, replaced or joined by the fetched ones.

    Raises ``RadfordError`` where a manifest in the data folder cannot be read.
    """
    folder = data_folder()
    found = {name: describe(name, entry, folder) for name, entry in builtin_manifest().items()}
    for path in sorted(folder.glob("*.manifest.json")):
        name = path.name.removesuffix(".manifest.json")
        found[name] = read_manifest(path, name, folder)
    return found


def read_manifest(path: Path, name: str, folder: Path) -> Pack:
    """A fetched pack's manifest. Raises ``RadfordError`` where it is not one."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return describe(name, entry, folder, fetched=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RadfordError(
            f"{path} is not a pack manifest ({error}): delete it and "
            f"run `radford data fetch {name}`"
        ) from error


def describe(name: str, entry: dict[str, Any], folder: Path, fetched: bool = False) -> Pack:
    """A ``Pack`` from its manifest entry."""
    return Pack(
        name=name,
        kind=entry["kind"],
        layout=entry["layout"],
        title=entry["title"],
        licence=entry["licence"],
        origin=entry["origin"],
        folder=folder,
        files=tuple(PackFile(**file) for file in entry["files"]),
        fetched=fetched,
        classes=tuple(entry.get("classes", ())),
        attribute_names=tuple(entry.get("attribute_names", ())),
    )


def find_pack(name: str, kind: str) -> Pack:
    """The pack called ``name``. Raises ``UsageError`` where there is none of this kind."""
    known = packs()
    if name not in known or known[name].kind != kind:
        names = ", ".join(sorted(key for key, pack in known.items() if pack.kind == kind))
        raise UsageError(f"no pack of {kind} is called '{name}'; packs: {names}")
    return known[name]


def require(pack: Pack, files: tuple[PackFile, ...]) -> list[Path]:
    """Paths of these files, each checked against the manifest (once, until it changes).

    Raises ``RadfordError`` where one is missing, short or differs, with what mends it.
    """
    if pack.state == "missing":
        raise RadfordError(
            f"pack '{pack.name}' is not in {pack.folder}: {pack.mend}, or set RADFORD_DATA"
        )
    for file in files:
        problem = problem_with(pack, file)
        if problem:
            raise RadfordError(f"pack '{pack.name}': {problem}: {pack.mend}")
    return [pack.folder / file.path for file in files]


def problem_with(
    pack: Pack,
    file: PackFile,
    *,
    remember: bool = True,
    progress: Callable[[int], object] | None = None,
) -> str | None:
    """What is wrong with a file of a pack, in a few words, or None.

    With ``remember`` a file whose size and time of change are those of an earlier check that
    passed is not read again. ``progress`` is told the bytes as they are read.
    """
    path = pack.folder / file.path
    try:
        found = path.stat()
        if found.st_size != file.bytes:
            return f"{file.path} has {found.st_size} bytes, not {file.bytes}"
        note = cache_folder() / "checked" / f"{hashlib.sha256(bytes(path)).hexdigest()[:32]}.json"
        seen = {"path": str(path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
        if remember and read_note(note) == {**seen, "sha256": file.sha256}:
            return None
        sha256 = hash_with_progress(path, progress)
    except FileNotFoundError:
        return f"{file.path} is missing"
    except OSError as error:
        return f"{file.path} cannot be read ({error.strerror})"
    if sha256 != file.sha256:
        return f"{file.path} is corrupt (its SHA-256 is not the manifest's)"
    write_text(note, json.dumps({**seen, "sha256": sha256}))
    return None


def read_note(path: Path) -> Any:
    """What an earlier check wrote, or None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def hash_with_progress(path: Path, progress: Callable[[int], object] | None) -> str:
    """Hexadecimal SHA-256 of a file; ``progress`` gets the size of each piece as it is read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            if progress:
                progress(len(piece))
    return digest.hexdigest()


def identity(files: tuple[PackFile, ...], **selection: object) -> str:
    """Hexadecimal SHA-256 that stands for these files and what was selected from them."""
    text = json.dumps([[file.sha256 for file in files], selection], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def official_weights_path(name: str) -> Path:
    """Path of the DCGAN authors' SVHN weights, checked: ``name`` is generator or discriminator.

    The file's layout is in its folder's README: kernels flipped for correlation, linear weights
    (out, in). Raises ``UsageError`` for another name, ``RadfordError`` where the file is missing
    or corrupt. Source: Newmu/dcgan_code, models/svhn_unsup_all_conv_dcgan_100z_gaussian.
    """
    pack = find_pack("dcgan-svhn", "weights")
    files = pack.in_split(name)
    if not files:
        names = ", ".join(file.split for file in pack.files)
        raise UsageError(f"pack 'dcgan-svhn' has no weights called '{name}'; it has: {names}")
    return require(pack, files)[0]
