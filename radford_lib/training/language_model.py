"""Train a byte language model: shards to parallel streams, truncated backpropagation, Adam.

The loop is :func:`train_language_model`, to be read top to bottom; what it calls stands below it.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from radford_lib.data.corpus import ByteCorpus
from radford_lib.errors import DivergedError, RadfordError, UsageError
from radford_lib.models.language_model import ByteLanguageModel, State
from radford_lib.training.checkpoint import (
    fingerprint,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from radford_lib.training.distributed import (
    Ranks,
    average,
    average_gradients,
    gather_rows,
    main_decides,
    setup,
)
from radford_lib.training.graphed import GraphedUpdates
from radford_lib.training.metrics import MetricsLog

LOG_POINTS = 200
VALIDATION_POINTS = 10
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class LanguageModelConfig:
    """What decides a language model run; the paper's own values are in the ``paper`` profile.

    ``total_bytes`` are read in updates of ``batch`` streams times ``window`` bytes, over as many
    epochs as that takes. ``lr`` falls linearly to zero over the run (Adam, no weight decay).
    ``clip``, if not 0, bounds the norm of the gradient. ``validation_bytes`` are scored
    ten times a run, where a validation corpus is given. ``precision`` is that of products and
    activations: ``bf16``, ``fp32`` or ``auto``, which is bf16 on a GPU; weights are always float32.
    """

    cell: str = "mlstm"
    hidden: int = 512
    embed: int = 64
    weight_norm: bool = True
    batch: int = 64
    window: int = 64
    total_bytes: int = 10_000_000
    lr: float = 2e-3
    clip: float = 1.0
    validation_bytes: int = 200_000
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        sizes = ("hidden", "embed", "batch", "window", "total_bytes", "validation_bytes")
        for name in sizes:
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.updates < 1:
            raise UsageError(
                f"total_bytes {self.total_bytes} is less than one update of batch {self.batch} "
                f"x window {self.window} bytes"
            )
        if not self.lr > 0 or self.clip < 0:
            raise UsageError("lr must be positive and clip 0 (off) or positive")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"unknown precision {self.precision!r}: choose from {', '.join(PRECISIONS)}"
            )

    @property
    def updates(self) -> int:
        return self.total_bytes // (self.batch * self.window)

    def dtype(self, device: str) -> torch.dtype:
        """The type of products and activations on ``device``."""
        low = self.precision == "bf16" or (self.precision == "auto" and device.startswith("cuda"))
        return torch.bfloat16 if low else torch.float32


@dataclass(frozen=True)
class LanguageModelRun:
    """A trained model and how it came about.

    ``history`` has rows of update, bytes, bits_per_byte, lr and seconds, and now and then
    valid_bits_per_byte. ``seconds`` counts the loop (with validation), over all its processes.
    ``valid_bits_per_byte`` is the final one, None without a validation corpus.
    """

    model: ByteLanguageModel
    config: LanguageModelConfig
    history: list[dict[str, Any]]
    seconds: float
    bytes_seen: int
    valid_bits_per_byte: float | None
    device: str

    @property
    def finished(self) -> bool:
        """Whether all updates were made; a deadline may have come first."""
        return self.bytes_seen == self.config.updates * self.config.batch * self.config.window


def train_language_model(
    config: LanguageModelConfig,
    corpus: ByteCorpus,
    *,
    validation: ByteCorpus | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    deadline: float | None = None,
    visit: Callable[[ByteLanguageModel, int], None] | None = None,
    visit_at: Sequence[int] = (),
    progress: bool = True,
    device: str | None = None,
) -> LanguageModelRun:
    """Train on ``corpus``, or continue, or return the finished run of ``checkpoint_dir``.

    As in the paper (section 3): each shard is read in ``batch`` parallel streams, the state starts
    at zero with each shard and is carried from window to window, gradients are not. On CPU a
    continued run equals an unbroken one to the bit; a kill loses at most ``checkpoint_seconds``.
    At ``deadline``, a time of ``time.perf_counter``, the run is saved and returned as far as it is.
    ``visit(model, bytes read)`` is called when as many bytes are read as ``visit_at`` names; the
    time it takes is not counted, and a checkpoint follows it.
    ``device`` None is a GPU where there is one. Under ``torchrun`` each process reads its part of
    the streams, gradients are averaged, and the first process alone writes, visits and shows
    progress.
    Raises ``RadfordError`` when the loss is no longer finite, when the corpus has too few bytes
    for one update, and when the checkpoint is damaged or belongs to another run.
    """
    ranks = setup(device)
    own = ranks.part(config.batch)  # the streams that this process reads
    identity = language_model_fingerprint(config, corpus, validation)
    model = ByteLanguageModel(
        config.cell, config.hidden, config.embed, config.weight_norm, config.seed
    ).to(ranks.device)
    log_every = max(1, config.updates // LOG_POINTS)
    validate_every = log_every * max(1, LOG_POINTS // VALIDATION_POINTS)
    per_update = config.batch * config.window
    visits = {math.ceil(count / per_update) for count in visit_at} if visit else set()
    dtype = config.dtype(ranks.device)
    updates = _updates(config, model, ranks, capacity=log_every)
    at = _Position()
    if checkpoint_dir is not None:
        _resume(checkpoint_dir, identity, model, updates, own, at)

    log = MetricsLog(checkpoint_dir if ranks.is_main else None, at.rows)
    windows = shard_windows(corpus, config.batch, config.window, config.seed, skip=at.update)
    recent = deque(at.recent, maxlen=log_every)
    last_saved = time.perf_counter()
    started = last_saved - at.seconds

    bar = tqdm(
        total=config.updates * per_update,
        initial=at.update * per_update,
        desc=f"{config.cell} {config.hidden}",
        unit="B",
        unit_scale=True,
        disable=not (progress and ranks.is_main),
    )
    with bar:
        stops = False
        while at.update < config.updates and not stops:
            inputs, targets, starts_shard = next(windows)
            if starts_shard:
                updates.start_shard()
            lr = config.lr * (1 - at.update / config.updates)
            updates.update(inputs[:, own], targets[:, own], lr)
            at.update += 1
            bar.update(per_update)

            last = at.update == config.updates
            logs = last or at.update % log_every == 0
            validates = validation is not None and (last or at.update % validate_every == 0)
            visited = at.update in visits
            if deadline is not None:
                stops = main_decides(time.perf_counter() >= deadline)
            saves = checkpoint_dir is not None and main_decides(
                last or stops or visited or time.perf_counter() - last_saved >= checkpoint_seconds
            )
            if logs or saves or isinstance(updates, PlainUpdates):
                losses, norm = updates.read()
                losses = average(losses)
                _check_finite(config, at.update, losses, norm)
                recent += [loss / math.log(2) for loss in losses]

            measured: dict[str, float] = {}
            if validation is not None and validates:
                at.valid_bits = bits_per_byte(
                    model, validation, max_bytes=config.validation_bytes, dtype=dtype
                )
                measured["valid_bits_per_byte"] = at.valid_bits
            at.seconds = time.perf_counter() - started
            if logs:
                log.append(
                    update=at.update,
                    bytes=at.update * per_update,
                    bits_per_byte=sum(recent) / len(recent),
                    gradient_norm=norm,
                    lr=lr,
                    seconds=at.seconds,
                    **measured,
                )
                bar.set_postfix_str(f"{log.rows[-1]['bits_per_byte']:.2f} bits/byte")
            if visit is not None and visited and ranks.is_main:
                visit(model, at.update * per_update)
                started = time.perf_counter() - at.seconds
            if checkpoint_dir is not None and saves:
                at.rows, at.recent = log.rows, list(recent)
                _save(checkpoint_dir, identity, model, updates, ranks, at)
                last_saved = time.perf_counter()

    return LanguageModelRun(
        model=model.eval(),
        config=config,
        history=log.rows,
        seconds=at.seconds,
        bytes_seen=at.update * per_update,
        valid_bits_per_byte=at.valid_bits,
        device=ranks.device,
    )


class PlainUpdates:
    """One update after another in plain PyTorch, each loss read at once: what runs on a CPU."""

    def __init__(self, model: ByteLanguageModel, batch: int, clip: float) -> None:
        self.model, self.clip = model, clip
        self.optimizer = torch.optim.Adam(model.parameters(), fused=True)
        self.state = model.initial_state(batch)
        self._losses, self._norm = list[float](), 0.0

    def start_shard(self) -> None:
        self.state = self.model.initial_state(len(self.state[0]))

    def update(self, inputs: Tensor, targets: Tensor, lr: float) -> None:
        loss, self._norm, self.state = update_once(
            self.model, self.optimizer, inputs, targets, self.state, lr, self.clip
        )
        self._losses.append(loss)

    def read(self) -> tuple[list[float], float]:
        losses, self._losses = self._losses, []
        return losses, self._norm


def update_once(
    model: ByteLanguageModel,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    state: State,
    lr: float,
    clip: float,
) -> tuple[float, float, State]:
    """One step of Adam on a window (T, B).

    Returns the loss in nats per byte, the norm of the gradient before clipping, the new state.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    logits, (h, c) = model(inputs, state)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(model.parameters())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
    optimizer.step()
    return loss.item(), norm.item(), (h.detach(), c.detach())


