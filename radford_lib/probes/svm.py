"""Linear L2-SVM for many features and classes: one-vs-rest squared hinge by Newton's method.

Minimises, for each class k and each C, the objective of liblinear and of scikit-learn's
``LinearSVC`` (the official DCGAN code's probe, svhn/svhn_semisup_analysis.py):

    P(w) = 1/2 ||w||^2 + C sum_i max(0, 1 - y_i w.x_i)^2,   y_i = +1 in class k, else -1,

where x_i ends with a constant 1, so that the intercept is regularised with the weights. The
objective is smooth and the problems share X: Newton steps are solved by preconditioned conjugate
gradients for all classes and all C at once, each iteration one pass of matrix products over X
(Keerthi and DeCoste 2005, with exact line search). X is read in blocks, in its own precision; sums
over examples are float64.

With w' = 2C sum_i xi_i y_i x_i (xi the hinge values), w' gives a feasible dual point and the
duality gap is exactly 1/2 ||w - w'||^2 = 1/2 ||grad P||^2: the stopping rule is a proof of how far
the optimum can be.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
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

# The official grid (svhn_semisup_analysis.py).
C_GRID = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)

_BLOCK_ELEMENTS = 1 << 24  # of X at a time: 64 MB in float32
_CG_LIMIT = 400  # passes for one Newton step


@dataclass(frozen=True)
class L2Svm:
    """A fitted one-vs-rest linear SVM.

    weights: (K, F) float32; intercept, objective: (K,); ``gap``: (K,) the duality gap, an upper
    bound of objective minus optimum. For two classes row 0 mirrors row 1.
    """

    weights: np.ndarray
    intercept: np.ndarray
    c: float
    objective: np.ndarray
    gap: np.ndarray
    iterations: int  # Newton steps of the slowest class
    passes: int  # passes over the features, shared by all classes and all C of one call

    def decision(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Margins (N, K) float32 of features (N, F)."""
        x = check_features(x)
        if x.shape[1] != self.weights.shape[1]:
            raise RadfordError(
                f"the SVM was fitted on {self.weights.shape[1]} features, not {x.shape[1]}"
            )
        data = _Blocks(x, device)
        with _full_float32():
            w = torch.from_numpy(self.weights.T.copy()).to(data.device)
            b = torch.from_numpy(self.intercept.astype(np.float32)).to(data.device)
            return torch.cat([block @ w + b for _, block in data]).cpu().numpy()

    def predict(self, x: np.ndarray, device: str | torch.device | None = None) -> np.ndarray:
        """Classes (N,) int64 of features (N, F)."""
        return self.decision(x, device).argmax(axis=1)

    def accuracy(
        self, x: np.ndarray, y: np.ndarray, device: str | torch.device | None = None
    ) -> float:
        """Share of the N examples whose class it predicts."""
        predicted = self.predict(x, device)
        labels = check_labels(y, len(predicted))
        check_range(labels, len(self.weights))
        return float((predicted == labels).mean())


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
    rows = [1] if n_classes == 2 else list(range(n_classes))
    data = _Blocks(x, device)
    signs = torch.from_numpy(np.where(y[:, None] == np.array(rows), 1.0, -1.0)).to(data.device)
    with _full_float32():
        solution = _newton(data, signs, grid, tolerance, max_iterations)
    if (solution.gap > tolerance * solution.objective).any():
        worst = float((solution.gap / solution.objective).max())
        warnings.warn(
            f"L2-SVM stopped after {max_iterations} Newton steps with a relative duality gap of "
            f"{worst:.1e}, above the tolerance {tolerance:.1e}",
            stacklevel=2,
        )
    return [solution.svm(i, c, len(rows)) for i, c in enumerate(grid)]


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
    table = {svm.c: svm.accuracy(valid_x, valid_y, device) for svm in fits}
    return max(sorted(table), key=lambda c: table[c]), table


