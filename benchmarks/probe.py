"""Linear probes: this library's solvers beside scikit-learn's, which are the papers'.

    radford bench probe [--device cpu|cuda] [--quick]

Features are rectified sums of a few hidden causes, of any scale and with a common offset, as those
of networks are. Every solver gets the same ones and minimises the same objective, evaluated here in
float64 at what it returns; ``objective_excess`` is by how much it is above the lowest of the case,
the worst of all classes and C. ``agreement``: share of fresh examples that it classifies as ours
does. FLOP/s count matrix products only, and compare with torch's own product in the same rounds.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.table import Row, as_table
from radford_lib.machine_room.ladder import CEILING, CEILING_SIZE, first_step
from radford_lib.machine_room.timing import Timing, interleave
from radford_lib.probes import logistic, svm
from radford_lib.probes.newton import Logistic, SquaredHinge
from radford_lib.probes.rows import Rows

OURS = "ours"
FRESH = 2000  # examples to compare predictions on
BLOCK = 1024  # examples made at a time
CEILING_PRODUCTS = 10  # torch's products to a sample of them
NAME = "{task}, {examples:,} x {features:,} {dtype}, {classes} classes, {n_c} C"
COLUMNS = {
    "solver": "{}",
    "seconds": "{:.3g}",
    "times_ours": "{:.2f}",
    "objective_excess": "{:.1e}",
    "duality_gap": "{:.1e}",
    "agreement": "{:.2%}",
    "accuracy": "{:.1%}",
    "memory_mb": "{:.0f}",
    "gflops": "{:.1f}",
    "share_of_ceiling": "{:.0%}",
    "quiet_rounds": "{}",
}


@dataclass(frozen=True)
class Case:
    """A problem: (examples, features), classes, C's, and who solves it besides ours."""

    task: str
    examples: int
    features: int
    classes: int
    grid: tuple[float, ...]
    peers: tuple[str, ...]
    dtype: str = "float32"
    rounds: int = 3  # one for a case of many minutes


CASES = (
    Case("L2-SVM", 10_000, 4_096, 10, (1e-3,), ("LinearSVC",)),
    Case("L2-SVM", 2_000, 28_672, 10, (1e-3,), ("LinearSVC",)),
    Case("L2-SVM", 5_000, 1_024, 10, svm.C_GRID, ("LinearSVC",)),
    Case("L1 logistic", 4_000, 1_024, 2, logistic.C_GRID, ("liblinear", "saga")),
    Case("L1 logistic", 8_000, 4_096, 2, logistic.C_GRID[:6], ("liblinear",)),
    # The paper's size, alone: LinearSVC would copy it to float64, four times what it is.
    Case("L2-SVM", 50_000, 28_672, 10, (1e-3,), (), "float16", rounds=1),
)
CASES_QUICK = (
    Case("L2-SVM", 400, 64, 4, (1e-3, 1e-2), ("LinearSVC",)),
    Case("L1 logistic", 400, 64, 2, (2.0**-4, 1.0), ("liblinear", "saga")),
)


class Data(NamedTuple):
    """Features (N, F) and labels (N,), and fresh ones of the same kind."""

    x: np.ndarray
    y: np.ndarray
    fresh_x: np.ndarray
    fresh_y: np.ndarray


class Fit(NamedTuple):
    """Weights (C's, classes or 1, F + 1), intercepts last, and the relative gap if it is known."""

    weights: np.ndarray
    gap: float | None = None


Solver = Callable[[], Fit]


def make_data(case: Case, seed: int = 0) -> Data:
    """Overlapping classes in 40 hidden dimensions, seen through rectified features of any scale."""
    rng = np.random.default_rng(seed)
    means = 0.6 * rng.standard_normal((case.classes, 40), np.float32)
    scales = np.exp(rng.standard_normal(case.features, np.float32))
    view = rng.standard_normal((40, case.features), np.float32) / 6 * scales

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        x = np.empty((count, case.features), case.dtype)
        y = rng.permutation(np.arange(count) % case.classes)
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            hidden = means[y[rows]] + rng.standard_normal((len(y[rows]), 40), np.float32)
            raw = hidden @ view + 0.3
            raw += 0.5 * rng.standard_normal(raw.shape, np.float32)
            x[rows] = np.maximum(raw, 0.2 * raw)
        return x, y

    return Data(*draw(case.examples), *draw(min(FRESH, case.examples)))