def _updates(
    config: LanguageModelConfig, model: ByteLanguageModel, ranks: Ranks, capacity: int
) -> PlainUpdates | GraphedUpdates:
    """What runs the updates of this process's streams; ``capacity``: losses between two reads."""
    batch = config.batch // ranks.world
    dtype = config.dtype(ranks.device)
    if ranks.device == "cpu" and dtype == torch.float32:
        return PlainUpdates(model, batch, config.clip)
    return GraphedUpdates(
        model,
        batch=batch,
        window=config.window,
        clip=config.clip,
        dtype=dtype,
        capacity=capacity,
        graph=ranks.device != "cpu",
    )


def _check_finite(
    config: LanguageModelConfig, update: int, losses: list[float], norm: float
) -> None:
    """Raise ``DivergedError`` where it has; ``losses`` end with ``update``'s."""
    first = update - len(losses) + 1
    found = [(n, loss) for n, loss in enumerate(losses, first) if not math.isfinite(loss)]
    if not found and math.isfinite(norm):
        return
    number, loss = found[0] if found else (update, losses[-1])
    raise DivergedError(
        f"training diverged at update {number} (loss {loss:g}, gradient norm {norm:g}): "
        f"lower lr ({config.lr:g}) or clip ({config.clip:g})"
    )


