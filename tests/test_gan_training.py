"""The DCGAN loop: one step by hand, schedules, resuming to the bit, and clear failures."""

import dataclasses
import json
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from radford_lib.data.image_set import ImageSet
from radford_lib.errors import RadfordError, UsageError
from radford_lib.models.dcgan import make_discriminator, make_generator
from radford_lib.training import gan, gan_data, gan_step
from radford_lib.training.checkpoint import load_checkpoint, save_checkpoint
from radford_lib.training.distributed import Ranks
from radford_lib.training.gan import GanConfig, sample_images, train_gan
from radford_lib.training.gan_data import Batches, as_input, to_images, to_tensor
from radford_lib.training.gan_step import (
    Updates,
    discriminator_gradients,
    generator_gradients,
    run_net,
    update_nets,
)

ALONE = Ranks(0, 1, "cpu")


def pictures(n=24, size=32, channels=3, seed=0, labels=False):
    rng = np.random.default_rng(seed)
    return ImageSet(
        images=rng.integers(0, 256, (n, size, size, channels), np.uint8),
        name="noise", split="train", toy=True, sha256=f"noise{n}-{seed}",
        labels=np.arange(n) % 10 if labels else None,
    )  # fmt: skip


def tiny(**changes):
    return GanConfig(**{"shape": "svhn32", "width": 4, "batch": 4, "epochs": 2} | changes)


def train(config, images=None, **options):
    return train_gan(config, images or pictures(), progress=False, device="cpu", **options)


def weights(run):
    return [
        p.detach().clone() for net in (run.generator, run.discriminator) for p in net.parameters()
    ]


def assert_same(run, other):
    assert all(torch.equal(a, b) for a, b in zip(weights(run), weights(other), strict=True))
    losses = [[(row["d_loss"], row["g_loss"]) for row in r.history] for r in (run, other)]
    assert losses[0] == losses[1]
    assert run.snapshots.keys() == other.snapshots.keys()
    assert all(np.array_equal(run.snapshots[e], other.snapshots[e]) for e in run.snapshots)


def naive_forward(parameters, x):
    """The SVHN discriminator written out: two batch norms, no bias, logits."""
    p = dict(parameters)

    def norm(h, layer):
        mean = h.mean((0, 2, 3), keepdim=True)
        variance = ((h - mean) ** 2).mean((0, 2, 3), keepdim=True)
        gain, bias = (p[f"layers.{layer}.1.{name}"].view(1, -1, 1, 1) for name in ("gain", "bias"))
        return (h - mean) / torch.sqrt(variance + 1e-8) * gain + bias

    h = F.leaky_relu(F.conv2d(x, p["layers.0.0.weight"], stride=2, padding=2), 0.2)
    for layer in (1, 2):
        h = F.conv2d(h, p[f"layers.{layer}.0.weight"], stride=2, padding=2)
        h = F.leaky_relu(norm(h, layer), 0.2)
    return (h.flatten(1) @ p["out.weight"].T).squeeze(1)


