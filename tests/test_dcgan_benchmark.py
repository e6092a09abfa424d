"""The DCGAN benchmark, walked through on a CPU at toy sizes: counts, peers, rows, command."""

import json

import pytest
import torch

from benchmarks import dcgan
from benchmarks.dcgan_peers import GPU_PEERS, Peer, PlainTrainer
from radford_lib.machine_room import norms
from radford_lib.models.dcgan import make_discriminator, make_generator


# of the paper's nets, counted by torch's FlopCounterMode
@pytest.mark.parametrize(
    ("shape", "width", "gigaflops"),
    [("lsun64", 128, 14.02), ("imagenet32", 128, 5.89), ("svhn32", 64, 0.60)],
)
def test_the_step_is_counted_as_torch_counts_it(shape, width, gigaflops):
    assert dcgan.step_flops(shape, width) / 1e9 == pytest.approx(gigaflops, abs=0.005)


@pytest.mark.parametrize("shape", ["lsun64", "imagenet32", "svhn32"])
def test_peers_train_the_same_networks(shape):
    trainer = PlainTrainer(GPU_PEERS["eager fp32 (TF32), NCHW"], shape, 2, 4, "cpu")
    for plain, own in (
        (trainer.g, make_generator(shape, width=2)),
        (trainer.d, make_discriminator(shape, width=2)),
    ):
        sizes = [sorted(p.numel() for p in net.parameters()) for net in (plain, own)]
        assert sizes[0] == sizes[1]
    before = [p.detach().clone() for p in (*trainer.g.parameters(), *trainer.d.parameters())]
    trainer.step()
    after = (*trainer.g.parameters(), *trainer.d.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_every_peer_of_the_gpu_has_its_row_and_one_that_fails_says_why():
    peers = GPU_PEERS | {"broken": Peer(compiled="no such mode")}
    rows = dcgan.step_rows(
        "svhn32", 2, 4, "cpu", peers, 1e9, rounds=1, sample_seconds=0, wait_seconds=0
    )
    assert [row["peer"] for row in rows] == [*GPU_PEERS, "ours", "broken"]
    assert all(row["images_per_s"] > 0 for row in rows[:-1])
    assert rows[-2]["against_ours"] == 1
    assert "no such mode" in rows[-1]["error"]
    assert "FAILED" in dcgan.line(rows[-1])


def test_ways_to_normalise_agree():
    x, gain, bias = torch.randn(8, 6, 3, 3), torch.randn(6), torch.randn(6)
    found = [f(x, gain, bias, 2) for f in norms.contenders().values()]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_command_prints_a_table_and_writes_the_rows(tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.json"
    monkeypatch.setattr("sys.argv", ["dcgan", "--quick", "--out", str(out)])
    assert dcgan.main() == 0
    rows = json.loads(out.read_text())
    assert {row["what"] for row in rows} == {"machine", "step", "batch norm"}
    assert capsys.readouterr().out.count("x ours") == len(rows) - 1
