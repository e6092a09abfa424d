"""Keeping a run: its results, its provenance and its figures, small enough to commit."""

import base64
import io
import json
from typing import Any

from radford_lib.book.chapters import code_sha256, read_chapter
from radford_lib.book.layout import Book
from radford_lib.book.results import collect
from radford_lib.errors import RadfordError
from radford_lib.files import atomic_path, write_text

LIMIT_BYTES = 1_500_000
PROVENANCE = (
    "profile", "parameters", "seed", "data", "commit", "dirty", "code_sha256", "library_sha256",
    "device", "threads", "seconds", "date", "versions",
)  # fmt: skip
FORMATS = {"image/svg+xml": "svg", "image/png": "png"}
PNG_BYTES = 200_000  # beyond them a picture is of photographs, which WebP keeps in a tenth


def recorded_profiles(book: Book) -> list[str]:
    """Profiles that have recorded results."""
    known = book.profiles()
    return [name for name in known if list((book.root / "results" / name).rglob("*.json"))]


def export(
    book: Book, profile: str, names: tuple[str, ...] = (), *, allow_dirty: bool = False
) -> list[str]:
    """Write ``results/<profile>/<chapter>.json`` and figures; returns the files, book-relative.

    Raises ``RadfordError`` for a chapter that was not run or whose code has changed since, for a
    run of code that was not committed (unless ``allow_dirty``), and for one too large to commit.
    """
    import nbformat

    book.check_profile(profile)
    written = []
    for chapter in book.find_chapters(names):
        path = book.executed(profile, chapter)
        if not path.is_file():
            if names:
                raise RadfordError(
                    f"{chapter} has not been run: radford run {chapter} --profile {profile}"
                )
            continue
        notebook = nbformat.read(path, as_version=4)
        check(book, profile, chapter, notebook, allow_dirty)
        written += write(book, profile, chapter, notebook)
    return written


def check(book: Book, profile: str, chapter: str, notebook: Any, allow_dirty: bool) -> None:
    """Raise ``RadfordError`` unless the run may stand for the chapter as it is now."""
    again = f"radford run {chapter} --profile {profile}"
    about = notebook.metadata["radford"]
    if about["code_sha256"] != code_sha256(read_chapter(book.source(chapter))):
        raise RadfordError(f"{chapter} has changed since its run: {again}")
    if about["dirty"] and not allow_dirty:
        raise RadfordError(f"{chapter} was run on uncommitted code: commit it, then {again}")


def write(book: Book, profile: str, chapter: str, notebook: Any) -> list[str]:
    """Write one chapter's record and figures; figures of an earlier run that are gone go too."""
    target = book.recorded(profile, chapter)
    folder = target.with_suffix("")
    found = figures(notebook)
    about = notebook.metadata["radford"]
    record = {
        "chapter": chapter,
        "provenance": {key: about[key] for key in PROVENANCE},
        "results": collect(notebook),
        "figures": {name: caption for name, (_, caption, _) in found.items()},
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    size = len(text) + sum(len(content) for _, _, content in found.values())
    if size > LIMIT_BYTES:
        raise RadfordError(
            f"the record of {chapter} is {size / 1e6:.1f} MB, over the {LIMIT_BYTES / 1e6} MB "
            "meant for one: make its figures smaller"
        )
    files = [folder / f"{name}.{extension}" for name, (extension, _, _) in found.items()]
    for stale in folder.glob("*") if folder.is_dir() else ():
        if stale.is_file() and stale not in files:
            stale.unlink()
    for path, (_, _, content) in zip(files, found.values(), strict=True):
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    write_text(target, text)
    return [path.relative_to(book.root).as_posix() for path in [target, *files]]


def figures(notebook: Any) -> dict[str, tuple[str, str, bytes]]:
    """Name -> (file extension, caption, bytes) of each figure that has a name.

    Not of cells tagged ``shows-data``: the images of a data set are not ours to give away.
    """
    found = {}
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "name" not in figure or "shows-data" in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            kinds = [kind for kind in FORMATS if kind in output.get("data", {})]
            if kinds:
                content = output["data"][kinds[0]]
                raw = content.encode() if kinds[0] == "image/svg+xml" else base64.b64decode(content)
                extension, raw = smaller(FORMATS[kinds[0]], raw)
                found[figure["name"]] = (extension, figure.get("caption", ""), raw)
    return found


def smaller(extension: str, raw: bytes) -> tuple[str, bytes]:
    """The picture as WebP where it is a PNG of more than ``PNG_BYTES``, else as it is."""
    if extension != "png" or len(raw) <= PNG_BYTES:
        return extension, raw
    from PIL import Image

    encoded = io.BytesIO()
    with Image.open(io.BytesIO(raw)) as picture:
        picture.save(encoded, "WEBP", quality=85, method=6)
    return "webp", encoded.getvalue()