@dataclass
class _Position:
    """How far a run has come, beside weights, optimiser and carried state."""

    update: int = 0
    seconds: float = 0.0
    valid_bits: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)  # bits per byte of the last updates


def _save(
    folder: str | Path,
    identity: str,
    model: ByteLanguageModel,
    updates: PlainUpdates | GraphedUpdates,
    ranks: Ranks,
    at: _Position,
) -> None:
    """Write the checkpoint, from process 0; the state is that of all streams together."""
    h, c = (gather_rows(s.detach().cpu()) for s in updates.state)
    if not ranks.is_main:
        return
    tensors, optimizer_state = flatten_optimizer(updates.optimizer)
    tensors |= {f"model.{name}": t for name, t in model.state_dict().items()}
    tensors |= {"state.h": h, "state.c": c}
    save_checkpoint(
        folder,
        tensors,
        {"fingerprint": identity, "optimizer": optimizer_state, "position": asdict(at)},
    )


def _resume(
    folder: str | Path,
    identity: str,
    model: ByteLanguageModel,
    updates: PlainUpdates | GraphedUpdates,
    own: slice,
    at: _Position,
) -> None:
    """Bring all of them to where the checkpoint in ``folder`` is, if there is one."""
    saved = load_checkpoint(folder)
    if saved is None:
        return
    tensors, values = saved
    if values.get("fingerprint") != identity:
        raise RadfordError(
            f"{folder} holds another run (other configuration, data or code): "
            "choose another folder or delete it"
        )
    model.load_state_dict({name: tensors[f"model.{name}"] for name in model.state_dict()})
    restore_optimizer(updates.optimizer, tensors, values["optimizer"])
    h, c = updates.state
    updates.state = (tensors["state.h"][own].to(h), tensors["state.c"][own].to(c))
    for name, value in values["position"].items():
        setattr(at, name, value)


