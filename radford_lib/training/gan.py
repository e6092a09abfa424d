"""Train a DCGAN: the loop of the official code, or the two schedules that others use.

The loop is :func:`train_gan`, to be read top to bottom; what it calls stands below it.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from radford_lib.data.image_set import ImageSet
from radford_lib.errors import RadfordError, UsageError
from radford_lib.models.batch_norm import set_groups
from radford_lib.models.dcgan import find_shape, make_discriminator, make_generator
from radford_lib.training.checkpoint import (
    fingerprint,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from radford_lib.training.metrics import MetricsLog

SCHEDULES = ("alternate", "sequential", "simultaneous")
SNAPSHOT_SAMPLES = 64
# A GAN counts as collapsed when D is certain and all samples look alike, this many updates long
COLLAPSED_UPDATES = 500
COLLAPSED_LOSS = 1e-3
COLLAPSED_DISTANCE = 0.02


@dataclass(frozen=True)
class GanConfig:
    """What decides a DCGAN run; defaults are the paper's (section 4) and the official code's.

    ``schedule``: ``alternate`` updates G on one mini-batch and D on the next (official code);
    ``sequential`` updates D, then G, on each mini-batch; ``simultaneous`` updates both from the
    same samples. ``weight_decay`` is an L2 term in the gradient, inside Adam, for every parameter
    (official code: 1e-5 for faces). ``snapshot_epochs`` are the epochs after which samples of the
    same codes are kept. ``width`` None is the shape's own.
    """

    shape: str = "svhn32"
    width: int | None = None
    batch: int = 128
    epochs: int = 5
    max_updates: int | None = None
    lr: float = 2e-4
    beta1: float = 0.5
    schedule: str = "alternate"
    weight_decay: float = 1e-5
    snapshot_epochs: tuple[int, ...] = (1, 5)
    on_collapse: str = "raise"
    seed: int = 0

    def __post_init__(self) -> None:
        find_shape(self.shape)
        if self.schedule not in SCHEDULES:
            raise UsageError(f"no schedule '{self.schedule}'; there are: {', '.join(SCHEDULES)}")
        if self.on_collapse not in ("raise", "record"):
            raise UsageError(f"on_collapse is 'raise' or 'record', not '{self.on_collapse}'")
        for name in ("batch", "epochs", "width", "max_updates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        if not self.lr > 0 or not 0 <= self.beta1 < 1 or self.weight_decay < 0:
            raise UsageError("lr must be positive, beta1 in [0, 1), weight_decay at least 0")


@dataclass(frozen=True)
class GanRun:
    """Trained nets and how they came about.

    ``history`` has rows of update, epoch, d_loss, g_loss (nats), sample_distance (mean absolute
    difference of pairs of samples, pixel range 2) and seconds. ``snapshots`` are samples of the
    same 64 codes, (64, H, W, C) uint8, by epoch (0: untrained). ``collapsed_at`` is the update of
    a collapse that was recorded. ``seconds`` counts the loop, over all its processes.
    """

    generator: nn.Module
    discriminator: nn.Module
    config: GanConfig
    history: list[dict[str, Any]]
    snapshots: dict[int, np.ndarray]
    updates: int
    images_seen: int
    seconds: float
    device: str
    collapsed_at: int | None = None


def train_gan(
    config: GanConfig,
    images: ImageSet,
    *,
    checkpoint_dir: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool = True,
    device: str | None = None,
) -> GanRun:
    """Train on ``images``, or continue, or return the finished run of ``checkpoint_dir``.

    One epoch shows each image once. On CPU a continued run equals an unbroken one to the bit; a
    kill loses at most ``checkpoint_seconds``. Raises ``RadfordError`` when a loss is not finite,
    when the GAN collapses (unless ``on_collapse`` is ``record``), when images do not fit the shape
    and when the checkpoint is damaged or belongs to another run.
    """
    shape = find_shape(config.shape)
    check_images(config, images)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    conditional = config.shape == "mnist28"
    generator = make_generator(config.shape, width=config.width, seed=config.seed)
    discriminator = make_discriminator(config.shape, width=config.width, seed=config.seed)
    for net in (generator, discriminator):
        # channels last is what convolutions on CPU and tensor cores like
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = {"g": make_adam(generator, config), "d": make_adam(discriminator, config)}
    at = _Position(rng=torch.Generator().manual_seed(config.seed))
    fixed = torch.Generator().manual_seed(config.seed + 1)
    fixed_z = generator.sample_z(SNAPSHOT_SAMPLES, fixed).to(device)
    fixed_y = (torch.arange(SNAPSHOT_SAMPLES, device=device) % 10,) if conditional else ()
    identity = gan_fingerprint(config, images)
    if checkpoint_dir is not None:
        _resume(checkpoint_dir, identity, generator, discriminator, optimizers, at)
    if not at.snapshots:
        at.snapshots[0] = snapshot(generator, fixed_z, *fixed_y)

    log = MetricsLog(checkpoint_dir, at.rows)
    per_epoch = len(images) // config.batch
    total = min(config.epochs * per_epoch, config.max_updates or math.inf)
    log_every = max(1, int(total) // 300)
    started = time.perf_counter() - at.seconds
    last_saved = time.perf_counter()
    bar = tqdm(
        total=int(total) * config.batch, initial=at.update * config.batch, desc=config.shape,
        unit="img", disable=not progress,
    )  # fmt: skip
    with bar:
        while at.update < total:
            epoch, position = divmod(at.update, per_epoch)
            chosen = epoch_order(len(images), epoch, config.seed)
            chosen = np.sort(chosen[position * config.batch : (position + 1) * config.batch])
            real = to_tensor(images.images[chosen], shape.channels).to(device)
            y = (torch.from_numpy(images.labels[chosen]).to(device),) if conditional else ()  # type: ignore[index]
            z = generator.sample_z(config.batch, at.rng).to(device)

            if config.schedule == "simultaneous":
                fake = generator(z, *y)
                at.d_loss = step_discriminator(discriminator, optimizers["d"], real, fake, y)
                at.g_loss = step_generator(discriminator, optimizers["g"], fake, y)
            else:
                # the official loop begins with G and takes turns over mini-batches
                if config.schedule == "sequential" or at.update % 2 == 1:
                    with torch.no_grad():
                        fake = generator(z, *y)
                    at.d_loss = step_discriminator(discriminator, optimizers["d"], real, fake, y)
                if config.schedule == "sequential" or at.update % 2 == 0:
                    fake = generator(z, *y)
                    at.g_loss = step_generator(discriminator, optimizers["g"], fake, y)
            at.update += 1
            bar.update(config.batch)

            at.seconds = time.perf_counter() - started
            last = at.update >= total
            distance = mean_pair_distance(fake.detach())
            watch_collapse(config, at, distance)
            if at.update % log_every == 0 or last:
                log.append(
                    update=at.update, epoch=at.update / per_epoch, d_loss=at.d_loss,
                    g_loss=at.g_loss, sample_distance=distance, seconds=at.seconds,
                )  # fmt: skip
                bar.set_postfix_str(f"D {at.d_loss:.2f} G {at.g_loss:.2f}")
            finished, within = divmod(at.update, per_epoch)
            if within == 0 and finished in config.snapshot_epochs:
                at.snapshots[finished] = snapshot(generator, fixed_z, *fixed_y)
            if checkpoint_dir is not None and (
                last or time.perf_counter() - last_saved >= checkpoint_seconds
            ):
                at.rows = log.rows
                _save(checkpoint_dir, identity, generator, discriminator, optimizers, at)
                last_saved = time.perf_counter()

    return GanRun(
        generator=generator.eval(),
        discriminator=discriminator.eval(),
        config=config,
        history=log.rows,
        snapshots=dict(at.snapshots),
        updates=at.update,
        images_seen=at.update * config.batch,
        seconds=at.seconds,
        device=device,
        collapsed_at=at.collapsed_at,
    )


@dataclass
class _Position:
    """How far a run has come, beside weights and optimisers."""

    rng: torch.Generator
    update: int = 0
    seconds: float = 0.0
    d_loss: float = math.log(4)
    g_loss: float = math.log(2)
    suspicious: int = 0
    collapsed_at: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[int, np.ndarray] = field(default_factory=dict)


def make_adam(net: nn.Module, config: GanConfig) -> torch.optim.Optimizer:
    """Adam with L2 in the gradient, as the official code's ``Regularizer.gradient_regularize``."""
    return torch.optim.Adam(
        net.parameters(), config.lr, (config.beta1, 0.999),
        weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip


def step_discriminator(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    y: tuple[Tensor, ...],
) -> float:
    """One step of D on real and fake images (B, C, H, W); returns the sum of both mean losses.

    One pass over both, batch norm taking the statistics of each half by itself, which is what the
    official code's two separate batches give.
    """
    set_groups(discriminator, 2)
    both = torch.cat([real, fake.detach()]).contiguous(memory_format=torch.channels_last)
    logits = discriminator(both, *(torch.cat([label, label]) for label in y))
    set_groups(discriminator, 1)
    real_logits, fake_logits = logits.chunk(2)
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return finite(loss, "discriminator")


def step_generator(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    fake: Tensor,
    y: tuple[Tensor, ...],
) -> float:
    """One step of G to be taken for real (the non-saturating loss), D frozen; returns the loss."""
    for parameter in discriminator.parameters():
        parameter.requires_grad_(False)
    loss = F.softplus(-discriminator(fake, *y)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    for parameter in discriminator.parameters():
        parameter.requires_grad_(True)
    return finite(loss, "generator")


def finite(loss: Tensor, whose: str) -> float:
    """The loss as a number; ``RadfordError`` if it is none."""
    value = loss.item()
    if not math.isfinite(value):
        raise RadfordError(f"the {whose}'s loss is {value}: lower lr, or try another seed")
    return value


def watch_collapse(config: GanConfig, at: _Position, distance: float) -> None:
    """Count updates in which D is certain and all samples look alike; stop after too many."""
    is_suspicious = at.d_loss < COLLAPSED_LOSS and distance < COLLAPSED_DISTANCE
    at.suspicious = at.suspicious + 1 if is_suspicious else 0
    if at.suspicious < COLLAPSED_UPDATES or at.collapsed_at is not None:
        return
    at.collapsed_at = at.update - COLLAPSED_UPDATES + 1
    if config.on_collapse == "raise":
        raise RadfordError(
            f"the GAN collapsed at update {at.collapsed_at} (samples alike, D certain): "
            "lower lr, try another seed, or set on_collapse to 'record'"
        )


def mean_pair_distance(samples: Tensor) -> float:
    """Mean absolute pixel difference of neighbouring samples in a batch; 0 when all are alike."""
    return (samples - samples.roll(1, 0)).abs().mean().item()


def check_images(config: GanConfig, images: ImageSet) -> None:
    """Raise ``RadfordError`` unless the images fit the shape and fill a batch."""
    shape = find_shape(config.shape)
    wanted = (shape.size, shape.size, shape.channels)
    if images.images.shape[1:] != wanted:
        raise RadfordError(
            f"shape '{config.shape}' learns from images of {wanted}, "
            f"those of '{images.name}' are {images.images.shape[1:]}: set size={shape.size}"
        )
    if len(images) < config.batch:
        raise RadfordError(f"{len(images)} images do not fill one batch of {config.batch}")
    if config.shape == "mnist28" and images.labels is None:
        raise RadfordError(f"shape 'mnist28' is conditional, but '{images.name}' has no labels")


def epoch_order(n: int, epoch: int, seed: int) -> np.ndarray:
    """The order in which an epoch shows n images."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def to_tensor(images: np.ndarray, channels: int) -> Tensor:
    """uint8 (B, H, W, C) as float32 (B, C, H, W): -1 to 1 for tanh, 0 to 1 for the grey sigmoid."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float()
    x = x / 255 if channels == 1 else x / 127.5 - 1
    return x.permute(0, 3, 1, 2)  # channels last in memory, as the images already are


def to_images(samples: Tensor) -> np.ndarray:
    """Samples (B, C, H, W) of a generator as uint8 (B, H, W, C)."""
    scaled = samples * 255 if samples.shape[1] == 1 else (samples + 1) * 127.5
    return scaled.round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def snapshot(generator: nn.Module, *inputs: Tensor) -> np.ndarray:
    """Samples of given codes (and labels), (B, H, W, C) uint8, by the batch's own statistics."""
    return to_images(generator(*inputs))


@torch.no_grad()
def sample_images(run: GanRun, n: int, *, seed: int, batch: int = 128) -> np.ndarray:
    """``n`` fresh samples of an unconditional run, (n, H, W, C) uint8.

    Drawn in batches of ``batch``, each normalised by its own statistics as in training.
    """
    rng = torch.Generator().manual_seed(seed)
    parts = []
    for _ in range(math.ceil(n / batch)):
        z = run.generator.sample_z(batch, rng).to(run.device)  # type: ignore[operator]
        parts.append(snapshot(run.generator, z))
    return np.concatenate(parts)[:n]


def gan_fingerprint(config: GanConfig, images: ImageSet) -> str:
    """Identify the run that these make: for ``default_checkpoint_dir``."""
    return fingerprint(config, f"{images.sha256}:{images.split}:{len(images)}")


def _save(
    folder: str | Path,
    identity: str,
    generator: nn.Module,
    discriminator: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    at: _Position,
) -> None:
    tensors = {f"g.{name}": t for name, t in generator.state_dict().items()}
    tensors |= {f"d.{name}": t for name, t in discriminator.state_dict().items()}
    states = {}
    for name, optimizer in optimizers.items():
        more, states[name] = flatten_optimizer(optimizer, f"adam_{name}")
        tensors |= more
    tensors["rng"] = at.rng.get_state()
    for epoch, samples in at.snapshots.items():
        tensors[f"snapshot.{epoch}"] = torch.from_numpy(samples)
    values = {
        name: getattr(at, name)
        for name in ("update", "seconds", "d_loss", "g_loss", "suspicious", "collapsed_at", "rows")
    }
    save_checkpoint(
        folder, tensors, {"fingerprint": identity, "optimizers": states, "position": values}
    )


def _resume(
    folder: str | Path,
    identity: str,
    generator: nn.Module,
    discriminator: nn.Module,
    optimizers: dict[str, torch.optim.Optimizer],
    at: _Position,
) -> None:
    """Bring all to where the checkpoint in ``folder`` is, if there is one."""
    saved = load_checkpoint(folder)
    if saved is None:
        return
    tensors, values = saved
    if values.get("fingerprint") != identity:
        raise RadfordError(
            f"{folder} holds another run (other configuration, data or code): "
            "choose another folder or delete it"
        )
    for prefix, net in (("g", generator), ("d", discriminator)):
        net.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in net.state_dict()})
    for name, optimizer in optimizers.items():
        restore_optimizer(optimizer, tensors, values["optimizers"][name], f"adam_{name}")
    at.rng.set_state(tensors["rng"])
    for name, tensor in tensors.items():
        if name.startswith("snapshot."):
            at.snapshots[int(name.removeprefix("snapshot."))] = tensor.numpy()
    for name, value in values["position"].items():
        setattr(at, name, value)
