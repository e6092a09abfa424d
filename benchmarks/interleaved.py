"""Times that are compared are taken in turns, so that what disturbs one disturbs all."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device != "cpu":
        torch.cuda.synchronize()


def median_seconds(
    functions: dict[str, Callable[[], Any]], device: str, *, rounds: int = 7, calls: int = 10
) -> dict[str, float]:
    """Seconds a call of each function: the median over ``rounds``, in each of which all take turns.

    A turn is ``calls`` calls and the wait for the device after them. Call each once before.
    """
    found: dict[str, list[float]] = {name: [] for name in functions}
    order = list(functions)
    for _ in range(rounds):
        for name in order:
            wait(device)
            started = time.perf_counter()
            for _ in range(calls):
                functions[name]()
            wait(device)
            found[name].append((time.perf_counter() - started) / calls)
        order.reverse()  # who follows whom should not matter
    return {name: statistics.median(times) for name, times in found.items()}
