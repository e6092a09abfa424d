"""One update of a DCGAN: losses, gradients, schedules; on a GPU replayed from a CUDA graph.

Nothing here waits for the device. Losses and the watch for a collapse stay there, as single
numbers that are overwritten, until the loop reads them.
"""

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.models.batch_norm import set_groups, synchronised
from radford_lib.models.dcgan import Shape, sample_z
from radford_lib.training.distributed import Ranks, average_gradients, average_in_place
from radford_lib.training.gan_data import Batches, as_input

# A GAN counts as collapsed when D is certain and all samples look alike, this many updates long
COLLAPSED_UPDATES = 500
COLLAPSED_LOSS = 1e-3
COLLAPSED_DISTANCE = 0.02
# Updates of a kind before it is recorded: convolution algorithms are chosen, kernels compiled and
# Adam's moments made
EAGER_UPDATES = 3
GAUGES = ("d_loss", "g_loss", "distance", "suspicious")


@dataclass
class Nets:
    """Both nets, their optimisers and the gauges of the device, which every update overwrites.

    ``suspicious`` counts the updates in a row that look collapsed; from ``COLLAPSED_UPDATES`` on
    it counts every update, so that the beginning stays known.
    """

    shape: Shape
    generator: nn.Module
    discriminator: nn.Module
    adam_g: torch.optim.Optimizer
    adam_d: torch.optim.Optimizer
    rng: torch.Generator
    ranks: Ranks
    bf16: bool = False
    update: int = 0
    d_loss: Tensor = field(default_factory=lambda: torch.tensor(math.log(4)))
    g_loss: Tensor = field(default_factory=lambda: torch.tensor(math.log(2)))
    distance: Tensor = field(default_factory=lambda: torch.tensor(0.0))
    suspicious: Tensor = field(default_factory=lambda: torch.tensor(0))

    def __post_init__(self) -> None:
        for name in GAUGES:
            setattr(self, name, getattr(self, name).to(self.ranks.device))

    def read(self) -> dict[str, float]:
        """The gauges as numbers, and ``collapsed_at``, 0 for never; waits for the device."""
        values = torch.stack([getattr(self, name).double() for name in GAUGES]).tolist()
        found = dict(zip(GAUGES, values, strict=True))
        count = int(found["suspicious"])
        found["collapsed_at"] = self.update - count + 1 if count >= COLLAPSED_UPDATES else 0
        return found


class Updates:
    """Updates of ``at`` on mini-batches of ``batches``, one after the other.

    On one GPU each kind of update that the schedule has (two for ``alternate``) is recorded as a
    CUDA graph after a few, and launched as a whole from then on. ``records`` decides otherwise.
    """

    def __init__(
        self,
        schedule: str,
        batch: int,
        at: Nets,
        batches: Batches,
        *,
        records: bool | None = None,
    ) -> None:
        self._schedule, self._batch, self._at, self._batches = schedule, batch, at, batches
        is_gpu = at.ranks.device.startswith("cuda")
        # what processes exchange in the middle of an update is not recorded
        self._records = is_gpu and at.ranks.world == 1 if records is None else records
        self._stream = torch.cuda.Stream(at.ranks.device) if self._records and is_gpu else None
        self._count: Counter[int] = Counter()
        self._recorded: dict[int, Callable[[], None]] = {}
        self._inputs: tuple[Tensor, ...] = ()

    def run(self) -> None:
        """The next update."""
        at = self._at
        z = sample_z(at.shape, self._batch, at.rng)[at.ranks.part(self._batch)]
        inputs = (z.to(at.ranks.device), *self._batches.draw(at.update))
        if not self._records:
            self._compute(*inputs)
        else:
            self._replay(inputs)
        at.update += 1

    def _compute(self, z: Tensor, pixels: Tensor, *y: Tensor) -> None:
        at = self._at
        with synchronised((at.generator, at.discriminator), at.ranks.group):
            fake = update_nets(self._schedule, at, as_input(pixels, at.shape.channels), z, y)
        watch(at, fake)

    def _replay(self, inputs: tuple[Tensor, ...]) -> None:
        """The same as recorded, which reads its inputs where the first ones lay."""
        kind = self._at.update % 2 if self._schedule == "alternate" else 0
        self._inputs = self._inputs or inputs
        for place, values in zip(self._inputs, inputs, strict=True):
            place.copy_(values)
        self._count[kind] += 1
        if self._count[kind] <= EAGER_UPDATES:
            with on_stream(self._stream):
                self._compute(*self._inputs)
            return
        if kind not in self._recorded:
            compute = functools.partial(self._compute, *self._inputs)
            self._recorded[kind] = record(compute, self._stream)
        self._recorded[kind]()


