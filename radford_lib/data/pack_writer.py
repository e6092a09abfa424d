"""Write a pack: its files in a new folder, then the manifest that makes it count."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from radford_lib.cache import sweep
from radford_lib.data.npy_stream import write_npy
from radford_lib.errors import RadfordError
from radford_lib.files import sha256_file, write_text

BUFFER = 1 << 16  # bytes of a shard held back before they are written


class PackWriter:
    """Collects the files of a new pack in ``folder``; see ``new_pack``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[dict[str, Any]] = []
        self.names: dict[str, Sequence[str]] = {}

    def add(self, path: Path, split: str, count: int) -> None:
        """List a file of ``folder`` in the manifest."""
        self.files.append({"path": path.name, "split": split, "count": count})

    def images(self, split: str, images: np.ndarray, **columns: np.ndarray) -> None:
        """Images (N, H, W, C) uint8 of a split, and arrays with a row for each of them."""
        for what, array in {"images": images, **columns}.items():
            path = self.folder / f"{split}-{what}.npy"
            np.save(path, np.ascontiguousarray(array), allow_pickle=False)
            self.add(path, split, len(array))

    def image_stream(
        self, split: str, count: int, shape: tuple[int, int, int], chunks: Iterable[np.ndarray]
    ) -> None:
        """Images of a split that do not fit in memory: ``count`` of ``shape``, in chunks."""
        path = self.folder / f"{split}-images.npy"
        write_npy(path, (count, *shape), chunks)
        self.add(path, split, count)

    def column(self, split: str, what: str, array: np.ndarray) -> None:
        """An array with a row for each image of a split."""
        path = self.folder / f"{split}-{what}.npy"
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)
        self.add(path, split, len(array))

    def texts(self, split: str, columns: dict[str, Sequence[Any]]) -> None:
        """Rows of an evaluation set, by column."""
        import pyarrow
        import pyarrow.parquet as parquet

        path = self.folder / f"{split}.parquet"
        table = pyarrow.table(columns)
        parquet.write_table(table, path, compression="zstd")
        self.add(path, split, table.num_rows)

    def documents(self, documents: Iterable[tuple[str, int, str]]) -> None:
        """Cleaned documents of a corpus as (split, shard number, text), to any number of shards."""
        buffers: dict[Path, bytearray] = {}
        found: dict[Path, tuple[str, int]] = {}
        for split, shard, text in documents:
            path = self.folder / f"{split}-{shard:04d}.bytes"
            buffer = buffers.setdefault(path, bytearray())
            buffer += text.encode("utf-8", "replace") + b"\n"
            found[path] = (split, found.get(path, (split, 0))[1] + 1)
            if len(buffer) > BUFFER:
                append(path, buffer)
        for path in sorted(found):
            append(path, buffers[path])
            self.add(path, *found[path])


def append(path: Path, buffer: bytearray) -> None:
    """Move a buffer to the end of a file."""
    with path.open("ab") as file:
        file.write(buffer)
    buffer.clear()


@contextmanager
def new_pack(target: Path, name: str, **description: Any) -> Iterator[PackWriter]:
    """Yield a writer of pack ``name`` in the data folder ``target``.

    On success its files lie in ``NAME-HASH/`` and ``NAME.manifest.json`` lists them; an older pack
    of that name is removed after that. On any failure nothing has changed. ``description`` is the
    manifest's kind, layout, title, licence and origin. Raises ``RadfordError`` where the folder
    cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        sweep(target, name)
        folder = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=target))
    except OSError as error:
        raise RadfordError(
            f"cannot write packs to {target} ({error.strerror}): set RADFORD_DATA to a folder "
            "you can write"
        ) from error
    try:
        writer = PackWriter(folder)
        yield writer
        put_in_place(target, name, writer, description)
    except OSError as error:
        raise RadfordError(f"cannot write pack '{name}' to {target}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(target: Path, name: str, writer: PackWriter, description: dict[str, Any]) -> None:
    """Rename the new folder after its contents, write the manifest, remove older folders."""
    for file in writer.files:
        path = writer.folder / file["path"]
        file["sha256"] = sha256_file(path)
        file["bytes"] = path.stat().st_size
    contents = json.dumps([file["sha256"] for file in writer.files])
    final = target / f"{name}-{short_hash(contents)}"
    shutil.rmtree(final, ignore_errors=True)
    writer.folder.chmod(0o755)
    writer.folder.rename(final)
    for file in writer.files:
        file["path"] = f"{final.name}/{file['path']}"
    manifest_path = target / f"{name}.manifest.json"
    older = {Path(path).parts[0] for path in listed_paths(manifest_path)} - {final.name}
    manifest = {**description, **writer.names, "files": writer.files}
    write_text(manifest_path, json.dumps(manifest, indent=1) + "\n")
    for folder in older:
        if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{12}}", folder):
            shutil.rmtree(target / folder, ignore_errors=True)


def listed_paths(manifest_path: Path) -> list[str]:
    """Paths in a manifest that is about to be replaced, none where it cannot be read."""
    try:
        entry = json.loads(manifest_path.read_text(encoding="utf-8"))
        return [file["path"] for file in entry["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def short_hash(text: str) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
