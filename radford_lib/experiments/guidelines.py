"""The five guidelines of the DCGAN paper, each broken in turn, over several seeds (D-X1).

``python -m radford_lib.experiments.guidelines`` trains the 32-pixel nets of ``GUIDELINES`` with
every seed, the seeds in the outer loop: whatever the time, all nets have as many runs. Of each it
keeps the KID of its samples, whether and when it collapsed or diverged, and what a linear SVM makes
of the features of its discriminator.
"""

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from radford_lib.data import ImageSet, load_images
from radford_lib.errors import DivergedError, UsageError
from radford_lib.experiments.session import Session, Stage, Unfinished, common_arguments, main
from radford_lib.interpret.features import discriminator_features
from radford_lib.models.dcgan import GUIDELINES
from radford_lib.probes.kid import conv_features, kid
from radford_lib.probes.transfer import Part, probe
from radford_lib.training.gan import (
    GanConfig,
    GanRun,
    gan_fingerprint,
    sample_images,
    train_gan,
)

CHAPTER = "dcgan/guidelines"
KEPT_ROWS = 20  # of each run's history


@dataclass(frozen=True)
class Sizes:
    """What a rehearsal has less of; the first values are those of the run itself."""

    data: tuple[str, str, str] = ("cifar10", "train", "test")
    images: int = 50_000
    width: int | None = None  # the paper's own
    batch: int = 128
    epochs: int = 20
    seeds: int = 5
    samples: int = 2000
    reference: int = 10_000
    probe: tuple[int, int, int] = (5000, 1000, 5000)  # images to fit, choose C and test on


FULL = Sizes()
QUICK = Sizes(
    data=("things", "probe-train", "probe-test"), images=90, width=4, batch=16, epochs=1, seeds=2,
    samples=16, reference=40, probe=(40, 20, 40),
)  # fmt: skip
PACKS = replace(QUICK, data=FULL.data)


def arguments() -> argparse.ArgumentParser:
    parser = common_arguments(__doc__)
    parser.add_argument("--nets", default="", help=f"comma-separated, of: {', '.join(GUIDELINES)}")
    parser.add_argument("--seeds", type=int, help="[5]")
    parser.add_argument("--epochs", type=int, help="[20]")
    return parser


