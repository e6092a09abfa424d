"""Byte language models: equations, the release's files, training, resuming, and bits per byte."""

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interruption import interrupted_at_checkpoint

from radford_lib.data.corpus import ByteCorpus
from radford_lib.errors import RadfordError, UsageError
from radford_lib.models.language_model import ByteLanguageModel, column_normed
from radford_lib.training import language_model as training
from radford_lib.training.checkpoint import load_checkpoint
from radford_lib.training.language_model import (
    LanguageModelConfig,
    bits_per_byte,
    language_model_fingerprint,
    shard_windows,
    train_language_model,
)

SMALL = LanguageModelConfig(
    hidden=16, embed=8, batch=4, window=8, total_bytes=10 * 32, lr=1e-2, validation_bytes=500
)
SHARDS = (b"abcd efgh\n" * 40, b"the cat sat\n" * 30)


def make_corpus(*shards: bytes) -> ByteCorpus:
    arrays = tuple(np.frombuffer(shard, np.uint8).copy() for shard in shards)
    return ByteCorpus(arrays, name="periodic", split="train", toy=True, sha256="0" * 64)


@pytest.fixture(scope="module")
def corpus() -> ByteCorpus:
    return make_corpus(*SHARDS)


def weights_of(run) -> dict[str, torch.Tensor]:
    return run.model.state_dict()


def assert_same_run(found, expected) -> None:
    for name, tensor in weights_of(expected).items():
        assert torch.equal(weights_of(found)[name], tensor), name
    without_time = [[{**r, "seconds": 0} for r in run.history] for run in (found, expected)]
    assert without_time[0] == without_time[1]
    assert found.valid_bits_per_byte == expected.valid_bits_per_byte


# --- the model ---------------------------------------------------------------------------------


