"""The L1 logistic path: liblinear's optimum by its own proof, on features that are hard for it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from radford_lib.errors import RadfordError
from radford_lib.probes.l1 import minimise_l1
from radford_lib.probes.lasso import solve_lasso
from radford_lib.probes.logistic import accuracies, fit_logistic, fit_logistic_path
from radford_lib.probes.rows import Rows

GRID = (2.0**-6, 2.0**-3, 1.0)


def problem(n: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features, five of which say something, and signs (n,)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features)) + rng.standard_normal((n, 1))
    signs = np.where(x[:, :5].sum(axis=1) + 2 * rng.standard_normal(n) > 0, 1.0, -1.0)
    return x.astype(np.float32), signs


def objective(x: np.ndarray, signs: np.ndarray, w: np.ndarray, c: float) -> float:
    """liblinear's objective in float64; w (F + 1,), the intercept last and penalised."""
    margin = signs * (x.astype(np.float64) @ w[:-1] + w[-1])
    return float(np.abs(w).sum() + c * np.logaddexp(0, -margin).sum())


def duality_gap(x: np.ndarray, signs: np.ndarray, w: np.ndarray, c: float) -> float:
    """P(w) minus the dual's value at the errors' probabilities, scaled to be feasible."""
    with_ones = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    error = 1 / (1 + np.exp(signs * (with_ones @ w)))
    error = error / max(1.0, np.abs(c * with_ones.T @ (signs * error)).max())
    entropy = -(error * np.log(error) + (1 - error) * np.log1p(-error)).sum()
    return objective(x, signs, w, c) - c * float(entropy)


def liblinear(x: np.ndarray, signs: np.ndarray, c: float) -> np.ndarray:
    model = LogisticRegression(
        C=c, l1_ratio=1, solver="liblinear", tol=1e-7, max_iter=2000, random_state=0
    ).fit(x.astype(np.float64), signs)
    return np.append(model.coef_[0], model.intercept_[0])


def with_scales(x: np.ndarray) -> np.ndarray:
    return x * np.exp(3 * np.random.default_rng(1).standard_normal(x.shape[1]))


CASES = {
    "plain": problem(300, 60),
    "more features than examples": problem(60, 700),
    "duplicated features": (np.tile(problem(200, 40)[0], 3), problem(200, 40)[1]),
    "features of any scale": (with_scales(problem(300, 60)[0]), problem(300, 60)[1]),
    "constant features": (np.ones((30, 3)), np.where(np.arange(30) % 3 == 0, 1.0, -1.0)),
    "separable": (problem(100, 20)[0], np.sign(problem(100, 20)[0][:, 0]).astype(float)),
}


@pytest.mark.parametrize("case", CASES)
def test_it_reaches_liblinears_optimum_and_proves_it(case: str) -> None:
    x, signs = CASES[case]
    x = x.astype(np.float32)
    found = minimise_l1(Rows(x, "cpu"), signs, GRID, tolerance=1e-6)
    for w, c, said, gap in zip(found.w, GRID, found.objective, found.gap, strict=True):
        here = objective(x, signs, w, c)
        assert here == pytest.approx(said, rel=1e-10)
        assert gap == pytest.approx(duality_gap(x, signs, w, c), abs=1e-9 * here)
        assert gap <= 1e-6 * here
        assert here == pytest.approx(objective(x, signs, liblinear(x, signs, c), c), rel=1e-5)


@pytest.mark.parametrize("shape", [(300, 60), (80, 700)])
def test_a_large_common_offset_is_no_obstacle(shape: tuple[int, int]) -> None:
    """float32 sums of such features make a Hessian that is not even positive definite."""
    x, signs = problem(*shape)
    x = x + np.float32(100)  # liblinear takes minutes for these
    found = minimise_l1(Rows(x, "cpu"), signs, (0.1, 1.0), tolerance=1e-5)
    for w, c in zip(found.w, (0.1, 1.0), strict=True):
        assert duality_gap(x, signs, w, c) <= 1.01e-5 * objective(x, signs, w, c)


def test_features_that_say_nothing_get_no_weight() -> None:
    signs = np.where(np.arange(20) % 2 == 0, 1.0, -1.0)
    found = minimise_l1(Rows(np.zeros((20, 3), np.float32), "cpu"), signs, GRID, tolerance=1e-6)
    assert not found.w.any()
    assert not found.gap.any()


