"""Train a DCGAN: the loop of the official code, or the two schedules that others use.

The loop is :func:`train_gan`, to be read top to bottom; what it calls stands below it.
"""

import functools
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
from radford_lib.models.dcgan import (
    Generator,
    Shape,
    find_shape,
    make_discriminator,
    make_generator,
    sample_z,
)
from radford_lib.training.checkpoint import (
    fingerprint,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from radford_lib.training.metrics import MetricsLog

SCHEDULES = ("alternate", "sequential", "simultaneous")
# A GAN counts as collapsed when D is certain and all samples look alike, this many updates long
COLLAPSED_UPDATES = 500
COLLAPSED_LOSS = 1e-3
COLLAPSED_DISTANCE = 0.02


@dataclass(frozen=True)
class GanConfig:
    """What decides a DCGAN run; defaults are the paper's (section 4) and the official code's.

    ``schedule``: ``alternate`` updates G on one mini-batch and D on the next (official code);
    ``sequential`` updates D, then G against the new D, on each mini-batch; ``simultaneous`` updates
    both with gradients taken before either moved. ``weight_decay`` is an L2 term in the gradient,
    inside Adam, for every parameter (official code: 1e-5 for faces). ``snapshot_epochs`` are the
    epochs after which samples of the same codes are kept. ``width`` None is the shape's own.
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
    snapshot_samples: int = 64
    on_collapse: str = "raise"
    seed: int = 0

    def __post_init__(self) -> None:
        find_shape(self.shape)
        if self.schedule not in SCHEDULES:
            raise UsageError(f"no schedule '{self.schedule}'; there are: {', '.join(SCHEDULES)}")
        if self.on_collapse not in ("raise", "record"):
            raise UsageError(f"on_collapse is 'raise' or 'record', not '{self.on_collapse}'")
        for name in ("batch", "epochs", "width", "max_updates", "snapshot_samples"):
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
    same codes, (snapshot_samples, H, W, C) uint8, by epoch: 0 (untrained), the epochs asked for and
    the end, which may be a fraction. ``collapsed_at`` is the update of a collapse that was
    recorded. ``seconds`` counts the updates alone, over all processes of the run.
    """

    generator: nn.Module
    discriminator: nn.Module
    config: GanConfig
    history: list[dict[str, Any]]
    snapshots: dict[float, np.ndarray]
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
    check_images(config, images)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    at = _start(config, device)
    identity = gan_fingerprint(config, images)
    if checkpoint_dir is not None:
        _resume(checkpoint_dir, identity, at)
    log = MetricsLog(checkpoint_dir, at.rows)
    per_epoch = len(images) // config.batch
    total = min(config.epochs * per_epoch, config.max_updates or config.epochs * per_epoch)
    log_every = max(1, total // 300)
    last_saved = time.perf_counter()
    if at.update == 0:
        keep_samples(config, at, 0, last=False)
    bar = tqdm(
        total=total * config.batch, initial=at.update * config.batch, desc=config.shape,
        unit="img", disable=not progress,
    )  # fmt: skip
    with bar:
        while at.update < total:
            began = time.perf_counter()
            real, y = draw_batch(config, images, at.update, device)
            z = sample_z(at.shape, config.batch, at.rng).to(device)
            fake = update_nets(config, at, real, z, y)
            at.update += 1
            at.seconds += time.perf_counter() - began

            last = at.update == total
            distance = mean_pair_distance(fake)
            watch_collapse(config, at, distance)
            if at.update % log_every == 0 or last:
                log.append(
                    update=at.update, epoch=at.update / per_epoch, d_loss=at.d_loss,
                    g_loss=at.g_loss, sample_distance=distance, seconds=at.seconds,
                )  # fmt: skip
            bar.update(config.batch)
            bar.set_postfix_str(f"D {at.d_loss:.2f} G {at.g_loss:.2f}", refresh=False)
            keep_samples(config, at, at.update / per_epoch, last=last)
            is_due = last or time.perf_counter() - last_saved >= checkpoint_seconds
            if checkpoint_dir is not None and is_due:
                at.rows = log.rows
                _save(checkpoint_dir, identity, at)
                last_saved = time.perf_counter()
    return GanRun(
        generator=at.generator.eval(),
        discriminator=at.discriminator.eval(),
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
class _State:
    """A run under way: nets, optimisers, and how far it has come."""

    shape: Shape
    generator: nn.Module
    discriminator: nn.Module
    adam_g: torch.optim.Optimizer
    adam_d: torch.optim.Optimizer
    rng: torch.Generator
    fixed: tuple[Tensor, ...]  # codes (and labels) of the snapshots
    update: int = 0
    seconds: float = 0.0
    d_loss: float = math.log(4)
    g_loss: float = math.log(2)
    suspicious: int = 0
    collapsed_at: int | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[float, np.ndarray] = field(default_factory=dict)


# the part of the state that a checkpoint keeps as JSON
_VALUES = (
    "update", "seconds", "d_loss", "g_loss", "suspicious", "collapsed_at", "rows",
)  # fmt: skip


def _start(config: GanConfig, device: str) -> _State:
    """Untrained nets and all that goes with them."""
    shape = find_shape(config.shape)
    nets = [
        make(config.shape, width=config.width, seed=config.seed)
        for make in (make_generator, make_discriminator)
    ]
    for net in nets:
        # channels last is what convolutions on CPU and tensor cores like
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    codes = torch.Generator().manual_seed(config.seed + 1)
    fixed: tuple[Tensor, ...] = (sample_z(shape, config.snapshot_samples, codes).to(device),)
    if shape.conditional:
        fixed += (torch.arange(config.snapshot_samples, device=device) % 10,)
    return _State(
        shape=shape,
        generator=nets[0],
        discriminator=nets[1],
        adam_g=make_adam(nets[0], config),
        adam_d=make_adam(nets[1], config),
        rng=torch.Generator().manual_seed(config.seed),
        fixed=fixed,
    )


def make_adam(net: nn.Module, config: GanConfig) -> torch.optim.Optimizer:
    """Adam with L2 in the gradient, as the official code's ``Regularizer.gradient_regularize``."""
    return torch.optim.Adam(
        net.parameters(), config.lr, (config.beta1, 0.999),
        weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip


def draw_batch(
    config: GanConfig, images: ImageSet, update: int, device: str
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The real images (B, C, H, W) of an update, and their labels where the nets want them."""
    epoch, position = divmod(update, len(images) // config.batch)
    order = epoch_order(len(images), epoch, config.seed)
    chosen = np.sort(order[position * config.batch : (position + 1) * config.batch])
    real = to_tensor(images.images[chosen], images.images.shape[3]).to(device)
    if images.labels is None or not find_shape(config.shape).conditional:
        return real, ()
    return real, (torch.from_numpy(images.labels[chosen]).to(device),)


def update_nets(
    config: GanConfig, at: _State, real: Tensor, z: Tensor, y: tuple[Tensor, ...]
) -> Tensor:
    """Update G, D or both on one mini-batch, as the schedule says; returns the samples of ``z``."""
    # the official loop begins with G
    trains_g = config.schedule != "alternate" or at.update % 2 == 0
    trains_d = config.schedule != "alternate" or at.update % 2 == 1
    with torch.set_grad_enabled(trains_g):
        fake = at.generator(z, *y)
    if trains_d:
        at.d_loss = discriminator_gradients(at.discriminator, at.adam_d, real, fake, y)
        if config.schedule != "simultaneous":
            at.adam_d.step()
    if trains_g:
        at.g_loss = generator_gradients(at.discriminator, at.adam_g, fake, y)
        at.adam_g.step()
    if config.schedule == "simultaneous":
        at.adam_d.step()
    return fake.detach()


def discriminator_gradients(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    y: tuple[Tensor, ...] = (),
) -> float:
    """Gradients of D on real and fake images (B, C, H, W); returns the sum of both mean losses.

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
    return finite(loss, "discriminator")


def generator_gradients(
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    fake: Tensor,
    y: tuple[Tensor, ...] = (),
) -> float:
    """Gradients of G to be taken for real (the non-saturating loss), D frozen; returns the loss."""
    discriminator.requires_grad_(False)
    loss = F.softplus(-discriminator(fake, *y)).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    discriminator.requires_grad_(True)
    return finite(loss, "generator")


def keep_samples(config: GanConfig, at: _State, epoch: float, *, last: bool) -> None:
    """Sample the fixed codes at the start, the end and the epochs that the configuration names."""
    if epoch == 0 or last or epoch in config.snapshot_epochs:
        at.snapshots[epoch] = in_batches(at.generator, at.fixed, config.batch)


def finite(loss: Tensor, whose: str) -> float:
    """The loss as a number; ``RadfordError`` if it is none."""
    value = loss.item()
    if not math.isfinite(value):
        raise RadfordError(f"the {whose}'s loss is {value}: lower lr, or try another seed")
    return value


def watch_collapse(config: GanConfig, at: _State, distance: float) -> None:
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
    if shape.conditional and images.labels is None:
        raise RadfordError(
            f"shape '{config.shape}' is conditional, but '{images.name}' has no labels"
        )


@functools.lru_cache(maxsize=1)
def epoch_order(n: int, epoch: int, seed: int) -> np.ndarray:
    """The order in which an epoch shows n images; kept for the epoch's updates."""
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
def in_batches(generator: nn.Module, inputs: tuple[Tensor, ...], batch: int) -> np.ndarray:
    """Samples of given codes (and labels), (N, H, W, C) uint8.

    Drawn in equal parts of about ``batch``, each normalised by its own statistics as in training.
    """
    count = math.ceil(len(inputs[0]) / batch)
    parts = zip(*(tensor.tensor_split(count) for tensor in inputs), strict=True)
    return np.concatenate([to_images(generator(*part)) for part in parts])


def sample_images(generator: nn.Module, n: int, *, seed: int, batch: int = 128) -> np.ndarray:
    """``n`` fresh samples of an unconditional generator, (n, H, W, C) uint8; see ``in_batches``."""
    if not isinstance(generator, Generator):
        raise RadfordError("samples without labels need an unconditional generator")
    z = generator.sample_z(n, torch.Generator().manual_seed(seed))
    return in_batches(generator, (z.to(next(generator.parameters()).device),), batch)


def gan_fingerprint(config: GanConfig, images: ImageSet) -> str:
    """Identify the run that these make: for ``default_checkpoint_dir``."""
    return fingerprint(config, f"{images.sha256}:{images.split}:{len(images)}")


def _save(folder: str | Path, identity: str, at: _State) -> None:
    tensors = {f"g.{name}": t for name, t in at.generator.state_dict().items()}
    tensors |= {f"d.{name}": t for name, t in at.discriminator.state_dict().items()}
    adam_g, state_g = flatten_optimizer(at.adam_g, "adam_g")
    adam_d, state_d = flatten_optimizer(at.adam_d, "adam_d")
    tensors |= adam_g | adam_d | {"rng": at.rng.get_state()}
    for epoch, samples in at.snapshots.items():
        tensors[f"snapshot.{epoch}"] = torch.from_numpy(samples)
    state = {"fingerprint": identity, "adam_g": state_g, "adam_d": state_d}
    save_checkpoint(folder, tensors, state | {name: getattr(at, name) for name in _VALUES})


def _resume(folder: str | Path, identity: str, at: _State) -> None:
    """Bring the run to where the checkpoint in ``folder`` is, if there is one."""
    saved = load_checkpoint(folder)
    if saved is None:
        return
    tensors, values = saved
    if values.get("fingerprint") != identity:
        raise RadfordError(
            f"{folder} holds another run (other configuration, data or code): "
            "choose another folder or delete it"
        )
    for prefix, net in (("g", at.generator), ("d", at.discriminator)):
        net.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in net.state_dict()})
    restore_optimizer(at.adam_g, tensors, values["adam_g"], "adam_g")
    restore_optimizer(at.adam_d, tensors, values["adam_d"], "adam_d")
    at.rng.set_state(tensors["rng"])
    for name, tensor in tensors.items():
        if name.startswith("snapshot."):
            at.snapshots[float(name.removeprefix("snapshot."))] = tensor.numpy()
    for name in _VALUES:
        setattr(at, name, values[name])
