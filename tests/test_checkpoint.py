"""Checkpoints are whole or absent, and an optimiser restored from one goes on to the bit."""

import dataclasses

import pytest
import torch

from radford_lib.errors import RadfordError
from radford_lib.training.checkpoint import (
    FILE_NAME,
    default_checkpoint_dir,
    fingerprint,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from radford_lib.training.metrics import MetricsLog


def test_tensors_and_state_come_back_exactly(tmp_path):
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    tensors = {
        "weight": weight,
        "a view of it": weight.T,
        "scalar": torch.tensor(7),
        "rng": torch.Generator().manual_seed(3).get_state(),
        "half": weight.bfloat16(),
        "empty": torch.zeros(0, 2),
    }
    state = {"update": 5, "rng": {"state": 2**100}, "rows": [{"loss": 0.1}]}
    save_checkpoint(tmp_path / "run", tensors, state)
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded is not None
    assert loaded[1] == state
    assert loaded[0].keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[0][name].dtype == tensor.dtype
        assert torch.equal(loaded[0][name], tensor)
    assert [p.name for p in (tmp_path / "run").iterdir()] == [FILE_NAME]


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "empty", "not safetensors"])
def test_damaged_checkpoint_names_the_file_to_delete(tmp_path, damage):
    path = save_checkpoint(tmp_path, {"weight": torch.arange(1000.0)}, {"update": 1})
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    damaged = {
        "truncated": path.read_bytes()[:-10],
        "bit flipped": bytes(content),
        "empty": b"",
        "not safetensors": b"hello, this is no tensor file",
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(RadfordError, match=rf"{FILE_NAME} is damaged: delete it"):
        load_checkpoint(tmp_path)


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path):
    save_checkpoint(tmp_path, {"weight": torch.ones(2)}, {"update": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, {"weight": torch.zeros(2)}, {"update": object()})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"update": 1}


@pytest.mark.parametrize("fused", [False, True])
def test_restored_optimizer_continues_to_the_bit(tmp_path, fused):
    def start():
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
        return weight, torch.optim.Adam([weight], lr=0.1, fused=fused)

    def step(weight, optimizer):
        optimizer.zero_grad()
        weight.cos().sum().backward()
        optimizer.step()

    weight, optimizer = start()
    for _ in range(3):
        step(weight, optimizer)
    tensors, state = flatten_optimizer(optimizer)
    save_checkpoint(tmp_path, tensors | {"weight": weight}, {"optimizer": state})
    for _ in range(3):
        step(weight, optimizer)

    resumed, optimizer = start()
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    resumed.data.copy_(loaded[0]["weight"])
    restore_optimizer(optimizer, loaded[0], loaded[1]["optimizer"])
    for _ in range(3):
        step(resumed, optimizer)
    assert torch.equal(resumed, weight)


def test_fingerprint_tells_runs_apart():
    @dataclasses.dataclass
    class Config:
        width: int = 8
        lr: float = 1e-3

    base = fingerprint(Config(), "abc")
    assert base == fingerprint(Config(), "abc")
    assert len({base, fingerprint(Config(width=9), "abc"), fingerprint(Config(), "abd")}) == 3


def test_default_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RADFORD_CHECKPOINTS", str(tmp_path))
    assert default_checkpoint_dir("gan", "0123") == tmp_path / "gan-0123"
    monkeypatch.delenv("RADFORD_CHECKPOINTS")
    assert default_checkpoint_dir("gan", "0123").parts[-3:] == ("runs", "checkpoints", "gan-0123")


def test_metrics_file_holds_only_what_the_checkpoint_knows(tmp_path):
    log = MetricsLog(tmp_path)
    log.append(update=1, loss=2.0)
    at_checkpoint = list(log.rows)
    log.append(update=2, loss=1.5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"update": 3, "lo')  # the process was killed here
    resumed = MetricsLog(tmp_path, at_checkpoint)
    resumed.append(update=2, loss=1.5)
    assert resumed.column("loss") == [2.0, 1.5]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"update": 1, "loss": 2.0}', '{"update": 2, "loss": 1.5}']
