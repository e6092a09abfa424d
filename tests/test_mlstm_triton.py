"""The Triton recurrences against their float64 reference: on a GPU, or interpreted without one."""

import importlib.util
import subprocess
import sys

import pytest
import torch
from test_mlstm import CELLS, INPUTS, error_ratio, make_inputs

from radford_lib.errors import UsageError
from radford_lib.kernels import triton_tiles
from radford_lib.kernels.lstm import lstm
from radford_lib.kernels.mlstm import explain_backend, mlstm
from radford_lib.kernels.triton_tiles import Tile, Tiles, tiles_for, with_options

triton = pytest.importorskip("triton", reason="Triton is not installed")
from radford_lib.kernels import sequence_triton  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# small, so that sizes below are several tiles and no multiple of one; the last two products split
SMALL = Tiles(Tile(16, 32, 32), Tile(16, 16, 32), Tile(16, 32, 16, 2), Tile(16, 32, 32, 2))
# the ways of the epilogues that only wide tiles take
WIDE = Tiles(Tile(32, 64, 32, 2), Tile(32, 64, 32), Tile(32, 128, 32), Tile(32, 128, 32, 2))
SPLIT_GATES = SMALL._replace(gates=Tile(16, 32, 16, 2))


def on_device(bytes_, tensors, lengths=None):
    moved = [t.detach().to(DEVICE).requires_grad_() for t in tensors]
    return bytes_.to(DEVICE), moved, None if lengths is None else lengths.to(DEVICE)


def run_triton(cell, bytes_, tensors, lengths, tiles, dtype=torch.float32):
    """``sequence_triton.run`` with h0 in ``dtype`` and everything else as it is."""
    if cell == "mlstm":
        table_mx, table_zx, w_m, w_z, h0, c0 = tensors
    else:
        (table_zx, w_z, h0, c0), table_mx, w_m = tensors, None, None
    return sequence_triton.run(
        bytes_, table_zx, w_z, h0.to(dtype), c0, lengths, table_mx, w_m, tiles
    )


def projected_gradients(outputs, tensors):
    """Gradients of a fixed random projection of the three outputs."""
    generator = torch.Generator().manual_seed(9)
    loss = 0.0
    for out in outputs:
        weights = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        loss = loss + (out.double() * weights.to(out.device)).sum()
    return torch.autograd.grad(loss, tensors)


def errors(cell, steps, batch, hidden, *, lengths=None, tiles=None, dtype=torch.float32):
    """RMS error ratios against float64, by name: those of Triton and of the unfused reference."""
    bytes_, exact = make_inputs(cell, steps, batch, hidden, dtype=torch.float64)
    exact = [t.detach().float().double().requires_grad_() for t in exact]
    function = mlstm if cell == "mlstm" else lstm
    expected = function(bytes_, *exact, lengths=lengths, backend="reference")
    expected = [*expected, *projected_gradients(expected, exact)]

    single = [t.detach().float() for t in exact]
    bytes_, single, lengths = on_device(bytes_, single, lengths)
    found = run_triton(cell, bytes_, single, lengths, tiles, dtype)
    found = [*found, *projected_gradients(found, single)]
    *weights, h0, c0 = single
    unfused = function(bytes_, *weights, h0.to(dtype), c0, lengths=lengths, backend="reference")
    unfused = [*unfused, *projected_gradients(unfused, single)]
    return {
        name: (error_ratio(a.cpu(), c), error_ratio(b.cpu(), c))
        for name, a, b, c in zip(
            ["h", "h_T", "c_T", *INPUTS[cell]], found, unfused, expected, strict=True
        )
    }


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [False, True], ids=["plain", "options"])
@pytest.mark.parametrize(
    ("steps", "batch", "hidden", "lengths"),
    [
        (1, 1, 1, None),
        (2, 17, 36, None),
        (3, 18, 40, [3, 0, 2] * 6),  # the whole window, nothing, a part: in every row block
    ],
)
def test_float32_matches_the_float64_reference(cell, options, steps, batch, hidden, lengths):
    lengths = None if lengths is None else torch.tensor(lengths)
    tiles = with_options(SMALL, tma=True, overlap=True) if options else SMALL
    found = errors(cell, steps, batch, hidden, lengths=lengths, tiles=tiles)
    assert max(ratio for ratio, _ in found.values()) < 5e-6, found


@pytest.mark.parametrize("tiles", [WIDE, SPLIT_GATES], ids=["wide", "split gates"])
def test_every_way_through_the_epilogues(tiles):
    found = errors("mlstm", 2, 5, 70, lengths=torch.tensor([2, 1, 0, 2, 2]), tiles=tiles)
    assert max(ratio for ratio, _ in found.values()) < 5e-6, found


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [False, True], ids=["plain", "options"])
def test_bfloat16_is_as_good_as_unfused(cell, options):
    """But for the rounding of stored gates; the interpreter truncates where a GPU rounds."""
    tiles = with_options(SMALL, tma=True, overlap=True) if options else SMALL
    found = errors(cell, 3, 17, 40, tiles=tiles, dtype=torch.bfloat16)
    for name, (ratio, unfused) in found.items():
        assert ratio < 3e-2, (name, ratio)
        assert ratio <= (1 if DEVICE == "cuda" else 2) * (2 * unfused + 2**-8), name


