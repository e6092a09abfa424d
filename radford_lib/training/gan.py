"""Train a DCGAN: the loop of the official code, or the two schedules that others use.

The loop is :func:`train_gan`, to be read top to bottom; what an update computes is
:func:`radford_lib.training.gan_step.update_nets`.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from radford_lib.data.image_set import ImageSet
from radford_lib.errors import DivergedError, RadfordError, UsageError
from radford_lib.models.dcgan import (
    Generator,
    find_guidelines,
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
from radford_lib.training.distributed import Ranks, main_decides, setup, wait_for_all
from radford_lib.training.gan_data import Batches, to_images, to_tensor
from radford_lib.training.gan_step import GAUGES, Nets, Updates
from radford_lib.training.metrics import MetricsLog

__all__ = [
    "GanConfig",
    "GanRun",
    "gan_fingerprint",
    "in_batches",
    "sample_images",
    "to_images",
    "to_tensor",
    "train_gan",
]

SCHEDULES = ("alternate", "sequential", "simultaneous")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class GanConfig:
    """What decides a DCGAN run; defaults are the paper's (section 4) and the official code's.

    ``schedule``: ``alternate`` updates G on one mini-batch and D on the next (official code);
    ``sequential`` updates D, then G against the new D, on each mini-batch; ``simultaneous`` updates
    both with gradients taken before either moved. ``weight_decay`` is an L2 term in the gradient,
    inside Adam, for every parameter (official code: 1e-5 for faces). ``snapshot_epochs`` are the
    epochs after which samples of the same codes are kept. ``width`` None is the shape's own.
    ``nets`` other than the paper's break one of its guidelines: see ``models.dcgan.GUIDELINES``.
    ``precision``: ``bf16`` multiplies in bfloat16, with weights, statistics and losses in float32;
    ``auto`` does so on a GPU that can.
    """

    shape: str = "svhn32"
    width: int | None = None
    nets: str = "paper"
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
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        find_guidelines(self.nets, find_shape(self.shape))
        if self.schedule not in SCHEDULES:
            raise UsageError(f"no schedule '{self.schedule}'; there are: {', '.join(SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision is one of {', '.join(PRECISIONS)}, not '{self.precision}'")
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
    recorded. ``seconds`` counts the updates alone, over all processes of the run. ``finished`` is
    False where a deadline came first.
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
    finished: bool = True


def train_gan(
    config: GanConfig,
    images: ImageSet,
    *,
    checkpoint_dir: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    deadline: float | None = None,
    progress: bool = True,
    device: str | None = None,
) -> GanRun:
    """Train on ``images``, or continue, or return the finished run of ``checkpoint_dir``.

    One epoch shows each image once. On CPU a continued run equals an unbroken one to the bit; a
    kill loses at most ``checkpoint_seconds``. At ``deadline``, a time of ``time.perf_counter``,
    the run is saved and returned as it is. Under ``torchrun`` every process takes its part of each
    batch, of which losses, gradients and batch statistics are those of the whole. Raises
    ``RadfordError`` when a loss is not finite, when the GAN collapses (unless ``on_collapse`` is
    ``record``), when images do not fit the shape and when the checkpoint is damaged or belongs to
    another run; ``UsageError`` when the processes cannot share a batch equally.
    """
    check_images(config, images)
    ranks = setup(device)
    at = start(config, ranks)
    identity = gan_fingerprint(config, images)
    if checkpoint_dir is not None:
        wait_for_all()  # one of them may still be writing what all continue from
        _resume(checkpoint_dir, identity, at)
    folder = checkpoint_dir if ranks.is_main else None  # one process writes for all
    log = MetricsLog(folder, at.rows)
    per_epoch = len(images) // config.batch
    total = min(config.epochs * per_epoch, config.max_updates or config.epochs * per_epoch)
    log_every = max(1, total // 300)
    read_every = updates_between_readings(ranks.device, log_every)
    milestones = {round(epoch * per_epoch) for epoch in config.snapshot_epochs} | {total}
    batches = Batches(images, config.batch, config.seed, ranks, labels=at.shape.conditional)
    updates = Updates(config.schedule, config.batch, at, batches)
    if at.update == 0:
        keep_samples(config, at, 0, last=False)
    bar = tqdm(
        total=total * config.batch, initial=at.update * config.batch, desc=config.shape,
        unit="img", disable=not (progress and ranks.is_main),
    )  # fmt: skip
    last_saved = began = time.perf_counter()
    stops = False
    with bar, convolution_search():
        while at.update < total and not stops:
            updates.run()
            if at.update % read_every and at.update not in milestones:
                continue
            found = at.read()
            at.seconds += time.perf_counter() - began

            last = at.update == total
            check_progress(config, found)
            if at.update % log_every == 0 or last:
                log.append(
                    update=at.update, epoch=at.update / per_epoch, d_loss=found["d_loss"],
                    g_loss=found["g_loss"], sample_distance=found["distance"], seconds=at.seconds,
                )  # fmt: skip
            bar.update(at.update * config.batch - bar.n)
            bar.set_postfix_str(f"D {found['d_loss']:.2f} G {found['g_loss']:.2f}", refresh=False)
            keep_samples(config, at, at.update / per_epoch, last=last)
            if deadline is not None:
                stops = main_decides(time.perf_counter() >= deadline)
            is_due = last or stops or time.perf_counter() - last_saved >= checkpoint_seconds
            if folder is not None and is_due:
                at.rows = log.rows
                _save(folder, identity, at)
                last_saved = time.perf_counter()
            began = time.perf_counter()
    at.rows = log.rows
    return _finished(config, at, total)


@dataclass(kw_only=True)
class _State(Nets):
    """A run under way: nets, optimisers, and how far it has come."""

    fixed: tuple[Tensor, ...]  # codes (and labels) of the snapshots
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[float, np.ndarray] = field(default_factory=dict)


def start(config: GanConfig, ranks: Ranks) -> _State:
    """Untrained nets and all that goes with them."""
    shape = find_shape(config.shape)
    nets = [
        make(config.shape, width=config.width, seed=config.seed, nets=config.nets)
        for make in (make_generator, make_discriminator)
    ]
    for net in nets:
        # channels last is what convolutions on CPU and tensor cores like
        net.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    codes = torch.Generator().manual_seed(config.seed + 1)
    fixed: tuple[Tensor, ...] = (sample_z(shape, config.snapshot_samples, codes).to(ranks.device),)
    if shape.conditional:
        fixed += (torch.arange(config.snapshot_samples, device=ranks.device) % 10,)
    return _State(
        shape=shape,
        generator=nets[0],
        discriminator=nets[1],
        adam_g=make_adam(nets[0], config),
        adam_d=make_adam(nets[1], config),
        rng=torch.Generator(ranks.device).manual_seed(config.seed),
        ranks=ranks,
        bf16=multiplies_in_bf16(config.precision, ranks.device),
        fixed=fixed,
    )


def _finished(config: GanConfig, at: _State, total: int) -> GanRun:
    return GanRun(
        generator=at.generator.eval(),
        discriminator=at.discriminator.eval(),
        config=config,
        history=at.rows,
        snapshots=dict(at.snapshots),
        updates=at.update,
        images_seen=at.update * config.batch,
        seconds=at.seconds,
        device=at.ranks.device,
        collapsed_at=int(at.read()["collapsed_at"]) or None,
        finished=at.update == total,
    )


def make_adam(net: nn.Module, config: GanConfig) -> torch.optim.Optimizer:
    """Adam with L2 in the gradient, as the official code's ``Regularizer.gradient_regularize``."""
    return torch.optim.Adam(
        net.parameters(), config.lr, (config.beta1, 0.999),
        weight_decay=config.weight_decay, fused=True,
        capturable=next(net.parameters()).is_cuda,
    )  # fmt: skip


