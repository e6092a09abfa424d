"""Batch norm with LeakyReLU alone, forward and backward: bytes that it must move over its time."""

import functools
from typing import Any

import torch

from radford_lib.machine_room.norms import bytes_moved, contenders, measure, ours

# (channels, side, groups) of the batch norms of the 64-pixel nets, at their own width
LAYERS = [(128, 32, 1), (256, 16, 1), (512, 8, 1), (256, 16, 2), (512, 8, 2), (1024, 4, 2)]


def rows(
    batch: int, layers: list[tuple[int, int, int]], dtype: torch.dtype, device: str,
    copy_bytes: float, *, compiled: bool = False, most_sets: int = 16,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row for each layer and contender."""
    found = []
    for channels, side, groups in layers:
        timings = measure(
            batch, channels, side, groups, dtype, device, contenders(compiled),
            most_sets=most_sets,
        )  # fmt: skip
        seconds = {name: timing.median for name, timing in timings.items()}
        itemsize = torch.empty((), dtype=dtype).element_size()
        moved = bytes_moved(batch, channels, side, groups, itemsize)
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
    moved = bytes_moved(batch, channels, side, groups, 2)
    found = []
    function = {"ours": functools.partial(ours, backend="triton")}
    layer = f"{groups} x {batch} x {side} x {side} x {channels}"
    for share in (0.25, 0.5, 1.0, 2.0, 1e6):
        kernels.machine = lambda _, size=int(l2_bytes * share): (multiprocessors, size)  # type: ignore[misc]
        timings = measure(batch, channels, side, groups, torch.bfloat16, device, function)
        seconds = timings["ours"].median
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
