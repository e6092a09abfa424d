"""Times on a GPU, and what the machine itself reaches: by events, as medians, after a warm-up.

On a CPU the same calls read the clock instead, so that a benchmark can be rehearsed there.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def median_seconds(
    function: Callable[[], Any], device: str, *, repeats: int = 7, warm_up: int = 2
) -> float:
    """Median time of one call, from ``repeats`` timed apart after ``warm_up`` that are not."""
    if device == "cpu":
        found = []
        for _ in range(min(repeats, 2)):
            started = time.perf_counter()
            function()
            found.append(time.perf_counter() - started)
        return statistics.median(found)
    for _ in range(warm_up):
        function()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    marks[0].record()
    for mark in marks[1:]:
        function()
        mark.record()
    torch.cuda.synchronize()
    milliseconds = [a.elapsed_time(b) for a, b in itertools.pairwise(marks)]
    return statistics.median(milliseconds) / 1e3


def recorded(function: Callable[[], Any], device: str) -> Callable[[], Any]:
    """``function`` as a CUDA graph's replay, no Python between its kernels; itself on a CPU."""
    if device == "cpu":
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        kept = function()
    return lambda: (graph.replay(), kept)


def gemm_ceiling(device: str, size: int = 8192, dtype: torch.dtype = torch.bfloat16) -> float:
    """FLOP/s of a square product of random numbers."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: a @ b, device, repeats=15, warm_up=5)


def copy_ceiling(device: str, size: int = 2**32) -> float:
    """Bytes/s, read and written, of a copy of ``size`` bytes on the device."""
    a = torch.empty(size // 4, device=device, dtype=torch.float32).normal_()
    b = torch.empty_like(a)
    return 2 * size / median_seconds(lambda: b.copy_(a), device, repeats=15, warm_up=3)
