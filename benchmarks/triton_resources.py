"""Compile every Triton kernel of the library for Hopper, on any machine, and report its resources.

``python -m benchmarks.triton_resources`` prints one line for each kernel and tile that the tile
table can choose: registers, spilled bytes, shared memory, matrix instructions. No GPU is needed.
It fails where a kernel spills, or needs more shared memory than a program of that chip can have.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from radford_lib.kernels import triton_steps as steps
from radford_lib.kernels import triton_tiles
from radford_lib.kernels.triton_tiles import Tile, with_options

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


def cases() -> Iterator[Case]:
    """Every kernel and tile that the table can choose, with options and without, once each."""
    tables = [("bf16", tiles) for _, tiles in triton_tiles.BFLOAT16]
    tables += [(dtype, with_options(tiles, tma=True, overlap=True)) for dtype, tiles in tables]
    tables += [("fp32", triton_tiles.FLOAT32)]
    found = {}
    for dtype, tiles in tables:
        for name, kernel, own in (
            ("product", steps.scaled_product, {"BACK": False}),
            ("gates", steps.gates_forward, {}),
            ("gates_back", steps.gates_backward, {}),
            ("product_back", steps.scaled_product, {"BACK": True}),
        ):
            tile = getattr(tiles, name)
            constants = steps.constants(tile, even=True, precision="ieee")
            constants |= own
            found[name, tile, dtype] = Case(name, kernel, tile, dtype, constants)
    yield from found.values()


def compiled(case: Case) -> dict[str, Any]:
    """Compile ``case`` for sm_90: registers, spilled bytes, shared memory, wgmma instructions."""
    signature = _signature(case)
    aligned = [
        (i,) for i, (name, kind) in enumerate(signature.items()) if kind[0] == "*" or name in "BHK"
    ]
    names = list(signature)
    source = ASTSource(
        case.kernel,
        signature,
        {(names.index(name),): value for name, value in case.constants.items()},
        {place: [["tt.divisibility", 16]] for place in aligned},
    )
    options = {"num_warps": case.tile.warps, "num_stages": case.tile.stages}
    options |= {"launch_pdl": True} if case.tile.overlap else {}
    kernel = triton.compile(source, target=HOPPER, options=options)
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder, "kernel.ptx")
        ptx.write_text(kernel.asm["ptx"])
        report = _ptxas("-v", "-arch=sm_90a", ptx, "-o", Path(folder, "kernel.cubin"))
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", report)
    registers = re.search(r"Used (\d+) registers", report)
    assert registers is not None, report
    return {
        "kernel": case.name,
        "dtype": case.dtype,
        "tile": "{}x{}x{}".format(*case.tile[:3]),
        **{
            k: v for k, v in case.tile._asdict().items() if k in ("split", "warps", "stages", "tma")
        },
        "registers": int(registers[1]),
        "spill_bytes": sum(map(int, spills)),
        "shared_bytes": int(kernel.metadata.shared),
        "wgmma": kernel.asm["ptx"].count("wgmma.mma_async"),
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


def main() -> int:
    """Print the table, or JSON lines with ``--json``; 1 where a limit is broken."""
    failed = False
    with ThreadPoolExecutor() as pool:
        for row in pool.map(compiled, cases()):
            bad = row["spill_bytes"] > 0 or row["shared_bytes"] > SHARED_BYTES
            failed |= bad
            if "--json" in sys.argv:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{row['kernel']:13s}{row['dtype']:5s}{row['tile']:>11s} split {row['split']} "
                    f"warps {row['warps']} stages {row['stages']} {'tma' if row['tma'] else '   '} "
                    f"{row['registers']:4d} registers {row['spill_bytes']:4d} B spilled "
                    f"{row['shared_bytes'] / 1024:6.1f} KB shared {row['wgmma']:3d} wgmma"
                    f"{'  OVER THE LIMIT' if bad else ''}",
                    flush=True,
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
