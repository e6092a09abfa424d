"""What the Triton kernels take of a Hopper GPU, compiled apart from the process that asks."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

from radford_lib.errors import RadfordError


def hopper_resources(hidden: int, batch: int, kernels: tuple[str, ...]) -> list[dict[str, Any]]:
    """Registers, spilled and shared bytes of the named kernels at this size, in seconds each.

    Compiled in a process of its own, where nothing is interpreted. Raises ``RadfordError`` where
    Triton is not installed or does not compile.
    """
    if importlib.util.find_spec("triton") is None:
        raise RadfordError("Triton is not installed here: pip install triton (Linux)")
    command = [sys.executable, "-m", "radford_lib.machine_room.hopper", str(hidden), str(batch)]
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([*command, *kernels], env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()[-1:]), "no reason given")
        raise RadfordError(f"the Triton kernels could not be compiled: {reason}")
    return [json.loads(line) for line in done.stdout.splitlines()]
