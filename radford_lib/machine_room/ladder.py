"""Rungs of a ladder: ways of writing a training step of a byte mLSTM, timed beside each other.

From what public reproductions write to the library's own kernels on a CPU. A step is forward,
backward and Adam, the layer that predicts the next byte included. What counts as work is
3 (10 H^2 + 512 H) floating-point operations a byte (an LSTM's: 3 (8 H^2 + 512 H)), whatever a rung
computes besides; the ceiling is torch's own product of two square matrices, measured in the same
rounds.
"""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.kernels.cpu import choose_level
from radford_lib.machine_room.timing import Timing, interleave
from radford_lib.models.language_model import ByteLanguageModel

# The ladder, each rung with one idea more than the one before it: weights normed once a window,
# byte tables, one autograd node for the window, its loop compiled.
RUNGS = ("naive, normed every step", "naive", "byte tables", "ours, torch", "ours, native")
CEILING = "matrix product"
CEILING_SIZE = 1536
CHUNK = 16  # steps that torch.compile sees at a time


class NaiveModel(nn.Module):
    """As public reproductions are written: a linear layer for each product, step by step.

    They normalise the weights at every step too (``norm_every_step``); once a window is kinder.
    ``cell`` and ``chunk`` steps of it at a time may be compiled.
    """

    def __init__(self, hidden: int, embed: int = 64, *, norm_every_step: bool = False) -> None:
        super().__init__()
        self.hidden, self.norm_every_step = hidden, norm_every_step
        self.embedding = nn.Embedding(256, embed)
        self.of_x, self.of_m = nn.Linear(embed, 4 * hidden), nn.Linear(hidden, 4 * hidden)
        self.mx, self.mh = nn.Linear(embed, hidden), nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 256)
        layers = (self.of_x, self.of_m, self.mx, self.mh)
        self.gains = nn.ParameterList(layer.weight.detach().norm(dim=1) for layer in layers)
        self.cell: Callable[..., Any] = naive_cell
        self.chunk = 1

    def forward(self, bytes: Tensor) -> Tensor:
        """Logits (T, B, 256) for the byte after each of bytes (T, B)."""
        h = c = torch.zeros(bytes.shape[1], self.hidden)
        states: list[Tensor] = []
        weights = self.normed()
        for x in self.embedding(bytes).split(self.chunk):
            if self.norm_every_step and states:
                weights = self.normed()
            made, h, c = self.cell(x, h, c, *weights, self.of_x.bias)
            states.append(made)
        return self.out(torch.cat(states))

    def normed(self) -> list[Tensor]:
        """The four matrices, each row scaled to the length of its gain."""
        layers = (self.of_x, self.of_m, self.mx, self.mh)
        return [
            layer.weight * (gain / layer.weight.norm(dim=1))[:, None]
            for layer, gain in zip(layers, self.gains, strict=True)
        ]


