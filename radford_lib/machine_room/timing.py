"""Interleaved timing on a machine that others use too.

Candidates take turns, so that what disturbs one round disturbs all of them, and they are compared
by ratios within a round. Each sample notes how much processor time other processes took meanwhile.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

QUIET = 0.15  # cores that others may use in a sample that counts as left alone
ENOUGH = 3  # such samples to take the median of
_TICKS = 100  # of /proc/stat in a second: USER_HZ, the same on every Linux


@dataclass
class Timing:
    """Samples of one candidate, one a round, each the mean of ``calls`` calls."""

    calls: int
    seconds: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # cores that other processes used

    @property
    def quiet(self) -> int:
        """How many samples were left alone."""
        return sum(cores < QUIET for cores in self.others)

    @property
    def median(self) -> float:
        """Seconds a call: over the samples left alone, else over the faster half."""
        alone = [s for s, o in zip(self.seconds, self.others, strict=True) if o < QUIET]
        faster = sorted(self.seconds)[: -(-len(self.seconds) // 2)]
        return statistics.median(alone if len(alone) >= ENOUGH else faster)

    def times_faster_than(self, other: "Timing") -> float:
        """Median over the rounds of the other's seconds by one's own in the same round."""
        rounds = zip(other.seconds, self.seconds, strict=True)
        return statistics.median(theirs / own for theirs, own in rounds)


def interleave(
    candidates: dict[str, Callable[[], object]],
    *,
    device: str | torch.device = "cpu",
    rounds: int = 7,
    sample_seconds: float = 0.3,
    wait_seconds: float = 2.0,
    calls: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each candidate ``rounds`` times in turn, every other round in reverse order.

    A sample is as many calls as take about ``sample_seconds``, with the wait for ``device`` to
    have done them, after a warm-up and up to ``wait_seconds`` of waiting for other processes to
    pause. Where they do not, ``clock`` had better be that of ``clock_for``. ``calls`` makes a
    sample so many calls without a warm-up: for what takes minutes and has been called before.
    """
    device = torch.device(device)
    timings = {
        name: Timing(calls=calls or _calls_in(call, sample_seconds, device, clock))
        for name, call in candidates.items()
    }
    for number in range(rounds):
        for name in candidates if number % 2 == 0 else reversed(candidates):
            wait_until_quiet(wait_seconds)
            _take_sample(candidates[name], timings[name], device, clock)
    return timings


def _calls_in(
    call: Callable[[], object], seconds: float, device: torch.device, clock: Callable[[], float]
) -> int:
    """How many calls take about so many seconds, after one that warms up."""
    call()
    finish(device)
    started = clock()
    call()
    finish(device)
    return max(1, round(seconds / max(clock() - started, 1e-9)))


def clock_for(threads: int) -> Callable[[], float]:
    """A clock for a machine that is never quiet: processor time where one thread computes.

    It stands still while others have the core. With more threads it would count each one's time,
    and the wall clock is left.
    """
    return time.process_time if threads == 1 else time.perf_counter


def wait_until_quiet(seconds: float) -> bool:
    """Wait until others use less than ``QUIET`` cores, at most ``seconds``; whether they do."""
    give_up = time.perf_counter() + seconds
    while time.perf_counter() < give_up:
        begin = _others_seconds()
        started = time.perf_counter()
        time.sleep(0.2)
        if (_others_seconds() - begin) / (time.perf_counter() - started) < QUIET:
            return True
    return False


def finish(device: torch.device) -> None:
    """Return when ``device`` has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _take_sample(
    call: Callable[[], object], timing: Timing, device: torch.device, clock: Callable[[], float]
) -> None:
    begin, began = _others_seconds(), time.perf_counter()
    started = clock()
    for _ in range(timing.calls):
        call()
    finish(device)
    timing.seconds.append((clock() - started) / timing.calls)
    passed = time.perf_counter() - began
    timing.others.append(max(0.0, _others_seconds() - begin) / passed)


def _others_seconds() -> float:
    """Processor time that was not this process's, stolen time included; 0 outside Linux."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _, _, interrupt, soft, steal = map(int, stat.read_text().split()[1:9])
    busy = (user + nice + system + interrupt + soft + steal) / _TICKS
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in both)
