"""Readers of image packs: every layout comes out as uint8 (N, H, W, C), decoded once and mapped."""

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from radford_lib.cache import cached_folder
from radford_lib.data.image_set import ImageSet
from radford_lib.data.npy_stream import write_npy
from radford_lib.data.packs import Pack, PackFile, identity, require
from radford_lib.errors import UsageError

CHUNK = 1000  # images decoded at a time
VERSION = 1  # of decoding, cropping and resizing: part of the cache's key
DEFAULT_SIZE = 64  # where the pack's images are not square


@dataclass(frozen=True)
class Contents:
    """One split of a pack before decoding: its files, how to decode them, and what is known.

    ``chunks`` yields the pixels as uint8 (n, H, W, C) for the ``count`` images of ``files``, whose
    ``shape`` is (H, W, C); ``part`` is the slice of them that makes up the split; ``known`` are
    arguments of ``ImageSet`` for that part. ``mapped`` holds pixels that need no decoding.
    """

    files: tuple[PackFile, ...]
    chunks: Callable[[], Iterator[np.ndarray]]
    count: int
    shape: tuple[int, ...]
    known: dict[str, Any]
    part: slice = field(default_factory=lambda: slice(None))
    mapped: np.ndarray | None = None


def read_images(pack: Pack, split: str, *, size: int | None = None, kind: str = "") -> ImageSet:
    """A whole split of an image pack, in the pack's own order.

    Images are (N, size, size, C) uint8, memory-mapped from the cache: the largest centred square,
    each pixel the mean of the area it covers. CelebA's aligned 89x109 faces (w x h) lose ten rows
    above and ten below: the head with some background. ``size`` is the images' own where they are
    square, else 64. ``kind`` is the room of ``houses``. Raises ``UsageError`` for a split or size
    that the pack does not have, ``RadfordError`` where its files are missing or corrupt.
    """
    contents = LAYOUTS[pack.layout](pack, split, kind)
    size = checked_size(pack, contents.shape, size)
    images = contents.mapped
    if images is None or images.shape[1:3] != (size, size):
        images = squares(pack, contents, size)
    name = f"{pack.name}-{kind}" if kind else pack.name
    return ImageSet(
        images=images[contents.part],
        name=name,
        split=split,
        toy=False,
        sha256=identity(contents.files, split=split, size=size),
        **contents.known,
    )


def checked_size(pack: Pack, shape: tuple[int, ...], size: int | None) -> int:
    """``size``, or what images of ``shape`` (H, W, C) become. Raises ``UsageError`` to enlarge."""
    height, width = shape[:2]
    largest = min(height, width)
    if size is None:
        return largest if height == width else min(largest, DEFAULT_SIZE)
    if not 1 <= size <= largest:
        raise UsageError(
            f"pack '{pack.name}' holds images of {width}x{height}: size must be from 1 to "
            f"{largest}, not {size}"
        )
    return size


