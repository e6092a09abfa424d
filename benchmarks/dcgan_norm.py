"""Batch norm with LeakyReLU alone, forward and backward: bytes that it must move over its time."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from radford_lib.kernels.grouped_batch_norm import grouped_batch_norm_act
from radford_lib.machine_room.timing import interleave
from radford_lib.training.gan_step import on_stream, record

# (channels, side, groups) of the batch norms of the 64-pixel nets, at their own width
LAYERS = [(128, 32, 1), (256, 16, 1), (512, 8, 1), (256, 16, 2), (512, 8, 2), (1024, 4, 2)]
PASSES = 5  # x read and y written; x and its gradient's source read, dx written
ROTATED_BYTES = 1 << 28  # inputs taken in turns: several times the L2 cache


def pytorchs(x: Tensor, gain: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Each group by PyTorch's batch norm, then its LeakyReLU."""
    parts = [
        F.batch_norm(part, None, None, gain, bias, training=True, eps=1e-8)
        for part in x.chunk(groups)
    ]
    return F.leaky_relu_(parts[0] if groups == 1 else torch.cat(parts), 0.2)


def ours(x: Tensor, gain: Tensor, bias: Tensor, groups: int, backend: str) -> Tensor:
    return grouped_batch_norm_act(
        x, gain, bias, groups=groups, activation="leaky_relu", backend=backend
    )


def contenders(device: str, compiled: bool) -> dict[str, Callable[..., Tensor]]:
    """Ways to compute it, ours last."""
    found: dict[str, Callable[..., Tensor]] = {
        "reference": functools.partial(ours, backend="reference"),
        "PyTorch's": pytorchs,
    }
    if compiled:
        found["reference, compiled"] = torch.compile(
            functools.partial(ours, backend="reference"), dynamic=False
        )
    return found | {"ours": functools.partial(ours, backend="auto")}


def measure(
    batch: int, channels: int, side: int, groups: int, dtype: torch.dtype, device: str,
    functions: dict[str, Callable[..., Tensor]], *, most_sets: int = 16,
) -> dict[str, float]:  # fmt: skip
    """Seconds of forward and backward of each function, over inputs taken in turns."""
    shape = (batch * groups, channels, side, side)
    itemsize = torch.empty((), dtype=dtype).element_size()
    sets = max(2, min(most_sets, ROTATED_BYTES // (math.prod(shape) * itemsize)))
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

    replays = {}
    for name, function in functions.items():
        compute = functools.partial(whole, function)
        stream = None if device == "cpu" else torch.cuda.Stream()
        with on_stream(stream):
            compute()
        replays[name] = record(compute, stream)
        replays[name]()
    found = interleave(replays, device=device, rounds=5, sample_seconds=0.1, wait_seconds=0)
    return {name: timing.median / sets for name, timing in found.items()}


def rows(
    batch: int, layers: list[tuple[int, int, int]], dtype: torch.dtype, device: str,
    copy_bytes: float, *, compiled: bool = False, most_sets: int = 16,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each layer and contender."""
    found = []
    for channels, side, groups in layers:
        seconds = measure(
            batch, channels, side, groups, dtype, device, contenders(device, compiled),
            most_sets=most_sets,
        )  # fmt: skip
        size = batch * groups * channels * side * side
        moved = PASSES * size * torch.empty((), dtype=dtype).element_size()
        layer = f"{groups} x {batch} x {side} x {side} x {channels}"
        for name, value in seconds.items():
            found.append(
                {
                    "what": "batch norm", "layer": layer,
                    "peer": name, "dtype": str(dtype)[6:], "ms": value * 1e3, "bytes": moved,
                    "gb_per_s": moved / value / 1e9, "share_of_copy": moved / value / copy_bytes,
                    "against_ours": value / seconds["ours"],
                }
            )  # fmt: skip
    return found


def slab_rows(batch: int, device: str, copy_bytes: float) -> list[dict[str, Any]]:
    """Ours with other slabs of channels, on a layer larger than the cache."""
    from radford_lib.kernels import grouped_batch_norm_triton as kernels

    channels, side, groups = LAYERS[0]
    machine = kernels.machine
    multiprocessors, l2_bytes = machine(torch.device(device, 0))
    moved = PASSES * 2 * batch * groups * channels * side * side
    found = []
    function = {"ours": functools.partial(ours, backend="triton")}
    layer = f"{groups} x {batch} x {side} x {side} x {channels}"
    for share in (0.25, 0.5, 1.0, 2.0, 1e6):
        kernels.machine = lambda _, size=int(l2_bytes * share): (multiprocessors, size)  # type: ignore[misc]
        seconds = measure(batch, channels, side, groups, torch.bfloat16, device, function)["ours"]
        found.append(
            {
                "what": "slabs", "layer": layer,
                "peer": "one slab" if share > 2 else f"slabs of {share / 2:g} L2",
                "ms": seconds * 1e3, "gb_per_s": moved / seconds / 1e9,
                "share_of_copy": moved / seconds / copy_bytes,
            }
        )  # fmt: skip
    kernels.machine = machine
    return found