def multiplies_in_bf16(precision: str, device: str) -> bool:
    """Whether ``precision`` means bfloat16 on this device; it is native from sm_80 on."""
    if precision != "auto":
        return precision == "bf16"
    return device != "cpu" and torch.cuda.get_device_capability(device) >= (8, 0)


def updates_between_readings(device: str, log_every: int) -> int:
    """How often the loop looks at the losses: to read them is to wait for a GPU."""
    return 1 if device == "cpu" else log_every


@contextlib.contextmanager
def convolution_search() -> Iterator[None]:
    """Let cuDNN try its algorithms on the first batch of each shape and keep the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def keep_samples(config: GanConfig, at: _State, epoch: float, *, last: bool) -> None:
    """Sample the fixed codes at the start, the end and the epochs that the configuration names."""
    if epoch == 0 or last or epoch in config.snapshot_epochs:
        at.snapshots[epoch] = in_batches(at.generator, at.fixed, config.batch)


def check_progress(config: GanConfig, found: dict[str, float]) -> None:
    """Raise ``DivergedError`` if a loss is no number, ``RadfordError`` at a collapse.

    Unless collapses are to be recorded.
    """
    for name, whose in (("d_loss", "discriminator"), ("g_loss", "generator")):
        if not math.isfinite(found[name]):
            raise DivergedError(
                f"the {whose}'s loss is {found[name]}: lower lr, or try another seed"
            )
    if found["collapsed_at"] and config.on_collapse == "raise":
        raise RadfordError(
            f"the GAN collapsed at update {found['collapsed_at']:.0f} (samples alike, D certain): "
            "lower lr, try another seed, or set on_collapse to 'record'"
        )


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
    state: dict[str, Any] = {"fingerprint": identity, "adam_g": state_g, "adam_d": state_d}
    state |= {"update": at.update, "seconds": at.seconds, "rows": at.rows}
    save_checkpoint(folder, tensors, state | at.read())


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
    if len(tensors["rng"]) == len(at.rng.get_state()):
        at.rng.set_state(tensors["rng"])
    else:  # from a CPU to a GPU or back, where other codes of the same kind follow
        at.rng.manual_seed(at.rng.initial_seed() + values["update"])
    for name, tensor in tensors.items():
        if name.startswith("snapshot."):
            at.snapshots[float(name.removeprefix("snapshot."))] = tensor.numpy()
    for name in ("update", "seconds", "rows"):
        setattr(at, name, values[name])
    for name in GAUGES:
        getattr(at, name).fill_(values[name])
