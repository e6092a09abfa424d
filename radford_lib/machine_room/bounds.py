"""The least time that a machine needs: operations over its rate, bytes over its bandwidth.

Source of the idea: Williams, Waterman and Patterson, "Roofline", 2009.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What bounds every program on a machine."""

    name: str
    matmul_flops: float  # FLOP/s of a large matrix product
    memory_bandwidth: float  # bytes/s, read and written together
    cache_bytes: float = 0.0  # weights that fit need not be read at every step
    launch_seconds: float = 0.0  # one kernel that waits for the one before it

    @property
    def ridge(self) -> float:
        """FLOP a byte from which on products, not memory, are the limit."""
        return self.matmul_flops / self.memory_bandwidth

    def roof(self, intensity: float) -> float:
        """FLOP/s that can be reached at ``intensity``, FLOP a byte of memory traffic."""
        return min(self.matmul_flops, self.memory_bandwidth * intensity)

    def products(self, flops: float) -> float:
        """Seconds that so many operations take at least."""
        return flops / self.matmul_flops

    def traffic(self, moved: float) -> float:
        """Seconds that so many bytes take at least."""
        return moved / self.memory_bandwidth


# Assumed, not measured by this book: rates that others have seen for an 8192^3 bfloat16 product and
# a large copy, the L2 cache of the data sheet, and a guess at a dependent kernel in a CUDA graph.
H200 = Machine("H200, assumed rates", 790e12, 4.3e12, cache_bytes=60e6, launch_seconds=2e-6)
