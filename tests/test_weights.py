"""Weights that ship: half precision in shards, a card, one way in, one line for what is wrong."""

import json

import pytest
import torch

from radford_lib import weights
from radford_lib.errors import RadfordError, UsageError
from radford_lib.models.dcgan import make_discriminator, make_generator
from radford_lib.models.language_model import ByteLanguageModel
from radford_lib.weights.shards import read_shards, shard_count, write_shards

CARD = {
    "data": [{"name": "things", "split": "pretrain", "toy": True, "sha256": "0" * 64}],
    "licence": "toy", "seed": 0, "steps": 3, "device": "cpu", "seconds": 1.5, "loss": 2.0,
    "scores": {"accuracy": 0.5}, "commit": "abc",
}  # fmt: skip
NETS = {
    "mlstm": (
        ByteLanguageModel("mlstm", 16, 8, seed=3),
        {"kind": "byte-language-model", "cell": "mlstm", "hidden": 16, "embed": 8},
    ),
    "g": (
        make_generator("svhn32", width=4, seed=3),
        {"kind": "dcgan-generator", "shape": "svhn32", "width": 4},
    ),
    "d": (
        make_discriminator("imagenet32", width=4, seed=3, nets="maxout D"),
        {"kind": "dcgan-discriminator", "shape": "imagenet32", "width": 4, "nets": "maxout D"},
    ),
    "digits": (
        make_generator("mnist28", width=4, seed=3),
        {"kind": "dcgan-generator", "shape": "mnist28", "width": 4},
    ),
}


@pytest.fixture
def saved(tmp_path):
    for name, (net, architecture) in NETS.items():
        weights.save(name, net, {**CARD, "architecture": architecture}, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NETS)
def test_a_network_comes_back_as_it_was_but_for_rounding(saved, name):
    found = weights.load(name, folder=saved)
    assert not found.training
    expected = NETS[name][0].state_dict()
    assert found.state_dict().keys() == expected.keys()
    for key, tensor in found.state_dict().items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, expected[key], rtol=1e-3, atol=1e-6)


def test_a_loaded_model_reads_as_the_saved_one(saved):
    bytes_ = torch.arange(40).view(20, 2)
    with torch.no_grad():
        expected = NETS["mlstm"][0](bytes_)[0]
        torch.testing.assert_close(
            weights.load("mlstm", folder=saved)(bytes_)[0], expected, rtol=0.02, atol=0.01
        )


def test_cards_are_listed(saved):
    found = weights.list_weights(saved)
    assert sorted(found) == sorted(NETS)
    assert found["g"]["precision"] == "float16"
    assert all(shard["bytes"] < 2**24 for card in found.values() for shard in card["shards"])


def test_what_ships_can_be_loaded():
    for name, card in weights.list_weights().items():
        assert weights.load(name).state_dict()
        assert card["licence"]


def test_large_tensors_are_cut_by_rows(tmp_path):
    tensors = {"a": torch.randn(7, 5), "b": torch.randn(3), "c": torch.randn(100, 2, 2)}
    shards = write_shards(tmp_path, "x", tensors, limit=160)
    assert len(shards) > 5
    assert len(shards) <= shard_count(tensors, 160) + 5
    assert shards[0]["file"] == f"x-1-of-{len(shards)}.safetensors"
    found = read_shards(tmp_path, shards, "mend it")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    with pytest.raises(RadfordError, match="one row of 'a' has 20 bytes"):
        write_shards(tmp_path, "x", tensors, limit=16)


def test_an_unknown_name_is_told_what_there_is(saved, tmp_path):
    with pytest.raises(UsageError, match="no weights called 'h'; there are: d, digits, g, mlstm"):
        weights.load("h", folder=saved)
    with pytest.raises(UsageError, match="none yet"):
        weights.load("h", folder=tmp_path / "empty")


def test_a_missing_or_damaged_shard_is_one_line(saved):
    shard = saved / "g-1-of-1.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(RadfordError, match=r"g-1-of-1.safetensors is damaged .*get 'g' from"):
        weights.load("g", folder=saved)
    shard.unlink()
    with pytest.raises(RadfordError, match=r"g-1-of-1.safetensors cannot be read .*get 'g' from"):
        weights.load("g", folder=saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": None}, "says nothing of seconds"),
        ({"architecture": {"kind": "vae"}}, "describes a 'vae'"),
        ({"architecture": {"kind": "dcgan-generator", "depth": 4}}, "wrongly"),
        ({"architecture": {**NETS["g"][1], "width": 8}}, "do not fit their card"),
    ],
)
def test_a_wrong_card_is_one_line(saved, change, said):
    path = saved / "g.json"
    card = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))
    with pytest.raises(RadfordError, match=said) as caught:
        weights.load("g", folder=saved)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_saved_is_refused(tmp_path):
    net, architecture = NETS["g"]
    with pytest.raises(RadfordError, match="says nothing of licence"):
        weights.save("g", net, {"architecture": architecture, "data": [], "seed": 0}, tmp_path)
    with pytest.raises(RadfordError, match="another network"):
        weights.save("g", net, {**CARD, "architecture": {**architecture, "width": 8}}, tmp_path)
    net = make_generator("svhn32", width=4)
    net.project.weight.data[0, 0] = 1e6
    with pytest.raises(RadfordError, match=r"project.weight does not fit"):
        weights.save("g", net, {**CARD, "architecture": architecture}, tmp_path)
    assert not list(tmp_path.iterdir())
