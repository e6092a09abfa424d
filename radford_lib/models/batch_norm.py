"""Batch norm as the official DCGAN code has it, and the statistics to use it with afterwards.

lib/ops.py of the official code: eps 1e-8, biased variance, no running averages: a sample is always
normalised by the batch it is in. Features are read with averages over the training set instead
(svhn/svhn_semisup_analysis.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from radford_lib.errors import RadfordError

EPS = 1e-8


class BatchNorm(nn.Module):
    """Normalises over the batch, and over positions where the input is a map.

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
        self.gain: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if affine:
            self.gain = nn.Parameter(torch.ones(units))
            self.bias = nn.Parameter(torch.zeros(units))
        # fixed statistics, where `calibrate` has set them
        self.register_buffer("mean", None)
        self.register_buffer("variance", None)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x``; ``RadfordError`` for a batch that ``groups`` does not divide."""
        if self.mean is not None and self.variance is not None:
            return self._normalise(x, self.mean, self.variance)
        if self.groups == 1:
            return self._normalise(x, *self.statistics(x))
        if len(x) % self.groups:
            raise RadfordError(f"a batch of {len(x)} cannot be split into {self.groups} groups")
        parts = [self._normalise(part, *self.statistics(part)) for part in x.chunk(self.groups)]
        return torch.cat(parts)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each unit over batch and positions."""
        over = (0,) if x.ndim == 2 else (0, 2, 3)
        variance, mean = torch.var_mean(x, over, correction=0)
        return mean, variance

    def _normalise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = torch.rsqrt(variance + EPS)
        if self.gain is not None:
            scale = scale * self.gain
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        if x.ndim == 4:
            scale, shift = scale[:, None, None], shift[:, None, None]
        return x * scale + shift


def set_groups(net: nn.Module, groups: int) -> None:
    """Let every batch norm of ``net`` treat a batch as ``groups`` batches."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.groups = groups


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