def test_gradients_are_those_of_the_official_step_written_out():
    g = make_generator("svhn32", width=4).double()
    d = make_discriminator("svhn32", width=4).double()
    real = to_tensor(pictures(6).images, 3).double()
    z = g.sample_z(6, torch.Generator().manual_seed(0)).double()
    adam = torch.optim.Adam(d.parameters())

    # real and fake as two batches, cross-entropy of a sigmoid, as faces/train_uncond_dcgan.py
    p_real, p_fake = (torch.sigmoid(naive_forward(d.named_parameters(), x)) for x in (real, g(z)))
    d_cost = -torch.log(p_real).mean() - torch.log(1 - p_fake).mean()
    expected_d = torch.autograd.grad(d_cost, list(d.parameters()))
    p_gen = torch.sigmoid(naive_forward(d.named_parameters(), g(z)))
    g_cost = -torch.log(p_gen).mean()
    expected_g = torch.autograd.grad(g_cost, list(g.parameters()))

    assert discriminator_gradients(d, adam, real, g(z)) == pytest.approx(d_cost.item())
    for parameter, gradient in zip(d.parameters(), expected_d, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    adam.zero_grad()
    found = generator_gradients(d, torch.optim.Adam(g.parameters()), g(z))
    assert found == pytest.approx(g_cost.item())
    for parameter, gradient in zip(g.parameters(), expected_g, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(p.grad is None and p.requires_grad for p in d.parameters())


def test_weight_decay_is_inside_adam():
    config = tiny(weight_decay=0.1, lr=1e-3)
    d = make_discriminator("svhn32", width=4)
    adam = gan.make_adam(d, config)
    before = [p.detach().clone() for p in d.parameters()]
    for p in d.parameters():
        p.grad = torch.full_like(p, 0.5)
    adam.step()
    for p, old in zip(d.parameters(), before, strict=True):
        gradient = 0.5 + 0.1 * old
        # Adam's first step: both moments unbiased are the gradient and its square
        expected = old - 1e-3 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize(
    ("schedule", "update", "g_moves", "d_moves"),
    [
        ("alternate", 0, True, False),
        ("alternate", 1, False, True),
        ("sequential", 0, True, True),
        ("simultaneous", 1, True, True),
    ],
)
def test_each_schedule_updates_the_nets_it_says(schedule, update, g_moves, d_moves):
    config = tiny(schedule=schedule)
    at = gan.start(config, ALONE)
    at.update = update
    before = [at.generator.out.weight.clone(), at.discriminator.out.weight.clone()]
    real = to_tensor(pictures(4).images, 3)
    update_nets(schedule, at, real, gan.sample_z(at.shape, 4, at.rng))
    assert torch.equal(before[0], at.generator.out.weight) != g_moves
    assert torch.equal(before[1], at.discriminator.out.weight) != d_moves


def test_simultaneous_takes_both_gradients_before_either_net_moves():
    real = to_tensor(pictures(4).images, 3)
    states = {}
    for schedule in ("alternate", "sequential", "simultaneous"):
        at = gan.start(tiny(lr=0.05), ALONE)
        update_nets(schedule, at, real, gan.sample_z(at.shape, 4, at.rng))
        states[schedule] = at
    # against the same D, as where G alone moves; sequential meets the D that has just moved
    assert states["simultaneous"].g_loss == states["alternate"].g_loss
    assert states["sequential"].g_loss != states["alternate"].g_loss
    assert states["simultaneous"].d_loss == states["sequential"].d_loss
    d_weights = [states[name].discriminator.out.weight for name in ("simultaneous", "sequential")]
    assert torch.equal(*d_weights)


@pytest.mark.parametrize("schedule", gan.SCHEDULES)
def test_an_interrupted_run_continues_to_the_bit(tmp_path, monkeypatch, schedule):
    config = tiny(schedule=schedule, snapshot_epochs=(1,), epochs=2)  # 12 updates
    whole = train(config, checkpoint_dir=tmp_path / "whole")

    class Killed(Exception):
        pass

    step, count = gan_step.update_nets, iter(range(100))

    def killed_at_seven(*arguments):
        if next(count) == 7:
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(gan_step, "update_nets", killed_at_seven)
    with pytest.raises(Killed):
        train(config, checkpoint_dir=tmp_path / "halves", checkpoint_seconds=0)
    monkeypatch.setattr(gan_step, "update_nets", step)
    halves = train(config, checkpoint_dir=tmp_path / "halves")
    assert_same(whole, halves)
    lines = (tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == list(range(1, 13))


@pytest.mark.parametrize("nets", ["pooling", "no batch norm", "hidden layers", "maxout D"])
def test_nets_against_the_guidelines_train(nets):
    run = train(tiny(nets=nets, max_updates=4))
    assert run.finished
    assert all(np.isfinite(row["d_loss"]) for row in run.history)
    assert not torch.equal(weights(run)[0], weights(train(tiny(nets=nets, max_updates=1)))[0])


def test_a_run_returns_at_its_deadline_and_continues_to_the_bit(tmp_path):
    config = tiny(snapshot_epochs=(1,))  # 12 updates
    whole = train(config)
    for update in range(1, 4):
        found = train(config, checkpoint_dir=tmp_path, deadline=time.perf_counter())
        assert (found.updates, found.finished) == (update, False)
    continued = train(config, checkpoint_dir=tmp_path)
    assert continued.finished
    assert_same(continued, whole)


def test_a_run_that_is_rarely_looked_at_is_the_same_run(monkeypatch):
    whole = train(tiny(snapshot_epochs=(1,)))
    monkeypatch.setattr(gan, "updates_between_readings", lambda device, log_every: 5)
    rare = train(tiny(snapshot_epochs=(1,)))
    rows = [row["update"] for row in rare.history]
    assert rows == [5, 6, 10, 12]  # the end of the epoch to keep samples of, and of the run
    whole.history[:] = [row for row in whole.history if row["update"] in rows]
    assert_same(whole, rare)


@pytest.mark.parametrize("schedule", gan.SCHEDULES)
def test_an_update_rehearsed_as_it_is_recorded_is_the_same_update(schedule):
    images = pictures()
    weights_after = []
    for records in (False, True):
        at = gan.start(tiny(schedule=schedule), ALONE)
        updates = Updates(schedule, 4, at, Batches(images, 4, 0, ALONE), records=records)
        for _ in range(10):
            updates.run()
        assert at.read()["d_loss"] > 0
        weights_after.append([*at.generator.parameters(), *at.discriminator.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights_after, strict=True))


def test_products_in_bfloat16_leave_weights_statistics_and_losses_in_float32():
    d = make_discriminator("svhn32", width=4)
    x = to_tensor(pictures(4).images, 3)
    logits = run_net(d, x, bf16=True)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, d(x))
    torch.testing.assert_close(logits, d(x), rtol=0.05, atol=0.05)
    config = tiny(max_updates=8, schedule="sequential")
    coarse = train(dataclasses.replace(config, precision="bf16"))
    for row, expected in zip(coarse.history, train(config).history, strict=True):
        assert row["d_loss"] == pytest.approx(expected["d_loss"], rel=0.1)
        assert row["g_loss"] == pytest.approx(expected["g_loss"], rel=0.1)
    assert all(p.dtype == torch.float32 for p in weights(coarse))
    digits = make_discriminator("mnist28", width=2)
    grey = to_tensor(pictures(4, 28, 1).images, 1)
    assert run_net(digits, grey, torch.arange(4), bf16=True).dtype == torch.float32


def test_precision_is_full_on_a_cpu_unless_asked():
    assert not gan.multiplies_in_bf16("auto", "cpu")
    assert gan.multiplies_in_bf16("bf16", "cpu")
    assert not gan.multiplies_in_bf16("fp32", "cuda")


def test_a_run_from_another_kind_of_device_goes_on_with_other_codes(tmp_path):
    train(tiny(max_updates=2), checkpoint_dir=tmp_path)
    tensors, state = load_checkpoint(tmp_path)
    tensors["rng"] = torch.zeros(16, dtype=torch.uint8)  # what a GPU's generator keeps
    state["fingerprint"] = gan.gan_fingerprint(tiny(max_updates=4), pictures())
    save_checkpoint(tmp_path, tensors, state)
    runs = [train(tiny(max_updates=4), checkpoint_dir=tmp_path) for _ in range(2)]
    assert runs[0].updates == 4
    assert_same(*runs)


def test_a_finished_run_is_loaded_not_trained_again(tmp_path, monkeypatch):
    config = tiny(max_updates=3)
    first = train(config, checkpoint_dir=tmp_path)
    monkeypatch.setattr(gan_step, "update_nets", None)
    assert_same(first, train(config, checkpoint_dir=tmp_path))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    train(tiny(max_updates=1), checkpoint_dir=tmp_path)
    with pytest.raises(RadfordError, match="holds another run"):
        train(tiny(max_updates=2), checkpoint_dir=tmp_path)
    with pytest.raises(RadfordError, match="holds another run"):
        train(tiny(max_updates=1), pictures(seed=1), checkpoint_dir=tmp_path)


def test_the_seed_decides_the_run():
    config = tiny(max_updates=4)
    assert_same(train(config), train(config))
    other = train(tiny(max_updates=4, seed=1))
    assert not torch.equal(weights(train(config))[0], weights(other)[0])


def test_an_epoch_shows_each_image_once():
    images = pictures(24)
    batches = Batches(images, 4, 0, ALONE)
    for epoch in (0, 1):
        seen = np.concatenate(
            [
                to_images(as_input(batches.draw(update)[0], 3))
                for update in range(epoch * 6, epoch * 6 + 6)
            ]
        )
        assert sorted(map(bytes, seen)) == sorted(map(bytes, images.images))


def test_images_held_by_the_device_are_drawn_as_those_that_are_not(monkeypatch):
    monkeypatch.setattr(gan_data, "CHUNK", 10_000)  # three images
    digits = pictures(25, 28, 1, labels=True)
    held, drawn = (Batches(digits, 6, 7, ALONE, labels=True, resident=r) for r in (True, False))
    for update in range(10):
        pixels, labels = held.draw(update)
        assert all(map(torch.equal, (pixels, labels), drawn.draw(update)))
    halves = [Batches(digits, 6, 7, Ranks(rank, 2, "cpu")).draw(9)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), pixels)


def test_snapshots_are_of_the_same_codes_at_the_epochs_asked_for_and_the_end():
    run = train(tiny(epochs=3, max_updates=15, snapshot_epochs=(1,), snapshot_samples=10))
    assert list(run.snapshots) == [0, 1, 2.5]
    assert all(s.shape == (10, 32, 32, 3) and s.dtype == np.uint8 for s in run.snapshots.values())
    assert run.updates == 15
    assert run.images_seen == 60
    still = train(tiny(max_updates=1, lr=1e-12, snapshot_samples=10))
    assert np.abs(still.snapshots[1 / 6].astype(int) - still.snapshots[0]).max() <= 1


def test_pixels_map_to_the_range_of_the_output_and_back():
    images = pictures(4).images
    x = to_tensor(images, 3)
    assert (x.min().item(), x.max().item()) == pytest.approx((-1, 1))
    assert np.array_equal(to_images(x), images)
    grey = pictures(4, 28, 1).images
    assert to_tensor(grey, 1).min() == 0
    assert np.array_equal(to_images(to_tensor(grey, 1)), grey)


def test_digits_train_with_their_labels():
    run = train(
        GanConfig(shape="mnist28", width=2, batch=8, max_updates=4),
        pictures(24, 28, 1, labels=True),
    )
    assert run.snapshots[0].shape == (64, 28, 28, 1)
    assert all(np.isfinite(row["g_loss"]) for row in run.history)
    with pytest.raises(RadfordError, match="unconditional generator"):
        sample_images(run.generator, 4, seed=0)


def test_it_learns_the_one_colour_there_is():
    red = pictures(64)
    red.images[:] = (200, 40, 90)
    run = train(tiny(width=8, batch=16, epochs=15, lr=2e-3, schedule="sequential"), red)
    error = {e: np.abs(s.mean((0, 1, 2)) - (200, 40, 90)).mean() for e, s in run.snapshots.items()}
    assert error[15] < error[0] / 2


def test_fresh_samples_depend_on_the_seed_alone():
    run = train(tiny(max_updates=1))
    first = sample_images(run.generator, 9, seed=3, batch=4)
    assert first.shape == (9, 32, 32, 3)
    assert np.array_equal(first, sample_images(run.generator, 9, seed=3, batch=4))
    assert not np.array_equal(first, sample_images(run.generator, 9, seed=4, batch=4))


def test_a_loss_that_is_no_number_stops_with_advice():
    with pytest.raises(RadfordError, match="loss is nan: lower lr"):
        train(tiny(lr=1e30, epochs=50, schedule="sequential"))


def test_a_collapse_stops_the_run_or_is_recorded(monkeypatch):
    monkeypatch.setattr(gan_step, "COLLAPSED_UPDATES", 3)
    monkeypatch.setattr(gan_step, "COLLAPSED_LOSS", 100)
    monkeypatch.setattr(gan_step, "COLLAPSED_DISTANCE", 100)
    with pytest.raises(RadfordError, match="collapsed at update 1 "):
        train(tiny())
    run = train(tiny(on_collapse="record"))
    assert run.collapsed_at == 1
    assert run.updates == 12


def test_the_beginning_of_a_collapse_is_remembered(monkeypatch):
    monkeypatch.setattr(gan_step, "COLLAPSED_UPDATES", 3)
    at = gan.start(tiny(), ALONE)
    alike, different = torch.zeros(4, 3, 2, 2), torch.arange(4.0).view(4, 1, 1, 1)
    found = []
    for fake in (alike, different, alike, alike, alike, different, different):
        at.d_loss.fill_(1e-6)
        at.update += 1
        gan_step.watch(at, fake)
        found.append(at.read()["collapsed_at"])
    assert found == [0, 0, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(
    ("config", "images", "says"),
    [
        (tiny(), pictures(size=16), r"learns from images of \(32, 32, 3\).*set size=32"),
        (tiny(batch=25), pictures(24), "24 images do not fill one batch of 25"),
        (GanConfig(shape="mnist28", batch=4), pictures(24, 28, 1), "'noise' has no labels"),
    ],
)
def test_images_that_do_not_fit_are_refused(config, images, says):
    with pytest.raises(RadfordError, match=says):
        train(config, images)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "random"}, "no schedule 'random'"),
        ({"shape": "mnist"}, "no DCGAN shape 'mnist'"),
        ({"on_collapse": "ignore"}, "'raise' or 'record'"),
        ({"precision": "fp16"}, "one of auto, fp32, bf16, not 'fp16'"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"beta1": 1.0}, "beta1 in"),
    ],
)
def test_a_configuration_that_cannot_be_is_a_usage_error(change, says):
    with pytest.raises(UsageError, match=says):
        tiny(**change)


