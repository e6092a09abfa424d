"""The networks of the DCGAN paper, in the four shapes that the paper and its code use.

What the official code does and a reader of the paper would not guess: no biases anywhere, not even
in the discriminator's last layer; per-unit batch norm after the generator's projection; weights
N(0, 0.02). Sources: figure 1 and section 4 of the paper; faces/train_uncond_dcgan.py,
imagenet/load_pretrained.py, svhn/, mnist/train_cond_dcgan.py of the official code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.errors import UsageError
from radford_lib.models.batch_norm import BatchNorm, Layers, in_turn

SLOPE = 0.2  # of LeakyReLU, section 4
STD = 0.02  # of all initial weights, section 4


@dataclass(frozen=True)
class Shape:
    """What distinguishes one pair of nets; widths are multiples of ``width``."""

    size: int  # of the images, pixels
    channels: int
    z_dim: int
    z: Literal["uniform", "gaussian"]
    kernel: int
    width: int  # the paper's own
    generator: tuple[tuple[int, int], ...]  # (multiple, stride) of each hidden layer after 4x4
    seed_maps: int  # multiple of the 4x4 layer
    discriminator: tuple[tuple[int, int], ...]
    last_stride: int = 2  # of the generator's output layer
    conditional: bool = False  # on labels, with hidden fully connected layers


SHAPES = {
    # z100 -> 4x4x1024 -> 8x8x512 -> 16x16x256 -> 32x32x128 -> 64x64x3 (figure 1)
    "lsun64": Shape(
        64, 3, 100, "uniform", 5, 128,
        seed_maps=8, generator=((4, 2), (2, 2), (1, 2)),
        discriminator=((1, 2), (2, 2), (4, 2), (8, 2)),
    ),
    # "7l_3x3_256z" of the official code: the discriminator of Table 1
    "imagenet32": Shape(
        32, 3, 256, "uniform", 3, 128,
        seed_maps=4, generator=((4, 2), (2, 1), (2, 2), (1, 1), (1, 2)),
        discriminator=((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2)), last_stride=1,
    ),
    # the released nets of May 2016: z is Gaussian there
    "svhn32": Shape(
        32, 3, 100, "gaussian", 5, 64,
        seed_maps=4, generator=((2, 2), (1, 2)),
        discriminator=((1, 2), (2, 2), (4, 2)),
    ),
    # conditional, with hidden fully connected layers: mnist/train_cond_dcgan.py
    "mnist28": Shape(
        28, 1, 100, "uniform", 5, 64,
        seed_maps=2, generator=((1, 2),), discriminator=((1, 2), (2, 2)), conditional=True,
    ),
}  # fmt: skip
LABELS = 10  # of the conditional nets
HIDDEN = 16  # their fully connected layers, in multiples of the width (1024 in the paper)


@dataclass(frozen=True)
class Guidelines:
    """Which of the five guidelines of section 3 a pair of nets keeps; the defaults keep all.

    ``strided`` False: max pooling in D, nearest-neighbour upsampling in G, no strides in either.
    ``batch_norm`` "everywhere": at G's output and on D's first layer too. ``hidden_layers``: one
    fully connected layer of ``HIDDEN`` widths after z and one before D's output, as the MNIST nets
    have. "maxout" takes the larger of two maps, of which each layer then computes twice as many.
    """

    strided: bool = True
    batch_norm: Literal["paper", "none", "everywhere"] = "paper"
    hidden_layers: bool = False
    generator: Literal["relu", "leaky_relu", "tanh"] = "relu"
    discriminator: Literal["leaky_relu", "relu", "maxout"] = "leaky_relu"


GUIDELINES = {
    "paper": Guidelines(),
    "pooling": Guidelines(strided=False),  # against guideline 1
    "no batch norm": Guidelines(batch_norm="none"),  # 2
    "batch norm everywhere": Guidelines(batch_norm="everywhere"),  # 2, the paper's own remark
    "hidden layers": Guidelines(hidden_layers=True),  # 3
    "leaky G": Guidelines(generator="leaky_relu"),  # 4
    "tanh G": Guidelines(generator="tanh"),  # 4
    "ReLU D": Guidelines(discriminator="relu"),  # 5
    "maxout D": Guidelines(discriminator="maxout"),  # 5, as in the GAN of 2014
}


class Maxout(nn.Module):
    """The larger of each pair of maps or units, (B, 2 C, ...) to (B, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        return torch.maximum(first, second)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(SLOPE),
    "tanh": nn.Tanh,
    "maxout": Maxout,
}


