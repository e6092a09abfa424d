"""The compiled CPU kernels: odd shapes, what holds to the bit, memory, and how they are built."""

import ctypes
import os
import re
import subprocess
import sys

import pytest
import torch
from test_mlstm import CELLS, INPUTS, error_ratio, make_inputs, outputs_and_gradients, run

from radford_lib.errors import RadfordError, UsageError
from radford_lib.kernels import cpu, memory
from radford_lib.kernels.mlstm import explain_backend
from radford_lib.kernels.native import build, sequence
from radford_lib.kernels.reader import Reader
from radford_lib.models.language_model import ByteLanguageModel


@pytest.fixture
def native(monkeypatch):
    """The compiled kernels, asked for; skipped, saying so, where they cannot be had."""
    try:
        build.library()
    except RadfordError as error:
        pytest.skip(f"no compiled kernels: {error}")
    monkeypatch.setenv("RADFORD_CPU_KERNELS", "native")


@pytest.fixture
def threads():
    """Set the number of threads, and set it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def as_reader_takes(cell, tensors):
    """The cell's weights and state in the order of ``Reader`` and its ``read``."""
    named = dict(zip(INPUTS[cell], tensors, strict=True))
    weights = (named["table_zx"], named["w_zm" if cell == "mlstm" else "w_zh"])
    weights += (named.get("table_mx"), named.get("w_mh"))
    return weights, (named["h0"], named["c0"])


# --- against the reference ---------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [1, 2, 33])
@pytest.mark.parametrize("batch", [1, 3, 17, 64])
def test_every_shape_matches_the_float64_reference(native, cell, steps, batch):
    for number, hidden in enumerate((1, 5, 16, 33, 128)):
        lengths = None
        if number % 2:  # from nothing at all to the whole window
            lengths = torch.linspace(0, steps, batch).long()
        bytes_, exact = make_inputs(cell, steps, batch, hidden, dtype=torch.float64)
        single = [t.detach().float().requires_grad_() for t in exact]
        expected = outputs_and_gradients(cell, bytes_, exact, lengths, "reference")
        unfused = outputs_and_gradients(cell, bytes_, single, lengths, "reference")
        found = outputs_and_gradients(cell, bytes_, single, lengths, "cpu")
        slack = 1e-7 if hidden >= 16 else 2e-5  # of a few numbers the error is luck
        names = ["h", "h_T", "c_T", *INPUTS[cell]]
        for name, a, b, c in zip(names, found, unfused, expected, strict=True):
            ratio = error_ratio(a, c)
            assert ratio <= 2 * error_ratio(b, c) + slack, (hidden, name, ratio)


@pytest.mark.parametrize("cell", CELLS)
def test_a_long_sequence_does_not_drift(native, cell):
    bytes_, exact = make_inputs(cell, 2000, 2, 24, dtype=torch.float64)
    single = [t.detach().float() for t in exact]
    with torch.no_grad():
        expected = run(cell, bytes_, exact, backend="reference")
        unfused = run(cell, bytes_, single, backend="reference")
        found = run(cell, bytes_, single, backend="cpu")
    for part in (slice(0, 100), slice(-100, None)):
        ratio = error_ratio(found[0][part], expected[0][part])
        assert ratio <= 2 * error_ratio(unfused[0][part], expected[0][part]) + 1e-7


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_need_not_be_contiguous(native, cell):
    bytes_, tensors = make_inputs(cell, 6, 4, 10)
    strided = [t.detach().t().contiguous().t().requires_grad_() for t in tensors]
    assert not any(t.is_contiguous() for t in strided)
    apart = torch.stack([bytes_, bytes_], dim=2)[..., 0]
    lengths = torch.tensor([[6, 3, 0, 5]] * 2).t()[:, 0]
    expected = outputs_and_gradients(cell, bytes_, tensors, lengths.contiguous(), "cpu")
    found = outputs_and_gradients(cell, apart, strided, lengths, "cpu")
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    # an output's gradient that is one number, broadcast
    single = torch.autograd.grad(run(cell, bytes_, tensors)[0].sum(), tensors)
    weighted = torch.autograd.grad((run(cell, bytes_, tensors)[0] * torch.ones(10)).sum(), tensors)
    for a, b in zip(single, weighted, strict=True):
        torch.testing.assert_close(a, b)


def test_an_empty_batch(native):
    bytes_, tensors = make_inputs("mlstm", 3, 0, 8)
    h, h_last, c_last = run("mlstm", bytes_, tensors)
    assert (h.shape, h_last.shape, c_last.shape) == ((3, 0, 8), (0, 8), (0, 8))
    assert all(not g.any() for g in torch.autograd.grad(h.sum(), tensors))


