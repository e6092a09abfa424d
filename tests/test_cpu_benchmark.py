"""The CPU benchmark: its statistics, and a rehearsal."""

import pytest

from benchmarks import mlstm
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


def test_every_candidate_is_measured():
    rows = ladder.cpu_table(16, 2, 4, 1, compiled=False, rounds=1, sample_seconds=0, wait_seconds=0)
    assert {"naive", "nn.LSTM", "ours, torch"} <= {row["candidate"] for row in rows}
    for row in rows:
        assert row["share_of_ceiling"] > 0
        assert row["times_naive"] > 0
    text = mlstm.as_text([*rows, {**rows[0], "candidate": "broken", "note": "failed: why"}])
    assert text.startswith("H 16, B 2, T 4, 1 threads; ceiling ")
    assert len(text.splitlines()) == len(rows) + 3
    assert text.endswith("failed: why")


def test_other_devices_are_refused():
    with pytest.raises(ValueError, match="of the CPU, not of 'cuda'"):
        mlstm.run("cuda", quick=True)
