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
        """The process group of the run, for what may also be done alone; None for one process."""
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
    local = int(os.environ.get("LOCAL_RANK", "0"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if world == 1:
        return Ranks(0, 1, device)
    if device == "cuda":
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        # gloo beside nccl, for what is decided on the CPU
        dist.init_process_group("cpu:gloo,cuda:nccl" if device != "cpu" else "gloo")
        atexit.register(_leave)
    return Ranks(dist.get_rank(), dist.get_world_size(), device)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each ``grad`` by its mean over all processes, in one message."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = average_in_place(torch.cat([g.flatten() for g in gradients]))
    parts = flat.split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])


def average_in_place(values: Tensor) -> Tensor:
    """Replace each of ``values``, on the device, by its mean over all processes."""
    if dist.is_initialized():
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def average(values: list[float]) -> list[float]:
    """The mean of each number over all processes, the same on every one."""
    if not dist.is_initialized() or not values:
        return values
    together = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(together)
    mean: list[float] = (together / dist.get_world_size()).tolist()
    return mean


def main_decides(choice: bool) -> bool:
    """What process 0 chose, on all of them."""
    if not dist.is_initialized():
        return choice
    return bool(broadcast(torch.tensor([int(choice)])))


def broadcast(tensor: Tensor) -> Tensor:
    """Fill ``tensor`` with what process 0 has in it, and return it."""
    if dist.is_initialized():
        dist.broadcast(tensor, src=0)
    return tensor


def gather_rows(rows: Tensor) -> Tensor:
    """Each process's rows (B, ...) under one another, in the order of the processes, on all."""
    if not dist.is_initialized():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def wait_for_all() -> None:
    """Go on when every process has come this far."""
    if dist.is_initialized():
        dist.barrier()