def our_svm(case: Case, data: Data, device: str) -> Fit:
    found = svm.fit_l2_svm_path(data.x, data.y, c_grid=case.grid, device=device)
    weights = np.stack([np.column_stack([f.weights, f.intercept]) for f in found])
    return Fit(weights, max(float((f.gap / f.objective).max()) for f in found))


def our_logistic(case: Case, data: Data, device: str) -> Fit:
    found = logistic.fit_logistic_path(data.x, data.y, c_grid=case.grid, device=device)
    return Fit(np.stack([np.append(f.weights, f.intercept)[None] for f in found]))


def scikit_learns(case: Case, data: Data, make: Callable[[float], Any]) -> Fit:
    """A model of scikit-learn for each C, as its users call it: with its own tolerance.

    One without an intercept gets a feature of ones.
    """
    models = [make(c) for c in case.grid]
    if models[0].fit_intercept:
        fits = [model.fit(data.x, data.y) for model in models]
        return Fit(np.stack([np.column_stack([f.coef_, f.intercept_]) for f in fits]))
    x = np.column_stack([data.x, np.ones(len(data.x), data.x.dtype)])
    return Fit(np.stack([model.fit(x, data.y).coef_ for model in models]))


PEERS: dict[str, Callable[[float], Any]] = {
    "LinearSVC": lambda c: LinearSVC(C=c, random_state=0),
    "liblinear": lambda c: LogisticRegression(C=c, l1_ratio=1, solver="liblinear", random_state=0),
    # which would not penalise an intercept of its own
    "saga": lambda c: LogisticRegression(
        C=c, l1_ratio=1, solver="saga", random_state=0, fit_intercept=False
    ),
}


def solvers(case: Case, data: Data, device: str) -> dict[str, Solver]:
    """Ours first."""
    ours = our_svm if case.task == "L2-SVM" else our_logistic
    found: dict[str, Solver] = {OURS: partial(ours, case, data, device)}
    return found | {name: partial(scikit_learns, case, data, PEERS[name]) for name in case.peers}


def objectives(case: Case, data: Data, weights: np.ndarray) -> np.ndarray:
    """The objective (C's, classes or 1) in float64 of weights (C's, classes or 1, F + 1)."""
    n_c, n_classes, _ = weights.shape
    flat = weights.reshape(n_c * n_classes, -1)
    labels = np.arange(n_classes) if n_classes > 1 else np.array([1])
    signs = torch.from_numpy(np.where(data.y[:, None] == np.tile(labels, n_c), 1.0, -1.0))
    margin = signs * Rows(data.x, "cpu").times(torch.from_numpy(flat.T.copy()), exact=True)
    hinge = case.task == "L2-SVM"
    loss = (SquaredHinge() if hinge else Logistic()).value(margin).sum(0).numpy()
    penalty = 0.5 * np.square(flat).sum(1) if hinge else np.abs(flat).sum(1)
    return (penalty + np.repeat(case.grid, n_classes) * loss).reshape(n_c, n_classes)


def predictions(data: Data, weights: np.ndarray) -> np.ndarray:
    """Classes (C's, fresh examples) by weights (C's, classes or 1, F + 1)."""
    n_c, n_classes, _ = weights.shape
    flat = torch.from_numpy(weights.reshape(n_c * n_classes, -1).T.copy())
    margin = Rows(data.fresh_x, "cpu").times(flat).numpy().reshape(-1, n_c, n_classes)
    return (margin[:, :, 0] > 0).T if n_classes == 1 else margin.argmax(axis=2).T


@dataclass
class First:
    """What the first, untimed call of a solver found, and what it took."""

    fit: Fit
    memory_mb: float
    flops: int
    note: str


class ProductFlops(TorchDispatchMode):
    """Counts the FLOP of matrix products; torch's own counter does not know ``addmm_``."""

    products = frozenset({torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_})

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket in self.products:
            left, right = args[-2:]
            self.flops += 2 * left.numel() * right.shape[1]
        return func(*args, **(kwargs or {}))


