"""Where a run comes from: code, library, data, machine."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radford_lib.book.layout import Book
from radford_lib.files import sha256_tree

# Changing how a page is built, or how a command reads its options, changes no result
NOT_IN_RESULTS = (
    "book", "cli.py", "command_line.py", "data/commands.py", "data/sources.py", "experiments",
)  # fmt: skip
VERSIONS = ("torch", "numpy", "scikit-learn", "papermill")


def library_sha256() -> str:
    """Hash of the library code and weights that a chapter's results can depend on."""
    package = Path(__file__).resolve().parents[1]
    files = [
        path
        for path in package.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.relative_to(package).as_posix().startswith(NOT_IN_RESULTS)
    ]
    files.append(package / "book" / "results.py")
    return sha256_tree(files, package)


def packs_identity() -> str:
    """Hash over names, sizes and times of the files in RADFORD_DATA; empty without it."""
    folder = os.environ.get("RADFORD_DATA")
    if not folder or not Path(folder).is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            about = path.stat()
            name = path.relative_to(folder).as_posix()
            digest.update(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def machine() -> str:
    """The device in words: the GPU where there is one, else the processor and its cores."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.strip().splitlines()[0]
    return f"CPU, {processor()}, {os.cpu_count()} cores"


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit(book: Book, *folders: str) -> dict[str, Any]:
    """The book's git commit, and whether ``folders`` (code and parameters if none) differ from it.

    Where there is no repository ``RADFORD_COMMIT`` says it: the commit, and "dirty" after a space.
    """

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(book.root), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True)
        return answer.stdout.strip() if answer.returncode == 0 else None

    if shutil.which("git") is None or (revision := git("rev-parse", "HEAD")) is None:
        told, _, state = os.environ.get("RADFORD_COMMIT", "").partition(" ")
        return {"commit": told or None, "dirty": state == "dirty" if told else None}
    folders = folders or ("radford_lib", "chapters", "profiles")
    changed = git("status", "--porcelain", "--", *folders)
    return {"commit": revision, "dirty": bool(changed)}


def versions() -> dict[str, str]:
    """Versions of what the results depend on, as far as it is installed."""
    found = {}
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
