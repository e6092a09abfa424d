"""Probes against scikit-learn and against float64; what they refuse."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from radford_lib.errors import RadfordError, UsageError
from radford_lib.probes.kid import conv_features, kid, squared_mmd
from radford_lib.probes.logistic import fit_l1_logistic, fit_logistic
from radford_lib.probes.neighbours import nearest
from radford_lib.probes.precondition import subspace
from radford_lib.probes.rows import Rows
from radford_lib.probes.svm import fit_l2_svm, fit_l2_svm_path, select_c


def clusters(
    n: int, features: int, classes: int, seed: int = 0, clusters_seed: int = 7
) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes in 40 hidden dimensions, seen through rectified features of any scale."""
    world = np.random.default_rng(clusters_seed)
    means = 0.7 * world.normal(size=(classes, 40))
    view = world.normal(size=(40, features)) / 6 * np.exp(world.normal(size=features))
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    hidden = means[labels] + rng.normal(size=(n, 40))
    raw = hidden @ view + 0.5 * rng.normal(size=(n, features)) + 0.3
    return np.maximum(raw, 0.2 * raw).astype(np.float32), labels


def objective(x: np.ndarray, sign: np.ndarray, w: np.ndarray, b: float, c: float) -> float:
    """The primal objective in float64, as liblinear has it."""
    hinge = np.maximum(0, 1 - sign * (x.astype(np.float64) @ w + b))
    return float(0.5 * (w @ w + b * b) + c * np.square(hinge).sum())


def against_sklearn(x: np.ndarray, y: np.ndarray, c: float) -> None:
    ours = fit_l2_svm(x, y, c=c)
    theirs = LinearSVC(C=c, dual=len(x) < x.shape[1], tol=1e-6, max_iter=100_000).fit(x, y)
    classes = range(1, 2) if y.max() == 1 else range(int(y.max()) + 1)
    for row, k in enumerate(classes):
        sign = np.where(y == k, 1.0, -1.0)
        w64 = ours.weights[k].astype(np.float64)
        mine = objective(x, sign, w64, ours.intercept[k], c)
        reference = objective(x, sign, theirs.coef_[row], theirs.intercept_[row], c)
        assert ours.objective[k] == pytest.approx(mine, rel=1e-5)
        assert mine == pytest.approx(reference, rel=1e-4)
        assert mine - reference <= ours.gap[k] + 1e-5 * mine  # the gap is a bound
    assert np.mean(ours.predict(x) == theirs.predict(x)) >= 0.999


@pytest.fixture
def few_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the problem were too large to be decomposed or solved in its examples' span."""
    monkeypatch.setattr("radford_lib.probes.newton._SPAN", 10)
    monkeypatch.setattr("radford_lib.probes.precondition._EXACT", 10)
    monkeypatch.setattr("radford_lib.probes.precondition._FEATURES", 8)


@pytest.mark.parametrize("c", [1e-4, 1e-2])
def test_svm_matches_sklearn_on_ten_classes(c: float) -> None:
    against_sklearn(*clusters(800, 300, 10), c)


def test_svm_matches_sklearn_on_two_classes() -> None:
    against_sklearn(*clusters(500, 60, 2), 1e-2)


@pytest.mark.parametrize("panel", [512, 64])
def test_svm_matches_sklearn_with_fewer_examples_than_features(
    monkeypatch: pytest.MonkeyPatch, panel: int
) -> None:
    monkeypatch.setattr("radford_lib.probes.precondition._PANEL", panel)
    against_sklearn(*clusters(200, 900, 4), 1e-2)


@pytest.mark.parametrize("offset", [0, 20])
@pytest.mark.parametrize(("n", "features"), [(600, 250), (300, 400)])
def test_svm_starts_in_a_subspace_of_many_features(
    few_axes: None, n: int, features: int, offset: int
) -> None:
    """For features too many to decompose a few axes change the way, not the place."""
    x, y = clusters(n, features, 3)
    against_sklearn(x + np.float32(offset), y, 1e-3)


def test_svm_in_a_subspace_repeats_itself_and_needs_few_passes(few_axes: None) -> None:
    x, y = clusters(1500, 400, 10)
    path = fit_l2_svm_path(x, y, c_grid=(1e-4, 1e-3))
    again = fit_l2_svm_path(x, y, c_grid=(1e-4, 1e-3))
    for first, second in zip(path, again, strict=True):
        assert (first.gap <= 1e-6 * first.objective).all()
        np.testing.assert_array_equal(first.weights, second.weights)
    assert path[0].passes <= 40


