r"""Batch norm with statistics for each group of a batch, and the activation after it, in one go.

For group :math:`k`, with mean :math:`\mu_k` and biased variance :math:`\sigma_k^2` of each channel
over the samples (and positions) of the group, and activation :math:`a`:

.. math::

    y = a\left(\gamma \, \frac{x - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta\right)

Two groups give what two separate batches give: the official DCGAN code sends real and fake images
through its discriminator one after the other (lib/ops.py; eps 1e-8, no running averages).
"""

import importlib.util
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from radford_lib.errors import UsageError
from radford_lib.kernels import triton_interpreter

BACKENDS = ("auto", "reference", "cpu", "triton")
ACTIVATIONS = ("identity", "relu", "leaky_relu")
FAR = 10.0  # deviations
TRITON_DTYPES = (torch.float32, torch.bfloat16)


def grouped_batch_norm_act(
    x: Tensor,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    groups: int = 1,
    activation: str = "identity",
    slope: float = 0.2,
    eps: float = 1e-8,
    process_group: Any = None,
    backend: str = "auto",
) -> Tensor:
    """Normalise each of ``groups`` equal parts of a batch by itself, then scale and activate.

    x: (B, C), every unit by itself, or (B, C, H, W), best in channels_last memory, with B a
    multiple of ``groups``; gain, bias: (C,) or None. ``activation`` is "identity", "relu" or
    "leaky_relu" (of ``slope``). Statistics are float32 at least and, with a ``process_group``,
    those of the group's parts on all its processes together. Returns y like x, differentiable
    once in x, gain and bias. ``backend``: "reference" (any device and type; the definition),
    "cpu", "triton" or "auto". Raises ``UsageError`` for shapes that do not fit and for a backend
    that is unknown or cannot run here.
    """
    _check(x, gain, bias, groups, activation)
    chosen, _ = choose_backend(x.device, x.dtype, backend)
    kept_slope = {"identity": 1.0, "relu": 0.0, "leaky_relu": slope}[activation]
    if chosen == "triton":
        from radford_lib.kernels.grouped_batch_norm_triton import two_pass

        return two_pass(x, gain, bias, groups, kept_slope, eps, process_group)
    if chosen == "cpu" and process_group is None:
        y = _cpu(x, gain, bias, groups, eps)
    else:
        y = _reference(x, gain, bias, groups, eps, process_group)
    return activate_(y, activation, slope)


def activate_(y: Tensor, activation: str, slope: float) -> Tensor:
    """``y`` through "identity", "relu" or "leaky_relu" (of ``slope``), in its own memory."""
    if activation == "identity":
        return y
    return y.relu_() if activation == "relu" else F.leaky_relu_(y, slope)


def _reference(
    x: Tensor,
    gain: Tensor | None,
    bias: Tensor | None,
    groups: int,
    eps: float,
    process_group: Any,
) -> Tensor:
    parts = x.unflatten(0, (groups, -1))  # (groups, B / groups, C, H, W)
    parts = parts.to(torch.promote_types(x.dtype, torch.float32))
    over = (1,) if x.ndim == 2 else (1, 3, 4)
    variance, mean = torch.var_mean(parts, over, correction=0, keepdim=True)
    if process_group is not None:
        own_mean = mean
        mean = _Average.apply(own_mean, process_group)
        variance = _Average.apply(variance + (own_mean - mean).square(), process_group)
    y = (parts - mean) * torch.rsqrt(variance + eps)
    tail = (1,) * (x.ndim - 2)
    if gain is not None:
        y = y * gain.view(-1, *tail)
    if bias is not None:
        y = y + bias.view(-1, *tail)
    return y.flatten(0, 1).to(x.dtype)


class _Average(torch.autograd.Function):
    """The mean of a tensor over processes; its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, process_group: Any) -> Tensor:
        ctx.process_group = process_group
        return _averaged(value, process_group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _averaged(gradient, ctx.process_group), None


def _averaged(value: Tensor, process_group: Any) -> Tensor:
    total = value.contiguous().clone()
    dist.all_reduce(total, group=process_group)
    return total / dist.get_world_size(process_group)


def _cpu(x: Tensor, gain: Tensor | None, bias: Tensor | None, groups: int, eps: float) -> Tensor:
    """PyTorch's own kernels, a group at a time (``radford bench dcgan`` times both)."""
    parts = [_native(part, gain, bias, eps) for part in x.chunk(groups)]
    return parts[0] if groups == 1 else torch.cat(parts)


def _native(x: Tensor, gain: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """One group. PyTorch adds up a mean in float32, one row after the other.

    That is precise enough unless the mean is many deviations from zero; then it is taken off
    first, which changes no result.
    """
    y, mean, rstd = torch.native_batch_norm(x, gain, bias, None, None, True, 0.0, eps)
    if (mean * rstd).abs().max() < FAR:
        return y
    centred = x - mean.detach().view(-1, *(1,) * (x.ndim - 2))
    return torch.native_batch_norm(centred, gain, bias, None, None, True, 0.0, eps)[0]


def choose_backend(
    device: torch.device | str, dtype: torch.dtype, backend: str = "auto"
) -> tuple[str, str]:
    """The backend that will run, and why. Raises ``UsageError`` where ``backend`` cannot."""
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r}: choose from {', '.join(BACKENDS)}")
    kind = torch.device(device).type
    hindrance = _hindrance(kind, dtype, backend)
    if hindrance is not None:
        raise UsageError(f"backend {backend!r} {hindrance}")
    if backend != "auto":
        return backend, "it was asked for"
    if kind == "cpu" and dtype == torch.float32:
        return "cpu", "float32 tensors on the CPU"
    if kind == "cuda" and _hindrance(kind, dtype, "triton") is None:
        return "triton", f"{_name(dtype)} tensors on a GPU"
    return "reference", f"no faster backend for {_name(dtype)} on {kind!r}"


def _hindrance(kind: str, dtype: torch.dtype, backend: str) -> str | None:
    """What keeps a backend from running such tensors; None if nothing does."""
    if backend == "cpu" and (kind != "cpu" or dtype not in (torch.float32, torch.float64)):
        return f"needs float32 or float64 tensors on the CPU, not {_name(dtype)} on {kind!r}"
    if backend != "triton":
        return None
    if importlib.util.find_spec("triton") is None:
        return "needs the package triton: pip install triton (Linux)"
    if dtype not in TRITON_DTYPES or (kind != "cuda" and not triton_interpreter.interpreting()):
        return f"needs float32 or bfloat16 tensors on a GPU, not {_name(dtype)} on {kind!r}"
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def explain_backend(
    device: torch.device | str, dtype: torch.dtype = torch.float32, backend: str = "auto"
) -> str:
    """One line for a reader: which backend runs such tensors, and why."""
    chosen, why = choose_backend(device, dtype, backend)
    return f"{chosen}: {why}"


def _check(
    x: Tensor, gain: Tensor | None, bias: Tensor | None, groups: int, activation: str
) -> None:
    if x.ndim not in (2, 4) or x.numel() == 0:
        raise UsageError(f"x must be (B, C) or (B, C, H, W) and not empty, not {tuple(x.shape)}")
    if groups < 1 or len(x) % groups:
        raise UsageError(f"a batch of {len(x)} cannot be split into {groups} groups")
    for name, values in (("gain", gain), ("bias", bias)):
        if values is not None and values.shape != (x.shape[1],):
            raise UsageError(f"{name} must be ({x.shape[1]},), not {tuple(values.shape)}")
    if activation not in ACTIVATIONS:
        raise UsageError(f"no activation {activation!r}: choose from {', '.join(ACTIVATIONS)}")