def test_the_model_is_the_released_encoder():
    """Two bytes through the equations of encoder.py, with one-hot embedding and no tables."""
    model = ByteLanguageModel(hidden=5, embed=3, seed=1)
    gains = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("g_") or name == "bias":
                parameter.copy_(torch.rand(parameter.shape, generator=gains) + 0.5)
    bytes_ = torch.tensor([[65], [200]])
    p = dict(model.named_parameters())
    normed = {
        k: p[f"w_{k}"] / p[f"w_{k}"].norm(dim=0) * p[f"g_{k}"] for k in ("x", "h", "mx", "mh")
    }
    h = c = torch.zeros(1, 5)
    logits = []
    for byte in bytes_:
        x = torch.nn.functional.one_hot(byte, 256).float() @ p["embedding"]
        m = (x @ normed["mx"]) * (h @ normed["mh"])
        z = x @ normed["x"] + m @ normed["h"] + p["bias"]
        i, f, o, u = torch.split(z, 5, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
        h = torch.sigmoid(o) * torch.tanh(c)
        logits.append(h @ p["w_out"] + p["b_out"])
    found, state = model(bytes_)
    torch.testing.assert_close(found, torch.stack(logits))
    torch.testing.assert_close(state, (h, c))


def test_the_lstm_is_torch_s():
    model = ByteLanguageModel(cell="lstm", hidden=6, embed=4, weight_norm=False, seed=3)
    fused = torch.nn.LSTM(4, 6)
    order = [0, 1, 3, 2]  # torch has i, f, g, o
    with torch.no_grad():
        for parameter, ours in (
            (fused.weight_ih_l0, model.w_x.T),
            (fused.weight_hh_l0, model.w_h.T),
            (fused.bias_ih_l0, model.bias),
        ):
            parameter.copy_(torch.cat([ours.chunk(4)[i] for i in order]))
        fused.bias_hh_l0.zero_()
    bytes_ = torch.randint(0, 256, (9, 2), generator=torch.Generator().manual_seed(0))
    found, (h, c) = model.hidden_states(bytes_)
    expected, (h_torch, c_torch) = fused(model.embedding[bytes_])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(h, h_torch[0])
    torch.testing.assert_close(c, c_torch[0])


def test_weight_norm_sets_column_lengths_and_its_gradient_is_tangent():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    gain = torch.rand(4, generator=generator, dtype=torch.float64).add(0.5).requires_grad_()
    torch.testing.assert_close(column_normed(w, gain).norm(dim=0), gain)
    assert torch.autograd.gradcheck(column_normed, (w, gain))
    (gradient,) = torch.autograd.grad(column_normed(w, gain).sin().sum(), w)
    torch.testing.assert_close((gradient * w).sum(dim=0), torch.zeros(4, dtype=torch.float64))


def test_a_fresh_model_is_the_same_for_a_seed_with_and_without_weight_norm():
    bytes_ = torch.arange(10)[:, None]
    logits = ByteLanguageModel(hidden=8, seed=5)(bytes_)[0]
    assert torch.equal(logits, ByteLanguageModel(hidden=8, seed=5)(bytes_)[0])
    torch.testing.assert_close(
        logits, ByteLanguageModel(hidden=8, seed=5, weight_norm=False)(bytes_)[0]
    )
    assert not torch.equal(logits, ByteLanguageModel(hidden=8, seed=6)(bytes_)[0])


def test_unknown_cell_is_refused():
    with pytest.raises(UsageError, match="unknown cell 'gru': choose from mlstm, lstm"):
        ByteLanguageModel(cell="gru")


# --- the release's fifteen files ---------------------------------------------------------------


def test_official_files_come_back_exactly(tmp_path):
    model = ByteLanguageModel(hidden=6, embed=4, seed=7)
    model.to_official(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{i}.npy" for i in range(15))
    assert np.load(tmp_path / "3.npy").shape == (6, 6)
    assert np.array_equal(np.load(tmp_path / "3.npy"), model.w_h.detach().numpy()[:, 6:12])
    again = ByteLanguageModel.from_official(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_official_files_that_do_not_fit_are_named(tmp_path):
    ByteLanguageModel(hidden=6, embed=4).to_official(tmp_path)
    (tmp_path / "1.npy").unlink()
    (tmp_path / "7.npy").unlink()
    with pytest.raises(RadfordError, match=r"lacks 1\.npy, 7\.npy of the release's 15"):
        ByteLanguageModel.from_official(tmp_path)
    ByteLanguageModel(hidden=6, embed=4).to_official(tmp_path)
    np.save(tmp_path / "13.npy", np.zeros((6, 255), np.float32))
    with pytest.raises(RadfordError, match=r"13\.npy has shape \(6, 255\) where \(6, 256\)"):
        ByteLanguageModel.from_official(tmp_path)
    (tmp_path / "13.npy").write_bytes(b"no array")
    with pytest.raises(RadfordError, match=r"13\.npy is not a readable NumPy array"):
        ByteLanguageModel.from_official(tmp_path)
    with pytest.raises(UsageError, match="only an mLSTM with weight norm"):
        ByteLanguageModel(cell="lstm", hidden=4).to_official(tmp_path)


# --- how the corpus is read --------------------------------------------------------------------


def test_windows_read_every_stream_in_order_and_say_where_shards_start():
    corpus = make_corpus(bytes(range(50)), bytes(range(100, 130)))
    windows = shard_windows(corpus, batch=2, window=5, seed=0)
    epoch = [next(windows) for _ in range(4 + 2)]  # (25 - 1) // 5 and (15 - 1) // 5
    assert [starts for *_, starts in epoch].count(True) == 2
    long = [w for w in epoch if w[0].max() < 100]
    assert [starts for *_, starts in long] == [True, False, False, False]
    read = torch.cat([inputs for inputs, *_ in long])
    assert read[:, 0].tolist() == list(range(20))
    assert read[:, 1].tolist() == list(range(25, 45))
    for inputs, targets, _ in epoch:
        assert torch.equal(targets, inputs + 1)
    following = next(windows)
    assert following[2]


@pytest.mark.parametrize("skip", [1, 5, 6, 17])
def test_windows_can_be_skipped(skip):
    corpus = make_corpus(bytes(range(50)), b"x" * 3, bytes(range(100, 130)))
    whole = shard_windows(corpus, batch=2, window=5, seed=3)
    for _ in range(skip):
        next(whole)
    skipped = shard_windows(corpus, batch=2, window=5, seed=3, skip=skip)
    for _ in range(8):
        a, b = next(whole), next(skipped)
        assert torch.equal(a[0], b[0])
        assert a[2] == b[2]


def test_a_corpus_too_short_for_one_update_says_so(corpus):
    with pytest.raises(RadfordError, match=r"less than batch 64 x .window 64 . 1.: lower batch"):
        next(shard_windows(corpus, batch=64, window=64, seed=0))


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["mlstm", "lstm"])
def test_a_periodic_corpus_is_learnt(cell):
    corpus = make_corpus(b"the cat sat on the mat. " * 400)
    config = LanguageModelConfig(
        cell=cell, hidden=32, embed=16, batch=8, window=24, total_bytes=150 * 8 * 24, lr=1e-2
    )
    run = train_language_model(config, corpus, validation=corpus, progress=False)
    assert run.history[0]["bits_per_byte"] > 7
    assert run.valid_bits_per_byte is not None
    assert run.valid_bits_per_byte < 0.3
    assert run.bytes_seen == config.total_bytes
    assert run.history[-1]["lr"] == pytest.approx(config.lr / config.updates)


def test_a_run_that_was_stopped_continues_to_the_bit(corpus, tmp_path):
    whole = train_language_model(
        SMALL, corpus, validation=corpus, checkpoint_dir=tmp_path / "whole", progress=False
    )
    folder = tmp_path / "stopped"
    options = {"validation": corpus, "checkpoint_dir": folder, "progress": False}
    with interrupted_at_checkpoint(training):
        train_language_model(SMALL, corpus, checkpoint_seconds=0, **options)
    continued = train_language_model(SMALL, corpus, **options)
    assert_same_run(continued, whole)
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert logged == continued.history


def test_a_run_returns_at_its_deadline_and_continues_to_the_bit(corpus, tmp_path):
    options = {"validation": corpus, "progress": False}
    whole = train_language_model(SMALL, corpus, **options)
    assert whole.finished
    past = {"checkpoint_dir": tmp_path, "deadline": time.perf_counter(), **options}
    for update in range(1, SMALL.updates):
        found = train_language_model(SMALL, corpus, **past)
        assert (found.bytes_seen, found.finished) == (update * 32, False)
    assert_same_run(train_language_model(SMALL, corpus, **past), whole)


def test_a_run_is_visited_once_at_each_number_of_bytes(corpus, tmp_path):
    seen = []

    def visit(model, count):
        seen.append((count, model.w_out.sum().item()))

    options = {"visit": visit, "visit_at": (33, 64, 320), "progress": False}
    first = {"checkpoint_dir": tmp_path, "deadline": time.perf_counter(), **options}
    for _ in range(3):  # one update each: the visit at the second is not repeated
        train_language_model(SMALL, corpus, **first)
    run = train_language_model(SMALL, corpus, checkpoint_dir=tmp_path, **options)
    assert [count for count, _ in seen] == [64, 320]
    assert seen[-1][1] == run.model.w_out.sum().item()


def test_a_finished_run_is_loaded_and_not_trained_again(corpus, tmp_path, monkeypatch):
    run = train_language_model(SMALL, corpus, checkpoint_dir=tmp_path, progress=False)
    monkeypatch.setattr(training, "update_once", None)
    loaded = train_language_model(SMALL, corpus, checkpoint_dir=tmp_path, progress=False)
    assert_same_run(loaded, run)
    assert loaded.seconds == run.seconds


def test_a_killed_process_continues_to_the_bit(corpus, tmp_path):
    """SIGKILL in the middle of training; what is left continues to what an unbroken run gives."""
    config = replace(SMALL, total_bytes=500 * 32)
    folder = tmp_path / "killed"
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_language_model_training import *
train_language_model({config!r}, make_corpus(*SHARDS), checkpoint_dir={str(folder)!r},
                     checkpoint_seconds=0, progress=False)
"""
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    left = load_checkpoint(folder)
    assert left is not None
    assert 1 <= left[1]["position"]["update"] < config.updates
    continued = train_language_model(config, corpus, checkpoint_dir=folder, progress=False)
    assert_same_run(continued, train_language_model(config, corpus, progress=False))


def test_another_run_s_checkpoint_is_refused(corpus, tmp_path):
    train_language_model(SMALL, corpus, checkpoint_dir=tmp_path, progress=False)
    other = replace(SMALL, seed=1)
    with pytest.raises(RadfordError, match="holds another run"):
        train_language_model(other, corpus, checkpoint_dir=tmp_path, progress=False)


def test_runs_are_the_same_for_a_seed_and_their_fingerprints_tell_them_apart(corpus):
    first = train_language_model(SMALL, corpus, progress=False)
    assert_same_run(train_language_model(SMALL, corpus, progress=False), first)
    shorter = make_corpus(b"abcd efgh\n" * 40)
    prints = {
        language_model_fingerprint(SMALL, corpus),
        language_model_fingerprint(SMALL, corpus, corpus),
        language_model_fingerprint(SMALL, shorter),
    }
    assert len(prints) == 3


def test_divergence_stops_the_run_with_advice(corpus):
    config = replace(SMALL, lr=3e38, clip=0.0)
    with pytest.raises(RadfordError, match=r"training diverged at update \d+ .*: lower lr"):
        train_language_model(config, corpus, progress=False)


def test_configurations_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="less than one update"):
        LanguageModelConfig(total_bytes=100)
    with pytest.raises(UsageError, match="window must be at least 1"):
        LanguageModelConfig(window=0)
    with pytest.raises(UsageError, match="lr must be positive"):
        LanguageModelConfig(lr=0.0)


# --- bits per byte -----------------------------------------------------------------------------


def test_bits_per_byte_is_the_mean_code_length():
    model = ByteLanguageModel(hidden=8, embed=4, seed=0)
    text = b"so it goes. " * 30
    corpus = make_corpus(text)
    bytes_ = torch.tensor(list(text))[:, None]
    with torch.no_grad():
        log_probabilities = model(bytes_[:-1])[0].log_softmax(dim=-1)[:, 0]
    mean = -log_probabilities.gather(1, bytes_[1:]).mean().item() / math.log(2)
    assert bits_per_byte(model, corpus, batch=1, window=50) == pytest.approx(mean, rel=1e-5)
    assert bits_per_byte(model, corpus, batch=1, window=7) == pytest.approx(mean, rel=1e-5)


def test_a_model_that_knows_nothing_pays_eight_bits():
    model = ByteLanguageModel(hidden=8, embed=4)
    with torch.no_grad():
        model.w_out.zero_()
    corpus = make_corpus(bytes(range(256)) * 4, b"zz")
    assert bits_per_byte(model, corpus) == pytest.approx(8.0)
    assert bits_per_byte(model, corpus, max_bytes=64) == pytest.approx(8.0)
    with pytest.raises(RadfordError, match="too short to be scored"):
        bits_per_byte(model, make_corpus(b"a"))
