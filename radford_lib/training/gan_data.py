"""Real images on their way to the networks: order, mini-batches, pixels and their range."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from radford_lib.data.image_set import ImageSet
from radford_lib.training.distributed import Ranks

RESIDENT_SHARE = 0.6  # of a GPU's free memory that images may take
CHUNK = 1 << 28  # bytes copied at a time: an image set may be larger than the machine's memory


class Batches:
    """The mini-batches of ``images``, as uint8 on the device.

    A batch is ``batch`` images, of which this process gets its part; with ``labels`` come those.
    A GPU holds the whole set where that fits, from the first mini-batch on, and gathers from its
    own memory; ``resident`` decides otherwise.
    """

    def __init__(
        self,
        images: ImageSet,
        batch: int,
        seed: int,
        ranks: Ranks,
        *,
        labels: bool = False,
        resident: bool | None = None,
    ) -> None:
        self._count, self._batch, self._seed = len(images), batch, seed
        self._part, self._device = ranks.part(batch), torch.device(ranks.device)
        self._sources = [images.images]
        if labels:
            assert images.labels is not None
            self._sources.append(images.labels)
        self._is_resident = self._fits() if resident is None else resident
        self._on_device: list[Tensor] = []
        self._epoch = -1
        self._order = torch.empty(0)  # (mini-batches, B) of the epoch

    def draw(self, update: int) -> tuple[Tensor, ...]:
        """Pixels (B, H, W, C) uint8 of an update and, if asked for, labels (B,) int64."""
        epoch, position = divmod(update, self._count // self._batch)
        if epoch != self._epoch:
            self._start(epoch)
        chosen = self._order[position]
        if self._is_resident:
            return tuple(source.index_select(0, chosen) for source in self._on_device)
        return tuple(
            torch.from_numpy(source[chosen.numpy()]).to(self._device) for source in self._sources
        )

    def _start(self, epoch: int) -> None:
        order = epoch_batches(self._count, self._batch, epoch, self._seed)
        self._order = torch.from_numpy(order[:, self._part].copy())
        if self._is_resident:
            self._order = self._order.to(self._device)
            self._on_device = self._on_device or [uploaded(s, self._device) for s in self._sources]
        self._epoch = epoch

    def _fits(self) -> bool:
        if self._device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self._device)
        return sum(source.nbytes for source in self._sources) < RESIDENT_SHARE * free


def uploaded(source: np.ndarray, device: torch.device) -> Tensor:
    """``source`` on the device, copied piece by piece."""
    dtype = torch.from_numpy(source[:0].copy()).dtype
    found = torch.empty(source.shape, dtype=dtype, device=device)
    for rows in _pieces(source):
        found[rows] = torch.from_numpy(source[rows].copy())
    return found


def _pieces(source: np.ndarray) -> Iterator[slice]:
    size = max(1, CHUNK // max(1, source[:1].nbytes))
    for start in range(0, len(source), size):
        yield slice(start, start + size)


@functools.lru_cache(maxsize=1)
def epoch_batches(n: int, batch: int, epoch: int, seed: int) -> np.ndarray:
    """Which of n images each mini-batch of an epoch shows, (n // batch, batch); no image twice.

    Sorted within a batch, as a set on disk is read fastest.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return np.sort(order[: n // batch * batch].reshape(-1, batch), axis=1)


def to_tensor(images: np.ndarray, channels: int) -> Tensor:
    """uint8 (B, H, W, C) as float32 (B, C, H, W): -1 to 1 for tanh, 0 to 1 for the grey sigmoid."""
    return as_input(torch.from_numpy(np.ascontiguousarray(images)), channels)


def as_input(pixels: Tensor, channels: int) -> Tensor:
    """As ``to_tensor``, from and on the device."""
    x = pixels.float()
    x = x.div_(255) if channels == 1 else x.div_(127.5).sub_(1)
    return x.permute(0, 3, 1, 2)  # channels last in memory, as the images already are


def to_images(samples: Tensor) -> np.ndarray:
    """Samples (B, C, H, W) of a generator as uint8 (B, H, W, C)."""
    scaled = samples * 255 if samples.shape[1] == 1 else (samples + 1) * 127.5
    return scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
