"""The 64-pixel net on faces, scored as the chapter ``dcgan/training`` does."""

import functools
from typing import Any

import numpy as np

from radford_lib.data import ImageSet, load_images
from radford_lib.experiments.gan_runs import Sizes, keep_net, pixels, speed_line, trained
from radford_lib.experiments.session import Session, Stage
from radford_lib.probes.kid import conv_features, kid
from radford_lib.probes.neighbours import nearest
from radford_lib.training.gan import GanConfig, GanRun

CHAPTER = "dcgan/training"


class Faces:
    """Figures 2 and 3 with the faces of CelebA in place of bedrooms."""

    def __init__(self, session: Session, sizes: Sizes) -> None:
        self.session, self.sizes = session, sizes

    def stages(self) -> list[Stage]:
        return [Stage("faces: train", self.train, 40), Stage("faces: score", self.score, 30)]

    @functools.cached_property
    def real(self) -> ImageSet:
        name, n, _ = self.sizes.faces
        return load_images(name, "train", n=n, size=64, seed=self.session.seed)

    @functools.cached_property
    def unseen(self) -> ImageSet:
        name, _, n = self.sizes.faces
        return load_images(name, "test", n=n, size=64, seed=self.session.seed)

    def run(self) -> GanRun:
        config = GanConfig(
            shape="lsun64", width=4 if self.session.quick else None, batch=self.sizes.batch,
            epochs=self.sizes.face_epochs, snapshot_epochs=self.sizes.face_snapshots,
            snapshot_samples=self.sizes.face_samples, on_collapse="record", seed=self.session.seed,
        )  # fmt: skip
        return trained(self.session, "faces", config, self.real)

    def train(self) -> str:
        run = self.run()
        for epoch, drawn in run.snapshots.items():
            self.session.keep_images(f"faces.epoch-{epoch:g}", drawn[:64])
        # the discriminator would not fit into what comes back beside it
        keep_net(self.session, "dcgan-celeba64", run.generator, "generator", run, self.real, {})
        return speed_line(run)

    def score(self) -> str:
        run = self.run()
        sets, seed = [self.real, self.unseen], self.session.seed
        first, last = min(1, max(run.snapshots)), max(run.snapshots)
        reference = conv_features(self.unseen.images, seed=0)
        count = min(self.sizes.face_samples, len(self.real) // 2)
        floor = kid(conv_features(self.real.images[:count], seed=0), reference, seed=seed)
        curve = {
            epoch: kid(conv_features(drawn, seed=0), reference, seed=seed)
            for epoch, drawn in sorted(run.snapshots.items())
        }
        self.session.metrics["faces KID"] = [
            {"epoch": epoch, "kid": value.mean, "error": value.error}
            for epoch, value in curve.items()
        ]
        keep = functools.partial(self.session.record, CHAPTER, data=sets)
        keep("D-F2", "images", len(self.real))
        keep("D-F2", "kid_untrained", curve[0].mean, spread=curve[0].error)
        keep("D-F2", "kid", curve[first].mean, spread=curve[first].error)
        keep("D-F3", "kid", curve[last].mean, spread=curve[last].error)
        keep("D-F3", "kid_floor", floor.mean, spread=floor.error)
        keep("D-F3", "epochs", run.updates * run.config.batch / len(self.real))
        keep("D-F3", "updates", run.updates)
        for loss in ("d_loss", "g_loss"):
            keep("D-F3", loss, np.mean([row[loss] for row in run.history[-20:]]))
        keep("D-F3", "images_per_second", run.images_seen / run.seconds)
        keep("D-F3", "seconds", run.seconds, unit="s")
        closer = self.neighbours(run.snapshots[last], keep)
        return (
            f"KID {curve[last].mean:.3f}, after one epoch {curve[first].mean:.3f}, real images "
            f"{floor.mean:.3f}; {closer:.1%} nearer than unseen images"
        )

    def neighbours(self, drawn: np.ndarray, keep: Any) -> float:
        """Share of samples nearer to a training image than the median unseen image is."""
        base = pixels(self.real.images)
        samples = nearest(pixels(drawn), base)[1]
        unseen = nearest(pixels(self.unseen.images[: len(drawn)]), base)[1]
        middle = float(np.median(unseen))
        closer = float((samples < middle).mean())
        keep("D-X11", "closer_share", closer, n=len(drawn), unit="fraction")
        keep("D-X11", "median_distance_samples", np.median(samples))
        keep("D-X11", "median_distance_unseen", middle)
        return closer
