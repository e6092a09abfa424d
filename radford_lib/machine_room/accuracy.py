"""How far each way of computing the mLSTM in float32 is from its float64 definition."""

from collections.abc import Sequence

import torch
from torch import Tensor

from radford_lib.kernels.mlstm import mlstm
from radford_lib.machine_room.ladder import cpu_kernels

INPUTS = ("table_mx", "table_zx", "w_mh", "w_zm", "h0", "c0")
QUANTITIES = ("h", "h_T", "c_T", *(f"d {name}" for name in INPUTS))


def float64_errors(
    ways: Sequence[str], steps: int = 37, batch: int = 5, hidden: int = 33, seed: int = 0
) -> dict[str, dict[str, float]]:
    """RMS of the error over RMS of the value, for every output and gradient, by way.

    ``ways`` are backends, a level of the CPU's after a colon: ``cpu:native``. The state is carried
    in, and one sequence ends after each of 0, 1, ... steps.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = [(256, hidden), (256, 4 * hidden), (hidden, hidden), (hidden, 4 * hidden)]
    shapes += [(batch, hidden)] * 2
    exact = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    exact[2:4] = [w * hidden**-0.5 for w in exact[2:4]]
    bytes_ = torch.randint(0, 256, (steps, batch), generator=generator)
    lengths = torch.linspace(0, steps, batch).long()
    single = [t.float() for t in exact]
    # what float32 cannot hold of the inputs is no way's fault
    expected = _outputs_and_gradients([t.double() for t in single], bytes_, lengths, "reference")
    found = {}
    for way in ways:
        backend, _, level = way.partition(":")
        with cpu_kernels(level):
            values = _outputs_and_gradients(single, bytes_, lengths, backend)
        ratios = map(_error_ratio, values, expected)
        found[way] = dict(zip(QUANTITIES, ratios, strict=True))
    return found


def _outputs_and_gradients(
    tensors: list[Tensor], bytes_: Tensor, lengths: Tensor, backend: str
) -> list[Tensor]:
    """h, h_T, c_T, and the gradients of a fixed random projection of all three."""
    inputs = [t.clone().requires_grad_() for t in tensors]
    outputs = mlstm(bytes_, *inputs, lengths, backend)  # type: ignore[call-arg,arg-type]
    generator = torch.Generator().manual_seed(9)
    weights = [torch.randn(out.shape, generator=generator).to(out) for out in outputs]
    return [*outputs, *torch.autograd.grad(outputs, inputs, weights)]


def _error_ratio(found: Tensor, expected: Tensor) -> float:
    error = (found.double() - expected).detach().square().mean().sqrt()
    return float(error / expected.detach().square().mean().sqrt())
