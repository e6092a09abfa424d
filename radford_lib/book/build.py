"""Building the site: Jupyter Book over the executed chapters, strict, swapped in whole."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from radford_lib.book.layout import Book
from radford_lib.errors import RadfordError
from radford_lib.files import sha256_tree, write_text

SOURCES = ("_config.yml", "_toc.yml", "references.bib")
FOLDERS = ("chapters", "assets", "results", "profiles")
SHOWN_LINES = 20


def build(book: Book, profile: str, *, strict: bool = True) -> Path:
    """Build the site of ``book`` from the runs of ``profile``; returns its front page.

    Nothing is done where the site is already that of these sources, runs and library. In strict
    mode a page without a run of its present code, or any warning, fails the build. A failed build
    leaves the site as it was. Raises ``RadfordError`` with the first warnings.
    """
    book.check_profile(profile)
    index = book.site / "index.html"
    stamp = book.root / "_build" / "stamp.txt"
    wanted = fingerprint(book, profile, strict)
    if index.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return index
    staging = book.root / "_build" / "next"
    shutil.rmtree(staging, ignore_errors=True)
    sphinx(book, profile, strict, staging)
    made = staging / "_build" / "html"
    if not (made / "index.html").is_file():
        raise RadfordError("jupyter-book made no index.html: is jupyter-book 1.x installed?")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(book.site, ignore_errors=True)
    made.replace(book.site)
    shutil.rmtree(staging, ignore_errors=True)
    write_text(stamp, wanted)
    return index


def fingerprint(book: Book, profile: str, strict: bool) -> str:
    """Hash of everything the site is made from."""
    files = [book.root / name for name in SOURCES if (book.root / name).is_file()]
    folders = [book.root / name for name in FOLDERS]
    folders.append(book.root / "runs" / profile / "chapters")
    for folder in folders:
        files += [path for path in folder.rglob("*") if path.is_file()]
    package = Path(__file__).resolve().parents[1]
    code = [path for path in package.rglob("*") if path.suffix in (".py", ".yml")]
    return f"{profile} {strict} {sha256_tree(files, book.root)} {sha256_tree(code, package)}"


def sphinx(book: Book, profile: str, strict: bool, staging: Path) -> None:
    """Run jupyter-book; ``RadfordError`` with its warnings if it fails."""
    tool = Path(sys.executable).with_name("jupyter-book")
    command = [str(tool), "build", str(book.root), "--path-output", str(staging), "--all", "-q"]
    environment = {**os.environ, "RADFORD_PROFILE": profile, "PYTHONWARNINGS": "ignore"}
    environment.pop("RADFORD_STRICT", None)
    if strict:
        command += ["-W", "-n", "--keep-going"]
        environment["RADFORD_STRICT"] = "1"
    staging.mkdir(parents=True)
    answer = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", answer.stdout)
    warnings = [line for line in log.splitlines() if re.search(r"WARNING|ERROR|[Ee]rror:", line)]
    if answer.returncode:
        shown = warnings[:SHOWN_LINES] or log.splitlines()[-SHOWN_LINES:]
        more = len(warnings) - len(shown)
        if more > 0:
            shown.append(f"and {more} more")
        raise RadfordError("\n  ".join(["the site could not be built:", *dict.fromkeys(shown)]))
    for line in warnings:
        print(line, file=sys.stderr)