def first_call(solver: Solver, about: str = "") -> First:
    """Call ``solver`` once: what it finds, its memory, its matrix products and its warnings.

    Says on stderr, ``about`` first, how long that took: a case may take many minutes.
    """
    kept: list[Fit] = []
    with warnings.catch_warnings(record=True) as caught, ProductFlops() as counter:
        warnings.simplefilter("always")
        taken = first_step(lambda: kept.append(solver()))
    if about:
        click.echo(f"{about}: first call {taken['first_step_seconds']:.1f} s", err=True)
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    note = "stopped at its limit of iterations" if stopped else ""
    return First(kept[0], taken["memory_mb"], counter.flops, note)


def case_name(case: Case) -> str:
    return NAME.format(**vars(case), n_c=len(case.grid))


def case_rows(case: Case, device: str, **sampling: Any) -> list[Row]:
    """One row for each solver of ``case``; ``sampling`` goes to ``timing.interleave``.

    A sample is one call, as the first call has warmed up.
    """
    sampling = {"rounds": case.rounds} | sampling
    data = make_data(case)
    calls = solvers(case, data, device)
    small = Case(case.task, 40, 8, case.classes, case.grid[:1], case.peers, case.dtype)
    for call in solvers(small, make_data(small), device).values():
        first_call(call)  # libraries load: not what is measured
    about = case_name(case)
    first = {name: first_call(call, f"{about}, {name}") for name, call in calls.items()}
    size = CEILING_SIZE if device == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    product = torch.mm(left, right)  # warms up, too

    def products() -> None:
        for _ in range(CEILING_PRODUCTS):
            torch.mm(left, right, out=product)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # noted above
        timings = interleave({CEILING: products, **calls}, device=device, calls=1, **sampling)
    peak = CEILING_PRODUCTS * 2 * size**3 / timings[CEILING].median
    return [
        {
            "task": case.task, "examples": case.examples, "features": case.features,
            "classes": case.classes, "dtype": case.dtype, "n_c": len(case.grid), "solver": name,
        }
        | what | taken(name, timings, first[name], peak)
        for name, what in compared(case, data, first).items()
    ]  # fmt: skip


def compared(case: Case, data: Data, first: dict[str, First]) -> dict[str, Row]:
    """How good what each solver found is, beside the best and beside ours."""
    values = {name: objectives(case, data, found.fit.weights) for name, found in first.items()}
    lowest = np.minimum.reduce(list(values.values()))
    classes = {name: predictions(data, found.fit.weights) for name, found in first.items()}
    rows: dict[str, Row] = {}
    for name, found in first.items():
        rows[name] = {
            "objective_excess": float((values[name] / lowest - 1).max()),
            "agreement": float((classes[name] == classes[OURS]).mean()),
            "accuracy": float((classes[name] == data.fresh_y).mean(axis=1).max()),
        }
        if found.fit.gap is not None:
            rows[name]["duality_gap"] = found.fit.gap
    return rows


def taken(name: str, timings: dict[str, Timing], first: First, peak: float) -> Row:
    """What a solver took: time, memory and, for ours, FLOP/s."""
    timing = timings[name]
    row: Row = {
        "seconds": timing.median,
        "times_ours": timings[OURS].times_faster_than(timing),
        "memory_mb": first.memory_mb,
        "quiet_rounds": f"{timing.quiet}/{len(timing.seconds)}",
    }
    if first.flops:
        row["gflops"] = first.flops / timing.median / 1e9
        row["share_of_ceiling"] = first.flops / timing.median / peak
    return row | ({"note": first.note} if first.note else {})


def run(device: str, quick: bool) -> list[Row]:
    """The whole benchmark: one row for each case and solver.

    ``quick`` rehearses it in seconds, at sizes that say nothing. Peers run on the processor, as
    they can nothing else.
    """
    sampling = {"wait_seconds": 0.0, "rounds": 2} if quick else {}
    rows = []
    for case in CASES_QUICK if quick else CASES:
        rows += case_rows(case, device, **sampling)
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """The rows as tables, one for each case."""
    lines: list[str] = []
    cases: dict[str, list[Row]] = {}
    for row in rows:
        cases.setdefault(NAME.format(**row), []).append(row)
    for about, found in cases.items():
        lines += ["", about, *as_table(found, COLUMNS)]
    return "\n".join(lines).strip()