@pytest.mark.parametrize("wrong", [-1, 256, 2**40])
def test_a_number_that_is_no_byte_is_refused(native, wrong):
    bytes_, tensors = make_inputs("mlstm", 3, 2, 4)
    bytes_[1, 1] = wrong
    with pytest.raises(UsageError, match=r"bytes must be in 0\.\.255"):
        run("mlstm", bytes_, tensors, backend="cpu")


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_not_a_number_stays_none(native, cell):
    """Training stops on it, so the kernels must not hide it."""
    bytes_, tensors = make_inputs(cell, 3, 2, 20)
    with torch.no_grad():
        tensors[-1][1, 17] = float("nan")
        h, h_last, c_last = run(cell, bytes_, tensors)
    assert h_last[1].isnan().all()
    assert c_last[1].isnan().all()
    assert not h[:, 0].isnan().any()


# --- what holds to the bit ---------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_the_number_of_threads_changes_nothing(native, cell, threads):
    bytes_, tensors = make_inputs(cell, 20, 32, 100)
    names = ["h", "h_T", "c_T", *INPUTS[cell]]
    found = []
    for number in (1, 2, 3, 8):  # the last more than there may be cores, or panels
        threads(number)
        found.append(outputs_and_gradients(cell, bytes_, tensors, None, "cpu"))
    for several in found[1:]:
        for name, a, b in zip(names, several, found[0], strict=True):
            if name.startswith("w_"):  # torch's product sums in an order of its own
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
            else:
                assert torch.equal(a, b), name


@pytest.mark.parametrize("cell", CELLS)
def test_a_sequence_does_not_depend_on_its_batch_or_windows(native, cell):
    bytes_, tensors = make_inputs(cell, 21, 8, 40)
    *weights, h0, c0 = (t.detach() for t in tensors)
    whole = run(cell, bytes_, [*weights, h0, c0])
    for b in (0, 7):
        alone = run(cell, bytes_[:, b : b + 1], [*weights, h0[b : b + 1], c0[b : b + 1]])
        assert torch.equal(alone[0][:, 0], whole[0][:, b])
        assert torch.equal(alone[2][0], whole[2][b])
    first = run(cell, bytes_[:9], [*weights, h0, c0])
    second = run(cell, bytes_[9:], [*weights, *first[1:]])
    assert torch.equal(torch.cat([first[0], second[0]]), whole[0])
    assert torch.equal(second[2], whole[2])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("batch", [1, 5])
def test_reading_byte_by_byte_equals_the_sequence(native, cell, batch):
    bytes_, tensors = make_inputs(cell, 12, batch, 33)
    weights, (h, c) = as_reader_takes(cell, tensors)
    whole = run(cell, bytes_, tensors)
    reader = Reader(*weights)
    for t, row in enumerate(bytes_):
        h_all, h, c = reader.read(row[None], h, c)
        assert torch.equal(h_all[0], whole[0][t])
    assert torch.equal(c, whole[2])
    assert not h.requires_grad


@pytest.mark.parametrize("cell", CELLS)
def test_a_reader_reads_at_every_level_and_type(native, cell, monkeypatch):
    bytes_, tensors = make_inputs(cell, 7, 3, 9)
    lengths = torch.tensor([7, 0, 4])
    weights, state = as_reader_takes(cell, tensors)
    expected = Reader(*weights).read(bytes_, *state, lengths)
    monkeypatch.setenv("RADFORD_CPU_KERNELS", "torch")
    plain = Reader(*weights).read(bytes_, *state, lengths)
    wide = Reader(*(None if w is None else w.double() for w in weights))
    exact = wide.read(bytes_, *(s.double() for s in state), lengths)
    for a, b, c in zip(expected, plain, exact, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.double(), c, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="the state must be two tensors"):
        wide.read(bytes_, state[0][:2], state[1])


def test_a_model_s_reader_is_its_hidden_states(native):
    model = ByteLanguageModel(hidden=20, seed=3)
    bytes_ = torch.randint(0, 256, (9, 4))
    expected, (_, c) = model.hidden_states(bytes_)
    h, _, found = model.reader().read(bytes_, *model.initial_state(4))
    assert torch.equal(h, expected)
    assert torch.equal(found, c)


# --- memory ------------------------------------------------------------------------------------


