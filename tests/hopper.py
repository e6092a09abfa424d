"""Compile a Triton kernel for Hopper on any machine, and read what it takes."""

import re
import subprocess
from pathlib import Path


def compiled(kernel, types, constants, warps):
    """Registers, spilled and shared bytes, loads and those of 16 bytes, for sm_90.

    ``types`` are those of the arguments by name, ``constants`` their values where they are
    compiled in; pointers and "i32 16" are multiples of 16.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = kernel.arg_names
    signature = {n: "constexpr" if n in constants else types[n].split()[0] for n in names}
    aligned = [
        n for n in names if n not in constants and (types[n][0] == "*" or types[n].endswith(" 16"))
    ]
    source = ASTSource(
        kernel,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
        {(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    report = subprocess.run(
        [tools / "ptxas", "-v", "-arch=sm_90a", "-o", "/dev/null", "-"],
        input=found.asm["ptx"], capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
    return {
        "registers": int(re.search(r"Used (\d+) registers", report)[1]),
        "spilled": int(spills[1]) + int(spills[2]),
        "shared": found.metadata.shared,
        "loads": len(re.findall(r"ld\.global", found.asm["ptx"])),
        "wide_loads": len(re.findall(r"ld\.global\S*\.v4\.", found.asm["ptx"])),
    }
