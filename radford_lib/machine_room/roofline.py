"""What a CPU reaches, against what its processor and its memory allow: the points of a roofline.

Everything is in float32 and on one thread, and timed in the same rounds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from radford_lib.machine_room import mlstm_bounds
from radford_lib.machine_room.bounds import Machine
from radford_lib.machine_room.dcgan_bounds import Layer, layers
from radford_lib.machine_room.ladder import OurModel, operations, training_step
from radford_lib.machine_room.timing import clock_for, interleave
from radford_lib.models.dcgan import up

FLOAT = 4  # bytes


@dataclass
class Work:
    """Something to time, with the operations it needs and the bytes it must move at least."""

    kind: str  # "product", "copy", "mLSTM", "G forward", "D backward", ...
    name: str
    call: Callable[[], object]
    flops: float
    moved: float
    seconds: float = float("nan")

    @property
    def intensity(self) -> float:
        """FLOP a byte."""
        return self.flops / self.moved

    @property
    def flop_rate(self) -> float:
        """FLOP/s reached."""
        return self.flops / self.seconds

    @property
    def byte_rate(self) -> float:
        """Bytes/s moved."""
        return self.moved / self.seconds


def products(sizes: Iterable[int]) -> list[Work]:
    """Products of two square matrices."""

    def work(size: int) -> Work:
        a, b = torch.randn(2, size, size)
        out = torch.empty_like(a)
        moved = 3 * FLOAT * size**2
        return Work("product", f"{size}", lambda: torch.mm(a, b, out=out), 2 * size**3, moved)

    return [work(size) for size in sizes]


def copies(kilobytes: Iterable[int]) -> list[Work]:
    """Copies of so much memory, which is read and written."""

    def work(size: int) -> Work:
        a = torch.randn(1024 * size // FLOAT)
        out = torch.empty_like(a)
        return Work("copy", f"{size}", lambda: out.copy_(a), 0, 2 * 1024 * size)

    return [work(size) for size in kilobytes]


def mlstm_steps(hidden: int, batches: Iterable[int], window: int) -> list[Work]:
    """Training steps of the library's mLSTM, by how many sequences it trains on side by side."""

    def work(batch: int) -> Work:
        inputs, targets = torch.randint(0, 256, (2, window, batch))
        step = training_step(OurModel(hidden, "mlstm", "cpu"), inputs, targets)
        flops = operations("mlstm", hidden) * batch * window
        intensity = mlstm_bounds.intensity(hidden, batch, window, FLOAT)
        return Work("mLSTM", f"B = {batch}", step, flops, flops / intensity)

    return [work(batch) for batch in batches]


def convolutions(shape: str, width: int, batch: int) -> list[Work]:
    """Forward and backward, both gradients, of each convolution of a DCGAN, channels last."""
    found = []
    for layer in layers(shape, width):
        forward, backward = _passes(layer, batch)
        flops = batch * layer.flops
        moved = flops / layer.intensity(batch, FLOAT)
        found.append(Work(f"{layer.net} forward", layer.name, forward, flops, moved))
        found.append(Work(f"{layer.net} backward", layer.name, backward, 2 * flops, 2 * moved))
    return found


def _passes(layer: Layer, batch: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Calls that run a layer forward, and that make both of its gradients."""
    transposed = layer.net == "G" and layer.stride == 2
    side = layer.small if layer.net == "G" else layer.size
    if layer.net == "G":
        net = up(layer.inputs, layer.outputs, layer.kernel, layer.stride)
    else:
        net = torch.nn.Conv2d(
            layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.kernel // 2, bias=False
        )
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(batch, layer.inputs, side, side).to(memory_format=torch.channels_last)
    weight = net.weight.detach()
    with torch.no_grad():
        dy = torch.randn_like(net(x))
    pad, out_pad = [layer.kernel // 2] * 2, [int(transposed)] * 2
    stride = [layer.stride] * 2

    def forward() -> object:
        with torch.no_grad():
            return net(x)

    def backward() -> object:
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, pad, [1, 1], transposed, out_pad, 1, [True, True, False]
        )

    return forward, backward


def measure(works: list[Work], **sampling: Any) -> list[Work]:
    """Time all of ``works`` in turns on one thread, in processor time; returns them.

    ``sampling`` goes to ``timing.interleave``.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calls = {f"{work.kind} {work.name}": work.call for work in works}
        timings = interleave(calls, clock=clock_for(1), **sampling)
    finally:
        torch.set_num_threads(before)
    for work, timing in zip(works, timings.values(), strict=True):
        work.seconds = timing.median
    return works


def machine_of(works: list[Work]) -> Machine:
    """This machine's ceilings: its fastest product, and the copy of the most memory."""
    copied = [work for work in works if work.kind == "copy"]
    return Machine(
        "this machine, one thread",
        max(work.flop_rate for work in works if work.kind == "product"),
        max(copied, key=lambda work: work.moved).byte_rate,
    )
