"""Linear L2-SVM for many features and classes: one-vs-rest squared hinge by Newton's method.

Minimises, for each class k and each C, the objective of liblinear and of scikit-learn's
``LinearSVC`` (the official DCGAN code's probe, svhn/svhn_semisup_analysis.py):

    P(w) = 1/2 ||w||^2 + C sum_i max(0, 1 - y_i w.x_i)^2,   y_i = +1 in class k, else -1,

where x_i ends with a constant 1, so that the intercept is regularised with the weights. The
objective is smooth and the problems share X: Newton steps are solved by conjugate gradients for all
classes and all C at once, each iteration one pass of matrix products over X (Keerthi and DeCoste
2005, with exact line search). X is read in blocks, in its own precision; sums over examples are
float64.

Features that are all positive or of very different sizes make this slow, so the gradients are
preconditioned by the leading eigenvectors of X^T X, which all problems share: all of them where
there are few features, by Nystrom's sketch where there are many (Frangella, Tropp and Udell 2021).
Few examples (fewer than features) span a small space: there the problems are first solved in that
space's coordinates, whose axes are the eigenvectors.

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
_EXACT = 2560  # examples or features up to which all eigenvectors are found
_SKETCH = 256  # eigenvectors that are approximated beyond that


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
        start = None
        if len(x) < min(x.shape[1], _EXACT):
            start = _solve_in_span(data, signs, grid, 0.1 * tolerance, max_iterations)
        solution = _newton(data, signs, grid, tolerance, max_iterations, start=start)
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
    """Rows of (N, F) features as float32 blocks on a device; the features keep their own type.

    D columns in all: the features, and with ``bias`` a last one of ones that is never stored.
    """

    def __init__(
        self, x: np.ndarray | torch.Tensor, device: str | torch.device | None, bias: bool = True
    ) -> None:
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        if isinstance(x, np.ndarray):
            if x.dtype == np.float64 or not x.flags.writeable or not x.flags.c_contiguous:
                x = np.array(x, np.float16 if x.dtype == np.float16 else np.float32, order="C")
            x = torch.from_numpy(x)
        self.x = x.to(self.device)
        self.bias = bias
        self.columns = x.shape[1] + bias
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
        """X w: (D, P) -> (N, P) float64."""
        w32 = w.float()
        return torch.cat([self._product(block, w32).double() for _, block in self])

    def transposed_times(self, r: torch.Tensor) -> torch.Tensor:
        """X^T r: (N, P) -> (D, P) float64."""
        total = r.new_zeros(self.columns, r.shape[1], dtype=torch.float64)
        for rows, block in self:
            self._add_transposed(total, block, r[rows].float())
        return total

    def gram_times(self, v: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """X^T (scale * (X v)) in one pass: (D, P), (N, P) -> (D, P) float64."""
        total = torch.zeros_like(v)
        v32 = v.float()
        for rows, block in self:
            z = self._product(block, v32)
            self._add_transposed(total, block, z if scale is None else z.mul_(scale[rows]))
        return total

    def _product(self, block: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.addmm(w[-1], block, w[:-1]) if self.bias else block @ w

    def _add_transposed(self, total: torch.Tensor, block: torch.Tensor, r: torch.Tensor) -> None:
        features = block.shape[1]
        total[:features] += block.T @ r
        if self.bias:
            total[features] += r.sum(0, dtype=torch.float64)


@dataclass
class _Eigenvectors:
    """The leading part of X^T X: ``vectors`` (D, r), or None for the unit vectors; values (r,)."""

    vectors: torch.Tensor | None
    values: torch.Tensor
    rest: float  # what stands for the other eigenvalues

    def solve(self, r: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(I + weight X^T X)^-1 r, about: (D, P), weight (P,)."""
        if self.vectors is None:
            return r / (1 + weight * self.values[:, None])
        along = self.vectors.T @ r
        rest = 1 + weight * self.rest
        kept = along / (1 + weight * self.values[:, None]) - along / rest
        return self.vectors @ kept + r / rest