def initialise(net: nn.Module, seed: int) -> None:
    """All weights N(0, 0.02), batch-norm gains N(1, 0.02), drawn in the order of the layers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                module.weight.normal_(0, STD, generator=generator)
            elif isinstance(module, BatchNorm) and module.gain is not None:
                module.gain.normal_(1, STD, generator=generator)


def up(inputs: int, outputs: int, kernel: int, stride: int, *, strided: bool = True) -> nn.Module:
    """A layer that makes maps ``stride`` times larger; transposed where the stride is 2.

    The official one is the input gradient of a padded convolution whose output is exactly twice as
    large, which in PyTorch takes an output padding of 1. Not ``strided``: upsampled and convolved.
    """
    pad = kernel // 2
    if stride == 1:
        return nn.Conv2d(inputs, outputs, kernel, padding=pad, bias=False)
    if not strided:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=pad, bias=False)
        return nn.Sequential(nn.Upsample(scale_factor=stride, mode="nearest"), conv)
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, pad, output_padding=1, bias=False)


class Generator(nn.Module):
    """z to an image: projection, then (transposed) convolutions, batch norm and ReLU; tanh last."""

    def __init__(self, shape: Shape, width: int, kept: Guidelines = GUIDELINES["paper"]) -> None:
        super().__init__()
        self.shape = shape
        self.z_dim = shape.z_dim
        self.image_shape = (shape.channels, shape.size, shape.size)
        activation = ACTIVATIONS[kept.generator]
        normed = kept.batch_norm != "none"
        inputs, maps = shape.z_dim, shape.seed_maps * width
        self.hidden = nn.Identity() if not kept.hidden_layers else hidden_layer(
            inputs, HIDDEN * width, activation(), normed=normed
        )  # fmt: skip
        inputs = HIDDEN * width if kept.hidden_layers else inputs
        self.project = nn.Linear(inputs, maps * 16, bias=False)  # (B, maps * 4 * 4)
        # per unit, not per channel
        self.project_norm = BatchNorm(maps * 16) if normed else nn.Identity()
        self.project_activation = activation()
        layers: list[nn.Module] = []
        for multiple, stride in shape.generator:
            # stride 2 doubles H and W: 4 -> 8 -> 16 -> 32
            layers += [up(maps, multiple * width, shape.kernel, stride, strided=kept.strided)]
            maps = multiple * width
            layers += [BatchNorm(maps) if normed else nn.Identity(), activation()]
        self.maps = Layers(*layers)
        # (B, 3, H, W)
        self.out = up(maps, shape.channels, shape.kernel, shape.last_stride, strided=kept.strided)
        at_output = kept.batch_norm == "everywhere"
        self.out_norm = BatchNorm(shape.channels) if at_output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """Images (B, C, H, W) in -1 to 1 from ``z`` (B, z_dim)."""
        h = self.project(self.hidden(z))
        h = in_turn((self.project_norm, self.project_activation), h)
        h = h.view(len(z), -1, 4, 4)  # (B, maps, 4, 4)
        return torch.tanh(self.out_norm(self.out(self.maps(h))))

    def sample_z(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` codes (n, z_dim): uniform in -1 to 1, Gaussian for the SVHN shape."""
        return sample_z(self.shape, n, generator)


