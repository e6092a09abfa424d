"""What features are worth for a task: one linear SVM, its C chosen on validation, tested once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from radford_lib.errors import RadfordError
from radford_lib.probes.svm import C_GRID, accuracies, fit_l2_svm_path


@dataclass(frozen=True)
class Part:
    """Features (N, F) and labels (N,) of one part of a probe's data."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Transfer:
    """How well a linear SVM reads a task off features."""

    c: float
    train_accuracy: float
    valid_accuracy: float
    test_accuracy: float


def probe(
    train: Part,
    valid: Part,
    test: Part,
    c_grid: Sequence[float] = C_GRID,
    *,
    device: str | torch.device | None = None,
) -> Transfer:
    """Fit an L2-SVM for each C on ``train``, keep the best on ``valid``, score it on ``test``.

    Source: section 5.1 of the paper (regularised linear L2-SVM) and, for the choice of C,
    svhn/svhn_semisup_analysis.py of the official code. Equal validation scores go to the smaller C.
    """
    fits = fit_l2_svm_path(train.x, train.y, c_grid=c_grid, device=device)
    scores = accuracies(fits, valid.x, valid.y, device)
    best = fits[int(np.argmax(scores))]
    return Transfer(
        c=best.c,
        train_accuracy=best.accuracy(train.x, train.y, device),
        valid_accuracy=float(scores.max()),
        test_accuracy=best.accuracy(test.x, test.y, device),
    )


def label_efficiency(
    train: Part,
    valid: Part,
    test: Part,
    *,
    per_class: Sequence[int],
    draws: int,
    seed: int,
    c_grid: Sequence[float] = C_GRID,
    device: str | torch.device | None = None,
) -> dict[int, np.ndarray]:
    """Test accuracies (draws,) with only so many labels of each class, by that number.

    For each number one C is chosen, by the validation accuracy averaged over the draws.
    Raises ``RadfordError`` if a class has fewer examples than asked for.
    """
    found = {}
    for count in per_class:
        rng = np.random.default_rng([seed, count])
        valid_scores, test_scores = [], []
        for _ in range(draws):
            chosen = balanced_draw(train.y, count, rng)
            x, y = train.x[chosen], train.y[chosen]
            fits = fit_l2_svm_path(x, y, c_grid=c_grid, device=device)
            valid_scores.append(accuracies(fits, valid.x, valid.y, device))
            test_scores.append(accuracies(fits, test.x, test.y, device))
        best = int(np.argmax(np.mean(valid_scores, 0)))
        found[count] = np.array(test_scores)[:, best]
    return found


def balanced_draw(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of ``per_class`` random examples of each class."""
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < per_class:
            raise RadfordError(
                f"class {label} has {len(members)} examples, {per_class} are asked for: "
                "use more probe images or fewer labels a class"
            )
        chosen.append(rng.choice(members, per_class, replace=False))
    return np.concatenate(chosen)


def band(accuracies: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest accuracy over the draws, (len(accuracies),) each."""
    values = list(accuracies.values())
    return (
        np.array([v.mean() for v in values]),
        np.array([v.min() for v in values]),
        np.array([v.max() for v in values]),
    )