class Ablation:
    """All runs of the experiment; ``session.state["values"]`` holds one outcome for each."""

    def __init__(self, session: Session, sizes: Sizes) -> None:
        self.session, self.sizes = session, sizes

    @functools.cached_property
    def images(self) -> ImageSet:
        name, split, _ = self.sizes.data
        return load_images(name, split, n=self.sizes.images, size=32, seed=self.session.seed)

    @functools.cached_property
    def unseen(self) -> ImageSet:
        name, _, split = self.sizes.data
        return load_images(name, split, n=self.sizes.reference, size=32, seed=self.session.seed)

    @functools.cached_property
    def reference(self) -> np.ndarray:
        return conv_features(self.unseen.images, seed=0)

    def floor(self) -> str:
        """The distance of real training images to unseen ones."""
        real = conv_features(self.images.images[: self.sizes.samples], seed=0)
        found = kid(real, self.reference, seed=self.session.seed)
        self.keep("kid_floor", found.mean, spread=found.error)
        return f"KID of real images {found.mean:.4f}"

    def keep(self, metric: str, value: Any, **about: Any) -> None:
        sets = [self.images, self.unseen]
        self.session.record(CHAPTER, "D-X1", metric, value, data=sets, **about)

    def one(self, nets: str, seed: int) -> str:
        """One run; a loss that is no number is an outcome, not a failure."""
        label = f"{nets} {seed}"
        try:
            run = self.trained(nets, seed)
        except DivergedError as error:
            outcome: dict[str, Any] = {"failed": True, "why": str(error)}
        else:
            outcome = self.scored(run, seed)
            every = max(1, len(run.history) // KEPT_ROWS)
            self.session.metrics[label] = run.history[::-every][::-1]
        self.session.state["values"][label] = {"nets": nets, "seed": seed, **outcome}
        self.summarise(nets)
        return outcome_line(outcome)

    def trained(self, nets: str, seed: int) -> GanRun:
        config = GanConfig(
            shape="svhn32", nets=nets, width=self.sizes.width, batch=self.sizes.batch,
            epochs=self.sizes.epochs, snapshot_epochs=(), on_collapse="record", seed=seed,
        )  # fmt: skip
        label = f"{nets} {seed}".replace(" ", "-")
        run = train_gan(
            config,
            self.images,
            checkpoint_dir=self.session.checkpoint(label, gan_fingerprint(config, self.images)),
            deadline=self.session.deadline(reserve=10),
            progress=self.session.progress,
            device=self.session.device,
        )
        if not run.finished:
            raise Unfinished(f"{run.updates:,} updates")
        return run

    def scored(self, run: GanRun, seed: int) -> dict[str, Any]:
        drawn = sample_images(run.generator, self.sizes.samples, seed=seed)
        found = kid(conv_features(drawn, seed=0), self.reference, seed=seed)
        self.session.keep_images(f"{run.config.nets}.{seed}", drawn[:16])
        return {
            "failed": run.collapsed_at is not None,
            "collapsed_at": run.collapsed_at,
            "kid": found.mean,
            "accuracy": self.accuracy(run),
            "d_loss": float(np.mean([row["d_loss"] for row in run.history[-20:]])),
            "sample_distance": run.history[-1]["sample_distance"],
            "seconds": round(run.seconds, 2),
        }

    def accuracy(self, run: GanRun) -> float:
        """Test accuracy of a linear SVM on the discriminator's features, C chosen on validation."""
        fit, valid, test = self.sizes.probe
        assert self.images.labels is not None
        assert self.unseen.labels is not None
        seen = self.images.images[: fit + valid]
        read = functools.partial(
            discriminator_features, run.discriminator, calibrate_on=seen[: min(fit, 1280)]
        )
        x, y = read(seen), self.images.labels
        return probe(
            Part(x[:fit], y[:fit]),
            Part(x[fit:], y[fit : fit + valid]),
            Part(read(self.unseen.images[:test]), self.unseen.labels[:test]),
            device=self.session.device,
        ).test_accuracy

    def summarise(self, nets: str) -> None:
        """Record what the runs of these nets have come to so far."""
        runs = [v for v in self.session.state["values"].values() if v["nets"] == nets]
        name, n = nets.replace(" ", "_"), len(runs)
        self.keep(f"failed_{name}", np.mean([run["failed"] for run in runs]), n=n, unit="fraction")
        for metric in ("kid", "accuracy", "d_loss", "sample_distance"):
            values = [run[metric] for run in runs if metric in run and np.isfinite(run[metric])]
            if values:
                spread = np.std(values, ddof=1) if len(values) > 1 else None
                unit = "fraction" if metric == "accuracy" else None
                self.keep(
                    f"{metric}_{name}", np.mean(values), n=len(values), spread=spread, unit=unit
                )


def outcome_line(outcome: dict[str, Any]) -> str:
    """One run in a few words."""
    if "kid" not in outcome:
        return f"diverged: {outcome['why']}"
    end = f", collapsed at {outcome['collapsed_at']:,}" if outcome["failed"] else ""
    return f"KID {outcome['kid']:.3f}, probe {outcome['accuracy']:.1%}{end}"


def build(argv: Sequence[str] | None = None) -> tuple[Session, list[Stage]]:
    """The session and the stages of what the command line asks for."""
    started = time.perf_counter()
    asked = arguments().parse_args(argv)
    names = [name.strip() for name in asked.nets.split(",") if name.strip()] or list(GUIDELINES)
    if unknown := set(names) - set(GUIDELINES):
        raise UsageError(f"no nets '{', '.join(unknown)}'; there are: {', '.join(GUIDELINES)}")
    changed = {"seeds": asked.seeds, "epochs": asked.epochs}
    sizes = replace(
        (PACKS if asked.packs else QUICK) if asked.quick else FULL,
        **{name: value for name, value in changed.items() if value is not None},
    )
    session = Session("04-guidelines", asked, started, sizes)
    ablation = Ablation(session, sizes)
    stages = [Stage("floor", ablation.floor, 10)]
    for seed in range(asked.seed, asked.seed + sizes.seeds):
        stages += [
            Stage(f"{nets} {seed}", functools.partial(ablation.one, nets, seed), 20)
            for nets in names
        ]
    return session, stages


if __name__ == "__main__":
    sys.exit(main(build))
