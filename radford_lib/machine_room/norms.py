"""Batch norm with LeakyReLU alone, forward and backward, in several ways beside each other."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from radford_lib.kernels.grouped_batch_norm import grouped_batch_norm_act
from radford_lib.machine_room.timing import Timing, interleave
from radford_lib.training.gan_step import on_stream, record

PASSES = 5  # x read and y written; x and its gradient's source read, dx written
ROTATED_BYTES = 1 << 28  # inputs taken in turns: several times the L2 cache
SAMPLING = {"rounds": 5, "sample_seconds": 0.1, "wait_seconds": 0}


def pytorchs(x: Tensor, gain: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Each group by PyTorch's batch norm, then its LeakyReLU."""
    parts = [
        F.batch_norm(part, None, None, gain, bias, training=True, eps=1e-8)
        for part in x.chunk(groups)
    ]
    return F.leaky_relu_(parts[0] if groups == 1 else torch.cat(parts), 0.2)


def ours(x: Tensor, gain: Tensor, bias: Tensor, groups: int, backend: str) -> Tensor:
    """The library's, by one of its backends."""
    return grouped_batch_norm_act(
        x, gain, bias, groups=groups, activation="leaky_relu", backend=backend
    )


def contenders(compiled: bool = False) -> dict[str, Callable[..., Tensor]]:
    """Ways to compute it, op by op first, ours last; ``compiled`` adds ``torch.compile``'s."""
    op_by_op = functools.partial(ours, backend="reference")
    found: dict[str, Callable[..., Tensor]] = {"reference": op_by_op, "PyTorch": pytorchs}
    if compiled:
        found["reference, compiled"] = torch.compile(op_by_op, dynamic=False)
    return found | {"ours": functools.partial(ours, backend="auto")}


def bytes_moved(batch: int, channels: int, side: int, groups: int, itemsize: int) -> int:
    """What forward and backward must move at least: each tensor once each way."""
    return PASSES * batch * groups * channels * side**2 * itemsize


def measure(
    batch: int, channels: int, side: int, groups: int, dtype: torch.dtype, device: str,
    functions: dict[str, Callable[..., Tensor]], *, most_sets: int = 16, **sampling: Any,
) -> dict[str, Timing]:  # fmt: skip
    """Times of forward and backward of each function; ``sampling`` goes to ``interleave``.

    A call goes once through ``sets_of`` inputs, taken in turns so that none stays in a cache.
    """
    shape = (batch * groups, channels, side, side)
    sets = sets_of(shape, dtype, most_sets)
    gain, bias = (torch.rand(channels, device=device).requires_grad_() for _ in range(2))
    inputs = []
    for _ in range(sets):
        x, dy = (
            torch.randn(shape, device=device, dtype=dtype)
            .contiguous(memory_format=torch.channels_last)
            for _ in range(2)
        )  # fmt: skip
        inputs.append((x.requires_grad_(), dy))

    def whole(function: Callable[..., Tensor]) -> None:
        for x, dy in inputs:
            torch.autograd.grad(function(x, gain, bias, groups), (x, gain, bias), dy)

    replays: dict[str, Callable[[], object]] = {}
    for name, function in functions.items():
        compute = functools.partial(whole, function)
        stream = None if device == "cpu" else torch.cuda.Stream()
        with on_stream(stream):
            compute()
        replays[name] = record(compute, stream)
        replays[name]()
    found = interleave(replays, device=device, **(SAMPLING | sampling))
    for timing in found.values():
        timing.seconds = [value / sets for value in timing.seconds]
    return found


def sets_of(shape: tuple[int, ...], dtype: torch.dtype, most: int) -> int:
    """How many inputs of ``shape`` are taken in turns: two to ``most``."""
    itemsize = torch.empty((), dtype=dtype).element_size()
    return max(2, min(most, ROTATED_BYTES // (math.prod(shape) * itemsize)))