@contextlib.contextmanager
def on_stream(stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Run on the stream where graphs are recorded, so that what autograd remembers of it fits."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def record(compute: Callable[[], None], stream: torch.cuda.Stream | None) -> Callable[[], None]:
    """What launches ``compute`` as one CUDA graph; ``compute`` itself where there is no stream."""
    if stream is None:
        return compute
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        compute()
    return graph.replay


def update_nets(
    schedule: str, at: Nets, real: Tensor, z: Tensor, y: tuple[Tensor, ...] = ()
) -> Tensor:
    """Update G, D or both on one mini-batch, as the schedule says; returns the samples of ``z``.

    real: (B, C, H, W); z: (B, z_dim); y: the labels (B,) of a conditional shape.
    """
    # the official loop begins with G
    trains_g = schedule != "alternate" or at.update % 2 == 0
    trains_d = schedule != "alternate" or at.update % 2 == 1
    with torch.set_grad_enabled(trains_g):
        fake = run_net(at.generator, z, *y, bf16=at.bf16)
    if trains_d:
        loss = discriminator_gradients(at.discriminator, at.adam_d, real, fake, y, bf16=at.bf16)
        at.d_loss.copy_(loss)
        average_gradients(at.discriminator.parameters())
        if schedule != "simultaneous":
            at.adam_d.step()
    if trains_g:
        loss = generator_gradients(at.discriminator, at.adam_g, fake, y, bf16=at.bf16)
        at.g_loss.copy_(loss)
        average_gradients(at.generator.parameters())
        at.adam_g.step()
    if schedule == "simultaneous":
        at.adam_d.step()
    return fake.detach()


def run_net(net: nn.Module, *inputs: Tensor, bf16: bool) -> Any:
    """``net``'s output, its products in bfloat16 if asked for; weights stay float32."""
    with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=bf16):
        return net(*inputs)


def discriminator_gradients(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    y: tuple[Tensor, ...] = (),
    *,
    bf16: bool = False,
) -> Tensor:
    """Gradients of D on real and fake images (B, C, H, W); returns the sum of both mean losses.

    One pass over both, batch norm taking the statistics of each half by itself, which is what the
    official code's two separate batches give.
    """
    set_groups(discriminator, 2)
    both = torch.cat([real.to(fake.dtype), fake.detach()])
    both = both.contiguous(memory_format=torch.channels_last)
    logits = run_net(discriminator, both, *(torch.cat([label, label]) for label in y), bf16=bf16)
    set_groups(discriminator, 1)
    real_logits, fake_logits = logits.chunk(2)
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    return loss.detach()


def generator_gradients(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    fake: Tensor,
    y: tuple[Tensor, ...] = (),
    *,
    bf16: bool = False,
) -> Tensor:
    """Gradients of G to be taken for real (the non-saturating loss), D frozen; returns the loss."""
    discriminator.requires_grad_(False)
    loss = F.softplus(-run_net(discriminator, fake, *y, bf16=bf16)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    discriminator.requires_grad_(True)
    return loss.detach()


@torch.no_grad()
def watch(at: Nets, fake: Tensor) -> None:
    """Measure the samples, and count updates in which D is certain and all samples look alike."""
    at.distance.copy_(mean_pair_distance(fake))
    if at.ranks.world > 1:  # all must come to the same conclusion
        shared = average_in_place(torch.stack([at.d_loss, at.g_loss, at.distance]))
        for gauge, value in zip((at.d_loss, at.g_loss, at.distance), shared, strict=True):
            gauge.copy_(value)
    is_suspicious = (at.d_loss < COLLAPSED_LOSS) & (at.distance < COLLAPSED_DISTANCE)
    count = at.suspicious + 1
    at.suspicious.copy_(count * (is_suspicious | (count > COLLAPSED_UPDATES)))


def mean_pair_distance(samples: Tensor) -> Tensor:
    """Mean absolute pixel difference of neighbouring samples in a batch; 0 when all are alike."""
    return (samples - samples.roll(1, 0)).abs_().mean(dtype=torch.float32)
