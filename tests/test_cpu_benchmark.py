"""The CPU benchmark: its statistics, and a rehearsal."""

from types import SimpleNamespace

import torch

from benchmarks import mlstm
from benchmarks.h200_kernels import Row
from radford_lib.machine_room import ladder
from radford_lib.machine_room.timing import Timing, interleave


def test_samples_left_alone_are_believed_else_the_faster_half():
    seconds, others = [3.0, 1.0, 2.0, 9.0], [0.0, 0.9, 0.1, 0.0]
    assert Timing(1, seconds, others).median == 3.0
    assert Timing(1, seconds, others).quiet == 3
    assert Timing(1, seconds, [1.0] * 4).median == 1.5


def test_candidates_are_compared_within_rounds():
    slow, fast = Timing(1, [2.0, 20.0, 4.0]), Timing(1, [1.0, 10.0, 1.0])
    assert fast.times_faster_than(slow) == 2.0


def test_candidates_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = interleave(calls, rounds=2, sample_seconds=0, wait_seconds=0)
    assert "".join(order) == "aabb" + "ab" + "ba"  # warm-up, a round, a round backwards
    assert all(len(timing.seconds) == 2 for timing in timings.values())


def test_what_takes_minutes_is_not_called_more_often_than_it_is_timed():
    order = []
    timings = interleave({"a": lambda: order.append("a")}, rounds=1, calls=1, wait_seconds=0)
    assert order == ["a"]
    assert len(timings["a"].seconds) == 1


def test_every_candidate_is_measured():
    rows = ladder.cpu_table(16, 2, 4, 1, compiled=False, rounds=1, sample_seconds=0, wait_seconds=0)
    assert {*ladder.RUNGS[:4], "nn.LSTM"} <= {row["candidate"] for row in rows}
    for row in rows:
        assert row["share_of_ceiling"] > 0
        assert row["times_naive"] > 0
    text = mlstm.as_text([*rows, {**rows[0], "candidate": "broken", "note": "failed: why"}])
    assert text.startswith("H 16, B 2, T 4, 1 threads; ceiling ")
    assert len(text.splitlines()) == len(rows) + 3
    assert text.endswith("failed: why")


def test_rungs_compute_the_same():
    bytes_ = torch.randint(0, 256, (5, 3))
    ours = [ladder.OurModel(8, "mlstm", backend) for backend in ("reference", "cpu:torch")]
    naive = [ladder.NaiveModel(8, norm_every_step=every) for every in (True, False)]
    for models in (ours, naive):
        models[1].load_state_dict(models[0].state_dict())
        torch.testing.assert_close(models[0](bytes_), models[1](bytes_))


def test_a_gpus_updates_are_rows_of_the_same_table(monkeypatch):
    def failing():
        raise RuntimeError("out of memory\nand more")

    figures = {"seconds": 0.5, "bytes_per_s": 64.0, "us_per_step": 1.0, "flops": 2e9}
    jobs = [Row("train H16", lambda: figures, str), Row("compile", dict, str)]
    peers = [Row("peer", failing, str)]
    module = SimpleNamespace(training_rows=lambda _: jobs, peer_rows=lambda _: peers)
    monkeypatch.setattr("benchmarks.mlstm_gpu", module, raising=False)
    rows = mlstm.gpu_rows("cpu", quick=True)
    assert [row["candidate"] for row in rows] == ["train H16", "peer"]
    assert rows[0]["ms"] == 500
    assert rows[0]["gflops"] == 2
    assert rows[1]["error"] == "RuntimeError: out of memory"
    assert mlstm.as_text(rows).splitlines()[-1].endswith("failed: RuntimeError: out of memory")