def test_any_order_of_c_gives_the_same_path_in_its_order() -> None:
    x, signs = problem(200, 40)
    upwards = minimise_l1(Rows(x, "cpu"), signs, GRID, tolerance=1e-6)
    mixed = minimise_l1(Rows(x, "cpu"), signs, (1.0, 2.0**-6, 1.0, 2.0**-3), tolerance=1e-6)
    np.testing.assert_array_equal(mixed.w, upwards.w[[2, 0, 2, 1]])


def test_a_warm_start_saves_work_and_changes_nothing() -> None:
    x, signs = problem(400, 80)
    fine = [2.0**e for e in np.arange(-6, 0.5, 0.5)]
    path = minimise_l1(Rows(x, "cpu"), signs, fine, tolerance=1e-7)
    alone = minimise_l1(Rows(x, "cpu"), signs, fine[-1:], tolerance=1e-7)
    assert path.steps[-1] < alone.steps[0]
    np.testing.assert_allclose(path.objective[-1], alone.objective[0], rtol=2e-7)
    assert ((path.w[-1] != 0) == (alone.w[0] != 0)).mean() > 0.97


def test_half_precision_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, signs = problem(300, 50)
    half = x.astype(np.float16)
    whole = minimise_l1(Rows(half.astype(np.float32), "cpu"), signs, GRID, tolerance=1e-6)
    monkeypatch.setattr("radford_lib.probes.rows._ELEMENTS", {"cpu": 50 * 37, "cuda": 1})
    monkeypatch.setattr("radford_lib.probes.rows._FLUSH", 60)
    blocks = minimise_l1(Rows(half, "cpu"), signs, GRID, tolerance=1e-6)
    np.testing.assert_allclose(blocks.objective, whole.objective, rtol=1e-6)


def test_stopping_early_is_said() -> None:
    x, signs = problem(300, 60)
    with pytest.warns(UserWarning, match="relative duality gap of .* above the tolerance"):
        minimise_l1(Rows(x, "cpu"), signs, (1.0,), tolerance=1e-9, max_iterations=1)


@pytest.mark.parametrize("rho", [None, 1.0])
def test_the_quadratic_model_is_minimised(rho: float | None) -> None:
    """No entry of the gradient exceeds 1, and those of weights in use are their sign."""
    rng = np.random.default_rng(3)
    a = torch.from_numpy(rng.standard_normal((80, 40)))
    h, b = a.T @ a / 10, torch.from_numpy(3 * rng.standard_normal(40))
    v, _ = solve_lasso(h, b, torch.zeros(40, dtype=torch.float64), rho)
    gradient = h @ v - b
    assert 0 < int((v != 0).sum()) < 40
    assert float(gradient.abs().max()) <= 1 + 1e-6
    torch.testing.assert_close(gradient[v != 0], -v[v != 0].sign(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_probes_of_a_path_are_those_fitted_alone(penalty: str) -> None:
    x, signs = problem(200, 30)
    y = (signs > 0).astype(int)
    path = fit_logistic_path(x, y, c_grid=GRID, penalty=penalty, device="cpu")
    scores = accuracies(path, x, y)
    for probe, score in zip(path, scores, strict=True):
        alone = fit_logistic(x, y, c=probe.c, penalty=penalty, device="cpu")
        np.testing.assert_allclose(probe.weights, alone.weights, atol=0.01)
        assert probe.accuracy(x, y) == score
        assert score == pytest.approx(alone.accuracy(x, y), abs=0.01)


def test_l2_is_liblinears_too() -> None:
    x, signs = problem(300, 40)
    probe = fit_logistic(x, (signs > 0).astype(int), c=0.1, penalty="l2", device="cpu")
    model = LogisticRegression(C=0.1, l1_ratio=0, solver="liblinear", tol=1e-8, max_iter=1000)
    model.fit(x.astype(np.float64), signs)
    np.testing.assert_allclose(probe.weights, model.coef_[0], atol=1e-3)
    np.testing.assert_allclose(probe.intercept, model.intercept_, atol=1e-3)


def test_a_path_needs_a_c() -> None:
    x, signs = problem(30, 5)
    with pytest.raises(RadfordError, match="c_grid is empty"):
        fit_logistic_path(x, (signs > 0).astype(int), c_grid=())


@pytest.mark.gpu
def test_a_gpu_finds_the_same_path() -> None:
    x, signs = problem(300, 60)
    found = [minimise_l1(Rows(x, d), signs, GRID, tolerance=1e-6) for d in ("cpu", "cuda")]
    np.testing.assert_allclose(found[0].objective, found[1].objective, rtol=2e-6)