def shard_windows(
    corpus: ByteCorpus, batch: int, window: int, seed: int, skip: int = 0
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield (inputs, targets, starts a shard) for ever, beginning after ``skip`` windows.

    Inputs and targets are (window, batch) int64, targets one byte ahead. A shard is cut into
    ``batch`` streams of equal length that are read side by side; each epoch takes the shards
    in another order. A remainder shorter than one window is left out.
    Raises ``RadfordError`` where no shard has enough bytes for one window of each stream.
    """
    counts = [(len(shard) // batch - 1) // window for shard in corpus.shards]
    if max(counts) < 1:
        raise RadfordError(
            f"the longest shard of '{corpus.name}' has {max(map(len, corpus.shards))} bytes, "
            f"less than batch {batch} x (window {window} + 1): lower batch or window"
        )
    per_epoch = sum(max(count, 0) for count in counts)
    epoch, skip = skip // per_epoch, skip % per_epoch
    while True:
        for number in np.random.default_rng([seed, epoch]).permutation(len(counts)):
            shard, count = corpus.shards[number], max(counts[number], 0)
            length = len(shard) // batch
            streams = shard[: length * batch].reshape(batch, length)
            for index in range(skip, count):
                piece = streams[:, index * window : (index + 1) * window + 1]
                both = torch.from_numpy(np.ascontiguousarray(piece.T)).long()  # (T + 1, B)
                yield both[:-1], both[1:], index == 0
            skip = max(skip - count, 0)
        epoch += 1


def bits_per_byte(
    model: ByteLanguageModel,
    corpus: ByteCorpus,
    *,
    max_bytes: int | None = None,
    batch: int = 32,
    window: int = 256,
    dtype: torch.dtype | None = None,
) -> float:
    """Mean negative log2 likelihood of a byte of ``corpus`` given those before it.

    Each shard is read in ``batch`` streams from zero state (fewer where it is short), and every
    byte but the first of each stream is scored. ``max_bytes`` keeps the beginning of each shard.
    The recurrence multiplies in ``dtype``, the weights' own unless given.
    """
    device = model.embedding.device
    share = None if max_bytes is None else max(2, max_bytes // len(corpus.shards))
    total, count = 0.0, 0
    with torch.inference_mode():
        reader = model.reader(dtype)
        for shard in corpus.shards:
            part = shard[:share]
            lanes = max(1, min(batch, len(part) // window))
            length = len(part) // lanes
            streams = part[: length * lanes].reshape(lanes, length).T.copy()  # a map is read-only
            bytes_ = torch.from_numpy(streams).long().to(device)
            h, c = model.initial_state(lanes, dtype)
            for start in range(0, length - 1, window):
                inputs = bytes_[start : min(start + window, length - 1)]
                targets = bytes_[start + 1 : start + 1 + len(inputs)]
                states, h, c = reader.read(inputs, h, c)
                logits = states.to(model.w_out.dtype) @ model.w_out + model.b_out
                loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                total, count = total + loss.item(), count + targets.numel()
    if not count:
        raise RadfordError(f"corpus '{corpus.name}' ({corpus.split}) is too short to be scored")
    return total / count / math.log(2)


def language_model_fingerprint(
    config: LanguageModelConfig, corpus: ByteCorpus, validation: ByteCorpus | None = None
) -> str:
    """Identify the run that these make: for ``default_checkpoint_dir``."""
    parts = [corpus] if validation is None else [corpus, validation]
    data = ",".join(f"{part.sha256}:{part.split}:{part.bytes}" for part in parts)
    return fingerprint(config, data)
