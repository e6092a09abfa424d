"""What the DCGAN experiments share: sizes, training that resumes, weights with a card."""

from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from radford_lib.book.results import describe
from radford_lib.data import ImageSet
from radford_lib.data.packs import packs
from radford_lib.experiments.session import Session, Unfinished
from radford_lib.models.dcgan import find_shape
from radford_lib.training.gan import GanConfig, GanRun, gan_fingerprint, train_gan


@dataclass(frozen=True)
class Sizes:
    """What a rehearsal has less of; the first values are those of the run itself."""

    pretrain: tuple[str, str, int] = ("tiny-imagenet32", "train", 100_000)
    probe: tuple[str, str, str] = ("cifar10", "train", "test")
    probe_fit: int = 40_000
    probe_valid: int = 10_000
    probe_test: int = 10_000
    wide: int = 128
    narrow: int = 32
    batch: int = 128
    updates: int = 23_000  # about 30 epochs, nets in turns
    labels_wide: tuple[int, ...] = (400,)  # a class, as the paper's last column
    labels_narrow: tuple[int, ...] = (10, 40, 100, 400, 1000)
    draws: int = 10
    faces: tuple[str, int, int] = ("celeba", 9000, 1000)  # training images, unseen ones
    face_epochs: int = 200
    face_snapshots: tuple[int, ...] = (1, 5, 25, 100)
    face_samples: int = 1000
    digits: str = "mnist"
    digits_fit: int = 50_000  # of MNIST's 60,000, as in the paper
    digits_test: int = 10_000
    digit_epochs: int = 100
    digit_counts: tuple[int, ...] = (10_000, 50_000, 100_000, 1_000_000, 10_000_000)
    digit_batch: int = 2000  # samples that share their batch statistics


FULL = Sizes()
QUICK = Sizes(
    pretrain=("things", "pretrain", 64), probe=("things", "probe-train", "probe-test"),
    probe_fit=60, probe_valid=30, probe_test=40, wide=4, narrow=2, batch=16, updates=6,
    labels_wide=(2,), labels_narrow=(1, 2), draws=2, faces=("faces", 48, 24), face_epochs=2,
    face_snapshots=(1,), face_samples=16, digits="things", digits_fit=120, digits_test=100,
    digit_epochs=2,
    digit_counts=(40, 200), digit_batch=40,
)  # fmt: skip
PACKS = replace(
    QUICK, pretrain=("tiny-imagenet32", "train", 64), probe=FULL.probe, faces=("celeba", 48, 24),
    digits=FULL.digits,
)  # fmt: skip


def trained(session: Session, label: str, config: GanConfig, images: ImageSet) -> GanRun:
    """The finished run; ``Unfinished`` where time is up before."""
    run = train_gan(
        config,
        images,
        checkpoint_dir=session.checkpoint(label, gan_fingerprint(config, images)),
        deadline=session.deadline(),
        progress=session.progress,
        device=session.device,
    )
    session.metrics[f"{label} training"] = run.history
    if not run.finished:
        raise Unfinished(f"{run.updates:,} updates of {label}")
    return run


def keep_net(
    session: Session,
    name: str,
    net: nn.Module,
    kind: str,
    run: GanRun,
    images: ImageSet,
    scores: dict[str, float],
) -> None:
    """The weights of one net of a run, and their card."""
    config, last, known = run.config, run.history[-1], packs()
    width = config.width or find_shape(config.shape).width
    card = {
        "architecture": {"kind": f"dcgan-{kind}", "shape": config.shape, "width": width},
        "data": describe(images),
        "licence": known[images.name].licence if images.name in known else "toy images",
        "steps": run.updates,
        "seconds": round(run.seconds, 1),
        "loss": {"d_loss": last["d_loss"], "g_loss": last["g_loss"]},
        "scores": scores,
    }
    session.keep_weights(name, net, card)


def speed_line(run: GanRun) -> str:
    rate = run.images_seen / max(run.seconds, 1e-9)
    last = run.history[-1]
    end = f"; collapsed at {run.collapsed_at:,}" if run.collapsed_at else ""
    return (
        f"{run.updates:,} updates, {rate:,.0f} images/s, D {last['d_loss']:.2f} "
        f"G {last['g_loss']:.2f}{end}"
    )


def pixels(images: np.ndarray) -> np.ndarray:
    """Raw pixels as features."""
    return images.reshape(len(images), -1).astype(np.float32) / 255
