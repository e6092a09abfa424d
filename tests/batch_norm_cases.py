"""Inputs for grouped batch norm and the check of a backend against float64, on any device."""

from dataclasses import dataclass

import torch

from radford_lib.kernels.grouped_batch_norm import grouped_batch_norm_act


@dataclass(frozen=True)
class Case:
    """One call: ``shape`` of x, its ``mean`` and spread (0 for a constant), what is given."""

    shape: tuple[int, ...]
    groups: int = 1
    activation: str = "leaky_relu"
    mean: float = 0.3
    spread: float = 2.0
    gain: bool = True
    bias: bool = True


CASES = [
    Case((6, 5, 3, 2), groups=2),
    Case((6, 5, 3, 2), groups=3, activation="relu"),
    Case((9, 33), groups=1, activation="relu"),
    Case((6, 37), groups=2, activation="identity"),
    Case((4, 7, 1, 1), groups=1),
    Case((3, 4, 2, 2), groups=3, gain=False),
    Case((3, 5), groups=3),  # one row in each group
    Case((10, 6, 4, 4), groups=2, bias=False),
    Case((10, 6, 4, 4), groups=2, gain=False, bias=False),
    Case((10, 6, 4, 4), groups=2, mean=0.1, spread=0.0),
    Case((10, 6, 4, 4), groups=2, mean=1000.0, spread=1.0),
    Case((10, 6, 4, 4), groups=1, mean=-3.0, spread=1e-4),
]


def name(case):
    return "-".join(str(v) for v in vars(case).values()).replace(" ", "")


def make_inputs(case, dtype=torch.float32, device="cpu"):
    """x, gain, bias (None where not given) and a gradient of y."""
    rng = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    # channels have their own spread, so that no two are alike
    spread = case.spread * (0.5 + torch.rand(case.shape[1], generator=rng, dtype=torch.float64))
    tail = (1,) * (len(case.shape) - 2)
    x = (draw(*case.shape) * spread.view(-1, *tail) + case.mean).to(device, dtype)
    gain, bias, dy = draw(case.shape[1]), draw(case.shape[1]), draw(*case.shape).to(device, dtype)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    parameter = torch.promote_types(dtype, torch.float32)
    return (
        x,
        gain.to(device, parameter) if case.gain else None,
        bias.to(device, parameter) if case.bias else None,
        dy,
    )


def run(case, inputs, backend, **options):
    """y and the gradients of x and of what is given of gain and bias."""
    *tensors, dy = inputs
    tensors = [None if t is None else t.detach().requires_grad_() for t in tensors]
    x, gain, bias = tensors
    y = grouped_batch_norm_act(
        x, gain, bias, groups=case.groups, activation=case.activation, backend=backend, **options
    )
    gradients = torch.autograd.grad(y, [t for t in tensors if t is not None], dy)
    return [y.detach(), *gradients]


def rms(x):
    return float(x.double().square().mean().sqrt())


def errors(case, inputs, backend, **options):
    """RMS error against float64 over the natural size of y and of each gradient.

    A gradient's size is that of its terms: of few rows, or of a constant, they cancel to nothing.
    """
    found = run(case, inputs, backend, **options)
    exact = [None if t is None else t.double() for t in inputs]
    expected = run(case, exact, "reference")
    x, gain, _, dy = exact
    parts = x.unflatten(0, (case.groups, -1))
    over = tuple(d for d in range(parts.ndim) if d not in (0, 2))
    rstd = torch.rsqrt(parts.var(over, correction=0, keepdim=True) + 1e-8)
    term = dy.unflatten(0, (case.groups, -1)) * rstd
    if gain is not None:
        term = term * gain.view(-1, *(1,) * (x.ndim - 2))
    sizes = [max(rms(expected[0]), 1e-2), rms(term)]
    sizes += [rms(dy) * (x.numel() / x.shape[1]) ** 0.5] * (len(found) - 2)
    assert [f.dtype for f in found[:2]] == [inputs[0].dtype] * 2
    assert all(f.shape == e.shape for f, e in zip(found, expected, strict=True))
    return [rms(f.double() - e) / size for f, e, size in zip(found, expected, sizes, strict=True)]


def tolerance(case, dtype):
    """What rounding explains: that of the stored type, and of a mean many deviations away."""
    if dtype == torch.bfloat16:  # Triton's interpreter cuts off where a GPU rounds
        return 6e-3
    deviation = max(case.spread, 1e-4)
    return 2e-6 + 2**-23 * abs(case.mean) / deviation


def check(case, backend, dtype=torch.float32, device="cpu", **options):
    inputs = make_inputs(case, dtype, device)
    found = errors(case, inputs, backend, **options)
    assert max(found) < tolerance(case, dtype), (name(case), dtype, found)
