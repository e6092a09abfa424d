"""The L2-SVM: against scikit-learn, its proof of optimality, both ways of solving it."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from radford_lib.errors import RadfordError
from radford_lib.probes import svm as module
from radford_lib.probes.svm import fit_l2_svm, fit_l2_svm_path, select_c


def problem(n, features, classes=3, seed=0, noise=1.5):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, features))
    y = rng.permutation(np.arange(n) % classes)
    # a common offset, as max-pooled activations have
    x = centres[y] + noise * rng.standard_normal((n, features)) + 2
    return x.astype(np.float32), y


def objective(x, y, svm, label):
    sign = np.where(y == label, 1.0, -1.0)
    margin = x.astype(np.float64) @ svm.weights[label] + svm.intercept[label]
    penalty = (
        np.square(svm.weights[label].astype(np.float64)).sum() + svm.intercept[label] ** 2
    ) / 2
    return penalty + svm.c * np.square(np.maximum(0, 1 - sign * margin)).sum()


@pytest.mark.parametrize(("n", "features"), [(200, 12), (60, 300)])
@pytest.mark.parametrize("exact", [True, False])
def test_it_is_scikit_learns_linear_svc(monkeypatch, n, features, exact):
    if not exact:
        monkeypatch.setattr("radford_lib.probes.precondition._EXACT", 2)
        monkeypatch.setattr("radford_lib.probes.newton._SPAN", 2)
    x, y = problem(n, features)
    svm = fit_l2_svm(x, y, c=0.01, tolerance=1e-8)
    other = LinearSVC(C=0.01, dual=True, tol=1e-7, max_iter=200_000, random_state=0)
    other.fit(x.astype(np.float64), y)
    np.testing.assert_allclose(svm.weights, other.coef_, atol=2e-4)
    np.testing.assert_allclose(svm.intercept, other.intercept_, atol=2e-4)
    fresh, labels = problem(500, features, seed=1)
    assert svm.accuracy(fresh, labels) == pytest.approx(other.score(fresh, labels), abs=0.005)


@pytest.mark.parametrize(("n", "features"), [(150, 20), (40, 500)])
def test_objective_and_gap_are_what_they_say(n, features):
    x, y = problem(n, features)
    for svm in fit_l2_svm_path(x, y, c_grid=(1e-3, 1e-1)):
        assert (svm.gap <= 1e-6 * svm.objective).all()
        for label in range(3):
            assert objective(x, y, svm, label) == pytest.approx(svm.objective[label], rel=1e-4)
            # no nearby point is better
            best = objective(x, y, svm, label)
            rng = np.random.default_rng(label)
            for _ in range(5):
                moved = module.L2Svm(**vars(svm) | {"weights": svm.weights.copy()})
                step = rng.standard_normal(features).astype(np.float32)
                moved.weights[label] += 0.02 * np.linalg.norm(svm.weights) * step / features**0.5
                assert objective(x, y, moved, label) > best


def test_a_path_is_its_single_fits():
    x, y = problem(80, 30)
    path = fit_l2_svm_path(x, y, c_grid=(1e-3, 1e-2))
    for svm in path:
        alone = fit_l2_svm(x, y, c=svm.c)
        np.testing.assert_allclose(
            svm.weights, alone.weights, atol=2e-3 * np.abs(alone.weights).max()
        )


def test_two_classes_mirror_each_other():
    x, y = problem(60, 10, classes=2)
    svm = fit_l2_svm(x, y, c=0.1)
    np.testing.assert_array_equal(svm.weights[0], -svm.weights[1])
    other = LinearSVC(C=0.1, dual=True, tol=1e-7, max_iter=200_000, random_state=0).fit(x, y)
    np.testing.assert_allclose(svm.weights[1], other.coef_[0], atol=5e-4)


def test_half_precision_features_are_taken_as_they_are():
    x, y = problem(60, 200)
    half = x.astype(np.float16)
    rounded = fit_l2_svm(half.astype(np.float32), y, c=0.01)
    np.testing.assert_allclose(fit_l2_svm(half, y, c=0.01).weights, rounded.weights, atol=1e-5)


def test_c_is_chosen_on_validation_and_ties_go_to_the_smallest():
    x, y = problem(90, 20, noise=4)
    valid_x, valid_y = problem(90, 20, seed=0, noise=4)
    grid = (1e-4, 1e-2, 1.0)
    best, table = select_c(x, y, valid_x, valid_y, c_grid=grid)
    assert set(table) == set(grid)
    assert best == min(c for c in grid if table[c] == max(table.values()))


def test_what_does_not_fit_is_refused():
    x, y = problem(30, 5)
    with pytest.raises(RadfordError, match="give at least one C"):
        fit_l2_svm_path(x, y, c_grid=())
    with pytest.raises(RadfordError, match="C must be positive"):
        fit_l2_svm(x, y, c=0)
    with pytest.raises(RadfordError, match="NaN or infinity, first in row 2"):
        fit_l2_svm(np.where(np.arange(30)[:, None] == 2, np.nan, x), y, c=1)
    with pytest.raises(RadfordError, match="at least two classes"):
        fit_l2_svm(x, np.zeros(30, int), c=1)
    with pytest.raises(RadfordError, match="fitted on 5 features, not 4"):
        fit_l2_svm(x, y, c=1).decision(x[:, :4])