@pytest.mark.parametrize("cell", CELLS)
def test_two_windows_equal_one_and_values_need_no_gradients(cell):
    bytes_, tensors, lengths = on_device(*make_inputs(cell, 4, 3, 20), torch.tensor([4, 3, 1]))
    whole = run_triton(cell, bytes_, tensors, lengths, SMALL)
    weights, state = tensors[:-2], tensors[-2:]
    first = run_triton(cell, bytes_[:2], [*weights, *state], lengths, SMALL)
    second = run_triton(cell, bytes_[2:], [*weights, *first[1:]], lengths - 2, SMALL)
    pieces = [torch.cat([first[0], second[0]]), *second[1:]]
    for a, b in zip(pieces, whole, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(
        projected_gradients(pieces, tensors), projected_gradients(whole, tensors), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        light = run_triton(cell, bytes_, tensors, lengths, SMALL)
    for a, b in zip(light, whole, strict=True):
        assert torch.equal(a, b)


def test_runs_are_equal_to_the_bit_and_leave_earlier_graphs_alone():
    bytes_, tensors, _ = on_device(*make_inputs("mlstm", 2, 5, 20))
    first = run_triton("mlstm", bytes_, tensors, None, SMALL)
    run_triton("mlstm", bytes_.flip(0), tensors, None, SMALL)  # while the first graph lives
    gradients = torch.autograd.grad(first[0].sum(), tensors, retain_graph=True)
    again = torch.autograd.grad(first[0].sum(), tensors)
    fresh = torch.autograd.grad(run_triton("mlstm", bytes_, tensors, None, SMALL)[0].sum(), tensors)
    for a, b, c in zip(gradients, again, fresh, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_the_public_functions_reach_it():
    for cell, function in (("mlstm", mlstm), ("lstm", lstm)):
        bytes_, tensors, _ = on_device(*make_inputs(cell, 2, 3, 8))
        found = function(bytes_, *tensors, backend="triton")
        expected = function(bytes_, *tensors, backend="reference")
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_prepared_weights_are_not_copied():
    """What ``as_rows`` made is what it returns for the same weights seen from the other side."""
    rows = sequence_triton.as_rows(torch.randn(3, 12), torch.bfloat16)
    assert rows.shape == (12, 3)
    assert rows.is_contiguous()
    assert sequence_triton.as_rows(rows.t(), torch.bfloat16).data_ptr() == rows.data_ptr()


# --- the table of tiles ------------------------------------------------------------------------


def test_the_table_has_tiles_for_every_size():
    leasts = [least for least, _ in triton_tiles.BFLOAT16]
    assert leasts == sorted(leasts, reverse=True)
    assert leasts[-1] == 0
    assert tiles_for(4096, 512, 2) != tiles_for(4096, 128, 2) != tiles_for(64, 8, 2)
    assert tiles_for(4096, 128, 2) == tiles_for(2048, 256, 2)
    assert tiles_for(4096, 128, 4) is triton_tiles.FLOAT32
    for tiles in (*(tiles for _, tiles in triton_tiles.BFLOAT16), triton_tiles.FLOAT32):
        for tile in tiles:
            assert all(size & (size - 1) == 0 for size in tile[:3])
            assert tile.split == 1 or tile.units % 32 == 0


# --- which backend runs ------------------------------------------------------------------------


def test_what_triton_lacks_is_said(monkeypatch):
    bfloat16 = torch.bfloat16
    with pytest.raises(UsageError, match="computes in float32 and bfloat16, not in float64"):
        explain_backend(DEVICE, torch.float64, "triton")
    assert explain_backend(DEVICE, bfloat16, "triton") == "triton: it was asked for"
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UsageError, match="needs a CUDA device, or TRITON_INTERPRET=1"):
        explain_backend("cpu", bfloat16, "triton")
    if DEVICE == "cpu":
        assert explain_backend("cuda", bfloat16).startswith("reference: backend 'triton' needs a C")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs Triton, which is not installed"):
        explain_backend("cuda", bfloat16, "triton")
    assert explain_backend("cuda", bfloat16).startswith("reference: backend 'triton' needs Triton")


def test_without_triton_the_library_works_and_says_so():
    program = """
import sys; sys.modules["triton"] = None
import torch
from radford_lib.errors import UsageError
from radford_lib.kernels.mlstm import mlstm
from radford_lib.training.language_model import train_language_model
bytes_ = torch.zeros(2, 1, dtype=torch.int64)
tensors = [torch.zeros(s) for s in ((256, 2), (256, 8), (2, 2), (2, 8), (1, 2), (1, 2))]
mlstm(bytes_, *tensors)
try:
    mlstm(bytes_, *tensors, backend="triton")
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("backend 'triton' needs Triton, which is not installed"), done


@pytest.mark.gpu
def test_bfloat16_on_a_gpu_runs_on_triton():
    assert explain_backend("cuda", torch.bfloat16) == "triton: bfloat16 tensors on CUDA"


@pytest.mark.gpu
@pytest.mark.parametrize("options", [False, True], ids=["plain", "options"])
@pytest.mark.parametrize(("batch", "hidden"), [(24, 256), (256, 1040), (200, 2624), (512, 2048)])
def test_the_table_s_tiles_match_the_float64_reference(batch, hidden, options):
    tiles = tiles_for(hidden, batch, 2)
    tiles = with_options(tiles, tma=True, overlap=True) if options else tiles
    found = errors("mlstm", 3, batch, hidden, tiles=tiles, dtype=torch.bfloat16)
    for name, (ratio, unfused) in found.items():
        assert ratio < 2e-2, (name, ratio)
        assert ratio <= 2 * unfused + 2**-8, name