def naive_cell(
    xs: Tensor,
    h: Tensor,
    c: Tensor,
    w_x: Tensor,
    w_m: Tensor,
    w_mx: Tensor,
    w_mh: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The published cell over a few steps xs (S, B, E): h of each, and the last h and c."""
    states = []
    for x in xs:
        m = F.linear(x, w_mx) * F.linear(h, w_mh)
        i, f, o, u = (F.linear(x, w_x, bias) + F.linear(m, w_m)).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states), h, c


class TorchLSTM(nn.Module):
    """``nn.LSTM`` between an embedding and the layer that predicts the next byte."""

    def __init__(self, hidden: int, embed: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, embed)
        self.lstm, self.out = nn.LSTM(embed, hidden), nn.Linear(hidden, 256)

    def forward(self, bytes: Tensor) -> Tensor:
        """Logits (T, B, 256) for the byte after each of bytes (T, B)."""
        return self.out(self.lstm(self.embedding(bytes))[0])


class OurModel(nn.Module):
    """The library's model with one of its backends, or at one level (``cpu:torch``) of its own."""

    def __init__(self, hidden: int, cell: str, backend: str) -> None:
        super().__init__()
        self.model = ByteLanguageModel(cell, hidden)
        self.backend, _, self.level = backend.partition(":")

    def forward(self, bytes: Tensor) -> Tensor:
        """Logits (T, B, 256) for the byte after each of bytes (T, B)."""
        with cpu_kernels(self.level):
            h, _ = self.model.hidden_states(bytes, backend=self.backend)
        return h @ self.model.w_out + self.model.b_out


@contextlib.contextmanager
def cpu_kernels(level: str) -> Iterator[None]:
    """Ask for one level of the CPU backend meanwhile."""
    before = os.environ.get("RADFORD_CPU_KERNELS", "")
    os.environ["RADFORD_CPU_KERNELS"] = level
    try:
        yield
    finally:
        os.environ["RADFORD_CPU_KERNELS"] = before


def candidates(hidden: int, window: int, compiled: bool) -> dict[str, tuple[nn.Module, str]]:
    """The models to compare, by name, and the cell whose operations they are credited with."""
    found: dict[str, tuple[nn.Module, str]] = {
        RUNGS[0]: (NaiveModel(hidden, norm_every_step=True), "mlstm"),
        "naive": (NaiveModel(hidden), "mlstm"),
    }
    for chunk in (1, CHUNK) if compiled and window % CHUNK == 0 else ():
        model = NaiveModel(hidden)
        model.chunk, model.cell = chunk, torch.compile(naive_cell, dynamic=False)
        found[f"naive, {chunk} step{'s' * (chunk > 1)} compiled"] = (model, "mlstm")
    found["nn.LSTM"] = (TorchLSTM(hidden), "lstm")
    found["byte tables"] = (OurModel(hidden, "mlstm", "reference"), "mlstm")
    found["ours, torch"] = (OurModel(hidden, "mlstm", "cpu:torch"), "mlstm")
    with cpu_kernels(""):
        compiles = choose_level()[0] == "native"
    if compiles:
        found["ours, native"] = (OurModel(hidden, "mlstm", "cpu:native"), "mlstm")
        found["our LSTM, native"] = (OurModel(hidden, "lstm", "cpu:native"), "lstm")
    return found


def training_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    """A call that trains ``model`` on a window (T, B) once."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def operations(cell: str, hidden: int) -> int:
    """Floating-point operations that training on one byte needs."""
    return 3 * ((10 if cell == "mlstm" else 8) * hidden**2 + 512 * hidden)


def cpu_table(
    hidden: int,
    batch: int,
    window: int,
    threads: int,
    *,
    compiled: bool = False,
    only: Collection[str] = (),
    **sampling: Any,
) -> list[dict[str, Any]]:
    """One row of figures for each candidate at this size, with a ``note`` where one fails.

    ``compiled`` adds those of ``torch.compile``; ``only`` names candidates to be kept, by default
    all, and must have "naive" among them; ``sampling`` goes to ``timing.interleave``.
    """
    torch.set_num_threads(threads)
    inputs, targets = (torch.randint(0, 256, (window, batch)) for _ in range(2))
    rows, steps = [], {}
    for name, (model, cell) in candidates(hidden, window, compiled).items():
        if only and name not in only:
            continue
        row: dict[str, Any] = {"candidate": name, "cell": cell, "hidden": hidden, "batch": batch}
        rows.append(row | {"window": window, "threads": threads})
        step = training_step(model, inputs, targets)
        try:
            rows[-1] |= first_step(step)
        except Exception as error:  # a compiler's: the others can be measured all the same
            rows[-1]["note"] = f"failed: {str(error).strip().splitlines()[0]}"
            continue
        steps[name] = step
    left, right = (torch.randn(CEILING_SIZE, CEILING_SIZE) for _ in range(2))
    product = torch.empty_like(left)
    timings = interleave({CEILING: lambda: torch.mm(left, right, out=product), **steps}, **sampling)
    for row in rows:
        if row["candidate"] in timings:
            row |= measured(row, timings)
    return rows


def measured(row: dict[str, Any], timings: dict[str, Timing]) -> dict[str, Any]:
    """What the rounds say of the candidate of ``row``."""
    timing, ceiling = timings[row["candidate"]], timings[CEILING]
    count = row["batch"] * row["window"]
    work = operations(row["cell"], row["hidden"]) * count
    return {
        "ms": 1e3 * timing.median,
        "bytes_per_second": count / timing.median,
        "gflops": work / timing.median / 1e9,
        "ceiling_gflops": 2 * CEILING_SIZE**3 / ceiling.median / 1e9,
        "share_of_ceiling": timing.times_faster_than(ceiling) * work / (2 * CEILING_SIZE**3),
        "times_naive": timing.times_faster_than(timings["naive"]),
        "quiet_rounds": f"{timing.quiet}/{len(timing.seconds)}",
    }


def first_step(step: Callable[[], None]) -> dict[str, float]:
    """Seconds of the first call, compiling included, and by how much memory peaked in it."""
    before = _status("VmRSS")
    _forget_peak()
    started = time.perf_counter()
    step()
    seconds = time.perf_counter() - started
    return {"first_step_seconds": seconds, "memory_mb": (_status("VmHWM") - before) / 1024}


def _status(name: str) -> float:
    """A line of /proc/self/status in kB; not a number outside Linux."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((float(x.split()[1]) for x in lines if x.startswith(f"{name}:")), float("nan"))


def _forget_peak() -> None:
    """Let VmHWM begin anew (5: see proc_pid_clear_refs(5))."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")