class _Blocks:
    """Rows of (N, F) features as float32 blocks on a device; the features keep their own type."""

    def __init__(self, x: np.ndarray, device: str | torch.device | None) -> None:
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        if x.dtype == np.float64 or not x.flags.writeable or not x.flags.c_contiguous:
            x = np.array(x, dtype=np.float16 if x.dtype == np.float16 else np.float32, order="C")
        self.x = torch.from_numpy(x).to(self.device)
        self.rows = max(1, _BLOCK_ELEMENTS // x.shape[1])
        self.passes = 0

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor]]:
        self.passes += 1
        for start in range(0, len(self.x), self.rows):
            rows = slice(start, start + self.rows)
            yield rows, self.x[rows].float()

    def times(self, w: torch.Tensor) -> torch.Tensor:
        """X w with the constant feature: (F + 1, P) -> (N, P) float64."""
        w32 = w.float()
        return torch.cat([(block @ w32[:-1] + w32[-1]).double() for _, block in self])

    def transposed_times(self, r: torch.Tensor) -> torch.Tensor:
        """X^T r: (N, P) -> (F + 1, P) float64."""
        total = torch.zeros(
            self.x.shape[1] + 1, r.shape[1], dtype=torch.float64, device=self.device
        )
        for rows, block in self:
            total[:-1] += block.T @ r[rows].float()
        total[-1] = r.sum(0)
        return total

    def gram_times(self, v: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """X^T (scale * (X v)) in one pass: (F + 1, P), (N, P) -> (F + 1, P) float64."""
        total = torch.zeros_like(v)
        v32 = v.float()
        for rows, block in self:
            z = scale[rows] * (block @ v32[:-1] + v32[-1])
            total[:-1] += block.T @ z
            total[-1] += z.sum(0, dtype=torch.float64)
        return total

    def square_sums(self) -> torch.Tensor:
        """Sum over examples of each feature squared, constant included, (F + 1, 1) float64."""
        total = torch.zeros(self.x.shape[1] + 1, 1, dtype=torch.float64, device=self.device)
        for _, block in self:
            total[:-1, 0] += block.square().sum(0)
        total[-1] = len(self.x)
        return total


@dataclass
class _Solution:
    """State of P = len(grid) * rows problems, C-major."""

    w: torch.Tensor  # (F + 1, P) float64, intercepts last
    objective: torch.Tensor  # (P,)
    gap: torch.Tensor  # (P,)
    steps: torch.Tensor  # (P,) Newton steps
    passes: int

    def svm(self, index: int, c: float, rows: int) -> L2Svm:
        mine = slice(index * rows, (index + 1) * rows)
        w = self.w[:, mine].T.cpu().numpy()
        objective, gap = self.objective[mine].cpu().numpy(), self.gap[mine].cpu().numpy()
        if rows == 1:
            w = np.concatenate([-w, w])
            objective, gap = np.repeat(objective, 2), np.repeat(gap, 2)
        return L2Svm(
            weights=w[:, :-1].astype(np.float32),
            intercept=w[:, -1].copy(),
            c=c,
            objective=objective,
            gap=gap,
            iterations=int(self.steps[mine].max()),
            passes=self.passes,
        )


def _newton(
    data: _Blocks, signs: torch.Tensor, grid: list[float], tolerance: float, max_iterations: int
) -> _Solution:
    """Newton's method on all problems at once; a problem leaves when its gap is small enough."""
    c = torch.tensor(grid, dtype=torch.float64, device=data.device)
    c = c.repeat_interleave(signs.shape[1])  # (P,)
    y = signs.repeat(1, len(grid))  # (N, P)
    squares = data.square_sums()
    w = torch.zeros(data.x.shape[1] + 1, len(c), dtype=torch.float64, device=data.device)
    f = torch.zeros_like(y)  # margins X w
    state = _Solution(w, torch.zeros_like(c), torch.zeros_like(c), torch.zeros_like(c), 0)
    todo = torch.arange(len(c), device=data.device)
    first_norm = torch.zeros_like(c)
    for step in range(max_iterations + 1):
        hinge = (1 - y[:, todo] * f[:, todo]).clamp_(min=0)  # (N, P')
        gradient = w[:, todo] - data.transposed_times(2 * c[todo] * y[:, todo] * hinge)
        state.objective[todo] = 0.5 * w[:, todo].square().sum(0) + c[todo] * hinge.square().sum(0)
        state.gap[todo] = 0.5 * gradient.square().sum(0)
        going = state.gap[todo] > tolerance * state.objective[todo]
        todo, gradient = todo[going], gradient[:, going]
        if step == max_iterations or len(todo) == 0:
            break
        state.steps[todo] += 1
        active = (hinge[:, going] > 0).float()
        del hinge
        norm = gradient.norm(dim=0)
        if step == 0:
            first_norm[todo] = norm
        # Loose while the active set still moves, then tight: superlinear near the optimum.
        forcing = (norm / first_norm[todo]).sqrt().clamp_(1e-3, 0.1)
        diagonal = 1 + 2 * c[todo] * active.mean(0, dtype=torch.float64) * squares
        direction = _conjugate_gradients(data, gradient, active, c[todo], diagonal, forcing)
        along = data.times(direction)
        t = _line_search(w[:, todo], direction, f[:, todo], along, y[:, todo], c[todo])
        w[:, todo] += t * direction
        f[:, todo] += t * along
    state.passes = data.passes
    return state


def _conjugate_gradients(
    data: _Blocks,
    gradient: torch.Tensor,
    active: torch.Tensor,
    c: torch.Tensor,
    diagonal: torch.Tensor,
    forcing: torch.Tensor,
) -> torch.Tensor:
    """d with ||H d + gradient|| <= forcing ||gradient||, H = I + 2C X_active^T X_active.

    gradient, diagonal (the preconditioner): (F + 1, P); active: (N, P); returns (F + 1, P).
    """
    d = torch.zeros_like(gradient)
    residual = -gradient
    z = residual / diagonal
    p = z.clone()
    rz = (residual * z).sum(0)
    goal = forcing * gradient.norm(dim=0)
    todo = torch.arange(gradient.shape[1], device=gradient.device)
    for _ in range(_CG_LIMIT):
        scale = active[:, todo] if len(todo) < active.shape[1] else active
        hp = p + 2 * c[todo] * data.gram_times(p, scale)
        alpha = rz / (p * hp).sum(0)
        d[:, todo] += alpha * p
        residual = residual - alpha * hp
        going = residual.norm(dim=0) > goal[todo]
        if not going.any():
            break
        todo, residual, p, rz = todo[going], residual[:, going], p[:, going], rz[going]
        z = residual / diagonal[:, todo]
        rz, previous = (residual * z).sum(0), rz
        p = z + (rz / previous) * p
    return d


def _line_search(
    w: torch.Tensor,
    d: torch.Tensor,
    f: torch.Tensor,
    along: torch.Tensor,
    y: torch.Tensor,
    c: torch.Tensor,
) -> torch.Tensor:
    """The minimiser t > 0 of P(w + t d), (P,), for each of P problems.

    P along a line is convex and piecewise quadratic, so its slope is increasing and piecewise
    linear: Newton steps on the slope, kept inside a bracket.
    """
    wd, dd = (w * d).sum(0), d.square().sum(0)
    yf, ya = y * f, y * along
    low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
    t = torch.ones_like(c)
    for _ in range(30):
        hinge = (1 - yf - t * ya).clamp_(min=0)
        slope = wd + t * dd - 2 * c * (hinge * ya).sum(0)
        curvature = dd + 2 * c * ((hinge > 0) * ya.square()).sum(0)
        low, high = torch.where(slope < 0, t, low), torch.where(slope >= 0, t, high)
        newton = t - slope / curvature
        middle = torch.where(high.isinf(), 2 * t, (low + high) / 2)
        following = torch.where((newton > low) & (newton < high), newton, middle)
        if ((following - t).abs() <= 1e-9 * t).all():
            return following
        t = following
    return t


@contextlib.contextmanager
def _full_float32() -> Iterator[None]:
    """Matrix products in true float32, whatever training has chosen: TF32 would void the gap."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