class Discriminator(nn.Module):
    """An image to a logit: strided convolutions, LeakyReLU, batch norm but on the first layer."""

    def __init__(self, shape: Shape, width: int, kept: Guidelines = GUIDELINES["paper"]) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList()
        activation = ACTIVATIONS[kept.discriminator]
        pieces = 2 if kept.discriminator == "maxout" else 1
        maps, size = shape.channels, shape.size
        for number, (multiple, stride) in enumerate(shape.discriminator):
            pools = stride > 1 and not kept.strided
            outputs, step = pieces * multiple * width, 1 if pools else stride
            conv = nn.Conv2d(maps, outputs, shape.kernel, step, shape.kernel // 2, bias=False)
            normed = {"paper": number > 0, "none": False, "everywhere": True}[kept.batch_norm]
            norm = BatchNorm(outputs) if normed else nn.Identity()
            pooling = [nn.MaxPool2d(stride)] if pools else []
            self.layers.append(Layers(conv, norm, activation(), *pooling))  # (B, maps, s, s)
            maps, size = multiple * width, size // stride
        units = maps * size * size
        self.hidden = nn.Identity() if not kept.hidden_layers else hidden_layer(
            units, HIDDEN * width, activation(),
            normed=kept.batch_norm != "none", pieces=pieces,
        )  # fmt: skip
        units = HIDDEN * width if kept.hidden_layers else units
        self.out = nn.Linear(units, 1, bias=False)  # (B, 1)

    def features(self, x: Tensor) -> list[Tensor]:
        """The activations of every convolution, first to last, each (B, maps, s, s)."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B,) that ``x`` (B, C, H, W) is real."""
        return logits(self.out, self.hidden(self.features(x)[-1].flatten(1)))


def hidden_layer(
    inputs: int, units: int, activation: nn.Module, *, normed: bool, pieces: int = 1
) -> Layers:
    """A fully connected layer, which guideline 3 forbids: (B, inputs) to (B, units)."""
    norm = BatchNorm(pieces * units) if normed else nn.Identity()
    return Layers(nn.Linear(inputs, pieces * units, bias=False), norm, activation)


class ConditionalGenerator(nn.Module):
    """The MNIST generator: the label joins the input of every layer; sigmoid last."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.shape = shape
        self.z_dim = shape.z_dim
        self.image_shape = (shape.channels, shape.size, shape.size)
        self.width = width
        hidden, maps = HIDDEN * width, shape.seed_maps * width
        self.fc1 = nn.Linear(shape.z_dim + LABELS, hidden, bias=False)  # (B, 1024)
        self.norm1 = BatchNorm(hidden, affine=False)
        self.fc2 = nn.Linear(hidden + LABELS, maps * 49, bias=False)  # (B, 128 * 7 * 7)
        self.norm2 = BatchNorm(maps * 49, affine=False)
        self.deconv3 = up(maps + LABELS, width, shape.kernel, 2)  # (B, 64, 14, 14)
        self.norm3 = BatchNorm(width, affine=False)
        self.out = up(width + LABELS, shape.channels, shape.kernel, 2)  # (B, 1, 28, 28)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in 0 to 1 from ``z`` (B, z_dim) and labels ``y`` (B,) int64."""
        label = one_hot(y, z.dtype)
        h = self.norm1(self.fc1(torch.cat([z, label], 1)), "relu")
        h = self.norm2(self.fc2(torch.cat([h, label], 1)), "relu")
        h = h.view(len(z), -1, 7, 7)
        h = self.norm3(self.deconv3(join(h, label)), "relu")
        return torch.sigmoid(self.out(join(h, label)))

    def sample_z(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` codes (n, z_dim), uniform in -1 to 1."""
        return sample_z(self.shape, n, generator)


class ConditionalDiscriminator(nn.Module):
    """The MNIST discriminator: the label joins the input of every layer."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.shape = shape
        pad = shape.kernel // 2
        first, second, hidden = width, 2 * width, HIDDEN * width
        self.conv1 = nn.Conv2d(shape.channels + LABELS, first, shape.kernel, 2, pad, bias=False)
        self.conv2 = nn.Conv2d(first + LABELS, second, shape.kernel, 2, pad, bias=False)
        self.norm2 = BatchNorm(second, affine=False)
        self.fc3 = nn.Linear(second * 49 + LABELS, hidden, bias=False)
        self.norm3 = BatchNorm(hidden, affine=False)
        self.out = nn.Linear(hidden + LABELS, 1, bias=False)

    def features(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """The activations of both convolutions: (B, 64, 14, 14) and (B, 128, 7, 7)."""
        label = one_hot(y, x.dtype)
        first = F.leaky_relu(self.conv1(join(x, label)), SLOPE)
        second = self.norm2(self.conv2(join(first, label)), "leaky_relu", SLOPE)
        return [first, second]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B,) that ``x`` (B, 1, 28, 28) is real, given labels ``y`` (B,) int64."""
        label = one_hot(y, x.dtype)
        flat = torch.cat([self.features(x, y)[-1].flatten(1), label], 1)
        h = self.norm3(self.fc3(flat), "leaky_relu", SLOPE)  # (B, 1024)
        return logits(self.out, torch.cat([h, label], 1))


def logits(layer: nn.Linear, x: Tensor) -> Tensor:
    """(B,) of the last layer on ``x`` (B, F), not rounded to what autocast multiplies in."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype)).squeeze(1)


def one_hot(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Labels (B,) as (B, 10)."""
    return F.one_hot(y, LABELS).to(dtype)


def join(x: Tensor, label: Tensor) -> Tensor:
    """Maps (B, C, H, W) with the label as ten constant maps more."""
    return torch.cat([x, label.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def sample_z(shape: Shape, n: int, generator: torch.Generator) -> Tensor:
    """``n`` codes (n, z_dim) of a shape's own distribution, on the device of ``generator``."""
    if shape.z == "gaussian":
        return torch.randn(n, shape.z_dim, generator=generator, device=generator.device)
    return torch.rand(n, shape.z_dim, generator=generator, device=generator.device) * 2 - 1


def find_shape(name: str) -> Shape:
    """The shape called ``name``; ``UsageError`` if there is none."""
    if name not in SHAPES:
        raise UsageError(f"no DCGAN shape '{name}'; there are: {', '.join(SHAPES)}")
    return SHAPES[name]


def find_guidelines(name: str, shape: Shape) -> Guidelines:
    """What nets called ``name`` keep; ``UsageError`` if there are none for this shape."""
    if name not in GUIDELINES:
        raise UsageError(f"no DCGAN nets '{name}'; there are: {', '.join(GUIDELINES)}")
    if shape.conditional and name != "paper":
        raise UsageError("only the unconditional shapes have other nets than the paper's")
    return GUIDELINES[name]


def make_generator(
    shape: str, *, width: int | None = None, seed: int = 0, nets: str = "paper"
) -> Generator | ConditionalGenerator:
    """A generator of one of the paper's shapes: ``lsun64 imagenet32 svhn32 mnist28``.

    ``width`` scales all hidden layers; the paper's own is 128, 128, 64, 64. ``nets`` names one of
    ``GUIDELINES`` to break.
    """
    found = find_shape(shape)
    kept = find_guidelines(nets, found)
    size = width or found.width
    net = ConditionalGenerator(found, size) if found.conditional else Generator(found, size, kept)
    initialise(net, seed)
    return net


def make_discriminator(
    shape: str, *, width: int | None = None, seed: int = 0, nets: str = "paper"
) -> Discriminator | ConditionalDiscriminator:
    """A discriminator of one of the paper's shapes; see ``make_generator``."""
    found = find_shape(shape)
    kept = find_guidelines(nets, found)
    size = width or found.width
    net: Discriminator | ConditionalDiscriminator = (
        ConditionalDiscriminator(found, size)
        if found.conditional
        else Discriminator(found, size, kept)
    )
    # its own stream: G and D of one seed must not share numbers
    initialise(net, seed + 2**20)
    return net
