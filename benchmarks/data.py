"""How fast data comes: toy worlds drawn and written, mini-batches and windows read.

    radford bench data [--device cpu|cuda] [--quick]

Reading is timed beside what is written without a library: a ``DataLoader`` over an array or over
PNG files that PIL opens, and windows at random places of a memory map. Each gives a batch as the
trainers want it: images as float32 between -1 and 1 on the device, bytes as int64. Packs are read
where ``RADFORD_DATA`` has them, toy data elsewhere; ``source`` says which.
"""

import itertools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.table import Row, as_table
from radford_lib.data import load_corpus, load_images
from radford_lib.data.corpus import ByteCorpus
from radford_lib.data.image_set import ImageSet
from radford_lib.data.load import TOY_CORPORA, TOY_IMAGES
from radford_lib.data.packs import packs
from radford_lib.machine_room.timing import interleave
from radford_lib.training.distributed import Ranks
from radford_lib.training.gan_data import Batches, as_input
from radford_lib.training.language_model import shard_windows

OURS = "ours"
IMAGE_PACKS = ("cifar10", "celeba")
CORPUS_PACKS = ("imdb-unsup", "amazon")
BATCH = 128  # images, or streams of text
WINDOW = 256  # bytes of a stream
COLUMNS = {
    "what": "{}",
    "source": "{}",
    "reader": "{}",
    "per_second": "{:,.0f}",
    "unit": "{}",
    "ours_times_faster": "{:.2f}",
    "quiet_rounds": "{}",
}


class Arrays(Dataset[Tensor]):
    """Images (N, H, W, C) uint8, each as a float32 tensor (C, H, W)."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return as_floats(self.images[index])


class Files(Dataset[Tensor]):
    """The same from a PNG file each."""

    def __init__(self, images: np.ndarray, folder: Path) -> None:
        self.paths = [folder / f"{i}.png" for i in range(len(images))]
        for image, path in zip(images, self.paths, strict=True):
            Image.fromarray(image).save(path)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.paths[index]) as image:
            return as_floats(np.asarray(image))


def as_floats(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)


def endless(loader: DataLoader[Tensor], device: str) -> Callable[[], Tensor]:
    """A call that gives the loader's next batch on the device, epoch after epoch."""
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return lambda: next(batches).to(device)


def our_batches(images: ImageSet, batch: int, device: str) -> Callable[[], Tensor]:
    """A call that gives the trainer's next batch."""
    batches, updates = Batches(images, batch, 0, Ranks(0, 1, device)), itertools.count()
    return lambda: as_input(batches.draw(next(updates))[0], images.images.shape[3])


