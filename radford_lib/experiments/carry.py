"""Gather what has to travel to a machine that gets a copy of the checkout and nothing else.

``python -m radford_lib.experiments.carry .h200 PACK ...`` copies data packs to the folder, whole
and checked, and notes the commit there, for a machine without the repository.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from radford_lib.book import provenance
from radford_lib.book.layout import Book
from radford_lib.data.packs import packs, require
from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import write_text

LIMIT_BYTES = 64 << 20  # what travels to a lent machine, the checkout included


def carry(folder: Path, names: Sequence[str]) -> int:
    """Make ``folder`` hold these packs and the commit, and no more; returns its bytes.

    Raises ``UsageError`` for an unknown pack, ``RadfordError`` where one is missing or corrupt.
    """
    known = packs()
    for name in names:
        if name not in known:
            raise UsageError(f"no pack '{name}'; there are: {', '.join(known)}")
    sources = {
        file.path: path
        for name in names
        for file, path in zip(
            known[name].files, require(known[name], known[name].files), strict=True
        )
    }
    shutil.rmtree(folder, ignore_errors=True)
    for relative, source in sources.items():
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    about = provenance.commit(Book.here())
    state = " dirty" if about["dirty"] else ""
    write_text(folder / "commit", f"{about['commit'] or ''}{state}\n")
    return sum(path.stat().st_size for path in sources.values())


def checkout_bytes(root: Path) -> int:
    """Bytes of the tracked files."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True
    ).stdout.split("\0")
    return sum((root / name).stat().st_size for name in listed if (root / name).is_file())


def main(argv: Sequence[str] | None = None) -> int:
    """The command; what the user can mend is one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("packs", nargs="+")
    asked = parser.parse_args(argv)
    try:
        data = carry(asked.folder, asked.packs)
    except RadfordError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    total = data + checkout_bytes(Book.here().root)
    print(f"{asked.folder}: {data / 2**20:.1f} MiB; {total / 2**20:.1f} MiB with the checkout")
    if total > LIMIT_BYTES:
        print(f"that is over {LIMIT_BYTES >> 20} MiB: carry fewer packs at a time")
    return int(total > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
