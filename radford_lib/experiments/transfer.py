"""Table 1: what the discriminator's features are worth on another data set, with controls."""

import functools
from typing import Any

from torch import nn

from radford_lib.data import ImageSet, load_images
from radford_lib.experiments.gan_runs import Sizes, keep_net, pixels, speed_line, trained
from radford_lib.experiments.session import Session, Stage
from radford_lib.interpret.features import discriminator_features
from radford_lib.models.dcgan import make_discriminator
from radford_lib.probes.intervals import accuracy_interval
from radford_lib.probes.transfer import Part, label_efficiency, probe
from radford_lib.training.gan import GanConfig, GanRun, sample_images

CHAPTER = "dcgan/representations"


class Transfer:
    """Table 1: the discriminator's features under a linear SVM, and its controls."""

    def __init__(self, session: Session, sizes: Sizes) -> None:
        self.session, self.sizes = session, sizes

    def stages(self) -> list[Stage]:
        found, few = [], []
        for name, width in (("wide", self.sizes.wide), ("narrow", self.sizes.narrow)):
            few.append(Stage(f"{name}: few labels", functools.partial(self.few, name, width), 90))
            found += [
                Stage(f"{name}: train", functools.partial(self.train, name, width), 30),
                Stage(f"{name}: trained", functools.partial(self.score, name, width, True), 40),
                Stage(f"{name}: random", functools.partial(self.score, name, width, False), 40),
            ]
            if name == "wide":
                found.append(Stage("pixels", self.score_pixels, 30))
        return found + few

    @functools.cached_property
    def unlabelled(self) -> ImageSet:
        name, split, n = self.sizes.pretrain
        return load_images(name, split, n=n, size=32, seed=self.session.seed)

    @functools.cached_property
    def labelled(self) -> ImageSet:
        name, split, _ = self.sizes.probe
        n = self.sizes.probe_fit + self.sizes.probe_valid
        return load_images(name, split, n=n, size=32, seed=self.session.seed)

    @functools.cached_property
    def held_out(self) -> ImageSet:
        name, _, split = self.sizes.probe
        n = self.sizes.probe_test
        return load_images(name, split, n=n, size=32, seed=self.session.seed)

    @property
    def sets(self) -> list[ImageSet]:
        return [self.unlabelled, self.labelled, self.held_out]

    def run(self, name: str, width: int) -> GanRun:
        config = GanConfig(
            shape="imagenet32", width=width, batch=self.sizes.batch, epochs=10_000,
            max_updates=self.sizes.updates, snapshot_epochs=(), on_collapse="record",
            seed=self.session.seed,
        )  # fmt: skip
        return trained(self.session, f"transfer {name}".replace(" ", "-"), config, self.unlabelled)

    def train(self, name: str, width: int) -> str:
        run = self.run(name, width)
        key = "paper_width" if name == "wide" else "narrow"
        keep = functools.partial(self.session.record, CHAPTER, "D-T1", data=self.unlabelled)
        keep(f"updates_{key}", run.updates)
        keep(f"images_seen_{key}", run.images_seen)
        keep(f"images_per_second_{key}", run.images_seen / run.seconds)
        if name == "wide":
            for kind, net in (("generator", run.generator), ("discriminator", run.discriminator)):
                ending = "" if kind == "generator" else "-discriminator"
                keep_net(
                    self.session, f"dcgan-imagenet32{ending}", net, kind, run, self.unlabelled, {}
                )
            # the paper's figure 11 shows 12 x 19
            drawn = sample_images(run.generator, 228, seed=self.session.seed)
            self.session.keep_images("imagenet32", drawn)
        return speed_line(run)

    def parts(self, features_of: Any) -> tuple[Part, Part, Part]:
        """Training, validation and test features, as the chapter divides them."""
        fit = slice(0, self.sizes.probe_fit)
        check = slice(self.sizes.probe_fit, None)
        images, labels = self.labelled.images, self.labelled.labels
        assert labels is not None
        assert self.held_out.labels is not None
        return (
            Part(features_of(images[fit]), labels[fit]),
            Part(features_of(images[check]), labels[check]),
            Part(features_of(self.held_out.images), self.held_out.labels),
        )

    def read(self, name: str, width: int, is_trained: bool) -> tuple[Part, Part, Part]:
        net: nn.Module
        if is_trained:
            net = self.run(name, width).discriminator
        else:
            net = make_discriminator("imagenet32", width=width, seed=self.session.seed)
            net = net.to(self.session.device)
        mates = self.labelled.images[: min(self.sizes.probe_fit, 1280)]
        return self.parts(lambda images: discriminator_features(net, images, calibrate_on=mates))

    def score(self, name: str, width: int, is_trained: bool) -> str:
        narrow = "narrow_" if name == "narrow" else ""
        key = narrow + ("trained" if is_trained else "random")
        return self.probe(key, self.read(name, width, is_trained))

    def score_pixels(self) -> str:
        return self.probe("pixels", self.parts(pixels))

    def probe(self, key: str, parts: tuple[Part, Part, Part]) -> str:
        """Fit the SVMs on one kind of features and record how the best does."""
        found = probe(*parts, device=self.session.device)
        keep = functools.partial(self.session.record, CHAPTER, "D-T1", data=self.sets)
        accuracy, n = found.test_accuracy, len(self.held_out)
        ci = accuracy_interval(accuracy, n)
        keep(f"accuracy_{key}", accuracy, n=n, ci=ci, unit="fraction")
        keep(f"c_{key}", found.c)
        count = parts[0].x.shape[1]
        if key.endswith("trained"):
            keep("features_narrow" if "narrow" in key else "features", count)
        keep("probe_classes", len(self.labelled.classes))
        keep("chance", 1 / len(self.labelled.classes), unit="fraction")
        self.record_gain("narrow_" if "narrow" in key else "")
        return (
            f"{accuracy:.2%} on test, {found.valid_accuracy:.2%} on validation, C {found.c:g}, "
            f"{count:,} features"
        )

    def record_gain(self, narrow: str) -> None:
        """What training added, once both are known."""
        results = self.session.state["records"][CHAPTER]["results"]
        both = [results.get(f"D-T1.accuracy_{narrow}{kind}") for kind in ("trained", "random")]
        if all(both):
            gain = 100 * (both[0]["value"] - both[1]["value"])
            key = "gain_narrow" if narrow else "gain"
            self.session.record(
                CHAPTER, "D-T1", key, gain, data=self.sets, unit="percentage points"
            )

    def few(self, name: str, width: int) -> str:
        """Accuracy with few labels a class: the paper's 400, and a curve for the narrow net."""
        counts = self.sizes.labels_wide if name == "wide" else self.sizes.labels_narrow
        kinds = {
            "trained": functools.partial(self.read, name, width, True),
            "random": functools.partial(self.read, name, width, False),
            "pixels": functools.partial(self.parts, pixels),
        }
        said = []
        for kind, features in kinds.items():
            by_count = label_efficiency(
                *features(),
                per_class=counts,
                draws=self.sizes.draws,
                seed=self.session.seed,
                device=self.session.device,
            )
            for count, values in by_count.items():
                item, key = ("D-X3", f"narrow_{kind}_{count}_labels")
                if name == "wide":
                    item, key = ("D-T1", f"accuracy_{kind}_{count}")
                self.session.record(
                    CHAPTER, item, key, values.mean(), n=len(self.held_out),
                    spread=values.std(ddof=1), data=self.sets, unit="fraction",
                )  # fmt: skip
            said.append(f"{kind} {by_count[counts[-1]].mean():.1%}")
        return f"{counts[-1]} a class: {', '.join(said)}"
