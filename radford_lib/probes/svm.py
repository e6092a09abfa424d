"""Linear L2-SVM for many features and classes: one-vs-rest squared hinge by Newton's method.

Minimises, for each class k and each C, the objective of liblinear and of scikit-learn's
``LinearSVC`` (the official DCGAN code's probe, svhn/svhn_semisup_analysis.py):

    P(w) = 1/2 ||w||^2 + C sum_i max(0, 1 - y_i w.x_i)^2,   y_i = +1 in class k, else -1,

where x_i ends with a constant 1, so that the intercept is regularised with the weights. The
features may be of any size and of half precision: see ``radford_lib.probes.newton``.

``LinearSVC``, which ``radford bench probe`` times beside this, copies the features to float64, has
one thread and no GPU, shares no work between C's, and gives no bound of its error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from radford_lib.errors import RadfordError
from radford_lib.probes.checks import (
    check_c,
    check_classes,
    check_features,
    check_labels,
    check_range,
)
from radford_lib.probes.newton import Solution, SquaredHinge, minimise
from radford_lib.probes.rows import margins

# The official grid (svhn_semisup_analysis.py).
C_GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)


@dataclass(frozen=True)
class L2Svm:
    """A fitted one-vs-rest linear SVM.

    weights: (K, F) float64, as exact as ``gap`` says; intercept, objective: (K,); ``gap``: (K,) the
    duality gap, an upper bound of objective minus optimum. For two classes row 0 mirrors row 1.
    """

    weights: np.ndarray
    intercept: np.ndarray
    c: float
    objective: np.ndarray
    gap: np.ndarray
    iterations: int  # Newton steps of the slowest class
    passes: int  # passes over the features, shared by all classes and all C of one call

    def decision(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Margins (N, K) float64 of features (N, F)."""
        return _margins([self], check_features(x), device)

    def predict(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Classes (N,) int64 of features (N, F)."""
        return self.decision(x, device).argmax(axis=1)

    def accuracy(
        self, x: np.ndarray, y: np.ndarray, device: str | torch.device | None = None
    ) -> float:
        """Share of the N examples whose class it predicts."""
        return float(accuracies([self], x, y, device)[0])


def accuracies(
    fits: Sequence[L2Svm], x: np.ndarray, y: np.ndarray, device: str | torch.device | None = None
) -> np.ndarray:
    """Share of the N examples whose class each of S SVMs predicts, (S,), in one pass over x.

    x: (N, F), y: (N,) integers. Raises ``RadfordError`` for features or labels that do not fit.
    """
    x = check_features(x)
    labels = check_labels(y, len(x))
    check_range(labels, len(fits[0].weights))
    found = _margins(fits, x, device).reshape(len(x), len(fits), -1)
    return (found.argmax(axis=2) == labels[:, None]).mean(axis=0)


def _margins(fits: Sequence[L2Svm], x: np.ndarray, device: str | torch.device | None) -> np.ndarray:
    """Margins (N, S * K) float64 of checked features (N, F) under S SVMs."""
    features = fits[0].weights.shape[1]
    if x.shape[1] != features:
        raise RadfordError(f"the SVM was fitted on {features} features, not {x.shape[1]}")
    weights = np.concatenate([svm.weights for svm in fits])
    intercept = np.concatenate([svm.intercept for svm in fits])
    return margins(weights, intercept, x, device)


def fit_l2_svm(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    c: float,
    device: str | torch.device | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
) -> L2Svm:
    """Fit one SVM at one C; see ``fit_l2_svm_path``."""
    return fit_l2_svm_path(
        features,
        labels,
        c_grid=(c,),
        device=device,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )[0]


def fit_l2_svm_path(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    device: str | torch.device | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
) -> list[L2Svm]:
    """Fit one SVM for each C, all in the same passes over the features.

    features: (N, F) float16 or float32, used as they are (the papers scale nothing), never copied
    to float64; labels: (N,) integers 0 .. K-1, each occurring. ``device``: a GPU where there is
    one. Stops when each duality gap is at most ``tolerance`` times its objective, or warns at
    ``max_iterations`` Newton steps. There is no randomness.
    Raises ``RadfordError`` for features, labels or C that do not fit.
    """
    x = check_features(features)
    y, n_classes = check_classes(labels, len(x))
    grid = [check_c(c) for c in c_grid]
    if not grid:
        raise RadfordError("c_grid is empty: give at least one C")
    rows = np.array([1] if n_classes == 2 else range(n_classes))
    solution = minimise(
        x,
        np.where(y[:, None] == rows, 1.0, -1.0),
        grid,
        SquaredHinge(),
        tolerance=tolerance,
        max_iterations=max_iterations,
        device=device,
    )
    return [_svm(solution, i, c, len(rows)) for i, c in enumerate(grid)]


def _svm(solution: Solution, index: int, c: float, rows: int) -> L2Svm:
    mine = slice(index * rows, (index + 1) * rows)
    w, objective, gap = solution.w[mine], solution.objective[mine], solution.gap[mine]
    if rows == 1:
        w = np.concatenate([-w, w])
        objective, gap = np.repeat(objective, 2), np.repeat(gap, 2)
    return L2Svm(
        weights=w[:, :-1].copy(),
        intercept=w[:, -1].copy(),
        c=c,
        objective=objective,
        gap=gap,
        iterations=int(solution.steps[mine].max()),
        passes=solution.passes,
    )


def select_c(
    train_x: np.ndarray,
    train_y: np.ndarray,
    valid_x: np.ndarray,
    valid_y: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    device: str | torch.device | None = None,
    tolerance: float = 1e-5,
) -> tuple[float, dict[float, float]]:
    """The C with the best validation accuracy (the smallest such), and the accuracy at each C."""
    fits = fit_l2_svm_path(train_x, train_y, c_grid=c_grid, device=device, tolerance=tolerance)
    scores = accuracies(fits, valid_x, valid_y, device)
    table = {svm.c: float(score) for svm, score in zip(fits, scores, strict=True)}
    return max(sorted(table), key=lambda c: table[c]), table
