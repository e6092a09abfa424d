"""What one time step of mLSTM training must cost, forward and backward, on a given machine.

With byte tables, so that only the recurrent products count (10 H^2 FLOP a byte each way and again
for the weights' gradients) and the layer that predicts the next byte. Gradients of weights wait
for the window's end, where they are one product.
"""

from dataclasses import dataclass

from radford_lib.machine_room.bounds import Machine

STAGES = 4  # products that wait for each other in a step, two each way
OPTIMISER_BYTES = 48  # a parameter and update: Adam in float32, weight norm and its gradient
ACTIVATION_NUMBERS = 30  # moved for a unit: kept forward, read and made backward


@dataclass(frozen=True)
class StepBound:
    """Seconds of one time step of a batch, by what they are spent on."""

    products: float  # of one direction
    weights: float  # reading them once from memory; 0 where the cache holds them
    output: float
    activations: float
    optimiser: float  # one update, shared out over the window's steps
    launches: float

    @property
    def direction(self) -> float:
        """Forward or backward: products and the reading of weights go on side by side."""
        return max(self.products, self.weights)

    @property
    def seconds(self) -> float:
        """All of it but the launches, each part as fast as the machine allows."""
        rest = self.output + self.activations + self.optimiser
        return 2 * self.direction + self.products + rest

    @property
    def limiter(self) -> str:
        """What the step waits for most: launches, memory or products."""
        if self.launches > self.seconds:
            return "launches"
        return "memory" if self.weights > self.products else "products"


def step_bound(
    machine: Machine, hidden: int, batch: int, window: int = 256, itemsize: int = 2
) -> StepBound:
    """The bound for H units and B sequences, numbers of ``itemsize`` bytes."""
    weights = 5 * hidden**2 * itemsize
    return StepBound(
        products=machine.products(10 * batch * hidden**2),
        weights=machine.traffic(weights) if weights > machine.cache_bytes else 0.0,
        output=machine.products(1536 * batch * hidden),
        activations=machine.traffic(ACTIVATION_NUMBERS * itemsize * batch * hidden),
        optimiser=machine.traffic(OPTIMISER_BYTES * parameters(hidden)) / window,
        launches=STAGES * machine.launch_seconds,
    )


def parameters(hidden: int, embed: int = 64) -> int:
    """Parameters of the byte mLSTM: embedding, four matrices with gains, bias, output layer."""
    matrices = 5 * hidden * (embed + hidden)
    return 256 * embed + matrices + (10 + 4) * hidden + 256 * hidden + 256


def intensity(hidden: int, batch: int, window: int, itemsize: int) -> float:
    """FLOP of a training step for each byte moved, if every time step read all weights anew.

    That is the least favourable count: a cache that holds the weights makes it larger.
    """
    flops = 30 * batch * hidden**2 + 1536 * batch * hidden
    weights = 2 * 5 * hidden**2 * itemsize
    activations = ACTIVATION_NUMBERS * itemsize * batch * hidden
    return flops / (weights + activations + OPTIMISER_BYTES * parameters(hidden) / window)