def _eigenvectors(data: _Blocks) -> _Eigenvectors:
    """All eigenvectors of X^T X for few columns, else a sketch of the leading ones."""
    if data.columns <= _EXACT:
        unit = torch.eye(data.columns, dtype=torch.float64, device=data.device)
        values, vectors = torch.linalg.eigh(data.gram_times(unit))
        return _Eigenvectors(vectors, values.clamp(min=0), 0.0)
    # Frangella, Tropp and Udell 2021, algorithm 2.1; the seed only moves the number of iterations
    rank = min(_SKETCH, len(data))
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(data.columns, rank, generator=generator, dtype=torch.float64)
    probe = torch.linalg.qr(probe.to(data.device)).Q
    image = data.gram_times(probe)
    shift = 1e-6 * torch.linalg.matrix_norm(image, 2)
    image += shift * probe
    inner = probe.T @ image
    factor = torch.linalg.cholesky((inner + inner.T) / 2)
    root = torch.linalg.solve_triangular(factor, image.T, upper=False).T  # image factor^-T
    vectors, singular, _ = torch.linalg.svd(root, full_matrices=False)
    values = (singular.square() - shift).clamp(min=0)
    return _Eigenvectors(vectors, values, float(values[-1]))


def _solve_in_span(
    data: _Blocks, signs: torch.Tensor, grid: list[float], tolerance: float, max_iterations: int
) -> torch.Tensor:
    """Solutions (D, P) found in the coordinates of the span of the N examples, N < D.

    With X X^T = U S U^T the examples have coordinates Z = U sqrt(S), and w = X^T U v / sqrt(S).
    """
    x = data.x
    gram = torch.ones(len(x), len(x), dtype=torch.float64, device=data.device)
    for start in range(0, x.shape[1], 512):  # short sums in float32, long ones in float64
        part = x[:, start : start + 512].float()
        gram += part @ part.T
    values, u = torch.linalg.eigh(gram)
    kept = values > 1e-10 * values[-1]
    values, u = values[kept], u[:, kept]
    z = _Blocks((u * values.sqrt()).float(), data.device, bias=False)
    axes = _Eigenvectors(None, values, 0.0)
    found = _newton(z, signs, grid, tolerance, max_iterations, eigen=axes)
    return data.transposed_times(u @ (found.w / values.sqrt()[:, None]))


@dataclass
class _Solution:
    """State of P = len(grid) * rows problems, C-major."""

    w: torch.Tensor  # (D, P) float64, intercepts last
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
    data: _Blocks,
    signs: torch.Tensor,
    grid: list[float],
    tolerance: float,
    max_iterations: int,
    *,
    start: torch.Tensor | None = None,
    eigen: _Eigenvectors | None = None,
) -> _Solution:
    """Newton's method on all problems at once; a problem leaves when its gap is small enough."""
    c = torch.tensor(grid, dtype=torch.float64, device=data.device)
    c = c.repeat_interleave(signs.shape[1])  # (P,)
    y = signs.repeat(1, len(grid))  # (N, P)
    if start is None:
        w = torch.zeros(data.columns, len(c), dtype=torch.float64, device=data.device)
        f = torch.zeros_like(y)  # margins X w
    else:
        w, f = start, data.times(start)
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
        first_norm[todo] = torch.maximum(first_norm[todo], norm)
        # Loose while the active set still moves, then tight: superlinear near the optimum.
        forcing = (norm / first_norm[todo]).sqrt().clamp_(1e-3, 0.1)
        eigen = eigen or _eigenvectors(data)
        direction = _conjugate_gradients(data, gradient, active, c[todo], eigen, forcing)
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
    eigen: _Eigenvectors,
    forcing: torch.Tensor,
) -> torch.Tensor:
    """d with ||H d + gradient|| <= forcing ||gradient||, H = I + 2C X_active^T X_active.

    gradient: (D, P); active: (N, P); eigen: the preconditioner, as if examples were active at
    random; returns (D, P).
    """
    weight = 2 * c * active.mean(0, dtype=torch.float64)
    d = torch.zeros_like(gradient)
    residual = -gradient
    z = eigen.solve(residual, weight)
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
        z = eigen.solve(residual, weight[todo])
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
