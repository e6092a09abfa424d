"""From publishers' image files to packs; archives are read, never unpacked, pickles never."""

import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from radford_lib.data.image_packs import CHUNK, resize
from radford_lib.data.pack_writer import PackWriter
from radford_lib.errors import RadfordError

DEFAULT_SIZE = 64  # pixels, of CelebA and LSUN
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
CELEBA_SPLITS = {0: "train", 1: "valid", 2: "test"}


def cifar10(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``cifar-10-binary.tar.gz``: records of a label byte and 3,072 pixels, planes of 32x32."""
    records: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    with tarfile.open(paths[0]) as archive:
        for member in archive:
            name = Path(member.name).name
            if name.endswith(".bin"):
                rows = np.frombuffer(member_bytes(archive, member), np.uint8).reshape(-1, 3073)
                records["test" if name.startswith("test") else "train"].append(rows)
            elif name == "batches.meta.txt":
                writer.names["classes"] = member_bytes(archive, member).decode().split()
    for split, parts in records.items():
        rows = np.concatenate(parts)
        images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        writer.images(split, images, labels=rows[:, 0])


def member_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Contents of a file in a tar archive. Raises ``ValueError`` where it is none."""
    stream = archive.extractfile(member)
    if stream is None:
        raise ValueError(f"{member.name} is not a file")
    return stream.read()


def svhn(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``{train,test,extra}_32x32.mat``: ``X`` (32, 32, 3, N), ``y`` (N, 1) with 10 for zero."""
    from scipy.io import loadmat

    for path in paths:
        contents = loadmat(path)
        labels = contents["y"].ravel() % 10
        writer.images(path.name.split("_")[0], contents["X"].transpose(3, 0, 1, 2), labels=labels)
    writer.names["classes"] = list("0123456789")


def mnist(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """Four ``idx-ubyte.gz``: images and labels of train, then of test."""
    for split, first in (("train", 0), ("test", 2)):
        images, labels = (idx_array(path) for path in paths[first : first + 2])
        writer.images(split, images[..., None], labels=labels)
    writer.names["classes"] = list("0123456789")


def idx_array(path: Path) -> np.ndarray:
    """A gzipped idx file of bytes: magic 0, 0, 8, rank; sizes as big-endian int32; the bytes."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is not an idx file of bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def tiny_imagenet(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``tiny-imagenet-200.zip``: train in the order number, wnid; validation as ``test``."""
    with zipfile.ZipFile(paths[0]) as archive:
        root = "tiny-imagenet-200/"
        words = dict(text_rows(archive, f"{root}words.txt"))
        wnids = sorted(row[0] for row in text_rows(archive, f"{root}wnids.txt"))
        label = {wnid: number for number, wnid in enumerate(wnids)}
        found = [
            (int(match[2]), match[1], match[0])
            for match in map(re.compile(r".*/(n\d+)_(\d+)\.JPEG").match, archive.namelist())
            if match
        ]
        train = [(name, label[wnid]) for _, wnid, name in sorted(found)]
        test = [
            (f"{root}val/images/{row[0]}", label[row[1]])
            for row in text_rows(archive, f"{root}val/val_annotations.txt")
        ]
        for split, items in (("train", train), ("test", test)):
            pictures = squares_of([name for name, _ in items], archive.read, 32)
            writer.image_stream(split, len(items), (32, 32, 3), pictures)
            writer.column(split, "labels", np.array([number for _, number in items], np.uint8))
    writer.names["classes"] = [words[wnid].split(",")[0] for wnid in wnids]


def text_rows(archive: zipfile.ZipFile, name: str) -> list[list[str]]:
    """Tab-separated rows of a text file in a zip archive."""
    return [line.split("\t") for line in archive.read(name).decode().splitlines() if line]


def squares_of(names: list[str], read: Any, size: int) -> Iterator[np.ndarray]:
    """Pictures cut to squares (n, size, size, 3) uint8, in chunks; ``read`` gives a file's bytes.

    Raises ``RadfordError`` for a picture that cannot be decoded or is smaller than ``size``.
    """
    from PIL import Image
    from tqdm import tqdm

    with tqdm(total=len(names), desc="converting", unit="image", disable=None) as bar:
        for start in range(0, len(names), CHUNK):
            squares = []
            for name in names[start : start + CHUNK]:
                try:
                    with Image.open(io.BytesIO(read(name))) as picture:
                        pixels = np.asarray(picture.convert("RGB"))
                except OSError as error:
                    raise RadfordError(f"{name} cannot be decoded ({error})") from error
                if min(pixels.shape[:2]) < size:
                    height, width = pixels.shape[:2]
                    raise RadfordError(f"{name} is {width}x{height}, smaller than --size {size}")
                squares.append(resize(pixels[None], size)[0])
                bar.update()
            yield np.stack(squares)


def celeba(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``img_align_celeba.zip`` (178x218) with its lists of attributes and of the partition.

    Faces are cut to the centred 178x178 and shrunk by area.
    """
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    side = size or DEFAULT_SIZE
    names, *rows = (folder / "list_attr_celeba.txt").read_text().splitlines()[1:]
    attributes = {
        file: np.array(values, np.int8) > 0 for file, *values in map(str.split, rows) if file
    }
    partition = map(str.split, (folder / "list_eval_partition.txt").read_text().splitlines())
    split_of = {file: CELEBA_SPLITS[int(number)] for file, number in partition}
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as archive:
        pictures = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        for split in CELEBA_SPLITS.values():
            chosen = [name for name in pictures if split_of[Path(name).name] == split]
            if not chosen:
                continue
            files = [Path(name).name for name in chosen]
            stream = squares_of(chosen, archive.read, side)
            writer.image_stream(split, len(chosen), (side, side, 3), stream)
            table = np.array([attributes[file] for file in files], np.uint8)
            writer.column(split, "attributes", table)
            ids = np.array([int(Path(file).stem) for file in files], np.int64)
            writer.column(split, "image_id", ids)
    writer.names["attribute_names"] = names.split()


def image_folder(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """Any folder of pictures, subfolders too: centred squares, shrunk by area; all in train."""
    side = size or DEFAULT_SIZE
    found = sorted(path for path in paths[0].rglob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise RadfordError(f"{paths[0]} holds no pictures ({', '.join(PICTURES)})")
    stream = squares_of([str(path) for path in found], lambda name: Path(name).read_bytes(), side)
    writer.image_stream("train", len(found), (side, side, 3), stream)


def imagenet32(paths: list[Path], writer: PackWriter, size: int | None) -> None:
    """``train_data_batch_*.npz``, ``val_data.npz``: ``data`` (N, 3072), ``labels`` from 1."""
    train = sorted(
        paths[0].rglob("train_data_batch_*.npz"), key=lambda path: int(path.stem.split("_")[-1])
    )
    for split, files in (("train", train), ("test", list(paths[0].rglob("val_data.npz")))):
        if not files:
            raise RadfordError(
                f"{paths[0]} holds no batches of {split}: unpack Imagenet32_train_npz.zip and "
                "Imagenet32_val_npz.zip into it"
            )
        labels = np.concatenate([npz_member(path, "labels") for path in files])
        pictures = (
            npz_member(path, "data").reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for path in files
        )
        writer.image_stream(split, len(labels), (32, 32, 3), pictures)
        writer.column(split, "labels", labels.astype(np.int64) - 1)


def npz_member(path: Path, name: str) -> np.ndarray:
    """One array of an npz file."""
    with np.load(path, allow_pickle=False) as archive:
        return archive[name]


IMAGE_CONVERTERS = {
    function.__name__: function
    for function in (cifar10, svhn, mnist, tiny_imagenet, celeba, image_folder, imagenet32)
}