def random_windows(path: Path, batch: int, window: int, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and targets (window, batch) from random places of a file, as small trainers do it."""
    data = np.memmap(path, np.uint8, mode="r")
    starts = torch.randint(len(data) - window - 1, (batch,)).tolist()
    pieces = [torch.from_numpy(data[i : i + window + 1].astype(np.int64)) for i in starts]
    both = torch.stack(pieces).to(device)
    return both[:, :-1].T, both[:, 1:].T


def our_windows(
    corpus: ByteCorpus, batch: int, window: int, device: str
) -> Callable[[], tuple[Tensor, Tensor]]:
    """A call that gives the trainer's next inputs and targets (window, batch)."""
    windows = shard_windows(corpus, batch, window, 0)

    def following() -> tuple[Tensor, Tensor]:
        inputs, targets, _ = next(windows)
        return inputs.to(device), targets.to(device)

    return following


def first_there(names: Sequence[str], toy: str) -> str:
    """The first pack of ``names`` that is there, else ``toy``."""
    known = packs()
    return next((n for n in names if n in known and known[n].state == "there"), toy)


def image_rows(name: str, count: int, batch: int, device: str, **sampling: Any) -> list[Row]:
    """Mini-batches of ``count`` images of a toy world or a pack."""
    images = load_images(name, n=count)
    with tempfile.TemporaryDirectory() as folder:
        readers = {OURS: our_batches(images, batch, device)}
        for label, dataset in (
            ("DataLoader, array", Arrays(images.images)),
            ("DataLoader, PNG files", Files(images.images, Path(folder))),
        ):
            loader = DataLoader(dataset, batch, shuffle=True, drop_last=True)
            readers[label] = endless(loader, device)
        what = "batches of {} x {}".format(*images.images.shape[1:3])
        return reading_rows(what, name, "images/s", batch, readers, device, **sampling)


def window_rows(
    name: str, size: int, batch: int, window: int, device: str, **sampling: Any
) -> list[Row]:
    """Windows of the first ``size`` bytes of a toy corpus or a pack."""
    corpus = load_corpus(name, max_bytes=size)
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "corpus.bin"
        path.write_bytes(b"".join(shard.tobytes() for shard in corpus.shards))
        readers: dict[str, Callable[[], object]] = {
            OURS: our_windows(corpus, batch, window, device),
            "memory map, random": partial(random_windows, path, batch, window, device),
        }
        what, count = f"windows of {batch} x {window}", batch * window
        return reading_rows(what, name, "bytes/s", count, readers, device, **sampling)


def reading_rows(
    what: str, source: str, unit: str, count: int, readers: dict[str, Callable[[], Any]],
    device: str, **sampling: Any,
) -> list[Row]:  # fmt: skip
    """A row for each way to read ``count`` items of ``unit`` in one call."""
    timings = interleave(readers, device=device, **sampling)
    return [
        {
            "what": what, "source": source, "reader": name, "unit": unit,
            "per_second": count / timing.median,
            "ours_times_faster": timings[OURS].times_faster_than(timing),
            "quiet_rounds": f"{timing.quiet}/{len(timing.seconds)}",
        }
        for name, timing in timings.items()
    ]  # fmt: skip


def toy_rows(images: int, text_bytes: int, **sampling: Any) -> list[Row]:
    """How fast toy worlds are made; each call makes one anew."""
    seeds = itertools.count()
    worlds: dict[str, tuple[int, str, Callable[[], object]]] = {}
    for name in TOY_IMAGES:
        call = partial(_draw_images, name, images, seeds)
        worlds[name] = images, "images/s", call
    for name in TOY_CORPORA:
        call = partial(_write_text, name, text_bytes, seeds)
        worlds[name] = text_bytes, "bytes/s", call
    timings = interleave({name: call for name, (_, _, call) in worlds.items()}, **sampling)
    return [
        {
            "what": "made", "source": name, "unit": unit, "per_second": count / timing.median,
            "quiet_rounds": f"{timing.quiet}/{len(timing.seconds)}",
        }
        for (name, (count, unit, _)), timing in zip(worlds.items(), timings.values(), strict=True)
    ]  # fmt: skip


def _draw_images(name: str, count: int, seeds: "itertools.count[int]") -> None:
    load_images(name, "pretrain" if name == "things" else "train", n=count, seed=next(seeds))


def _write_text(name: str, size: int, seeds: "itertools.count[int]") -> None:
    load_corpus(name, max_bytes=size, seed=next(seeds))


def run(device: str, quick: bool) -> list[Row]:
    """The whole benchmark: toy worlds, mini-batches of images, windows of bytes.

    ``quick`` rehearses it in seconds, on little toy data. Toy worlds are made on the processor.
    """
    if quick:
        sampling = {"rounds": 2, "sample_seconds": 0.02, "wait_seconds": 0.0}
        return [
            *toy_rows(32, 50_000, **sampling),
            *image_rows("faces", 64, 16, device, **sampling),
            *window_rows("reviews", 50_000, 8, 32, device, **sampling),
        ]
    rows = toy_rows(1_000, 2_000_000, rounds=5)
    for name in dict.fromkeys(first_there([pack], "faces") for pack in IMAGE_PACKS):
        rows += image_rows(name, 8_000, BATCH, device, rounds=7)
    corpus = first_there(CORPUS_PACKS, "reviews")
    return rows + window_rows(corpus, 10_000_000, BATCH, WINDOW, device, rounds=7)


def as_text(rows: Sequence[Row]) -> str:
    """The rows as one table."""
    return "\n".join(as_table(rows, COLUMNS))
