"""Two processes that share each batch, started by torchrun: what they compute is one run."""

import os
import subprocess
import sys

import batch_norm_cases as cases
import pytest
import torch
import two_processes
from test_gan_training import pictures

from radford_lib.training import distributed
from radford_lib.training.distributed import Ranks
from radford_lib.training.gan import train_gan


@pytest.fixture(scope="module")
def both(tmp_path_factory, repository):
    """What each of two processes found, and the folder they wrote to."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            repository / "tests" / "two_processes.py", folder,
        ],
        capture_output=True, text=True, cwd=repository, timeout=300,
        env=os.environ
        | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(folder / f"rank{r}.pt") for r in (0, 1)], folder


def test_each_process_knows_its_place(both):
    assert [found["ranks"] for found in both[0]] == [(0, 2, "cpu", True), (1, 2, "cpu", False)]
    assert both[0][0]["refused"] == "batch 7 cannot be shared out to 2 processes"


def test_a_run_by_two_is_the_run_by_one(both):
    one = train_gan(two_processes.CONFIG, pictures(40), device="cpu", progress=False)
    for found in both[0]:
        assert [row["update"] for row in found["history"]] == [1, 2, 3, 4, 5]
        for row, expected in zip(found["history"], one.history, strict=True):
            assert row["d_loss"] == pytest.approx(expected["d_loss"], rel=1e-4)
            assert row["g_loss"] == pytest.approx(expected["g_loss"], rel=1e-4)
        difference = found["snapshots"].int() - torch.from_numpy(one.snapshots[1.0]).int()
        assert difference.abs().max() <= 1


def test_both_processes_end_with_the_same_weights_to_the_bit(both):
    first, second = both[0]
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))
    assert first["snapshots"].equal(second["snapshots"])
    assert [len(found["logits"]) for found in both[0]] == [8, 9]


def test_one_process_writes_the_checkpoint_and_both_read_it(both):
    (first, second), folder = both
    assert first["again"] == second["again"] == first["history"]
    lines = (folder / "checkpoint" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 5


@pytest.mark.parametrize("backend", ["reference", "cpu", "triton"])
def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(both, backend):
    if backend not in both[0][0]["norms"]:
        pytest.skip("no package triton")
    inputs = cases.make_inputs(two_processes.CASE)
    whole = cases.run(two_processes.CASE, [t.double() for t in inputs], "reference")
    parts = [found["norms"][backend] for found in both[0]]
    for index in (0, 1):  # y and dx: each process has its rows
        for rank, part in enumerate(parts):
            expected = two_processes.own_part(whole[index], rank)
            torch.testing.assert_close(part[index].double(), expected, rtol=1e-5, atol=1e-5)
    for index in (2, 3):  # gain and bias: the sum over both
        total = parts[0][index] + parts[1][index]
        torch.testing.assert_close(total.double(), whole[index], rtol=1e-5, atol=1e-5)


def test_one_process_alone_shares_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = distributed.setup("cpu")
    assert ranks == Ranks(0, 1, "cpu")
    assert (ranks.is_main, ranks.group, ranks.part(5)) == (True, None, slice(0, 5))
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 3.0)
    distributed.average_gradients([weight])
    assert weight.grad.tolist() == [3.0, 3.0]
