"""The bounds against the tables of the reference pages, which were worked out by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from radford_lib.machine_room import dcgan_bounds, mlstm_bounds
from radford_lib.machine_room.bounds import H200, Machine
from radford_lib.models.dcgan import make_discriminator, make_generator
from radford_lib.models.language_model import ByteLanguageModel

NETS = [("lsun64", 128), ("imagenet32", 128), ("svhn32", 64)]


def test_a_roof_is_the_lower_of_two():
    machine = Machine("m", matmul_flops=100.0, memory_bandwidth=10.0)
    assert machine.ridge == 10
    assert machine.roof(5) == 50
    assert machine.roof(20) == 100
    assert H200.ridge == pytest.approx(184, abs=0.5)


# H, B, microseconds forward, microseconds of a whole step
@pytest.mark.parametrize(
    ("hidden", "batch", "forward", "ideal"),
    [
        (512, 64, 0.2, 1.2), (512, 1024, 3.4, 18.6),
        (1024, 128, 1.7, 7.4), (1024, 512, 6.8, 29.0),
        (2048, 64, 3.4, 13.2), (2048, 256, 13.6, 50.1),
        (4096, 64, 39.0, 99.6), (4096, 128, 39.0, 117), (4096, 256, 54.4, 184),
        (4096, 1024, 217, 723),
    ],
)  # fmt: skip
def test_the_mlstm_step_takes_what_was_worked_out(hidden, batch, forward, ideal):
    bound = mlstm_bounds.step_bound(H200, hidden, batch)
    assert 1e6 * bound.direction == pytest.approx(forward, rel=0.003, abs=0.06)
    assert 1e6 * bound.seconds == pytest.approx(ideal, rel=0.003, abs=0.06)


def test_what_limits_the_mlstm_step():
    limiters = {
        size: mlstm_bounds.step_bound(H200, *size).limiter
        for size in [(512, 64), (1024, 128), (2048, 256), (4096, 128), (4096, 512)]
    }
    assert list(limiters.values()) == [
        "launches", "launches", "products", "memory", "products",
    ]  # fmt: skip


def test_weights_that_the_cache_holds_are_not_read_at_every_step():
    assert mlstm_bounds.step_bound(H200, 2048, 64).weights == 0
    assert mlstm_bounds.step_bound(H200, 4096, 64).weights == pytest.approx(39e-6, rel=0.01)


@pytest.mark.parametrize("hidden", [8, 24])
def test_parameters_of_the_mlstm_are_the_models(hidden):
    model = ByteLanguageModel("mlstm", hidden=hidden)
    counted = sum(p.numel() for p in model.parameters())
    assert mlstm_bounds.parameters(hidden) == counted


def test_more_sequences_at_once_raise_the_intensity_towards_that_of_the_activations():
    values = [mlstm_bounds.intensity(512, batch, 64, 4) for batch in (1, 8, 64, 512)]
    assert values == sorted(values)
    # without anything else than weights: 30 H^2 B operations for 2 x 5 H^2 numbers of 4 bytes
    assert mlstm_bounds.intensity(10**6, 1, 10**9, 4) == pytest.approx(0.75, rel=0.01)


# gigaFLOP of G, of D, of a step and an image
@pytest.mark.parametrize(
    ("shape", "width", "g", "d", "step"),
    [("lsun64", 128, 1.281, 1.278, 14.02), ("imagenet32", 128, 0.540, 0.536, 5.89),
     ("svhn32", 64, 0.056, 0.055, 0.60)],
)  # fmt: skip
def test_operations_of_the_nets(shape, width, g, d, step):
    flops = dcgan_bounds.forward_flops(shape, width)
    assert [value / 1e9 for value in flops] == pytest.approx([g, d], abs=0.0006)
    assert dcgan_bounds.step_flops(shape, width) / 1e9 == pytest.approx(step, abs=0.005)


@pytest.mark.parametrize(("shape", "width"), NETS)
def test_operations_and_parameters_are_the_networks_own(shape, width):
    g, d = make_generator(shape, width=width // 16), make_discriminator(shape, width=width // 16)
    counted = sum(p.numel() for net in (g, d) for p in net.parameters())
    assert dcgan_bounds.parameters(shape, width // 16) == counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        d(g(torch.randn(1, g.z_dim)))
    assert sum(dcgan_bounds.forward_flops(shape, width // 16)) == counter.get_total_flops()


# batch, milliseconds of products, of norms in three ways, of Adam; the norm's shares
@pytest.mark.parametrize(
    ("shape", "width", "batch", "products", "norms", "adam", "shares"),
    [
        ("lsun64", 128, 128, 2.27, (0.58, 0.40, 0.30), 0.235, (0.10, 0.07)),
        ("lsun64", 128, 2048, 36.4, (9.2, 6.4, 4.7), 0.235, None),
        ("imagenet32", 128, 128, 0.95, (0.70, 0.48, 0.34), 0.07, (0.24, 0.18)),
        ("svhn32", 64, 128, 0.10, (0.07, 0.05, 0.04), 0.02, None),
    ],
)
def test_the_dcgan_step_takes_what_was_worked_out(
    shape, width, batch, products, norms, adam, shares
):
    bound = dcgan_bounds.gan_bound(H200, shape, width, batch)
    assert 1e3 * bound.products == pytest.approx(products, rel=0.003, abs=0.006)
    for way, expected in zip(dcgan_bounds.NORM_BYTES, norms, strict=True):
        assert 1e3 * bound.norms[way] == pytest.approx(expected, rel=0.01, abs=0.006)
    assert 1e3 * bound.adam == pytest.approx(adam, rel=0.003, abs=0.005)
    if shares:
        found = [bound.share_of_norm(way, 0.45) for way in ("op by op", "two passes")]
        assert found == pytest.approx(shares, abs=0.005)


def test_a_layer_moves_its_maps_and_weights_once():
    layer = next(dcgan_bounds.layers("svhn32", 64))
    assert layer.name == "G1: 256 to 128"
    assert layer.elements() == (4 * 4 * 256, 8 * 8 * 128)
    moved = 4 * (2 * (4 * 4 * 256 + 8 * 8 * 128) + 25 * 256 * 128)
    assert layer.intensity(2, 4) == pytest.approx(2 * layer.flops / moved)