@pytest.mark.gpu
@pytest.mark.parametrize("schedule", gan.SCHEDULES)
def test_recorded_updates_on_a_gpu_are_those_run_one_by_one(schedule):
    config, images = tiny(schedule=schedule, precision="fp32"), pictures()
    gpu = Ranks(0, 1, "cuda")
    losses = []
    for records in (False, True):
        at = gan.start(config, gpu)
        updates = Updates(schedule, 4, at, Batches(images, 4, 0, gpu), records=records)
        losses.append([])
        for _ in range(12):
            updates.run()
            losses[-1].append([at.read()[name] for name in ("d_loss", "g_loss", "distance")])
    assert np.allclose(losses[0], losses[1], rtol=1e-2)
    assert len({tuple(row) for row in losses[1]}) == 12  # new images and codes each time


@pytest.mark.gpu
def test_a_run_on_a_gpu_learns_logs_and_continues(tmp_path):
    red = pictures(64)
    red.images[:] = (200, 40, 90)
    config = GanConfig(
        shape="svhn32", width=8, batch=16, epochs=30, lr=2e-3, schedule="sequential",
        snapshot_epochs=(1,),
    )  # fmt: skip
    run = train_gan(config, red, checkpoint_dir=tmp_path, progress=False, device="cuda")
    error = {e: np.abs(s.mean((0, 1, 2)) - (200, 40, 90)).mean() for e, s in run.snapshots.items()}
    assert error[30] < error[0] / 2
    assert run.device == "cuda"
    again = train_gan(config, red, checkpoint_dir=tmp_path, progress=False, device="cuda")
    assert again.history == run.history
