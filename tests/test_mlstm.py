"""The recurrences against their float64 reference: outputs, every gradient, state and lengths."""

import pytest
import torch

from radford_lib.errors import RadfordError, UsageError
from radford_lib.kernels.lstm import lstm
from radford_lib.kernels.mlstm import explain_backend, mlstm
from radford_lib.kernels.native.build import library

CELLS = ["mlstm", "lstm"]
INPUTS = {
    "mlstm": ("table_mx", "table_zx", "w_mh", "w_zm", "h0", "c0"),
    "lstm": ("table_zx", "w_zh", "h0", "c0"),
}


@pytest.fixture(params=["native", "torch"])
def level(request, monkeypatch) -> str:
    """Each level of the CPU backend in turn."""
    if request.param == "native":
        try:
            library()
        except RadfordError as error:
            pytest.skip(f"no compiled kernels: {error}")
    monkeypatch.setenv("RADFORD_CPU_KERNELS", request.param)
    return request.param


def make_inputs(cell, steps, batch, hidden, *, dtype=torch.float32, seed=0):
    """Bytes and the cell's float tensors, large enough that no gate is near its linear part."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "table_mx": (256, hidden),
        "table_zx": (256, 4 * hidden),
        "w_mh": (hidden, hidden),
        "w_zm": (hidden, 4 * hidden),
        "w_zh": (hidden, 4 * hidden),
        "h0": (batch, hidden),
        "c0": (batch, hidden),
    }
    bytes_ = torch.randint(0, 256, (steps, batch), generator=generator)
    tensors = []
    for name in INPUTS[cell]:
        scale = hidden**-0.5 if name.startswith("w_") else 1.0
        values = torch.randn(shapes[name], generator=generator, dtype=torch.float64) * scale
        tensors.append(values.to(dtype).requires_grad_())
    return bytes_, tensors


def run(cell, bytes_, tensors, lengths=None, backend="auto"):
    function = mlstm if cell == "mlstm" else lstm
    return function(bytes_, *tensors, lengths=lengths, backend=backend)


def outputs_and_gradients(cell, bytes_, tensors, lengths, backend):
    """h, h_T, c_T and the gradient of a fixed random projection of all three."""
    outputs = run(cell, bytes_, tensors, lengths, backend)
    generator = torch.Generator().manual_seed(9)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)).sum()
        for out in outputs
    )
    return [*outputs, *torch.autograd.grad(loss, tensors)]


def error_ratio(found, expected):
    """RMS of the error over RMS of the expected value."""
    error = (found.double() - expected).detach().square().mean().sqrt()
    return float(error / expected.detach().square().mean().sqrt().clamp_min(1e-30))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize(
    ("steps", "batch", "hidden"), [(1, 1, 1), (1, 3, 8), (7, 5, 13), (33, 2, 32), (129, 9, 17)]
)
def test_cpu_matches_the_float64_reference(level, cell, with_lengths, steps, batch, hidden):
    lengths = None
    if with_lengths:  # from nothing at all to the whole window
        lengths = torch.linspace(0, steps, batch).long() if batch > 1 else torch.tensor([steps])
    bytes_, exact = make_inputs(cell, steps, batch, hidden, dtype=torch.float64)
    single = [t.detach().float().requires_grad_() for t in exact]
    expected = outputs_and_gradients(cell, bytes_, exact, lengths, "reference")
    unfused = outputs_and_gradients(cell, bytes_, single, lengths, "reference")
    found = outputs_and_gradients(cell, bytes_, single, lengths, "cpu")
    names = ["h", "h_T", "c_T", *INPUTS[cell]]
    for name, a, b, c in zip(names, found, unfused, expected, strict=True):
        ratio = error_ratio(a, c)
        assert ratio < 5e-6, (name, ratio)
        if a.numel() >= 64:  # of fewer elements the error is luck
            assert ratio <= 2 * error_ratio(b, c) + 1e-7, (name, ratio)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_finite_differences(cell, backend):
    bytes_, tensors = make_inputs(cell, 4, 3, 2, dtype=torch.float64)
    bytes_ %= 3  # repeated bytes: a table row collects several gradients
    lengths = torch.tensor([4, 2, 0])
    small = [t.detach()[:3] if t.shape[0] == 256 else t.detach() for t in tensors]
    small = [t.clone().requires_grad_() for t in small]

    tables = 2 if cell == "mlstm" else 1

    def function(*args):
        full = [torch.cat([t, t.new_zeros(253, t.shape[1])]) for t in args[:tables]]
        return run(cell, bytes_, [*full, *args[tables:]], lengths, backend)

    assert torch.autograd.gradcheck(function, small)


@pytest.mark.parametrize("cell", CELLS)
def test_two_windows_equal_one(level, cell):
    bytes_, tensors = make_inputs(cell, 20, 4, 11)
    whole = outputs_and_gradients(cell, bytes_, tensors, None, "cpu")

    weights, state = tensors[:-2], tensors[-2:]
    first = run(cell, bytes_[:9], [*weights, *state], backend="cpu")
    second = run(cell, bytes_[9:], [*weights, *first[1:]], backend="cpu")
    outputs = [torch.cat([first[0], second[0]]), *second[1:]]
    generator = torch.Generator().manual_seed(9)
    loss = sum(
        (out * torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)).sum()
        for out in outputs
    )
    for a, b in zip([*outputs, *torch.autograd.grad(loss, tensors)], whole, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("cell", CELLS)
def test_lengths_freeze_the_state_where_a_sequence_ends(level, cell, backend):
    bytes_, tensors = make_inputs(cell, 10, 4, 6)
    lengths = torch.tensor([10, 3, 0, 7])
    h, h_last, c_last = run(cell, bytes_, tensors, lengths, backend)
    for row, length in enumerate(lengths.tolist()):
        alone = [t if i < len(tensors) - 2 else t[row : row + 1] for i, t in enumerate(tensors)]
        expected = (None, *alone[-2:])
        if length:
            expected = run(cell, bytes_[:length, row : row + 1], alone, None, backend)
        torch.testing.assert_close(h_last[row : row + 1], expected[1])
        torch.testing.assert_close(c_last[row : row + 1], expected[2])
        torch.testing.assert_close(h[length:, row], h_last[row].expand(10 - length, -1))


@pytest.mark.parametrize("cell", CELLS)
def test_without_gradients_the_values_are_the_same(level, cell):
    bytes_, tensors = make_inputs(cell, 12, 3, 8)
    lengths = torch.tensor([12, 5, 1])
    kept = run(cell, bytes_, tensors, lengths, "cpu")
    with torch.no_grad():
        light = run(cell, bytes_, tensors, lengths, "cpu")
    for a, b in zip(kept, light, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_runs_are_equal_to_the_bit_and_leave_earlier_graphs_alone(level, cell):
    bytes_, tensors = make_inputs(cell, 15, 4, 10)
    first = run(cell, bytes_, tensors, backend="cpu")
    run(cell, bytes_.flip(0), tensors, backend="cpu")  # a second graph, while the first lives
    gradients = torch.autograd.grad(first[0].sum(), tensors, retain_graph=True)
    again = torch.autograd.grad(first[0].sum(), tensors)
    fresh = torch.autograd.grad(run(cell, bytes_, tensors, backend="cpu")[0].sum(), tensors)
    for a, b, c in zip(gradients, again, fresh, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_the_mlstm_is_the_published_one():
    """One step, written out from the released encoder.py with its own names."""
    bytes_, tensors = make_inputs("mlstm", 1, 2, 3, dtype=torch.float64)
    table_mx, table_zx, w_mh, w_zm, h, c = tensors
    x = bytes_[0]
    m = table_mx[x] * (h @ w_mh)
    z = table_zx[x] + m @ w_zm
    i, f, o, u = z[:, :3], z[:, 3:6], z[:, 6:9], z[:, 9:]
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
    h = torch.sigmoid(o) * torch.tanh(c)
    outputs = mlstm(bytes_, *tensors)
    torch.testing.assert_close(outputs[0][0], h)
    torch.testing.assert_close(outputs[2], c)


def test_backends_explain_themselves():
    assert explain_backend("cpu").startswith("cpu: float32 tensors on the CPU; ")
    assert explain_backend("cpu", torch.float64).startswith("reference: no faster backend")
    assert explain_backend("cpu", backend="reference") == "reference: it was asked for"
    with pytest.raises(UsageError, match="unknown backend 'cuda': choose from auto"):
        explain_backend("cpu", backend="cuda")
    with pytest.raises(UsageError, match="needs tensors on the CPU"):
        explain_backend("cuda", backend="cpu")


def test_shapes_that_do_not_fit_are_refused():
    bytes_, tensors = make_inputs("mlstm", 3, 2, 4)
    with pytest.raises(UsageError, match=r"the state must be two tensors \(3, 4\)"):
        mlstm(torch.zeros(3, 3, dtype=torch.int64), *tensors)
    with pytest.raises(UsageError, match="T >= 1"):
        mlstm(bytes_[:0], *tensors)
    with pytest.raises(UsageError, match="int64"):
        mlstm(bytes_.int(), *tensors)
    with pytest.raises(UsageError, match="lengths"):
        mlstm(bytes_, *tensors, lengths=torch.tensor([1]))
    with pytest.raises(UsageError, match="table_mx"):
        mlstm(bytes_, tensors[0][:, :3], *tensors[1:])
