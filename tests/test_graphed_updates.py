"""The update that a CUDA graph records: here as it runs without one, against the plain update."""

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from interruption import interrupted_at_checkpoint
from test_language_model_training import SHARDS, assert_same_run, make_corpus

from radford_lib.errors import RadfordError, UsageError
from radford_lib.kernels import cross_entropy
from radford_lib.kernels.cross_entropy import byte_cross_entropy
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.training import language_model as training
from radford_lib.training.graphed import GraphedUpdates
from radford_lib.training.language_model import (
    LanguageModelConfig,
    PlainUpdates,
    shard_windows,
    train_language_model,
)

CONFIG = LanguageModelConfig(
    hidden=16, embed=8, batch=4, window=8, total_bytes=12 * 32, lr=1e-2, precision="bf16"
)


def follow(updates, steps, batch=4, window=6):
    """Losses, state and weights after ``steps`` updates, with a new shard on the way."""
    losses = []
    windows = shard_windows(make_corpus(*SHARDS), batch, window, seed=0)
    for step in range(steps):
        inputs, targets, _ = next(windows)
        if step == steps // 2:
            updates.start_shard()
        updates.update(inputs, targets, 1e-2 * (1 - step / steps))
        if step == steps - 3:
            losses += updates.read()[0]
    more, norm = updates.read()
    losses += more
    return losses, norm, updates.state, dict(updates.model.named_parameters())


def graphed(cell="mlstm", dtype=torch.float32, graph=False, device="cpu", capacity=50, **options):
    model = ByteLanguageModel(cell, hidden=12, embed=6, seed=1).to(device)
    return GraphedUpdates(
        model,
        batch=4,
        window=6,
        clip=0.5,
        dtype=dtype,
        capacity=capacity,
        graph=graph,
        **options,
    )


@pytest.mark.parametrize("cell", ["mlstm", "lstm"])
def test_updates_are_those_of_the_plain_loop(cell):
    plain = PlainUpdates(ByteLanguageModel(cell, hidden=12, embed=6, seed=1), batch=4, clip=0.5)
    expected = follow(plain, 9)
    found = follow(graphed(cell), 9)
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(expected[0]))
    assert found[1] == pytest.approx(expected[1], rel=1e-4)
    torch.testing.assert_close(found[2], expected[2], rtol=1e-3, atol=1e-5)
    for name, parameter in expected[3].items():
        torch.testing.assert_close(found[3][name], parameter, rtol=1e-3, atol=1e-5)


def test_losses_are_read_in_order_however_few_fit_on_the_device():
    assert follow(graphed(capacity=2), 9)[0] == follow(graphed(), 9)[0]


def test_bfloat16_stays_near_float32():
    low, exact = follow(graphed(dtype=torch.bfloat16), 9), follow(graphed(), 9)
    assert low[0] == pytest.approx(exact[0], rel=5e-3)
    assert low[2][0].dtype == torch.bfloat16
    assert low[2][1].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in low[3].values())


def test_updates_run_on_triton_s_kernels():
    pytest.importorskip("triton", reason="Triton is not installed")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {"dtype": torch.bfloat16, "device": device}
    found = follow(graphed(backend="triton", **options), 3)
    expected = follow(graphed(backend="reference", **options), 3)
    assert found[0] == pytest.approx(expected[0], rel=5e-3)


# --- the trainer around them -------------------------------------------------------------------


def test_a_low_precision_run_continues_to_the_bit(tmp_path):
    corpus = make_corpus(*SHARDS)
    options = {"validation": corpus, "progress": False}
    whole = train_language_model(CONFIG, corpus, checkpoint_dir=tmp_path / "whole", **options)
    folder = tmp_path / "stopped"
    with interrupted_at_checkpoint(training):
        train_language_model(CONFIG, corpus, checkpoint_dir=folder, checkpoint_seconds=0, **options)
    assert_same_run(train_language_model(CONFIG, corpus, checkpoint_dir=folder, **options), whole)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == list(range(1, CONFIG.updates + 1))


def test_losses_are_only_read_where_they_are_logged(monkeypatch):
    monkeypatch.setattr(training, "LOG_POINTS", 3)
    reads = []
    read = GraphedUpdates.read
    monkeypatch.setattr(GraphedUpdates, "read", lambda self: reads.append(read(self)) or reads[-1])
    run = train_language_model(CONFIG, make_corpus(*SHARDS), progress=False)
    assert [len(losses) for losses, _ in reads] == [4, 4, 4]
    means = [sum(losses) / 4 / math.log(2) for losses, _ in reads]
    assert [row["bits_per_byte"] for row in run.history] == pytest.approx(means)


def test_divergence_is_told_by_the_update_where_it_began(monkeypatch):
    monkeypatch.setattr(training, "LOG_POINTS", 2)
    config = replace(CONFIG, lr=3e38, clip=0.0)
    with pytest.raises(RadfordError, match=r"diverged at update [23] .*lower lr"):
        train_language_model(config, make_corpus(*SHARDS), progress=False)


def test_precision_is_float32_on_a_cpu_and_bfloat16_on_a_gpu_unless_told():
    auto = replace(CONFIG, precision="auto")
    assert auto.dtype("cpu") == torch.float32
    assert auto.dtype("cuda:1") == torch.bfloat16
    assert CONFIG.dtype("cpu") == torch.bfloat16
    assert replace(CONFIG, precision="fp32").dtype("cuda") == torch.float32
    with pytest.raises(UsageError, match="unknown precision 'fp16': choose from auto, fp32, bf16"):
        replace(CONFIG, precision="fp16")


# --- the loss ----------------------------------------------------------------------------------


def test_byte_cross_entropy_is_torch_s_in_pieces(monkeypatch):
    monkeypatch.setattr(cross_entropy, "_ROWS", 4)
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 3, 7), (7, 256), (256,))
    tensors = [
        torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes
    ]
    targets = torch.randint(0, 256, (5, 3), generator=generator)
    h, w, b = tensors
    expected = F.cross_entropy((h @ w + b).flatten(0, 1), targets.flatten())
    found = byte_cross_entropy(*tensors, targets)
    torch.testing.assert_close(found, expected)
    for scale in (1.0, -2.5):
        for a, b in zip(
            torch.autograd.grad(scale * found, tensors, retain_graph=True),
            torch.autograd.grad(scale * expected, tensors, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


# --- on a GPU ----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("cell", ["mlstm", "lstm"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_graph_does_what_it_recorded(cell, dtype):
    options = {"dtype": dtype, "device": "cuda"}
    eager = follow(graphed(cell, graph=False, **options), 12)
    recorded = follow(graphed(cell, graph=True, **options), 12)
    assert recorded[0] == eager[0]
    for name, parameter in eager[3].items():
        assert torch.equal(recorded[3][name], parameter), name


@pytest.mark.gpu
def test_a_periodic_corpus_is_learnt_on_a_gpu_and_the_run_resumes(tmp_path):
    corpus = make_corpus(b"the cat sat on the mat. " * 400)
    config = LanguageModelConfig(
        hidden=64, embed=16, batch=8, window=24, total_bytes=150 * 8 * 24, lr=1e-2
    )
    options = {"validation": corpus, "checkpoint_dir": tmp_path, "progress": False}
    run = train_language_model(config, corpus, checkpoint_seconds=0.0, **options)
    assert run.device == "cuda"
    assert run.valid_bits_per_byte < 0.3
    assert_same_run(train_language_model(config, corpus, **options), run)
