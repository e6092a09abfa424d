"""The DCGAN step as others write it, on the same networks: what ours is compared with."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.models.dcgan import SLOPE, STD, Shape, find_shape, up
from radford_lib.training.gan_data import as_input
from radford_lib.training.gan_step import on_stream, record


@dataclass(frozen=True)
class Peer:
    """One way to train: PyTorch's layers, real and fake images as two batches.

    ``example`` is the habit of PyTorch's own example: Adam as it comes, gradients of D's weights
    also in G's step, losses read after each step. ``compiled`` is a mode of ``torch.compile``.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    graph: bool = False
    compiled: str | None = None
    example: bool = False


GPU_PEERS = {
    "PyTorch's example, fp32": Peer(example=True),
    "eager fp32 (TF32), NCHW": Peer(),
    "eager bf16, NCHW": Peer(torch.bfloat16),
    "eager bf16, NHWC": Peer(torch.bfloat16, channels_last=True),
    "bf16 NHWC, graph": Peer(torch.bfloat16, channels_last=True, graph=True),
}
COMPILED_PEERS = {
    "compile default, graph": Peer(
        torch.bfloat16, channels_last=True, graph=True, compiled="default"
    ),
    "compile max-autotune, graph": Peer(
        torch.bfloat16, channels_last=True, graph=True, compiled="max-autotune-no-cudagraphs"
    ),
}
CPU_PEERS = {
    "PyTorch's example, NCHW": Peer(example=True),
    "channels last, fused Adam": Peer(channels_last=True),
}


def plain_generator(shape: Shape, width: int) -> nn.Module:
    """G of a shape with PyTorch's batch norm."""
    maps = shape.seed_maps * width
    layers: list[nn.Module] = [
        nn.Linear(shape.z_dim, maps * 16, bias=False), nn.BatchNorm1d(maps * 16), nn.ReLU(True),
        nn.Unflatten(1, (maps, 4, 4)),
    ]  # fmt: skip
    for multiple, stride in shape.generator:
        layers += [up(maps, multiple * width, shape.kernel, stride)]
        maps = multiple * width
        layers += [nn.BatchNorm2d(maps), nn.ReLU(True)]
    layers += [up(maps, shape.channels, shape.kernel, shape.last_stride), nn.Tanh()]
    return nn.Sequential(*layers)


def plain_discriminator(shape: Shape, width: int) -> nn.Module:
    """D of a shape with PyTorch's batch norm."""
    layers: list[nn.Module] = []
    maps, size = shape.channels, shape.size
    for number, (multiple, stride) in enumerate(shape.discriminator):
        outputs = multiple * width
        layers += [nn.Conv2d(maps, outputs, shape.kernel, stride, shape.kernel // 2, bias=False)]
        layers += [nn.BatchNorm2d(outputs)] if number else []
        layers += [nn.LeakyReLU(SLOPE, True)]
        maps, size = outputs, size // stride
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps * size * size, 1, bias=False))


class PlainTrainer:
    """D's update and then G's on one batch of the same pixels, again and again."""

    def __init__(self, peer: Peer, shape: str, width: int, batch: int, device: str) -> None:
        self.peer, self.shape, self.batch, self.device = peer, find_shape(shape), batch, device
        nets = [make(self.shape, width) for make in (plain_generator, plain_discriminator)]
        layout = torch.channels_last if peer.channels_last else torch.contiguous_format
        for parameter in itertools.chain(*(net.parameters() for net in nets)):
            nn.init.normal_(parameter, 1 if parameter.ndim == 1 else 0, STD)
        self.g, self.d = (net.to(device, memory_format=layout) for net in nets)  # type: ignore[call-overload]
        fast = {} if peer.example else {"fused": True, "capturable": device != "cpu"}
        self.adam_g, self.adam_d = (
            torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), **fast)
            for net in (self.g, self.d)
        )
        self.run_g, self.run_d = self.g, self.d
        if peer.compiled is not None:
            self.run_g, self.run_d = (
                torch.compile(net, mode=peer.compiled) for net in (self.g, self.d)
            )
        size = (batch, self.shape.size, self.shape.size, self.shape.channels)
        self.pixels = torch.randint(0, 256, size, dtype=torch.uint8, device=device)

    def ready(self) -> tuple[Callable[[], object], float]:
        """The step to time, and the seconds that its first calls took."""
        started = time.perf_counter()
        stream = torch.cuda.Stream() if self.peer.graph and self.device != "cpu" else None
        with on_stream(stream):
            for _ in range(3):
                self.step()
        if self.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        return record(self.step, stream), seconds

    def step(self) -> None:
        """Both updates."""
        real = as_input(self.pixels, self.shape.channels)
        if not self.peer.channels_last:
            real = real.contiguous()
        z = torch.randn(self.batch, self.shape.z_dim, device=self.device)
        with self.autocast():
            fake = self.run_g(z)
            loss = F.softplus(-self.logits(real)).mean()
            loss = loss + F.softplus(self.logits(fake.detach())).mean()
        self.adam_d.zero_grad(set_to_none=True)
        loss.backward()
        self.adam_d.step()
        self.d.requires_grad_(self.peer.example)
        with self.autocast():
            g_loss = F.softplus(-self.logits(fake)).mean()
        self.adam_g.zero_grad(set_to_none=True)
        g_loss.backward()
        self.adam_g.step()
        self.d.requires_grad_(True)
        if self.peer.example:
            loss.item(), g_loss.item()

    def logits(self, x: Tensor) -> Tensor:
        return self.run_d(x).float()

    def autocast(self) -> torch.autocast:
        is_on = self.peer.dtype == torch.bfloat16
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=is_on)