def test_a_subspace_inverts_the_hessian_along_its_axes() -> None:
    """Curvatures and all, where the axes span what the examples do."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 8)) @ rng.normal(size=(8, 160))).astype(np.float32)
    ones = torch.from_numpy(np.column_stack([x.astype(np.float64), np.ones(200)]))
    curvature = torch.from_numpy(rng.integers(0, 2, (200, 2)) * 2.0)
    c = torch.tensor([1e-3, 1e-1], dtype=torch.float64)
    r = ones.T @ torch.from_numpy(rng.normal(size=(200, 2)))
    solved = subspace(Rows(x, "cpu")).at(curvature, c)(r, torch.arange(2))
    for k in range(2):
        hessian = torch.eye(161, dtype=torch.float64)
        hessian += c[k] * ones.T @ (curvature[:, k, None] * ones)
        expected = torch.linalg.solve(hessian, r[:, k])
        assert float((solved[:, k] - expected).norm() / expected.norm()) < 2e-3


def test_svm_reads_blocks_and_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = clusters(500, 120, 5)
    half = x.astype(np.float16)
    whole = fit_l2_svm(half.astype(np.float32), y, c=1e-3)
    monkeypatch.setattr("radford_lib.probes.rows._ELEMENTS", {"cpu": 120 * 77, "cuda": 120 * 77})
    monkeypatch.setattr("radford_lib.probes.rows._FLUSH", 100)
    blocks = fit_l2_svm(half, y, c=1e-3)
    np.testing.assert_allclose(blocks.objective, whole.objective, rtol=1e-5)
    assert np.mean(blocks.predict(half) == whole.predict(half)) >= 0.998


@pytest.mark.parametrize("n", [300, 60])
def test_svm_is_sure_of_its_gap_on_features_with_a_large_offset(n: int) -> None:
    """The margins of such features lose most digits in float32; what is said must hold."""
    x, y = clusters(n, 90, 3)
    x = x + np.float32(100)
    c = 1e-2
    svm = fit_l2_svm(x, y, c=c)
    with_ones = np.column_stack([x.astype(np.float64), np.ones(n)])
    for k in range(3):
        w = np.append(svm.weights[k], svm.intercept[k])
        sign = np.where(y == k, 1.0, -1.0)
        hinge = np.maximum(0, 1 - sign * (with_ones @ w))
        gradient = w - 2 * c * with_ones.T @ (sign * hinge)
        assert 0.5 * gradient @ gradient == pytest.approx(svm.gap[k], rel=0.01)
        assert svm.gap[k] <= 1e-6 * svm.objective[k]


def test_svm_needs_no_feature_that_varies() -> None:
    labels = np.array([0, 1, 1] * 10)
    for x in (np.ones((30, 4), np.float32), np.zeros((30, 4), np.float32)):
        svm = fit_l2_svm(x, labels, c=1.0)
        assert (svm.predict(x) == 1).all()
        assert (svm.gap <= 1e-6 * svm.objective).all()


def test_svm_path_equals_single_fits_and_repeats_itself() -> None:
    x, y = clusters(300, 50, 3)
    path = fit_l2_svm_path(x, y, c_grid=(1e-4, 1e-2))
    for svm in path:
        alone = fit_l2_svm(x, y, c=svm.c)
        np.testing.assert_allclose(svm.objective, alone.objective, rtol=2e-6)
        assert (svm.gap <= 1e-6 * svm.objective).all()
    again = fit_l2_svm_path(x, y, c_grid=(1e-4, 1e-2))
    assert all((a.weights == b.weights).all() for a, b in zip(path, again, strict=True))


def test_two_class_rows_mirror_each_other() -> None:
    svm = fit_l2_svm(*clusters(200, 20, 2), c=1e-2)
    assert svm.weights.shape == (2, 20)
    np.testing.assert_array_equal(svm.weights[0], -svm.weights[1])


def test_select_c_takes_the_best_and_the_smallest_of_equals() -> None:
    x, y = clusters(600, 80, 4)
    best, table = select_c(x[:300], y[:300], x[300:], y[300:], c_grid=(1e-2, 1e-4, 1e-3))
    top = max(table.values())
    assert set(table) == {1e-2, 1e-4, 1e-3}
    assert best == min(c for c, accuracy in table.items() if accuracy == top)
    separable = np.array([[-5.0], [5.0]] * 20, np.float32)
    assert select_c(separable, np.tile([0, 1], 20), separable, np.tile([0, 1], 20))[0] == 1e-4


def test_svm_says_when_it_stopped_early() -> None:
    with pytest.warns(UserWarning, match="relative duality gap"):
        fit_l2_svm(*clusters(300, 100, 3), c=1e-2, max_iterations=1, tolerance=1e-9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x, y[:-1]), "100 features need 100 labels"),
        (lambda x, y: (x, np.zeros_like(y)), "at least two classes"),
        (lambda x, y: (x, y - 1), "labels must be 0, 1, 2"),
        (lambda x, y: (x, y * 2), "class 1 has no training example"),
        (lambda x, y: (x, y.astype(float)), "labels must be integers"),
        (lambda x, y: (np.where(x == x[3, 2], np.nan, x), y), "first in row 3"),
        (lambda x, y: (x * np.float32(1e20), y), "beyond 1e.15 in size: divide them first"),
        (lambda x, y: (x[0], y), "must be .examples, features."),
        (lambda x, y: (x[:0], y[:0]), "must be .examples, features."),
    ],
)
def test_probes_refuse_bad_input(spoil, message: str) -> None:
    x, y = spoil(*clusters(100, 10, 3))
    for fit in (
        lambda: fit_l2_svm(x, y, c=1e-3),
        lambda: fit_logistic(x, y, c=1.0),
    ):
        with pytest.raises(RadfordError, match=message) as error:
            fit()
        assert "\n" not in str(error.value)


def test_accuracy_refuses_classes_the_probe_does_not_know() -> None:
    x, y = clusters(100, 10, 2)
    for probe in (fit_l2_svm(x, y, c=1e-3), fit_logistic(x, y, c=1.0)):
        with pytest.raises(RadfordError, match=r"labels go up to 2, but the probe knows"):
            probe.accuracy(x, np.where(y == 1, 2, 0))
        with pytest.raises(RadfordError, match="fitted on 10 features, not 9"):
            probe.predict(x[:, :9])


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan"), float("inf")])
def test_probes_refuse_a_c_that_is_not_positive(c: float) -> None:
    with pytest.raises(RadfordError, match="C must be positive"):
        fit_l2_svm(*clusters(50, 5, 2), c=c)


def test_logistic_follows_the_released_procedure() -> None:
    x, y = clusters(600, 60, 2)
    probe = fit_l1_logistic(x[:300], y[:300], x[300:], y[300:])
    scores = []
    for c, _ in probe.valid_accuracies:
        model = LogisticRegression(C=c, l1_ratio=1, solver="liblinear", random_state=42)
        scores.append(model.fit(x[:300], y[:300]).score(x[300:], y[300:]))
    assert [round(c, 6) for c, _ in probe.valid_accuracies] == [
        round(2.0**e, 6) for e in range(-8, 1)
    ]
    assert [score for _, score in probe.valid_accuracies] == pytest.approx(scores, abs=0.01)
    assert (
        probe.c == probe.valid_accuracies[int(np.argmax([s for _, s in probe.valid_accuracies]))][0]
    )
    assert probe.weights.shape == (60,)
    assert 0 < probe.n_nonzero < 60
    assert probe.n_nonzero == np.count_nonzero(probe.weights)
    assert probe.train_accuracy == probe.accuracy(x[:300], y[:300])
    assert probe.valid_accuracy == pytest.approx(max(scores), abs=0.01)
    again = fit_l1_logistic(x[:300], y[:300], x[300:], y[300:])
    np.testing.assert_array_equal(probe.weights, again.weights)


def test_logistic_takes_many_classes_and_both_penalties() -> None:
    x, y = clusters(500, 40, 4)
    sparse = fit_l1_logistic(x[:300], y[:300], x[300:], y[300:], c_grid=(0.05, 0.1))
    dense = fit_l1_logistic(x[:300], y[:300], x[300:], y[300:], c_grid=(0.1,), penalty="l2")
    assert sparse.weights.shape == (4, 40)
    assert sparse.n_nonzero < dense.n_nonzero == 160
    assert dense.accuracy(x[300:], y[300:]) > 0.5
    with pytest.raises(UsageError, match="unknown penalty 'elastic'"):
        fit_logistic(x, y, c=1.0, penalty="elastic")
    with pytest.raises(RadfordError, match="40 training features but 39"):
        fit_l1_logistic(x, y, x[:, 1:], y)


def test_nearest_agrees_with_all_distances() -> None:
    rng = np.random.default_rng(0)
    query, base = rng.normal(size=(37, 11)), rng.normal(size=(90, 11))
    full = np.linalg.norm(query[:, None] - base[None], axis=2)
    index, distance = nearest(query.astype(np.float32), base.astype(np.float32), block=10)
    np.testing.assert_array_equal(index, full.argmin(1))
    np.testing.assert_allclose(distance, full.min(1), rtol=1e-5)


def test_nearest_can_leave_itself_out_and_sees_exact_copies() -> None:
    base = np.random.default_rng(1).normal(size=(50, 30)).astype(np.float32) + 100
    base[7] = base[31]
    index, distance = nearest(base, base, block=16)
    assert (distance == 0).all()
    index, distance = nearest(base, base, block=16, leave_one_out=True)
    assert (index != np.arange(50)).all()
    assert (index[7], index[31]) == (31, 7)
    assert (distance == 0).sum() == 2
    with pytest.raises(RadfordError, match="both must be"):
        nearest(base, base[:, :3])


def test_squared_mmd_is_the_unbiased_double_sum() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)) + 1

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_kid_is_about_zero_for_one_distribution_and_grows_with_the_difference() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, size=(240, 16, 16, 3), dtype=np.uint8)
    dim, dark = (images // 2).astype(np.uint8), (images // 8).astype(np.uint8)
    features = [conv_features(part, seed=0) for part in (images[:120], images[120:], dim, dark)]
    same, less, least = (kid(part, features[0], seed=0) for part in features[1:])
    assert abs(same.mean) < less.mean < least.mean
    assert abs(same.mean) < 0.05 * less.mean
    assert kid(features[1], features[0], seed=0) == same
    with pytest.raises(RadfordError, match="at least 4 images"):
        kid(features[0][:3], features[1])
