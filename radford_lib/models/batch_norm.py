"""Batch norm as the official DCGAN code has it, and the statistics to use it with afterwards.

lib/ops.py of the official code: eps 1e-8, biased variance, no running averages: a sample is always
normalised by the batch it is in. Features are read with averages over the training set instead
(svhn/svhn_semisup_analysis.py).
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from radford_lib.errors import RadfordError
from radford_lib.kernels.grouped_batch_norm import activate_, grouped_batch_norm_act

EPS = 1e-8


class BatchNorm(nn.Module):
    """Normalises over the batch, and over positions where the input is a map; then activates.

    Input (B, C) or (B, C, H, W). On (B, C) every unit has its own statistics, gain and bias, which
    is how the official generators' first layer works. ``groups`` > 1 splits the batch into as many
    equal parts with statistics of their own: real | fake in one pass, as two batches would give.
    ``affine`` False leaves out gain and bias (the official MNIST nets).
    """

    mean: Tensor | None
    variance: Tensor | None

    def __init__(self, units: int, *, affine: bool = True) -> None:
        super().__init__()
        self.units = units
        self.groups = 1
        self.process_group: Any = None  # whose parts of a batch count as one: `synchronised`
        self.gain: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if affine:
            self.gain = nn.Parameter(torch.ones(units))
            self.bias = nn.Parameter(torch.zeros(units))
        # fixed statistics, where `calibrate` has set them
        self.register_buffer("mean", None)
        self.register_buffer("variance", None)

    def forward(self, x: Tensor, activation: str = "identity", slope: float = 0.2) -> Tensor:
        """Normalised ``x``, through "identity", "relu" or "leaky_relu" (of ``slope``).

        Raises ``RadfordError`` for a batch that ``groups`` does not divide.
        """
        if self.mean is not None and self.variance is not None:
            return activate_(self._with_fixed(x, self.mean, self.variance), activation, slope)
        return grouped_batch_norm_act(
            x, self.gain, self.bias, groups=self.groups, activation=activation, slope=slope,
            eps=EPS, process_group=self.process_group,
        )  # fmt: skip

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each unit over batch and positions."""
        over = (0,) if x.ndim == 2 else (0, 2, 3)
        variance, mean = torch.var_mean(x, over, correction=0)
        return mean, variance

    def _with_fixed(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = torch.rsqrt(variance + EPS)
        if self.gain is not None:
            scale = scale * self.gain
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        if x.ndim == 4:
            scale, shift = scale[:, None, None], shift[:, None, None]
        return x * scale + shift


class Layers(nn.Sequential):
    """Layers one after the other; a batch norm and the activation after it run as one operation.

    Each module alone does what it always does: a batch norm called by itself gives what the
    activation would see.
    """

    def forward(self, x: Tensor) -> Tensor:
        """What the last layer makes of ``x``."""
        return in_turn(self, x)


def in_turn(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    """``x`` through ``modules``; a batch norm and a (leaky) ReLU after it are one operation."""
    is_done = False  # by the batch norm before it
    for module, following in itertools.pairwise([*modules, nn.Identity()]):
        if is_done:
            is_done = False
        elif isinstance(module, BatchNorm) and isinstance(following, nn.ReLU):
            x, is_done = module(x, "relu"), True
        elif isinstance(module, BatchNorm) and isinstance(following, nn.LeakyReLU):
            x, is_done = module(x, "leaky_relu", following.negative_slope), True
        else:
            x = module(x)
    return x


def set_groups(net: nn.Module, groups: int) -> None:
    """Let every batch norm of ``net`` treat a batch as ``groups`` batches."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.groups = groups


@contextmanager
def synchronised(nets: Iterable[nn.Module], process_group: Any) -> Iterator[None]:
    """Normalise by the statistics of the whole batch, of which each process has a part.

    Every process of ``process_group`` must then run the nets together; None changes nothing.
    """
    norms = [m for net in nets for m in net.modules() if isinstance(m, BatchNorm)]
    for norm in norms:
        norm.process_group = process_group
    try:
        yield
    finally:
        for norm in norms:
            norm.process_group = None


@torch.no_grad()
def calibrate(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Fix ``net``'s batch norms to the average of each batch's mean and biased variance.

    Source: svhn/svhn_semisup_analysis.py of the official code. Every batch norm is averaged from
    activations normalised by their own batch. Raises ``RadfordError`` if there is no batch.
    """
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    release(net)
    sums = {norm: [torch.zeros(norm.units), torch.zeros(norm.units)] for norm in norms}
    count = 0
    with _watched(norms, sums):
        for batch in batches:
            net(batch)
            count += 1
    if count == 0:
        raise RadfordError("batch norm cannot be calibrated on no batch at all")
    for norm, (mean, variance) in sums.items():
        norm.mean, norm.variance = mean / count, variance / count


def release(net: nn.Module) -> None:
    """Undo ``calibrate``: batch norms go back to the statistics of each batch."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.mean = module.variance = None


@contextmanager
def _watched(norms: list[BatchNorm], sums: dict[BatchNorm, list[Tensor]]) -> Iterator[None]:
    def add(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, BatchNorm)
        mean, variance = module.statistics(inputs[0])
        sums[module][0] = sums[module][0].to(mean) + mean
        sums[module][1] = sums[module][1].to(variance) + variance

    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
