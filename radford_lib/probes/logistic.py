"""Logistic regression on features, as the sentiment neuron's released code fits it."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from radford_lib.errors import RadfordError, UsageError
from radford_lib.probes.checks import (
    check_c,
    check_classes,
    check_features,
    check_labels,
    check_range,
)

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

    def decision(self, x: np.ndarray) -> np.ndarray:
        """Log-odds of (N, F) features: (N,) for two classes, else (N, K)."""
        x = check_features(x)
        if x.shape[1] != self.weights.shape[-1]:
            raise RadfordError(
                f"the probe was fitted on {self.weights.shape[-1]} features, not {x.shape[1]}"
            )
        return x @ self.weights.T + (
            self.intercept[0] if self.weights.ndim == 1 else self.intercept
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Classes (N,) int64 of (N, F) features."""
        decision = self.decision(x)
        if decision.ndim == 1:
            return (decision > 0).astype(np.int64)
        return decision.argmax(axis=1)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """Share of the N examples whose class it predicts."""
        predicted = self.predict(x)
        labels = check_labels(y, len(predicted))
        check_range(labels, self.n_classes)
        return float((predicted == labels).mean())


def fit_l1_logistic(
    train_x: np.ndarray,
    train_y: np.ndarray,
    valid_x: np.ndarray,
    valid_y: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    penalty: str = "l1",
    seed: int = 42,
) -> LogisticProbe:
    """Logistic regression with C chosen by validation accuracy and fitted on train alone.

    train_x (N, F), valid_x (M, F) float; train_y, valid_y integers 0 .. K-1. One-vs-rest for K > 2.
    Source: ``train_with_reg_cv`` in the official utils.py: liblinear (so the intercept is penalised
    too), seed + i for the i-th C, the first best C wins, refit with seed + len(c_grid).
    Raises ``RadfordError`` for labels, features or C that do not fit, ``UsageError`` for a penalty
    other than "l1" or "l2".
    """
    train_x, valid_x = check_features(train_x), check_features(valid_x, "validation features")
    train_y, n_classes = check_classes(train_y, len(train_x))
    valid_y = check_labels(valid_y, len(valid_x), "validation labels")
    check_range(valid_y, n_classes, "validation labels")
    if train_x.shape[1] != valid_x.shape[1]:
        raise RadfordError(
            f"{train_x.shape[1]} training features but {valid_x.shape[1]} validation features"
        )
    grid = [check_c(c) for c in c_grid]
    if not grid:
        raise RadfordError("c_grid is empty: give at least one C")
    scores = []
    for i, c in enumerate(grid):
        probe = _fit(train_x, train_y, n_classes, c, penalty, seed + i)
        scores.append(probe.accuracy(valid_x, valid_y))
    best = int(np.argmax(scores))
    probe = _fit(train_x, train_y, n_classes, grid[best], penalty, seed + len(grid))
    return LogisticProbe(
        weights=probe.weights,
        intercept=probe.intercept,
        c=grid[best],
        train_accuracy=probe.accuracy(train_x, train_y),
        valid_accuracy=probe.accuracy(valid_x, valid_y),
        n_nonzero=probe.n_nonzero,
        valid_accuracies=tuple(zip(grid, scores, strict=True)),
    )


def fit_logistic(
    train_x: np.ndarray, train_y: np.ndarray, *, c: float, penalty: str = "l1", seed: int = 42
) -> LogisticProbe:
    """Logistic regression at one given C: for cross-validation and learning curves.

    As ``fit_l1_logistic`` without validation data; ``valid_accuracy`` is NaN.
    """
    train_x = check_features(train_x)
    train_y, n_classes = check_classes(train_y, len(train_x))
    return _fit(train_x, train_y, n_classes, check_c(c), penalty, seed)


def _fit(
    x: np.ndarray, y: np.ndarray, n_classes: int, c: float, penalty: str, seed: int
) -> LogisticProbe:
    """One-vs-rest liblinear fits; a single one for two classes."""
    classes = [1] if n_classes == 2 else list(range(n_classes))
    rows, intercepts = [], []
    for k in classes:
        model = LogisticRegression(C=c, solver="liblinear", random_state=seed, **_norm(penalty))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the release keeps the default
            model.fit(x, y == k)
        rows.append(model.coef_[0])
        intercepts.append(model.intercept_[0])
    weights = np.stack(rows)
    return LogisticProbe(
        weights=weights[0] if n_classes == 2 else weights,
        intercept=np.array(intercepts),
        c=c,
        train_accuracy=float("nan"),
        valid_accuracy=float("nan"),
        n_nonzero=int(np.count_nonzero(weights)),
        valid_accuracies=(),
    )


def _norm(penalty: str) -> dict[str, object]:
    """The keyword that selects the penalty in the scikit-learn at hand (renamed in 1.8)."""
    if penalty not in ("l1", "l2"):
        raise UsageError(f"unknown penalty {penalty!r}: l1 or l2")
    major, minor = map(int, re.findall(r"\d+", sklearn.__version__)[:2])
    if (major, minor) >= (1, 8):
        return {"l1_ratio": 1.0 if penalty == "l1" else 0.0}
    return {"penalty": penalty}
