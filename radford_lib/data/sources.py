"""Sources: fetch a data set from its publisher and convert it into a pack."""

import functools
import gzip
import hashlib
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from radford_lib.cache import cache_folder
from radford_lib.data.download import download
from radford_lib.data.pack_writer import PackWriter, new_pack
from radford_lib.data.packs import Pack, data_folder, read_manifest
from radford_lib.errors import RadfordError, UsageError

LAYOUTS = {"images": "arrays", "corpus": "shards", "texts": "parquet"}  # of a fetched pack, by kind
BAD_FILE = (ValueError, KeyError, IndexError, TypeError, EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class SourceFile:
    """One file to download: its address and, where one is published, ``algorithm:digest``."""

    url: str
    hash: str | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """Where a pack can be had: files to download, or ``by_hand``: what the user must download."""

    name: str
    kind: str
    title: str
    licence: str
    converter: str
    files: tuple[SourceFile, ...] = ()
    by_hand: str = ""
    sized: bool = False

    @property
    def origin(self) -> str:
        """Addresses of the publisher, for the manifest."""
        return "; ".join(file.url for file in self.files) or self.by_hand


@functools.cache
def sources() -> dict[str, Source]:
    """All sources by name, from ``sources.yml``."""
    text = Path(__file__).with_name("sources.yml").read_text(encoding="utf-8")
    return {name: described(name, entry) for name, entry in yaml.safe_load(text)["sources"].items()}


def described(name: str, entry: dict[str, Any]) -> Source:
    """A ``Source`` from its entry."""
    return Source(
        name=name,
        kind=entry["kind"],
        title=entry["title"],
        licence=entry["licence"],
        converter=entry["converter"],
        files=tuple(SourceFile(file["url"], file.get("hash")) for file in entry.get("files", ())),
        by_hand=" ".join(entry.get("from", "").split()),
        sized=entry.get("sized", False),
    )


def fetch(name: str, *, given: Path | None = None, size: int | None = None) -> Pack:
    """Download a data set and convert it into a pack in the data folder; return the pack.

    ``given`` is what the user has downloaded: a file, or the folder that holds the files. ``size``
    is the side of CelebA's and LSUN's squares (64). Raises ``UsageError`` for an unknown name, a
    missing ``given`` or an unwanted ``size``, ``RadfordError`` where the network, the files or the
    disk fail; the pack is then as it was.
    """
    if name not in sources():
        raise UsageError(f"nothing called '{name}' can be fetched: {', '.join(sources())}")
    source = sources()[name]
    if source.by_hand and given is None:
        raise UsageError(
            f"'{name}' cannot be downloaded by itself: {source.by_hand}; then run "
            f"`radford data fetch {name} --from PATH`"
        )
    if given is not None and not given.exists():
        raise UsageError(f"--from {given}: there is no such file or folder")
    if size is not None and not source.sized:
        raise UsageError(f"--size does not apply to '{name}': its images have one size")
    description = {
        "kind": source.kind,
        "layout": LAYOUTS[source.kind],
        "title": source.title,
        "licence": source.licence,
        "origin": source.origin,
    }
    target = data_folder()
    with new_pack(target, name, **description) as writer:
        paths = [given] if source.by_hand and given else originals(source, given)
        convert(source, paths, writer, size)
    return read_manifest(target / f"{name}.manifest.json", name, target)


def originals(source: Source, given: Path | None) -> list[Path]:
    """Paths of a source's files: downloaded to the cache, or found where the user has them."""
    if given is None:
        folder = cache_folder() / "downloads" / source.name
        return [download(file.url, folder, file.name, file.hash) for file in source.files]
    paths = [given / file.name if given.is_dir() else given for file in source.files]
    missing = [path.name for path in paths if not path.is_file()]
    if missing or (given.is_file() and len(paths) > 1):
        names = ", ".join(file.name for file in source.files)
        raise UsageError(f"--from {given}: '{source.name}' needs a folder with {names}")
    for file, path in zip(source.files, paths, strict=True):
        check_hash(path, file.hash)
    return paths


def check_hash(path: Path, known_hash: str | None) -> None:
    """Raise ``RadfordError`` where a file is not the one whose ``algorithm:digest`` is known."""
    if known_hash:
        algorithm, _, digest = known_hash.partition(":")
        with path.open("rb") as file:
            if hashlib.file_digest(file, algorithm).hexdigest() != digest:
                raise RadfordError(
                    f"{path} is not the published file (expected {known_hash}): download it again"
                )


def convert(source: Source, paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """Run a source's converter. Raises ``RadfordError`` where the files are of another kind."""
    from radford_lib.data.image_converters import IMAGE_CONVERTERS
    from radford_lib.data.text_converters import TEXT_CONVERTERS

    try:
        {**IMAGE_CONVERTERS, **TEXT_CONVERTERS}[source.converter](paths, writer, size)
        if not writer.files:
            raise ValueError("nothing of it was found")
    except FileNotFoundError as error:
        raise RadfordError(f"{error.filename} is missing: {source.by_hand}") from error
    except (*BAD_FILE, tarfile.TarError, zipfile.BadZipFile) as error:
        raise RadfordError(
            f"{', '.join(map(str, paths))}: not '{source.name}' as its publisher gives it "
            f"({type(error).__name__}: {error})"
        ) from error
