"""What a DCGAN's step must cost: operations of its convolutions, bytes of everything else."""

from collections.abc import Iterator
from dataclasses import dataclass

from radford_lib.machine_room.bounds import Machine
from radford_lib.models.dcgan import find_shape

# Bytes for an element and a forward and backward pass of batch norm with its activation, in
# bfloat16: 2 for each time that it is read or written.
NORM_BYTES = {
    "op by op": 26,  # statistics, normalising and the activation each read and write, each way
    "two passes": 16,  # statistics, then all the rest in one go; the input read twice, each way
    "one read": 10,  # the second pass finds the input in the cache
}
ACTIVATION_BYTES = 10  # an activation alone: read, write; read, read, write
ADAM_BYTES = 28  # a parameter and update, float32


@dataclass(frozen=True)
class Layer:
    """One convolution: ``size`` is the side of its larger maps, ``small`` of its smaller ones."""

    net: str  # "G" or "D"
    number: int
    kernel: int
    stride: int
    inputs: int
    outputs: int
    size: int

    @property
    def small(self) -> int:
        """Side of the maps at which the kernel is applied."""
        return self.size // self.stride

    @property
    def name(self) -> str:
        """Such as ``D2: 64 to 128``."""
        return f"{self.net}{self.number}: {self.inputs} to {self.outputs}"

    @property
    def flops(self) -> int:
        """2 a multiply-add, forward, one image; taps that fall into the padding count too."""
        return 2 * self.small**2 * self.kernel**2 * self.inputs * self.outputs

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return self.kernel**2 * self.inputs * self.outputs

    def elements(self) -> tuple[int, int]:
        """Numbers read and made, forward, one image."""
        large, small = self.size**2, self.small**2
        read, made = (small, large) if self.net == "G" else (large, small)
        return read * self.inputs, made * self.outputs

    def intensity(self, batch: int, itemsize: int) -> float:
        """FLOP a byte, each tensor moved once.

        Forward reads two and makes one; so does each of the two gradients, from as many operations.
        """
        read, made = self.elements()
        return batch * self.flops / (itemsize * (batch * (read + made) + self.weights))


def layers(shape: str, width: int) -> Iterator[Layer]:
    """The convolutions of G, then of D, in the order of the data."""
    found = find_shape(shape)
    maps, size = found.seed_maps * width, 4
    for number, (multiple, stride) in enumerate((*found.generator, (0, found.last_stride)), 1):
        outputs, size = multiple * width or found.channels, size * stride
        yield Layer("G", number, found.kernel, stride, maps, outputs, size)
        maps = outputs
    maps, size = found.channels, found.size
    for number, (multiple, stride) in enumerate(found.discriminator, 1):
        outputs = multiple * width
        yield Layer("D", number, found.kernel, stride, maps, outputs, size)
        maps, size = outputs, size // stride


def forward_flops(shape: str, width: int) -> tuple[float, float]:
    """FLOP (2 a multiply-add) of one image through G and through D."""
    flops = {"G": _projection(shape, width), "D": 2 * _features(shape, width)}
    for layer in layers(shape, width):
        flops[layer.net] += layer.flops
    return flops["G"], flops["D"]


def step_flops(shape: str, width: int) -> float:
    """FLOP (2 a multiply-add) that one image costs in a D and a G update.

    G forward, D forward three times, and back through what is trained: not to z, and to the images
    only in G's update.
    """
    g, d = forward_flops(shape, width)
    first = next(layer.flops for layer in layers(shape, width) if layer.net == "D")
    return (g + 3 * d) + (2 * g - _projection(shape, width)) + 2 * (2 * d - first) + d


def _projection(shape: str, width: int) -> int:
    """FLOP from z to the 4x4 maps."""
    found = find_shape(shape)
    return 2 * found.z_dim * found.seed_maps * width * 16


def _features(shape: str, width: int) -> int:
    """Numbers that D's last layer reads."""
    *_, last = layers(shape, width)
    return last.outputs * last.small**2


def parameters(shape: str, width: int) -> int:
    """Weights, gains and biases of both nets."""
    seed = find_shape(shape).seed_maps * width * 16
    count = _projection(shape, width) // 2 + 2 * seed  # a gain and a bias for each unit
    for layer in layers(shape, width):
        count += layer.weights + 2 * layer.outputs * _normed(layer, shape)
    return count + _features(shape, width)


def _normed(layer: Layer, shape: str) -> bool:
    """Whether batch norm follows: not at G's output, nor after D's first convolution."""
    if layer.net == "G":
        return layer.outputs != find_shape(shape).channels
    return layer.number > 1


def norm_bytes(shape: str, width: int, per_element: int) -> int:
    """Bytes of batch norm and activations for one image in a D and a G update.

    D runs three times forward and backward; ``per_element`` is one of ``NORM_BYTES``.
    """
    found = find_shape(shape)
    normed, plain = found.seed_maps * width * 16, found.channels * found.size**2
    for layer in layers(shape, width):
        made = layer.elements()[1]
        times = 1 if layer.net == "G" else 3
        if _normed(layer, shape):
            normed += times * made
        elif layer.net == "D":
            plain += times * made
    return per_element * normed + ACTIVATION_BYTES * plain


def norms(shape: str, width: int) -> list[tuple[int, int, int]]:
    """(channels, side, groups) of each batch norm over maps: D's sees real and fake as two."""
    return [
        (layer.outputs, layer.size if layer.net == "G" else layer.small, 1 + (layer.net == "D"))
        for layer in layers(shape, width)
        if _normed(layer, shape)
    ]


@dataclass(frozen=True)
class GanBound:
    """Seconds of a D and a G update on one batch, by what they are spent on."""

    products: float
    norms: dict[str, float]  # by the ways of ``NORM_BYTES``
    adam: float

    def share_of_norm(self, way: str, efficiency: float) -> float:
        """The norm's part of a step whose products reach ``efficiency`` of the machine's rate."""
        norm = self.norms[way]
        return norm / (self.products / efficiency + norm + self.adam)


def gan_bound(machine: Machine, shape: str, width: int, batch: int) -> GanBound:
    """The bound for a pair of nets in bfloat16 with weights in float32."""
    return GanBound(
        products=machine.products(step_flops(shape, width) * batch),
        norms={
            way: machine.traffic(norm_bytes(shape, width, each) * batch)
            for way, each in NORM_BYTES.items()
        },
        adam=machine.traffic(ADAM_BYTES * parameters(shape, width)),
    )
