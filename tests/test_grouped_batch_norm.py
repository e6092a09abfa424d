"""Batch norm by groups, fused with its activation: the definition, and every backend against it."""

import importlib.util
import subprocess
import sys

import batch_norm_cases as cases
import pytest
import torch
import torch.nn.functional as F
from batch_norm_cases import CASES, Case

from radford_lib.errors import UsageError
from radford_lib.kernels import grouped_batch_norm_act
from radford_lib.kernels.grouped_batch_norm import explain_backend

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="no package triton"
)


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3, 2)])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_two_groups_are_two_batches_through_pytorchs_own(shape, backend):
    case = Case(shape, groups=2)
    x, gain, bias, dy = cases.make_inputs(case, torch.float64)
    tensors = [t.clone().requires_grad_() for t in (x, gain, bias)]
    halves = [
        F.leaky_relu(F.batch_norm(h, None, None, *tensors[1:], training=True, eps=1e-8), 0.2)
        for h in tensors[0].chunk(2)
    ]
    expected = [torch.cat(halves), *torch.autograd.grad(torch.cat(halves), tensors, dy)]
    for found, wanted in zip(cases.run(case, (x, gain, bias, dy), backend), expected, strict=True):
        torch.testing.assert_close(found, wanted.detach())


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("case", [c for c in CASES if c.spread == 2.0], ids=cases.name)
def test_gradients_are_those_of_finite_differences(case, backend):
    *tensors, _ = cases.make_inputs(case, torch.float64)
    given = [t.requires_grad_() for t in tensors if t is not None]

    def function(*values):
        values = list(values)
        x, gain, bias = (None if t is None else values.pop(0) for t in tensors)
        return grouped_batch_norm_act(
            x, gain, bias, groups=case.groups, activation=case.activation, eps=1e-3,
            backend=backend,
        )  # fmt: skip

    assert torch.autograd.gradcheck(function, given)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("case", CASES, ids=cases.name)
def test_float32_is_as_good_as_its_rounding(case, backend):
    cases.check(case, backend)


def test_bfloat16_is_stored_not_calculated_with():
    cases.check(Case((64, 6, 8, 8), groups=2), "reference", torch.bfloat16)
    x = torch.full((4, 2, 3, 3), 300.0, dtype=torch.bfloat16)
    x[0, 0, 0, 0] = 302  # its neighbour in bfloat16
    y = grouped_batch_norm_act(x, backend="reference")
    assert y[0, 0, 0, 0].item() == pytest.approx(35**0.5, rel=0.01)


def test_a_long_sum_of_large_values_keeps_its_small_differences():
    case = Case((64, 3, 32, 32), groups=1, mean=1000.0, spread=1.0, activation="identity")
    for backend in ("reference", "cpu"):
        cases.check(case, backend)


def test_of_a_constant_the_bias_is_left():
    x = torch.full((6, 3, 5, 5), 0.1)
    bias = torch.tensor([1.0, -2.0, 0.0])
    for backend in ("reference", "cpu"):
        y = grouped_batch_norm_act(x, None, bias, groups=2, backend=backend)
        torch.testing.assert_close(y, bias[:, None, None].expand_as(y), rtol=0, atol=1e-3)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_x_is_left_alone_and_memory_stays_channels_last(backend):
    case = Case((4, 6, 5, 5), groups=2, gain=False, bias=False, activation="relu")
    x = cases.make_inputs(case)[0]
    before = x.clone()
    y = grouped_batch_norm_act(x, groups=2, activation="relu", backend=backend)
    assert torch.equal(x, before)
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((torch.ones(4, 3, 2),), {}, r"x must be \(B, C\) or \(B, C, H, W\)"),
        ((torch.ones(0, 3),), {}, "not empty"),
        ((torch.ones(5, 3),), {"groups": 2}, "a batch of 5 cannot be split into 2 groups"),
        ((torch.ones(4, 3), torch.ones(4)), {}, r"gain must be \(3,\), not \(4,\)"),
        ((torch.ones(4, 3),), {"activation": "tanh"}, "no activation 'tanh'"),
        ((torch.ones(4, 3),), {"backend": "cuda"}, "unknown backend 'cuda'"),
        ((torch.ones(4, 3).bfloat16(),), {"backend": "cpu"}, "not bfloat16 on 'cpu'"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(arguments, options, says):
    with pytest.raises(UsageError, match=says):
        grouped_batch_norm_act(*arguments, **options)


def test_the_choice_of_a_backend_is_explained(monkeypatch):
    assert explain_backend("cpu") == "cpu: float32 tensors on the CPU"
    assert explain_backend("cpu", torch.float64).startswith("reference: no faster backend")
    assert explain_backend("cpu", backend="reference") == "reference: it was asked for"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert explain_backend("cuda").startswith("reference: no faster backend")
    with pytest.raises(UsageError, match="needs the package triton: pip install triton"):
        grouped_batch_norm_act(torch.ones(4, 3), backend="triton")


@needs_triton
def test_triton_is_chosen_on_a_gpu_and_refused_elsewhere(monkeypatch):
    assert explain_backend("cuda") == "triton: float32 tensors on a GPU"
    assert explain_backend("cuda", torch.bfloat16).startswith("triton")
    assert explain_backend("cuda", torch.float64).startswith("reference")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UsageError, match="needs float32 or bfloat16 tensors on a GPU"):
        grouped_batch_norm_act(torch.ones(4, 3), backend="triton")