def squares(pack: Pack, contents: Contents, size: int) -> np.ndarray:
    """Decoded images (N, size, size, C), memory-mapped; made in the cache the first time."""
    from tqdm import tqdm

    def build(folder: Path) -> None:
        with tqdm(
            total=contents.count, desc=f"decoding {pack.name}", unit="image", disable=None
        ) as bar:

            def resized() -> Iterator[np.ndarray]:
                for chunk in contents.chunks():
                    yield resize(chunk, size)
                    bar.update(len(chunk))

            shape = (contents.count, size, size, contents.shape[2])
            write_npy(folder / "images.npy", shape, resized())

    key = identity(contents.files, version=VERSION)[:16]
    folder = cached_folder(f"images/{pack.name}-{size}-{key}", build)
    return np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of uint8 (N, H, W, C) at ``size``, by area: never enlarged.

    A pixel is the mean of the input area under it, pixels cut by its edge counted by their share.
    """
    height, width = images.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[:, top : top + side, left : left + side]
    if size == side:
        return square
    weights = area_weights(side, size)
    rows = np.tensordot(square.astype(np.float32), weights, axes=(1, 1))  # (N, side, C, size)
    both = np.tensordot(rows, weights, axes=(1, 1))  # (N, C, size rows, size columns)
    return np.rint(both).astype(np.uint8).transpose(0, 2, 3, 1)


def area_weights(side: int, size: int) -> np.ndarray:
    """(size, side) float32: share of each input pixel in each output pixel; rows sum to 1."""
    edges = np.arange(size + 1) * side / size
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(overlap, 0, None) * size / side).astype(np.float32)


def check_split(pack: Pack, split: str, splits: tuple[str, ...]) -> None:
    """Raise ``UsageError`` where the pack has no such split."""
    if split not in splits:
        raise UsageError(f"pack '{pack.name}' has no split '{split}'; splits: {', '.join(splits)}")


def jpeg_npz(pack: Pack, split: str, kind: str) -> Contents:
    """JPEG bytes with a shared header (CIFAR-10, CelebA): labels or attributes beside them.

    A pack without splits of its own is divided: the first nine tenths to train, the rest to test.
    """
    undivided = pack.in_split("all")
    own_splits = tuple(dict.fromkeys(file.split for file in pack.files))
    check_split(pack, split, ("train", "test") if undivided else own_splits)
    files = undivided or pack.in_split(split)
    paths = require(pack, files)
    members = [npz_members(path, without=("header", "data")) for path in paths]
    columns = {key: np.concatenate([found[key] for found in members]) for key in members[0]}
    count = sum(len(found["offsets"]) - 1 for found in members)
    edge = count * 9 // 10
    part = slice(None)
    if undivided:
        part = slice(0, edge) if split == "train" else slice(edge, count)
    names = members[0]
    known: dict[str, Any] = {}
    if "labels" in columns:
        known["labels"] = columns["labels"].astype(np.int64)[part]
        known["classes"] = tuple(map(str, names["classes"]))
    if "attributes" in columns:
        known["attributes"] = columns["attributes"][part]
        known["attribute_names"] = tuple(map(str, names["attribute_names"]))
    known["extra"] = {
        key: columns[key].astype(np.int64)[part] for key in ("number", "image_id") if key in columns
    }
    shape = next(decoded_jpegs(paths[:1], chunk=1)).shape[1:]
    return Contents(files, lambda: decoded_jpegs(paths), count, shape, known, part)


def npz_members(path: Path, without: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Arrays of an npz by name; no pickled ones."""
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files if key not in without}


def decoded_jpegs(paths: list[Path], chunk: int = CHUNK) -> Iterator[np.ndarray]:
    """Pixels (n, H, W, 3) of every image i of the files: ``header + data[offsets[i:i+2]]``."""
    from PIL import Image

    for path in paths:
        members = npz_members(path)
        header, data, offsets = members["header"].tobytes(), members["data"], members["offsets"]
        for start in range(0, len(offsets) - 1, chunk):
            ends = offsets[start : start + chunk + 1]
            yield np.stack(
                [
                    np.asarray(Image.open(io.BytesIO(header + data[a:b].tobytes())))
                    for a, b in itertools.pairwise(ends)
                ]
            )


def mnist_npz(pack: Pack, split: str, kind: str) -> Contents:
    """``x_train`` (N, 28, 28) and ``y_train``, the same for test, in one npz."""
    check_split(pack, split, ("train", "test"))
    files = pack.in_split("all")
    (path,) = require(pack, files)
    with np.load(path, allow_pickle=False) as archive:
        pixels = archive[f"x_{split}"][..., None]  # (N, 28, 28, 1)
        labels = archive[f"y_{split}"].astype(np.int64)
    known = {"labels": labels, "classes": tuple("0123456789")}
    shape = pixels.shape[1:]
    return Contents(files, lambda: iter([pixels]), len(pixels), shape, known, mapped=pixels)


