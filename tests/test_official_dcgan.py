"""The released SVHN nets of 2016: the importer, on made-up pieces and on the real files."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from radford_lib.errors import RadfordError
from radford_lib.models.dcgan import make_discriminator, make_generator
from radford_lib.models.official_dcgan import (
    DISCRIMINATOR,
    GENERATOR,
    load_official_discriminator,
    load_official_generator,
)


@pytest.fixture
def nets():
    return make_generator("svhn32", seed=7), make_discriminator("svhn32", seed=7)


def write_pieces(folder, kind, net, names):
    """A net as the original code saved it: kernels not flipped, linear weights (in, out)."""
    parameters = dict(net.named_parameters())
    for number, name in enumerate(names, start=1):
        value = parameters[name].detach().numpy()
        if value.ndim == 4:
            value = value[:, :, ::-1, ::-1]
        np.save(
            folder / f"200_{kind}_params.jl_{number:02d}.npy", value.T if value.ndim == 2 else value
        )


def test_original_pieces_come_back_flipped_and_transposed(tmp_path, nets):
    write_pieces(tmp_path, "gen", nets[0], GENERATOR)
    write_pieces(tmp_path, "discrim", nets[1], DISCRIMINATOR)
    loaded = load_official_generator(tmp_path), load_official_discriminator(tmp_path)
    for net, original in zip(loaded, nets, strict=True):
        for mine, theirs in zip(net.parameters(), original.parameters(), strict=True):
            assert torch.equal(mine, theirs)


def test_flipped_kernels_convolve_as_theano_did(tmp_path, nets):
    write_pieces(tmp_path, "discrim", nets[1], DISCRIMINATOR)
    piece = np.load(tmp_path / "200_discrim_params.jl_01.npy")
    net = load_official_discriminator(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3, 32, 32)).astype(np.float32)
    found = net.layers[0][0](torch.from_numpy(x))[0, 5, 4, 7].item()
    # true convolution at output (4, 7), stride 2, padding 2
    patch = np.pad(x[0], ((0, 0), (2, 2), (2, 2)))[:, 8:13, 14:19]
    expected = sum(
        patch[c, i, j] * piece[5, c, 4 - i, 4 - j]
        for c in range(3) for i in range(5) for j in range(5)
    )  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-4)


def test_packed_file_is_taken_as_it_is(tmp_path, nets):
    parameters = dict(nets[0].named_parameters())
    tensors = {theirs: parameters[ours].detach().clone() for ours, theirs in GENERATOR.items()}
    save_file(tensors, tmp_path / "dcgan_svhn_generator.safetensors")
    net = load_official_generator(tmp_path)
    for mine, theirs in zip(net.parameters(), nets[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_missing_broken_and_foreign_files_are_named(tmp_path, nets):
    with pytest.raises(RadfordError, match="no official DCGAN weights in"):
        load_official_generator(tmp_path)
    packed = tmp_path / "dcgan_svhn_generator.safetensors"
    packed.write_bytes(b"not a tensor in sight")
    with pytest.raises(RadfordError, match="cannot be read as safetensors"):
        load_official_generator(tmp_path)
    save_file({"fc.weight": torch.zeros(3, 3)}, packed)
    with pytest.raises(RadfordError, match=r"fc.weight has shape \(3, 3\)"):
        load_official_generator(tmp_path)
    write_pieces(tmp_path, "discrim", nets[1], DISCRIMINATOR)
    piece = tmp_path / "200_discrim_params.jl_03.npy"
    np.save(piece, np.array([{"a": "pickle"}], dtype=object), allow_pickle=True)
    with pytest.raises(RadfordError, match=r"jl_03.npy is missing or no .npy array"):
        load_official_discriminator(tmp_path)
    piece.unlink()
    with pytest.raises(RadfordError, match=r"jl_03.npy is missing"):
        load_official_discriminator(tmp_path)


@pytest.mark.real_data
def test_released_nets_behave_as_measured_elsewhere(real_data):
    generator = load_official_generator(real_data / "official")
    discriminator = load_official_discriminator(real_data / "official")
    z = generator.sample_z(64, torch.Generator().manual_seed(0))
    with torch.no_grad():
        samples = generator(z)
        logit = discriminator(samples).mean().item()
    assert samples.mean().item() == pytest.approx(-0.05, abs=0.02)
    assert samples.std().item() == pytest.approx(0.23, abs=0.02)
    assert -9 < logit < -4  # at epoch 200 D had beaten G
    # digits on smooth grounds: neighbouring pixels nearly agree, which mush does not
    step = F.l1_loss(samples[..., 1:], samples[..., :-1]).item()
    assert step < 0.25 * samples.std().item()
