"""The four DCGAN shapes, batch norm with the official code's facts, and features of D."""

import pytest
import torch

from radford_lib.errors import RadfordError, UsageError
from radford_lib.interpret.features import discriminator_features, pooled
from radford_lib.models.batch_norm import BatchNorm, calibrate, release, set_groups
from radford_lib.models.dcgan import (
    GUIDELINES,
    SHAPES,
    Maxout,
    make_discriminator,
    make_generator,
)

MAKERS = (make_generator, make_discriminator)


def codes(net, n, seed=0):
    return net.sample_z(n, torch.Generator().manual_seed(seed))


def labels(net, n):
    return (torch.arange(n) % 10,) if net.shape.conditional else ()


def images(shape, n, seed=0):
    found = SHAPES[shape]
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, found.channels, found.size, found.size, generator=rng) * 2 - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_generator_makes_images_in_range_and_discriminator_one_logit_each(shape):
    g, d = make_generator(shape, width=8), make_discriminator(shape, width=8)
    x = g(codes(g, 4), *labels(g, 4))
    assert x.shape == (4, *g.image_shape)
    assert x.min() >= (0 if shape == "mnist28" else -1)
    assert x.max() <= 1
    assert d(x, *labels(d, 4)).shape == (4,)


# counted by hand from the layer tables of the paper and the official code
@pytest.mark.parametrize(
    ("shape", "generator", "discriminator"),
    [
        (
            "lsun64",
            100 * 16384 + 2 * 16384 + 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
            + 2 * (512 + 256 + 128),
            25 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + 2 * (256 + 512 + 1024) + 16384,
        ),
        (
            "imagenet32",
            256 * 8192 + 2 * 8192
            + 9 * (512 * 512 + 512 * 256 + 256 * 256 + 256 * 128 + 128 * 128 + 128 * 3)
            + 2 * (512 + 256 + 256 + 128 + 128),
            9 * (3 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
            + 2 * (128 + 256 + 256 + 512 + 512) + 8192,
        ),
        (
            "svhn32",
            100 * 4096 + 2 * 4096 + 25 * (256 * 128 + 128 * 64 + 64 * 3) + 2 * (128 + 64),
            25 * (3 * 64 + 64 * 128 + 128 * 256) + 2 * (128 + 256) + 4096,
        ),
        (
            "mnist28",
            110 * 1024 + 1034 * 6272 + 25 * (138 * 64 + 74),
            25 * (11 * 64 + 74 * 128) + 6282 * 1024 + 1034,
        ),
    ],
)  # fmt: skip
def test_parameter_counts_are_the_papers(shape, generator, discriminator):
    for make, expected in ((make_generator, generator), (make_discriminator, discriminator)):
        net = make(shape)
        assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_no_layer_has_a_bias_but_batch_norm(shape):
    for net in (make_generator(shape, width=4), make_discriminator(shape, width=4)):
        layers = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
        assert all(m.bias is None for m in net.modules() if isinstance(m, layers))
        norms = [m for m in net.modules() if isinstance(m, BatchNorm)]
        assert all((m.gain is None) == (shape == "mnist28") for m in norms)


def modules(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("nets", GUIDELINES)
@pytest.mark.parametrize("shape", ["svhn32", "imagenet32"])
def test_nets_against_the_guidelines_keep_their_sizes(shape, nets):
    g = make_generator(shape, width=4, nets=nets)
    d = make_discriminator(shape, width=4, nets=nets)
    x = g(codes(g, 4))
    assert x.shape == (4, *g.image_shape)
    assert d(x).shape == (4,)
    sizes = [m.shape[1:] for m in make_discriminator(shape, width=4).features(x)]
    assert [m.shape[1:] for m in d.features(x)] == sizes
    (g(codes(g, 4)).sum() + d(x).sum()).backward()
    assert all(p.grad is not None for net in (g, d) for p in net.parameters())


def test_each_guideline_is_broken_in_one_way_only():
    def pair(nets):
        return [make(nets=nets, shape="svhn32", width=4) for make in MAKERS]

    paper = [len(modules(net, BatchNorm)) for net in pair("paper")]
    assert paper == [3, 2]
    assert [len(modules(net, BatchNorm)) for net in pair("no batch norm")] == [0, 0]
    assert [len(modules(net, BatchNorm)) for net in pair("batch norm everywhere")] == [4, 3]
    g, d = pair("pooling")
    assert not modules(g, torch.nn.ConvTranspose2d)
    assert all(conv.stride == (1, 1) for conv in modules(d, torch.nn.Conv2d))
    assert len(modules(d, torch.nn.MaxPool2d)) == len(modules(g, torch.nn.Upsample)) == 3
    assert [len(modules(net, torch.nn.Linear)) for net in pair("hidden layers")] == [2, 2]
    assert not modules(pair("tanh G")[0], torch.nn.ReLU)
    assert not modules(pair("ReLU D")[1], torch.nn.LeakyReLU)
    g, d = pair("maxout D")
    assert len(modules(g, torch.nn.ReLU)) == len(modules(d, Maxout)) == 3


def test_maxout_keeps_the_larger_of_each_pair():
    x = torch.tensor([[1.0, 5.0, 3.0, 2.0]])
    assert Maxout()(x).tolist() == [[3.0, 5.0]]


@pytest.mark.parametrize(
    ("shape", "nets", "said"),
    [("svhn32", "no nets", "there are: paper, pooling"), ("mnist28", "pooling", "unconditional")],
)
def test_nets_that_do_not_exist_are_one_line(shape, nets, said):
    for make in MAKERS:
        with pytest.raises(UsageError, match=said):
            make(shape, nets=nets)


def test_first_batch_norm_of_the_generator_is_per_unit():
    assert make_generator("lsun64").project_norm.units == 16384
    assert make_generator("imagenet32").project_norm.units == 8192
    assert make_generator("svhn32").project_norm.units == 4096


def test_initial_weights_have_the_papers_spread():
    g = make_generator("svhn32", seed=3)
    assert g.project.weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert g.project.weight.mean().item() == pytest.approx(0, abs=2e-4)
    assert g.project_norm.gain.std().item() == pytest.approx(0.02, rel=0.05)
    assert g.project_norm.gain.mean().item() == pytest.approx(1, abs=1e-3)
    assert g.project_norm.bias.abs().max() == 0


def test_seed_decides_the_weights_and_both_nets_differ():
    same = [make_generator("svhn32", width=4, seed=5) for _ in range(2)]
    other = make_generator("svhn32", width=4, seed=6)
    assert torch.equal(same[0].project.weight, same[1].project.weight)
    assert not torch.equal(same[0].project.weight, other.project.weight)
    g = make_generator("svhn32", width=8, seed=5).project.weight.flatten()[:100]
    d = make_discriminator("svhn32", width=8, seed=5).layers[0][0].weight.flatten()[:100]
    assert not torch.equal(g, d)


def test_making_a_net_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    make_generator("svhn32", width=4).project_norm(torch.ones(2, 256))
    # PyTorch's own layers draw from it when they are built; batch norm must not
    torch.manual_seed(0)
    BatchNorm(8)
    assert torch.equal(torch.rand(1), expected)


def test_codes_are_uniform_or_for_svhn_gaussian():
    uniform = codes(make_generator("lsun64", width=2), 2000)
    assert uniform.shape == (2000, 100)
    assert uniform.abs().max() <= 1
    assert uniform.std().item() == pytest.approx(3**-0.5, rel=0.01)
    gaussian = codes(make_generator("svhn32", width=2), 2000)
    assert gaussian.std().item() == pytest.approx(1, rel=0.01)
    assert gaussian.abs().max() > 3
    assert codes(make_generator("imagenet32", width=2), 3).shape == (3, 256)


def test_transposed_layer_is_the_input_gradient_of_the_padded_convolution():
    g = make_generator("svhn32", width=2)
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = g.maps[0].double()
    image = torch.zeros(2, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    down = torch.nn.functional.conv2d(image, layer.weight, stride=2, padding=2)
    assert down.shape == x.shape
    (gradient,) = torch.autograd.grad(down, image, x)
    torch.testing.assert_close(layer(x), gradient)


def test_unknown_shape_is_a_usage_error_that_names_the_known_ones():
    with pytest.raises(UsageError, match="there are: lsun64"):
        make_generator("lsun")


@pytest.mark.parametrize("size", [(6, 5), (6, 5, 3, 2)])
def test_batch_norm_is_the_formula_in_float64(size):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(size, generator=rng, dtype=torch.float64) * 3 + 1
    norm = BatchNorm(5).double()
    norm.gain.data = torch.randn(5, generator=rng, dtype=torch.float64)
    norm.bias.data = torch.randn(5, generator=rng, dtype=torch.float64)
    over = [0] if len(size) == 2 else [0, 2, 3]
    mean = x.mean(over, keepdim=True)
    variance = ((x - mean) ** 2).mean(over, keepdim=True)
    tail = (1,) * (len(size) - 2)
    expected = (x - mean) / (variance + 1e-8).sqrt() * norm.gain.view(-1, *tail)
    torch.testing.assert_close(norm(x), expected + norm.bias.view(-1, *tail))


def test_two_groups_are_two_separate_passes_gradients_too():
    d = make_discriminator("svhn32", width=4).double()
    real, fake = images("svhn32", 6, 1).double(), images("svhn32", 6, 2).double()
    separate = torch.cat([d(real), d(fake)])
    separate.square().sum().backward()
    expected = [p.grad.clone() for p in d.parameters()]
    d.zero_grad()
    set_groups(d, 2)
    grouped = d(torch.cat([real, fake]))
    grouped.square().sum().backward()
    torch.testing.assert_close(grouped, separate)
    for p, gradient in zip(d.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)
    with pytest.raises(RadfordError, match="cannot be split into 2 groups"):
        d(real[:3])


def test_norm_and_activation_in_one_are_the_layers_one_by_one():
    x = images("svhn32", 6).double()
    d, g = make_discriminator("svhn32", width=4).double(), make_generator("svhn32", width=4)
    conv, norm, activation = d.layers[1]
    first = d.layers[0](x)
    torch.testing.assert_close(d.layers[1](first), activation(norm(conv(first))))
    assert norm(conv(first)).min() < -0.5  # what the activation sees
    h = torch.randn(6, 16, 4, 4, generator=torch.Generator().manual_seed(2))
    one_by_one = h
    for layer in g.maps:
        one_by_one = layer(one_by_one)
    torch.testing.assert_close(g.maps(h), one_by_one)
    calibrate(d, [x])
    torch.testing.assert_close(d.layers[1](first), activation(norm(conv(first))))


def test_parameters_keep_the_names_that_saved_nets_have():
    g, d = make_generator("svhn32", width=2), make_discriminator("svhn32", width=2)
    assert [n for n in g.state_dict() if "gain" in n or "weight" in n] == [
        "project.weight", "project_norm.gain", "maps.0.weight", "maps.1.gain", "maps.3.weight",
        "maps.4.gain", "out.weight",
    ]  # fmt: skip
    assert [n for n in d.state_dict() if "gain" in n or "weight" in n] == [
        "layers.0.0.weight", "layers.1.0.weight", "layers.1.1.gain", "layers.2.0.weight",
        "layers.2.1.gain", "out.weight",
    ]  # fmt: skip


def test_calibration_averages_the_statistics_of_batches():
    norm = BatchNorm(3).double()
    batches = [images("svhn32", 4, seed).double() * (1 + seed) for seed in range(3)]
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    variance = torch.stack([b.var((0, 2, 3), correction=0) for b in batches]).mean(0)
    calibrate(norm, batches)
    x = images("svhn32", 1, 9).double()
    expected = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-8).sqrt()
    torch.testing.assert_close(norm(x), expected)
    release(norm)
    torch.testing.assert_close(norm(x).mean((0, 2, 3)), torch.zeros(3).double())
    with pytest.raises(RadfordError, match="no batch"):
        calibrate(norm, [])


def test_calibrated_samples_do_not_depend_on_batch_mates():
    g = make_generator("svhn32", width=4)
    z = codes(g, 8)
    assert not torch.allclose(g(z)[:2], g(z[:4])[:2])
    calibrate(g, [codes(g, 16, seed) for seed in range(3)])
    torch.testing.assert_close(g(z)[:2], g(z[:4])[:2])


@pytest.mark.parametrize(("shape", "features"), [("imagenet32", 28672), ("svhn32", 7168)])
def test_feature_counts_are_the_papers(shape, features):
    d = make_discriminator(shape)
    assert pooled(d.features(images(shape, 2))).shape == (2, features)


def test_features_are_maxima_and_do_not_depend_on_batches():
    d = make_discriminator("imagenet32", width=4)
    pictures = ((images("imagenet32", 10) + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
    found = discriminator_features(d, pictures, calibrate_on=pictures, batch=5)
    assert found.shape == (10, 896)
    alone = discriminator_features(d, pictures[:3], calibrate_on=pictures, batch=5)
    torch.testing.assert_close(torch.from_numpy(alone), torch.from_numpy(found[:3]))
    x = torch.from_numpy(pictures[:1]).float().permute(0, 3, 1, 2) / 127.5 - 1
    first = d.layers[0](x)  # (1, 4, 32, 32), no batch norm here
    corner = first[0, :, :8, :8].amax((1, 2))
    torch.testing.assert_close(torch.from_numpy(found[0, :64].reshape(4, 16)[:, 0]), corner)
    assert all(m.mean is None for m in d.modules() if isinstance(m, BatchNorm))


def test_features_refuse_what_the_net_cannot_take():
    d = make_discriminator("svhn32", width=2)
    pictures = torch.zeros(4, 16, 16, 3, dtype=torch.uint8).numpy()
    with pytest.raises(RadfordError, match="32 pixels"):
        discriminator_features(d, pictures, calibrate_on=pictures)
    with pytest.raises(RadfordError, match="unconditional"):
        discriminator_features(
            make_discriminator("mnist28", width=2), pictures, calibrate_on=pictures
        )