@needs_triton
@pytest.mark.parametrize("case", CASES, ids=cases.name)
def test_triton_is_the_definition(case):
    cases.check(case, "triton", device=DEVICE)
    if case.spread == 2.0:
        cases.check(case, "triton", torch.bfloat16, DEVICE)


@pytest.fixture
def small_machine(monkeypatch):
    """A machine with little cache: channels in slabs, rows in several splits."""
    from radford_lib.kernels import grouped_batch_norm_triton

    monkeypatch.setattr(grouped_batch_norm_triton, "machine", lambda device: (6, 24_000))
    return grouped_batch_norm_triton


@needs_triton
def test_triton_splits_rows_and_slabs_of_channels_add_up_to_the_same_bits_twice(small_machine):
    case = Case((70, 40, 2, 2), groups=2)
    inputs = cases.make_inputs(case, device=DEVICE)
    plan = small_machine.plan_for(inputs[0], 2, 1, None)
    assert (plan.splits, len(list(plan.slabs()))) == (3, 2)
    assert plan.rows % plan.rows_per_split  # the last split is short
    assert max(cases.errors(case, inputs, "triton")) < cases.tolerance(case, torch.float32)
    first, second = (cases.run(case, inputs, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_triton
def test_triton_reads_any_memory_and_leaves_channels_last():
    case = Case((4, 3, 2, 2), groups=2)
    x, gain, bias, dy = cases.make_inputs(case, device=DEVICE)
    expected = cases.run(case, (x, gain, bias, dy), "triton")
    other = x.contiguous(), gain, bias, dy.contiguous(memory_format=torch.channels_last)
    found = cases.run(case, other, "triton")
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[0].is_contiguous(memory_format=torch.channels_last)


@needs_triton
def test_triton_of_a_constant_leaves_the_bias_to_the_bit():
    x = torch.full((6, 3, 5, 5), 0.1, device=DEVICE)
    bias = torch.tensor([1.0, -2.0, 0.0], device=DEVICE)
    y = grouped_batch_norm_act(x, None, bias, groups=2, backend="triton")
    assert torch.equal(y, bias[:, None, None].expand_as(y))


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triton_on_a_gpu_at_the_sizes_of_the_nets(dtype):
    for case in (Case((256, 72, 8, 8), groups=2), Case((128, 4096)), Case((128, 40, 32, 32))):
        cases.check(case, "triton", dtype, "cuda")
    inputs = cases.make_inputs(Case((256, 128, 16, 16), groups=2), dtype, "cuda")
    first, second = (cases.run(case, inputs, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_library_works_without_triton(repository):
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, radford_lib.training.gan\n"
        "from radford_lib.kernels import grouped_batch_norm_act as f\n"
        "print(f(torch.ones(4, 3)).sum().item())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=repository
    )
    assert done.stdout == "0.0\n", done.stderr[-2000:]
