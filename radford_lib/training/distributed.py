"""Data parallel training under ``torchrun``: who this process is, and what it shares with the rest.

Every process holds the whole model and works on its part of each batch; gradients are averaged
once an update. Without ``torchrun`` all of this is there and does nothing.
"""

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from radford_lib.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """This process among ``world``: number ``rank``, computing on ``device``."""

    rank: int
    world: int
    device: str

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    @property
    def group(self) -> Any:
        """The process group of the run; None for one process."""
        return dist.group.WORLD if self.world > 1 else None

    def part(self, size: int) -> slice:
        """What of ``size`` rows is this process's own. Raises ``UsageError`` for unequal parts."""
        if size % self.world:
            raise UsageError(f"batch {size} cannot be shared out to {self.world} processes")
        own = size // self.world
        return slice(self.rank * own, (self.rank + 1) * own)


def setup(device: str | None = None) -> Ranks:
    """Join the processes that ``torchrun`` started, or be the only one; may be called again.

    ``device`` None is this process's own GPU where there is one, else the CPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if world == 1:
        return Ranks(0, 1, device)
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
        atexit.register(_leave)
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], ranks: Ranks) -> None:
    """Replace each ``grad`` by its mean over all processes, in one message."""
    if ranks.world == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    average(flat, ranks)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def average(values: Tensor, ranks: Ranks) -> Tensor:
    """``values``, each replaced by its mean over all processes."""
    if ranks.world > 1:
        dist.all_reduce(values, group=ranks.group)
        values /= ranks.world
    return values


def wait_for_all(ranks: Ranks) -> None:
    """Go on when every process has come this far."""
    if ranks.world > 1:
        dist.barrier(group=ranks.group)
