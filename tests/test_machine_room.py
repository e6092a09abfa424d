"""What the machine room's chapters call: points of a roofline, rounding, resources, figures."""

import importlib.util

import numpy as np
import pytest
import torch

from radford_lib import plots
from radford_lib.errors import RadfordError
from radford_lib.machine_room import dcgan_bounds, norms, resources, roofline
from radford_lib.machine_room.accuracy import QUANTITIES, float64_errors
from radford_lib.machine_room.timing import clock_for
from radford_lib.models.dcgan import make_discriminator, make_generator

ONCE = {"rounds": 1, "sample_seconds": 0, "wait_seconds": 0}


def test_every_kind_of_work_is_timed_and_gives_the_machines_ceilings():
    works = [
        *roofline.products([8, 16]), *roofline.copies([1, 4]), *roofline.mlstm_steps(8, [1, 2], 3),
        *roofline.convolutions("imagenet32", 2, 2),
    ]  # fmt: skip
    threads = torch.get_num_threads()
    roofline.measure(works, **ONCE)
    assert torch.get_num_threads() == threads
    assert all(work.seconds > 0 for work in works)
    machine = roofline.machine_of(works)
    assert machine.matmul_flops == max(works[0].flop_rate, works[1].flop_rate)
    assert machine.memory_bandwidth == works[3].byte_rate
    kinds = {work.kind for work in works}
    assert kinds == {"product", "copy", "mLSTM"} | {
        f"{net} {way}" for net in "GD" for way in ("forward", "backward")
    }


@pytest.mark.parametrize("shape", ["svhn32", "imagenet32"])
def test_the_layers_timed_are_those_of_the_nets(shape):
    g, d = make_generator(shape, width=2), make_discriminator(shape, width=2)
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    seen = []

    def note(module, inputs, output):
        seen.append((inputs[0].numel(), output.numel(), module.weight.numel()))

    for net in (g, d):
        for module in net.modules():
            if isinstance(module, kinds):
                module.register_forward_hook(note)
    with torch.no_grad():
        d(g(torch.randn(1, g.z_dim)))
    counted = [(*layer.elements(), layer.weights) for layer in dcgan_bounds.layers(shape, 2)]
    assert set(counted) <= set(seen)
    for work, layer in zip(
        roofline.convolutions(shape, 2, 1)[::2], dcgan_bounds.layers(shape, 2), strict=True
    ):
        assert work.call().numel() == layer.elements()[1]


def test_batch_norms_are_those_of_the_nets():
    assert dcgan_bounds.norms("svhn32", 64) == [
        (128, 8, 1), (64, 16, 1), (128, 8, 2), (256, 4, 2),
    ]  # fmt: skip


def test_batch_norms_are_timed_an_input_at_a_time():
    found = norms.measure(2, 4, 3, 2, torch.float32, "cpu", norms.contenders(), most_sets=2, **ONCE)
    assert list(found) == ["reference", "PyTorch", "ours"]
    assert all(timing.median > 0 for timing in found.values())
    assert norms.sets_of((2, 4), torch.float32, 16) == 16
    assert norms.bytes_moved(2, 4, 3, 2, 4) == 5 * 2 * 2 * 4 * 9 * 4


def test_float32_is_as_far_from_float64_as_rounding_takes_it():
    found = float64_errors(("reference", "cpu:torch"), steps=9, batch=3, hidden=7)
    for errors in found.values():
        assert tuple(errors) == QUANTITIES
        assert 0 < max(errors.values()) < 1e-6


def test_processor_time_is_for_one_thread():
    assert clock_for(1) is not clock_for(2)


def test_without_triton_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(resources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RadfordError, match="Triton is not installed"):
        resources.hopper_resources(4096, 128, ("gates",))


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_a_kernel_is_compiled_apart_from_this_process(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # which must not reach the compiler
    (row,) = resources.hopper_resources(4096, 128, ("gates",))
    assert row["kernel"] == "gates"
    assert row["spill_bytes"] == 0


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_a_waterfall_says_what_each_rung_changed():
    figure = plots.waterfall({"first": 200.0, "slower": 220.0, "last": 110.0}, ("least", 100.0))
    assert {"200", "220  (+10%)", "110  (−50%)", "least 100"} <= set(texts(figure))
    for times in ({}, {"none": 0.0}, {"nan": float("nan")}):
        with pytest.raises(RadfordError, match="times above zero"):
            plots.waterfall(times)


def test_a_roofline_has_its_roofs_points_and_names():
    figure = plots.roofline(
        {"memory": (8e10, 1e10)}, {"steps": [(1.0, 5e9), (40.0, 6e10)]}, {(1.0, 5e9): "B = 1"}
    )
    assert {"memory", "steps", "B = 1"} <= set(texts(figure))
    axes = figure.axes[0]
    roof = axes.get_lines()[0]
    assert np.max(roof.get_ydata()) == 80
    with pytest.raises(RadfordError, match="kinds of points"):
        plots.roofline({"memory": (8e10, 1e10)}, {})


def test_figures_are_drawn_the_same_each_time():
    assert plots.svg_text(plots.mlstm_step_flow()) == plots.svg_text(plots.mlstm_step_flow())
