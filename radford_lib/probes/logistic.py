"""Logistic regression on features, as the sentiment neuron's released code fits it.

The release uses liblinear, so the intercept is penalised too. The objectives here are liblinear's;
the solvers are this library's: exact (a duality gap says how exact), on float32 features without a
float64 copy, with work shared over the grid of C. They are ``radford_lib.probes.l1`` for the L1
penalty and ``radford_lib.probes.newton`` for the L2 penalty; ``benchmarks/probe.py`` compares them
with liblinear and others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from radford_lib.errors import RadfordError, UsageError
from radford_lib.probes.checks import (
    check_c,
    check_classes,
    check_features,
    check_labels,
    check_range,
)
from radford_lib.probes.l1 import minimise_l1
from radford_lib.probes.newton import Logistic, minimise
from radford_lib.probes.rows import Rows, margins

# The release's grid (utils.py, train_with_reg_cv): nine values.
C_GRID = tuple(2.0**exponent for exponent in range(-8, 1))


@dataclass(frozen=True)
class LogisticProbe:
    """A fitted logistic regression.

    weights: (F,) for two classes, (K, F) one-vs-rest for K > 2; intercept: (1,) or (K,); both
    float64. Positive decisions mean class 1 (two classes). ``c`` is the chosen inverse strength.
    """

    weights: np.ndarray
    intercept: np.ndarray
    c: float
    train_accuracy: float
    valid_accuracy: float
    n_nonzero: int  # weights that are not exactly zero
    valid_accuracies: tuple[tuple[float, float], ...]  # (C, validation accuracy), the whole grid

    @property
    def n_classes(self) -> int:
        return max(2, len(self.intercept))

    def decision(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Log-odds of (N, F) features: (N,) for two classes, else (N, K)."""
        found = _log_odds([self], check_features(x), device)
        return found[:, 0] if self.weights.ndim == 1 else found

    def predict(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Classes (N,) int64 of (N, F) features."""
        return _classes(_log_odds([self], check_features(x), device)[:, None])[:, 0]

    def accuracy(
        self, x: np.ndarray, y: np.ndarray, device: str | torch.device | None = None
    ) -> float:
        """Share of the N examples whose class it predicts."""
        return float(accuracies([self], x, y, device)[0])


def accuracies(
    probes: Sequence[LogisticProbe],
    x: np.ndarray,
    y: np.ndarray,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Share of the N examples whose class each of S probes predicts, (S,), in one pass over x.

    x: (N, F), y: (N,) integers. Raises ``RadfordError`` for features or labels that do not fit.
    """
    x = check_features(x)
    labels = check_labels(y, len(x))
    check_range(labels, probes[0].n_classes)
    odds = _log_odds(probes, x, device).reshape(len(x), len(probes), -1)
    return (_classes(odds) == labels[:, None]).mean(axis=0)


def _log_odds(
    probes: Sequence[LogisticProbe], x: np.ndarray, device: str | torch.device | None
) -> np.ndarray:
    """Log-odds (N, S) or (N, S * K) of checked features (N, F) under S probes."""
    features = probes[0].weights.shape[-1]
    if x.shape[1] != features:
        raise RadfordError(f"the probe was fitted on {features} features, not {x.shape[1]}")
    weights = np.concatenate([np.atleast_2d(probe.weights) for probe in probes])
    return margins(weights, np.concatenate([probe.intercept for probe in probes]), x, device)


def _classes(odds: np.ndarray) -> np.ndarray:
    """Classes (N, S) of log-odds (N, S, 1) or (N, S, K)."""
    if odds.shape[2] == 1:
        return (odds[:, :, 0] > 0).astype(np.int64)
    return odds.argmax(axis=2)


def fit_l1_logistic(
    train_x: np.ndarray,
    train_y: np.ndarray,
    valid_x: np.ndarray,
    valid_y: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    penalty: str = "l1",
    seed: int = 42,
    device: str | torch.device | None = None,
) -> LogisticProbe:
    """Logistic regression with C chosen by validation accuracy and fitted on train alone.

    train_x (N, F), valid_x (M, F) float; train_y, valid_y integers 0 .. K-1. One-vs-rest for K > 2.
    Source: ``train_with_reg_cv`` in the official utils.py; the first best C wins. ``seed``, the
    order of coordinates there, changes nothing here: nothing is random.
    Raises ``RadfordError`` for labels, features or C that do not fit, ``UsageError`` for a penalty
    other than "l1" or "l2".
    """
    valid_x = check_features(valid_x, "validation features")
    valid_y = check_labels(valid_y, len(valid_x), "validation labels")
    if np.ndim(train_x) == 2 and np.shape(train_x)[1] != valid_x.shape[1]:
        raise RadfordError(
            f"{np.shape(train_x)[1]} training features but {valid_x.shape[1]} validation features"
        )
    path = fit_logistic_path(train_x, train_y, c_grid=c_grid, penalty=penalty, device=device)
    check_range(valid_y, path[0].n_classes, "validation labels")
    scores = accuracies(path, valid_x, valid_y, device)
    best = path[int(np.argmax(scores))]
    return replace(
        best,
        train_accuracy=best.accuracy(train_x, train_y, device),
        valid_accuracy=float(scores.max()),
        valid_accuracies=tuple((p.c, float(s)) for p, s in zip(path, scores, strict=True)),
    )


def fit_logistic(
    train_x: np.ndarray,
    train_y: np.ndarray,
    *,
    c: float,
    penalty: str = "l1",
    seed: int = 42,
    device: str | torch.device | None = None,
) -> LogisticProbe:
    """Logistic regression at one given C, for cross-validation; ``seed`` changes nothing.

    See ``fit_logistic_path``.
    """
    return fit_logistic_path(train_x, train_y, c_grid=(c,), penalty=penalty, device=device)[0]


def fit_logistic_path(
    train_x: np.ndarray,
    train_y: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    penalty: str = "l1",
    device: str | torch.device | None = None,
    tolerance: float = 1e-5,
) -> list[LogisticProbe]:
    """Logistic regression at each C, one-vs-rest for K > 2; accuracies are left NaN.

    train_x: (N, F) float16 or float32, never copied to float64; train_y: (N,) integers 0 .. K-1.
    ``device``: a GPU where there is one. Each objective is within ``tolerance``, relative, of its
    minimum. Raises as ``fit_l1_logistic`` does.
    """
    if penalty not in ("l1", "l2"):
        raise UsageError(f"unknown penalty {penalty!r}: l1 or l2")
    x = check_features(train_x)
    y, n_classes = check_classes(train_y, len(x))
    grid = [check_c(c) for c in c_grid]
    if not grid:
        raise RadfordError("c_grid is empty: give at least one C")
    classes = np.array([1] if n_classes == 2 else range(n_classes))
    signs = np.where(y[:, None] == classes, 1.0, -1.0)  # (N, 1) or (N, K)
    solve = _solve_l1 if penalty == "l1" else _solve_l2
    w = solve(x, signs, grid, tolerance, device)
    return [_probe(rows, c) for rows, c in zip(w, grid, strict=True)]


def _solve_l1(
    x: np.ndarray,
    signs: np.ndarray,
    grid: list[float],
    tolerance: float,
    device: str | torch.device | None,
) -> np.ndarray:
    """Weights (len(grid), K, F + 1), a path for each class."""
    data = Rows(x, device)
    paths = [minimise_l1(data, column, grid, tolerance=tolerance) for column in signs.T]
    return np.stack([path.w for path in paths], axis=1)


def _solve_l2(
    x: np.ndarray,
    signs: np.ndarray,
    grid: list[float],
    tolerance: float,
    device: str | torch.device | None,
) -> np.ndarray:
    """Weights (len(grid), K, F + 1), all classes and C at once."""
    found = minimise(x, signs, grid, Logistic(), tolerance=tolerance, device=device)
    return found.w.reshape(len(grid), signs.shape[1], -1)


def _probe(w: np.ndarray, c: float) -> LogisticProbe:
    """The probe with weights and intercepts w (K or 1, F + 1)."""
    weights = w[:, :-1]
    return LogisticProbe(
        weights=weights[0] if len(w) == 1 else weights,
        intercept=w[:, -1].copy(),
        c=c,
        train_accuracy=float("nan"),
        valid_accuracy=float("nan"),
        n_nonzero=int(np.count_nonzero(weights)),
        valid_accuracies=(),
    )
