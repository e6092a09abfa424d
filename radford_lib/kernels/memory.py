"""Memory that one window's activations leave to the next.

New memory comes from the operating system as zeroed pages, a fault for each: at tens of megabytes
a window, a noticeable part of a training step.
"""

import itertools
import math
import weakref
from collections import deque

import torch
from torch import Tensor

_free: deque[tuple[int, Tensor]] = (
    deque()
)  # since when, on a clock that ticks at each move, and what
_clock = itertools.count()
# Ticks after which memory that no block has wanted is let go. A window has four: it takes two
# blocks and returns them.
_PATIENCE = 12
# Elements between tensors. Equal places of two that lie whole pages apart look to a processor like
# the same address, and it waits with reading one until the other is written.
_GAP = 80


class Block:
    """Uninitialised CPU tensors, by name, that lie in one piece of memory.

    The memory is used again once the block is gone: no view of it may outlive the block.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> None:
        sizes = [math.prod(shape) for shape in shapes.values()]
        memory = _take(dtype, sum(sizes) + len(sizes) * _GAP)
        weakref.finalize(self, _give_back, memory)
        self.tensors: dict[str, Tensor] = {}
        parts = memory.split([size + _GAP for size in sizes])
        for (name, shape), part, size in zip(shapes.items(), parts, sizes, strict=True):
            self.tensors[name] = part[:size].view(shape)


def _take(dtype: torch.dtype, size: int) -> Tensor:
    now, found = next(_clock), None
    for _ in range(len(_free)):
        try:  # one by one: another thread, or a finalizer in this one, may be at it as well
            since, memory = _free.popleft()
        except IndexError:
            break
        if found is None and memory.dtype == dtype and len(memory) == size:
            found = memory
        elif now - since < _PATIENCE:
            _free.append((since, memory))
    return torch.empty(size, dtype=dtype, device="cpu") if found is None else found


def _give_back(memory: Tensor) -> None:
    _free.append((next(_clock), memory))