def test_memory_is_used_again_but_not_while_a_graph_needs_it(native):
    bytes_, tensors = make_inputs("mlstm", 11, 3, 26)

    def step():
        return torch.autograd.grad(run("mlstm", bytes_, tensors)[0].sum(), tensors)

    memory._free.clear()
    expected = step()
    places = sorted(m.data_ptr() for _, m in memory._free)
    step()
    assert sorted(m.data_ptr() for _, m in memory._free) == places
    held = [run("mlstm", bytes_, tensors)[0].sum() for _ in range(3)]  # three graphs at once
    for loss in held:
        for a, b in zip(torch.autograd.grad(loss, tensors), expected, strict=True):
            assert torch.equal(a, b)


def test_memory_that_nobody_wants_is_let_go():
    memory._free.clear()
    memory.Block({"a": (5, 7), "b": (3,)}, torch.float64)
    assert len(memory._free) == 1
    for _ in range(20):
        block = memory.Block({"c": (11,)}, torch.float32)
        assert block.tensors["c"].shape == (11,)
        del block
    assert {m.dtype for _, m in memory._free} == {torch.float32}


# --- building ----------------------------------------------------------------------------------


def test_structures_have_the_fields_of_their_twins():
    header = (build._SOURCES / "sequence.h").read_text()
    for twin in (sequence._SequenceStruct, sequence._GradientsStruct):
        name = twin.__name__.strip("_").removesuffix("Struct")
        body = re.search(rf"struct {name} \{{\n(.*?)\n(?:\n|\}};)", header, re.DOTALL)[1]
        fields = []
        for line in body.splitlines():
            declared = re.match(r"\s*(?:const )?(int64_t|uint8_t|float)(\*?) ([\w, ]+);", line)
            kind = ctypes.c_void_p if declared[2] else ctypes.c_int64
            fields += [(field, kind) for field in declared[3].split(", ")]
        assert fields == list(twin._fields_)


def python(code, **environment):
    """Start ``code`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_build_at_once_and_a_third_finds_it_built(native, tmp_path):
    code = "from radford_lib.kernels.native.build import library; print(library()._name)"
    both = [python(code, RADFORD_CACHE=str(tmp_path)) for _ in range(2)]
    paths = [process.communicate(timeout=120)[0].strip() for process in both]
    assert paths[0] == paths[1]
    assert paths[0].startswith(str(tmp_path))
    made = os.stat(paths[0]).st_mtime_ns
    third = python(code, RADFORD_CACHE=str(tmp_path))
    assert third.communicate(timeout=120)[0].strip() == paths[0]
    assert os.stat(paths[0]).st_mtime_ns == made
    assert [p.name for p in tmp_path.iterdir()] == ["native"]
    assert len(list((tmp_path / "native").iterdir())) == 1  # nothing half-made is left


def test_without_a_compiler_one_line_says_so(tmp_path):
    code = (
        "import torch\n"
        "from radford_lib.kernels.mlstm import explain_backend\n"
        "from radford_lib.models.language_model import ByteLanguageModel\n"
        "model = ByteLanguageModel(hidden=4)\n"
        "for _ in range(2): model(torch.zeros(3, 2, dtype=torch.int64))\n"
        "print(explain_backend('cpu'))\n"
    )
    environment = {"CXX": "/nowhere/c++", "RADFORD_CACHE": str(tmp_path), "RADFORD_CPU_KERNELS": ""}
    out, err = python(code, **environment).communicate(timeout=120)
    assert err.count("\n") == 1
    assert "no C++ compiler was found (/nowhere/c++): install one, or set CXX" in err
    assert out.startswith("cpu: float32 tensors on the CPU; torch kernels: no C++ compiler")


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("RADFORD_CACHE", str(tmp_path))
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'x.cpp:1: error: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(RadfordError, match=r"cannot compile the kernels: .*no such thing"):
        build.library.__wrapped__()
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho junk > "$2"\n')
    with pytest.raises(RadfordError, match="cannot be loaded"):
        build.library.__wrapped__()


def test_a_level_can_be_forced(native, monkeypatch):
    assert explain_backend("cpu").endswith("native kernels: RADFORD_CPU_KERNELS asks for it")
    monkeypatch.setenv("RADFORD_CPU_KERNELS", "torch")
    assert cpu.choose_level()[0] == "torch"
    monkeypatch.setenv("RADFORD_CPU_KERNELS", "fortran")
    with pytest.raises(UsageError, match="RADFORD_CPU_KERNELS is 'fortran': it must be one of"):
        cpu.choose_level()
