"""Batch norm by groups, fused with its activation: the definition, and every backend against it."""

import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import batch_norm_cases as cases
import hopper
import pytest
import torch
import torch.nn.functional as F
from batch_norm_cases import CASES, Case

from radford_lib.errors import UsageError
from radford_lib.kernels import grouped_batch_norm_act
from radford_lib.kernels.grouped_batch_norm import explain_backend

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
def test_triton_is_chosen_on_a_gpu_and_refused_elsewhere():
    assert explain_backend("cuda") == "triton: float32 tensors on a GPU"
    assert explain_backend("cuda", torch.bfloat16).startswith("triton")
    assert explain_backend("cuda", torch.float64).startswith("reference")
    with pytest.raises(UsageError, match="needs float32 or bfloat16 tensors on a GPU"):
        grouped_batch_norm_act(torch.ones(4, 3), backend="triton")


@needs_triton
def test_triton_kernels_under_the_interpreter(repository):
    done = subprocess.run(
        [sys.executable, repository / "tests" / "interpreted_batch_norm.py"],
        capture_output=True, text=True, cwd=repository,
        env=os.environ
        | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.stdout == "interpreted\n", done.stderr[-3000:]


# (rows, channels) of every batch norm of the paper's nets at a batch of 128
LAYERS = [
    (128, 16384), (128, 8192), (128, 4096), (128, 1024), (128, 6272),
    (2048, 1024), (2048, 512), (2048, 256), (6272, 128), (8192, 512), (8192, 256), (8192, 128),
    (25088, 64), (32768, 256), (32768, 128), (32768, 64), (131072, 128), (131072, 64),
]  # fmt: skip


def plans(itemsize, tensors):
    """How the layers are divided on an H200, at batches of 128 and 512, in one group and in two."""
    from radford_lib.kernels.grouped_batch_norm_triton import make_plan

    return [
        make_plan(
            rows * times, channels, groups, tensors, itemsize,
            multiprocessors=132, l2_bytes=60 << 20,
        )
        for rows, channels in LAYERS for times in (1, 4) for groups in (1, 2)
    ]  # fmt: skip


@needs_triton
def test_every_row_and_channel_is_in_one_split_and_slab():
    for tensors in (1, 2):
        for plan in plans(2, tensors):
            assert plan.splits <= 64
            assert (plan.splits - 1) * plan.rows_per_split < plan.rows
            assert plan.splits * plan.rows_per_split >= plan.rows
            firsts = [first for first, _ in plan.slabs()]
            assert firsts == list(range(0, plan.channels, plan.slab))
            covered = sum(grid[0] for _, grid in plan.slabs()) * plan.block_channels
            assert covered == plan.channels
            fits = plan.rows * plan.groups * plan.slab * 2 * tensors <= 30 << 20
            assert fits or plan.slab == plan.block_channels
            assert all(grid[0] * grid[1] * grid[2] <= 1024 for _, grid in plan.slabs())


def kernels_to_compile():
    """Each kernel with each tile that an H200 uses, for both types that are stored."""
    from radford_lib.kernels import grouped_batch_norm_triton as k

    for kind, itemsize in (("bf16", 2), ("fp32", 4)):
        for tensors, kernels in (
            (1, (k.partial_moments, k.normalise)),
            (2, (k.partial_gradients, k.input_gradient)),
        ):
            tiles = {(p.block_rows, p.block_channels, p.warps) for p in plans(itemsize, tensors)}
            for kernel in kernels:
                yield from ((kernel, kind, *tile) for tile in sorted(tiles))


def resources(job, **known):
    """What one of ``kernels_to_compile`` takes, with gain and bias and the most parts.

    ``known`` are values that Triton compiles in when it sees them: 1 and None.
    """
    kernel, kind, block_rows, block_channels, warps = job
    types = dict.fromkeys(("x", "y", "dx", "dy"), f"*{kind}")
    types |= dict.fromkeys(("partials", "statistics", "gain", "bias"), "*fp32")
    types |= dict.fromkeys(("rows", "rows_per_split", "splits", "parts"), "i32")
    types |= dict.fromkeys(("channels", "first_channel"), "i32 16")
    types |= dict.fromkeys(("slope", "eps", "total"), "fp32")
    constants = {
        "HAS_GAIN": "gain" not in known, "HAS_BIAS": "bias" not in known,
        "BLOCK_R": block_rows, "BLOCK_C": block_channels, "BLOCK_P": 64,
    }  # fmt: skip
    constants = {n: v for n, v in (constants | known).items() if n in kernel.arg_names}
    return hopper.compiled(kernel, types, constants, warps)


@needs_triton
def test_triton_kernels_compile_for_hopper_without_spills(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    jobs = list(kernels_to_compile())
    assert len(jobs) == 16
    with ThreadPoolExecutor(2) as pool:
        for job, found in zip(jobs, pool.map(resources, jobs), strict=True):
            assert found["spilled"] == 0, (job, found)
            # two programs of eight warps, or four of four, share 65,536 registers
            assert found["registers"] <= 128, (job, found)
            assert found["wide_loads"] == found["loads"], (job, found)


@needs_triton
def test_triton_kernels_compile_where_there_is_one_row_and_no_gain(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    ones = dict.fromkeys(("rows", "splits", "parts", "channels"), 1)
    for job in kernels_to_compile():
        if job[1] == "fp32" and job[4] == 4:
            assert resources(job, **ones, gain=None, bias=None, BLOCK_P=1)["spilled"] == 0


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_triton_on_a_gpu_is_the_definition(dtype):
    wide = [Case((256, 72, 8, 8), groups=2), Case((128, 4096)), Case((128, 40, 32, 32))]
    for case in CASES + wide:
        cases.check(case, "triton", dtype, "cuda")


@pytest.mark.gpu
@needs_triton
def test_triton_gives_the_same_bits_twice():
    case = Case((256, 128, 16, 16), groups=2)
    inputs = cases.make_inputs(case, torch.bfloat16, "cuda")
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
