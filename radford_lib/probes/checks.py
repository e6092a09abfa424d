"""Check what probes are given: shapes, ranges and finite numbers, each failure in one line."""

import numpy as np

from radford_lib.errors import RadfordError

_LARGEST = 1e15  # squares of larger features, summed over examples, leave float32


def check_features(features: np.ndarray, what: str = "features") -> np.ndarray:
    """``features`` as a floating (N, F) array, N >= 1, uncopied where it is one already.

    Raises ``RadfordError`` for any other shape, for NaN or infinity (found block by block) and for
    features beyond 1e15 in size.
    """
    checked = np.asarray(features)
    if checked.ndim != 2 or 0 in checked.shape:
        raise RadfordError(f"{what} must be (examples, features), not of shape {checked.shape}")
    if not np.issubdtype(checked.dtype, np.floating):
        if not np.issubdtype(checked.dtype, np.integer):
            raise RadfordError(f"{what} must be numbers, not {checked.dtype}")
        checked = checked.astype(np.float32)
    for start in range(0, len(checked), 4096):
        finite = np.isfinite(checked[start : start + 4096]).all(axis=1)
        if not finite.all():
            row = start + int(finite.argmin())
            raise RadfordError(f"{what} hold NaN or infinity, first in row {row}")
        if checked.itemsize > 2 and np.abs(checked[start : start + 4096]).max() > _LARGEST:
            raise RadfordError(f"{what} are beyond {_LARGEST:.0e} in size: divide them first")
    return checked


def check_labels(labels: np.ndarray, count: int, what: str = "labels") -> np.ndarray:
    """``labels`` as (count,) int64 >= 0; ``RadfordError`` for another length, kind or sign."""
    checked = np.asarray(labels)
    if checked.ndim != 1 or len(checked) != count:
        raise RadfordError(f"{count} features need {count} {what}, not shape {checked.shape}")
    if checked.dtype == bool:
        checked = checked.astype(np.int64)
    if not np.issubdtype(checked.dtype, np.integer):
        raise RadfordError(f"{what} must be integers, not {checked.dtype}")
    if checked.min() < 0:
        raise RadfordError(f"{what} must be 0, 1, 2, ..., not {int(checked.min())}")
    return checked.astype(np.int64, copy=False)


def check_classes(labels: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Training labels as (count,) int64 and their number of classes K >= 2.

    Raises ``RadfordError`` unless each of 0 .. K-1 occurs.
    """
    checked = check_labels(labels, count)
    seen = np.bincount(checked)
    if len(seen) < 2 or (seen > 0).sum() < 2:
        raise RadfordError(f"a probe needs at least two classes; all labels are {checked[0]}")
    if (seen == 0).any():
        raise RadfordError(
            f"class {int((seen == 0).argmax())} has no training example: "
            f"number the classes 0 .. {int((seen > 0).sum()) - 1}"
        )
    return checked, len(seen)


def check_range(labels: np.ndarray, n_classes: int, what: str = "labels") -> None:
    """Raise ``RadfordError`` where a label is not one of the K classes a probe was fitted on."""
    if labels.max() >= n_classes:
        raise RadfordError(
            f"{what} go up to {int(labels.max())}, but the probe knows classes 0 .. {n_classes - 1}"
        )


def check_c(c: float) -> float:
    """A regularisation constant as float; ``RadfordError`` unless positive and finite."""
    if not (np.isfinite(c) and c > 0):
        raise RadfordError(f"C must be positive and finite, not {c}")
    return float(c)
