"""Compile every Triton kernel of the library for Hopper, on any machine, and report its resources.

``python -m benchmarks.triton_resources`` prints one line for each kernel and tile that the tile
tables can choose: registers, spilled bytes, shared memory, matrix instructions, and how many of
the loads are 16 bytes wide. No GPU is needed. It fails where a kernel spills, or needs more shared
memory than a program of that chip can have.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from radford_lib.kernels import grouped_batch_norm_triton as norm
from radford_lib.kernels import triton_tiles
from radford_lib.kernels.triton_tiles import with_options
from radford_lib.machine_room.hopper import SHARED_BYTES, Case, compiled, resources, step_cases

# (rows, channels) of every batch norm of the paper's GANs at a batch of 128
NORMS = [
    (128, 16384), (128, 8192), (128, 4096), (128, 1024), (128, 6272),
    (2048, 1024), (2048, 512), (2048, 256), (6272, 128), (8192, 512), (8192, 256), (8192, 128),
    (25088, 64), (32768, 256), (32768, 128), (32768, 64), (131072, 128), (131072, 64),
]  # fmt: skip


def cases() -> Iterator[Case]:
    """Every kernel and tile that the table can choose, with options and without, once each."""
    tables = [("bf16", tiles) for _, tiles in triton_tiles.BFLOAT16]
    tables += [(dtype, with_options(tiles, tma=True, overlap=True)) for dtype, tiles in tables]
    tables += [("fp32", triton_tiles.FLOAT32)]
    found = {}
    for dtype, tiles in tables:
        for case in step_cases(tiles, dtype):
            found[case.name, case.tile, dtype] = case
    yield from found.values()


class NormCase(NamedTuple):
    """One kernel of grouped batch norm; ``known`` are values compiled in: 1 and None."""

    kernel: Any
    dtype: str  # of x: bf16 or fp32
    block_rows: int
    block_channels: int
    warps: int
    known: dict[str, Any]


def norm_plans(itemsize: int, tensors: int) -> list[norm.Plan]:
    """How an H200 divides the batch norms of the paper's nets: batches of 128, 512; groups 1, 2."""
    return [
        norm.make_plan(
            rows * times, channels, groups, tensors, itemsize,
            multiprocessors=132, l2_bytes=60 << 20,
        )
        for rows, channels in NORMS for times in (1, 4) for groups in (1, 2)
    ]  # fmt: skip


def norm_cases() -> Iterator[NormCase]:
    """Each kernel and tile of ``norm_plans``; and each where there is one row, and no gain."""
    ones = dict.fromkeys(("rows", "splits", "parts", "channels", "BLOCK_P"), 1)
    for dtype, itemsize in (("bf16", 2), ("fp32", 4)):
        for tensors, kernels in (
            (1, (norm.partial_moments, norm.normalise)),
            (2, (norm.partial_gradients, norm.input_gradient)),
        ):
            plans = norm_plans(itemsize, tensors)
            tiles = sorted({(p.block_rows, p.block_channels, p.warps) for p in plans})
            for kernel in kernels:
                yield from (NormCase(kernel, dtype, *tile, {}) for tile in tiles)
                if dtype == "fp32":
                    known = ones | {"gain": None, "bias": None}
                    yield NormCase(kernel, dtype, *tiles[0], known)


def compiled_norm(case: NormCase) -> dict[str, Any]:
    """Compile ``case`` for sm_90, with as many parts as there can be."""
    constants = {
        "HAS_GAIN": not case.known, "HAS_BIAS": not case.known,
        "BLOCK_R": case.block_rows, "BLOCK_C": case.block_channels, "BLOCK_P": norm.MOST_SPLITS,
    }  # fmt: skip
    names = case.kernel.arg_names
    constants = {n: v for n, v in (constants | case.known).items() if n in names}
    types = dict.fromkeys(("partials", "statistics", "gain", "bias"), "*fp32")
    types |= dict.fromkeys(("x", "y", "dx", "dy"), f"*{case.dtype}")
    types |= dict.fromkeys(("slope", "eps", "total"), "fp32")
    types |= dict.fromkeys(constants, "constexpr")
    return {
        "kernel": case.kernel.fn.__name__,
        "dtype": case.dtype,
        "tile": f"{case.block_rows}x{case.block_channels}",
        "split": 1, "warps": case.warps, "stages": 1, "tma": False,
        **resources(
            case.kernel, {name: types.get(name, "i32") for name in names}, constants,
            {"channels", "first_channel"}, {"num_warps": case.warps},
        ),
    }  # fmt: skip


def main() -> int:
    """Print the table, or JSON lines with ``--json``; 1 where a limit is broken."""
    failed = False
    with ThreadPoolExecutor() as pool:
        jobs = [partial(compiled, case) for case in cases()]
        jobs += [partial(compiled_norm, case) for case in norm_cases()]
        for row in pool.map(lambda job: job(), jobs):
            bad = row["spill_bytes"] > 0 or row["shared_bytes"] > SHARED_BYTES
            failed |= bad
            if "--json" in sys.argv:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{row['kernel']:18s}{row['dtype']:5s}{row['tile']:>11s} split {row['split']} "
                    f"warps {row['warps']} stages {row['stages']} {'tma' if row['tma'] else '   '} "
                    f"{row['registers']:4d} registers {row['spill_bytes']:4d} B spilled "
                    f"{row['shared_bytes'] / 1024:6.1f} KB shared {row['wgmma']:3d} wgmma "
                    f"{row['wide_loads']:3d} of {row['loads']:3d} loads wide"
                    f"{'  OVER THE LIMIT' if bad else ''}",
                    flush=True,
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
