"""Two processes under torchrun train as one process with the whole batch does."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_language_model_training import SHARDS, make_corpus

from radford_lib.errors import UsageError
from radford_lib.training import distributed
from radford_lib.training import language_model as training
from radford_lib.training.distributed import Ranks
from radford_lib.training.language_model import LanguageModelConfig, train_language_model

CONFIG = LanguageModelConfig(
    hidden=16, embed=8, batch=4, window=8, total_bytes=12 * 32, lr=1e-2, clip=0.5
)
HALF_WAY = 6


def train_and_keep_half(config, folder, half):
    """A run into ``folder`` whose checkpoint at half way is copied to ``half``."""
    save = training.save_checkpoint

    def save_and_copy(to, tensors, state):
        path = save(to, tensors, state)
        if state["position"]["update"] == HALF_WAY:
            half.mkdir()
            shutil.copy(path, half)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "save_checkpoint", save_and_copy)
        return train_language_model(
            config,
            make_corpus(*SHARDS),
            validation=make_corpus(*SHARDS),
            checkpoint_dir=folder,
            checkpoint_seconds=0,
            progress=False,
        )


def resume(config, folder):
    corpus = make_corpus(*SHARDS)
    return train_language_model(
        config, corpus, validation=corpus, checkpoint_dir=folder, progress=False
    )


def under_torchrun(root):
    """What each of the two processes does: train, and go on with what one process began."""
    for precision in ("fp32", "bf16"):
        config = replace(CONFIG, precision=precision)
        folder = root / precision
        run = train_and_keep_half(config, folder / "two", folder / "half of two")
        resumed = resume(config, folder / "half of one")
        rank = distributed.setup("cpu").rank
        results = {"history": run.history, "resumed": resumed.history}
        (folder / f"{rank}.json").write_text(json.dumps(results))


def bits(history):
    return [row["bits_per_byte"] for row in history]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of runs and, by precision, the run of one process alone."""
    root = tmp_path_factory.mktemp("distributed")
    alone = {}
    for precision in ("fp32", "bf16"):
        folder = root / precision
        config = replace(CONFIG, precision=precision)
        alone[precision] = train_and_keep_half(config, folder / "one", folder / "half of one")
    program = root / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_distributed import under_torchrun\n"
        f"under_torchrun(Path({str(root)!r}))\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root, alone


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 1e-2)])
def test_two_processes_find_the_losses_of_one(trained, precision, tolerance):
    root, alone = trained
    both = [json.loads((root / precision / f"{rank}.json").read_text()) for rank in (0, 1)]
    for results in both:
        assert bits(results["history"]) == pytest.approx(bits(alone[precision].history), tolerance)
        found, expected = results["history"][-1], alone[precision].history[-1]
        for name in ("valid_bits_per_byte", "gradient_norm"):
            assert found[name] == pytest.approx(expected[name], 10 * tolerance)
    assert bits(both[0]["history"]) == bits(both[1]["history"])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 1e-2)])
def test_either_number_of_processes_goes_on_with_what_the_other_began(
    trained, precision, tolerance
):
    root, alone = trained
    resumed = json.loads((root / precision / "0.json").read_text())["resumed"]
    assert bits(resumed) == pytest.approx(bits(alone[precision].history), tolerance)
    config = replace(CONFIG, precision=precision)
    continued = resume(config, root / precision / "half of two")
    assert bits(continued.history) == pytest.approx(bits(alone[precision].history), tolerance)
    # the state in the checkpoint was that of all streams, not of the first process's
    assert len(continued.history) == CONFIG.updates


def test_only_one_process_writes(trained):
    root, _ = trained
    folder = root / "fp32" / "two"
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.safetensors", "metrics.jsonl"]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == list(range(1, CONFIG.updates + 1))


def test_a_batch_is_shared_out_in_equal_parts():
    assert [Ranks(rank, 3, "cpu").part(12) for rank in range(3)] == [
        slice(0, 4),
        slice(4, 8),
        slice(8, 12),
    ]
    with pytest.raises(UsageError, match="batch 10 cannot be shared out to 3 processes"):
        Ranks(0, 3, "cpu").part(10)


def test_alone_nothing_is_sent():
    ranks = distributed.setup("cpu")
    assert ranks == Ranks(0, 1, "cpu")
    assert ranks.is_main
    parameter = torch.ones(3, requires_grad=True)
    parameter.grad = torch.arange(3.0)
    distributed.average_gradients([parameter])
    assert torch.equal(parameter.grad, torch.arange(3.0))
    assert distributed.average([1.0, 2.0]) == [1.0, 2.0]
    assert distributed.main_decides(True)
    assert distributed.process_count() == 1