def sheet_tiles(path: Path, height: int, width: int, count: int) -> np.ndarray:
    """The first ``count`` tiles (count, height, width, 3) of a sheet, row by row."""
    from PIL import Image

    with Image.open(path) as image:
        sheet = np.asarray(image)
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    tiles = sheet.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    return tiles.reshape(-1, height, width, 3)[:count]


def sheet_labels(pack: Pack, split: str, kind: str) -> Contents:
    """Sheets of 32x32 tiles with labels in one npz (Tiny ImageNet); ``test`` is its validation."""
    check_split(pack, split, ("train", "test"))
    sheets, labels = pack.in_split(split), pack.in_split("labels")
    *paths, labels_path = require(pack, sheets + labels)
    members = npz_members(labels_path)
    known = {
        "labels": members["train" if split == "train" else "val"].astype(np.int64),
        "classes": tuple(str(name).split(",")[0] for name in members["names"]),
    }
    counts = [file.count or 0 for file in sheets]

    def chunks() -> Iterator[np.ndarray]:
        for path, count in zip(paths, counts, strict=True):
            yield sheet_tiles(path, 32, 32, count)

    return Contents(sheets + labels, chunks, sum(counts), (32, 32, 3), known)


def sheet_kinds(pack: Pack, split: str, kind: str) -> Contents:
    """One sheet of 104x80 tiles for each kind of room (houses), with the number of each house.

    ``kind`` "" gives all rooms, labelled by kind. There is one split, ``train``.
    """
    check_split(pack, split, ("train",))
    kinds = tuple(file.split for file in pack.files if file.split != "ids")
    if kind and kind not in kinds:
        raise UsageError(
            f"pack '{pack.name}' has no '{kind}': use {pack.name} or {pack.name}-"
            + f", {pack.name}-".join(kinds)
        )
    chosen = (kind,) if kind else kinds
    sheets = tuple(file for name in chosen for file in pack.in_split(name))
    *paths, ids_path = require(pack, sheets + pack.in_split("ids"))
    ids = npz_members(ids_path)
    counts = [len(ids[name]) for name in chosen]

    def chunks() -> Iterator[np.ndarray]:
        for path, count in zip(paths, counts, strict=True):
            yield sheet_tiles(path, 80, 104, count)

    known: dict[str, Any] = {
        "extra": {"house": np.concatenate([ids[name] for name in chosen]).astype(np.int64)}
    }
    if not kind:
        known["labels"] = np.repeat(np.arange(len(kinds)), counts).astype(np.int64)
        known["classes"] = kinds
    return Contents(sheets, chunks, sum(counts), (80, 104, 3), known)


def arrays(pack: Pack, split: str, kind: str) -> Contents:
    """A fetched pack: ``SPLIT-images.npy`` (N, H, W, C) and ``SPLIT-WHAT.npy`` beside it."""
    check_split(pack, split, tuple(dict.fromkeys(file.split for file in pack.files)))
    files = pack.in_split(split)
    found = {
        Path(file.path).stem.removeprefix(f"{split}-"): np.load(
            path, mmap_mode="r", allow_pickle=False
        )
        for file, path in zip(files, require(pack, files), strict=True)
    }
    images = found.pop("images")
    known: dict[str, Any] = {}
    if "labels" in found:
        known["labels"] = np.asarray(found.pop("labels"), np.int64)
        known["classes"] = pack.classes
    if "attributes" in found:
        known["attributes"] = np.asarray(found.pop("attributes"))
        known["attribute_names"] = pack.attribute_names
    known["extra"] = {key: np.asarray(value) for key, value in found.items()}

    def chunks() -> Iterator[np.ndarray]:
        for start in range(0, len(images), CHUNK):
            yield np.asarray(images[start : start + CHUNK])

    return Contents(files, chunks, len(images), images.shape[1:], known, mapped=images)


LAYOUTS: dict[str, Callable[[Pack, str, str], Contents]] = {
    "jpeg-npz": jpeg_npz,
    "mnist-npz": mnist_npz,
    "sheet-labels": sheet_labels,
    "sheet-kinds": sheet_kinds,
    "arrays": arrays,
}
