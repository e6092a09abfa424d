"""Compile the mLSTM's Triton kernels for Hopper, on any machine, and see what they take.

``python -m radford_lib.machine_room.hopper HIDDEN BATCH KERNEL ...`` prints one JSON line for each
kernel named, with the tile that it has at this size in bfloat16. No GPU is needed, and none is
asked: these are facts of compilation, not times.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from radford_lib.kernels import triton_steps as steps
from radford_lib.kernels.triton_tiles import Tile, Tiles, tiles_for

HOPPER = GPUTarget("cuda", 90, 32)
SHARED_BYTES = 227 * 1024  # what one program of sm_90 can have
PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"


class Case(NamedTuple):
    """One kernel with one tile."""

    name: str
    kernel: Any
    tile: Tile
    dtype: str  # of h: bf16 or fp32
    constants: dict[str, Any]


def step_cases(tiles: Tiles, dtype: str) -> list[Case]:
    """The four kernels of a step with these tiles."""
    cases = []
    for name, kernel, own in (
        ("product", steps.scaled_product, {"BACK": False}),
        ("gates", steps.gates_forward, {}),
        ("gates_back", steps.gates_backward, {}),
        ("product_back", steps.scaled_product, {"BACK": True}),
    ):
        tile = getattr(tiles, name)
        constants = steps.constants(tile, even=True, precision="ieee") | own
        cases.append(Case(name, kernel, tile, dtype, constants))
    return cases


def compiled(case: Case) -> dict[str, Any]:
    """Compile ``case`` for sm_90: what it takes, beside its tile."""
    options = {"num_warps": case.tile.warps, "num_stages": case.tile.stages}
    options |= {"launch_pdl": True} if case.tile.overlap else {}
    return {
        "kernel": case.name,
        "dtype": case.dtype,
        "tile": "{}x{}x{}".format(*case.tile[:3]),
        **{
            k: v for k, v in case.tile._asdict().items() if k in ("split", "warps", "stages", "tma")
        },
        **resources(case.kernel, _signature(case), case.constants, set("BHK"), options),
    }


def resources(
    kernel: Any,
    signature: dict[str, str],
    constants: dict[str, Any],
    aligned: set[str],
    options: dict[str, Any],
) -> dict[str, int]:
    """What ``kernel`` takes on sm_90. Pointers and ``aligned`` numbers are multiples of 16."""
    names = list(signature)
    multiples = [n for n, kind in signature.items() if kind[0] == "*" or n in aligned]
    source = ASTSource(
        kernel,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
        {
            (names.index(name),): [["tt.divisibility", 16]]
            for name in multiples
            if name not in constants
        },
    )
    found = triton.compile(source, target=HOPPER, options=options)
    ptx = found.asm["ptx"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.ptx")
        file.write_text(ptx)
        report = _ptxas("-v", "-arch=sm_90a", file, "-o", Path(folder, "kernel.cubin"))
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", report)
    registers = re.search(r"Used (\d+) registers", report)
    assert registers is not None, report
    return {
        "registers": int(registers[1]),
        "spill_bytes": sum(map(int, spills)),
        "shared_bytes": int(found.metadata.shared),
        "wgmma": ptx.count("wgmma.mma_async"),
        "loads": ptx.count("ld.global"),
        "wide_loads": len(re.findall(r"ld\.global\S*\.v4\.", ptx)),
    }


def _signature(case: Case) -> dict[str, str]:
    stored = {"plain", "scaled", "other", "h", "h_before", "gates", "dz", "grad_h", "a", "w"}
    types = {"bytes_": "*i64", "lengths": "*i64", "counters": "*i32"}
    types |= dict.fromkeys(("t", "B", "H", "K"), "i32")
    types |= dict.fromkeys(stored, f"*{case.dtype}") | dict.fromkeys(case.constants, "constexpr")
    if case.tile.tma:
        tile = case.tile
        forward = case.name in ("product", "gates")
        w_block = [4 if case.name == "gates" else 1, tile.units, tile.depth]
        w_block = w_block if forward else [tile.depth, tile.units]
        types["a"] = f"tensordesc<{case.dtype}{[tile.rows, tile.depth]}>"
        types["w"] = f"tensordesc<{case.dtype}{w_block}>"
    return {name: types.get(name, "*fp32") for name in case.kernel.arg_names}


def _ptxas(*arguments: Any) -> str:
    done = subprocess.run(
        [str(PTXAS), *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def main(arguments: list[str]) -> None:
    """One JSON line for each kernel named after H and B."""
    hidden, batch, *names = arguments
    for case in step_cases(tiles_for(int(hidden), int(batch), 2), "bf16"):
        if case.name in names:
            print(json.dumps(compiled(case)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
