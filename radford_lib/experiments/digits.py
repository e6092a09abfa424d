"""Table 3: real digits classified by their nearest neighbours among generated ones."""

import functools

import numpy as np
import torch
from torch import Tensor

from radford_lib.data import ImageSet, load_images
from radford_lib.experiments.gan_runs import Sizes, keep_net, speed_line, trained
from radford_lib.experiments.nearest_label import NearestLabel
from radford_lib.experiments.session import Session, Stage, Unfinished
from radford_lib.models.dcgan import find_shape
from radford_lib.probes.intervals import accuracy_interval
from radford_lib.training.gan import GanConfig, GanRun

CHAPTER = "dcgan/distribution"  # where the book is to show it


class Digits:
    """The conditional net, and a classifier that has seen nothing but its samples."""

    def __init__(self, session: Session, sizes: Sizes) -> None:
        self.session, self.sizes = session, sizes

    def stages(self) -> list[Stage]:
        return [
            Stage("digits: train", self.train, 30),
            Stage("digits: real", self.real_neighbours, 10),
            Stage("digits: samples", self.sample_neighbours, 40),
        ]

    @functools.cached_property
    def real(self) -> ImageSet:
        """The training digits, 10,000 of MNIST's set aside as in the paper."""
        return self.digits("train", self.sizes.digits_fit)

    @functools.cached_property
    def held_out(self) -> ImageSet:
        return self.digits("test", self.sizes.digits_test)

    def digits(self, split: str, n: int) -> ImageSet:
        if self.sizes.digits != "things":
            return load_images(self.sizes.digits, split, n=n, seed=self.session.seed)
        part = "probe-train" if split == "train" else "probe-test"
        things = load_images("things", part, n=n, size=28, seed=self.session.seed)
        grey = things.images.mean(3, keepdims=True).astype(np.uint8)
        return ImageSet(
            images=grey, name="things", split=part, toy=True, sha256=things.sha256,
            labels=None if things.labels is None else things.labels % 10,
        )  # fmt: skip

    def run(self) -> GanRun:
        config = GanConfig(
            shape="mnist28", width=4 if self.session.quick else None, batch=self.sizes.batch,
            epochs=self.sizes.digit_epochs, snapshot_epochs=(), snapshot_samples=70,
            weight_decay=2.5e-5, on_collapse="record", seed=self.session.seed,
        )  # fmt: skip
        return trained(self.session, "digits", config, self.real)

    def train(self) -> str:
        run = self.run()
        keep_net(self.session, "dcgan-mnist28", run.generator, "generator", run, self.real, {})
        # ten of each row's digit, as many columns as the paper's figure 9 has rows
        self.session.keep_images("digits", run.snapshots[max(run.snapshots)])
        keep = functools.partial(self.session.record, CHAPTER, "D-T3", data=self.real)
        keep("updates", run.updates)
        keep("seconds", run.seconds, unit="s")
        return speed_line(run)

    @functools.cached_property
    def query(self) -> Tensor:
        flat = self.held_out.images.reshape(len(self.held_out), -1)
        return torch.from_numpy(flat).float().div_(255).to(self.session.device)

    def keep_error(self, key: str, found: NearestLabel) -> float:
        assert self.held_out.labels is not None
        labels = torch.from_numpy(self.held_out.labels).to(self.session.device)
        error, n = float((found.label != labels).float().mean()), len(self.held_out)
        self.session.record(
            CHAPTER, "D-T3", key, error, n=n, ci=accuracy_interval(error, n),
            data=[self.real, self.held_out], unit="fraction",
        )  # fmt: skip
        return error

    def real_neighbours(self) -> str:
        found = NearestLabel(self.query)
        assert self.real.labels is not None
        flat = torch.from_numpy(self.real.images.reshape(len(self.real), -1))
        for start in range(0, len(flat), self.sizes.digit_batch):
            rows = slice(start, start + self.sizes.digit_batch)
            labels = torch.from_numpy(self.real.labels[rows])
            found.add(flat[rows].to(self.query.device).float().div_(255), labels)
        return f"error {self.keep_error('error_real', found):.2%} with {len(self.real):,} digits"

    @torch.no_grad()
    def sample_neighbours(self) -> str:
        """Draw samples with labels in turn and keep, of each test digit, the nearest so far."""
        generator = self.run().generator
        shape, device = find_shape("mnist28"), self.session.device
        rng = torch.Generator(device).manual_seed(self.session.seed + 1)
        labels = torch.arange(self.sizes.digit_batch, device=device) % 10
        found, drawn, said = NearestLabel(self.query), 0, []
        while drawn < max(self.sizes.digit_counts):
            z = torch.rand(len(labels), shape.z_dim, generator=rng, device=device) * 2 - 1
            found.add(generator(z, labels).flatten(1), labels)
            drawn += len(labels)
            if drawn in self.sizes.digit_counts:
                error = self.keep_error(f"error_{short(drawn)}", found)
                said.append(f"{short(drawn)} {error:.2%}")
            if self.session.left() < 5:
                raise Unfinished(f"error with {', '.join(said) or 'none'}")
        return f"error with {', '.join(said)}"


def short(count: int) -> str:
    """10000 as 10k, 1000000 as 1m."""
    for size, letter in ((1_000_000, "m"), (1000, "k")):
        if count % size == 0:
            return f"{count // size}{letter}"
    return str(count)
