"""Newton's method for many L2-regularised linear classifiers of the same features at once.

Minimises, for each class k and each C,

    P(w) = 1/2 ||w||^2 + C sum_i loss(y_i w.x_i),   y_i = +1 in class k, else -1,

where x_i ends with a constant 1, so that the intercept is regularised with the weights, as
liblinear has it. The losses are convex and the problems share X: Newton steps are solved by
conjugate gradients for all classes and all C at once, each iteration one pass of matrix products
over X (Keerthi and DeCoste 2005, with exact line search). X is read in blocks, in its own
precision. Margins and gradients are float64, so that what is said of a solution is true of it; the
many products of conjugate gradients, which only choose directions, are float32.

Features that are all positive or of very different sizes make this slow, so the gradients are
preconditioned by the leading eigenvectors of X^T X, which all problems share: all of them where
there are few features, by Nystrom's sketch where there are many (Frangella, Tropp and Udell 2021).
Few examples (fewer than features) span a small space: there the problems are first solved in that
space's coordinates, whose axes are the eigenvectors.

With w' = -C sum_i loss'(y_i w.x_i) y_i x_i, the duality gap at the dual point that w' comes from is
exactly 1/2 ||w - w'||^2 = 1/2 ||grad P||^2: the stopping rule is a proof of how far the optimum
can be.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from radford_lib.probes.rows import Rows, full_float32

_CG_LIMIT = 400  # passes for one Newton step
_EXACT = 2560  # features up to which all eigenvectors are found
_SPAN = 6144  # examples up to which all are found, where features are more
_SKETCH = 256  # eigenvectors that are approximated beyond that
_PANEL = 512  # rows and columns of X X^T at a time


class Loss(ABC):
    """A convex loss of the margin, and its derivatives, elementwise."""

    @abstractmethod
    def value(self, margin: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def slope(self, margin: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def curvature(self, margin: torch.Tensor) -> torch.Tensor: ...


class SquaredHinge(Loss):
    """max(0, 1 - m)^2: the L2-SVM."""

    def value(self, margin: torch.Tensor) -> torch.Tensor:
        return (1 - margin).clamp_(min=0).square_()

    def slope(self, margin: torch.Tensor) -> torch.Tensor:
        return (margin - 1).clamp_(max=0).mul_(2)

    def curvature(self, margin: torch.Tensor) -> torch.Tensor:
        return 2 * (margin < 1).to(margin.dtype)


class Logistic(Loss):
    """log(1 + exp(-m)): logistic regression."""

    def value(self, margin: torch.Tensor) -> torch.Tensor:
        return F.softplus(-margin, threshold=40)

    def slope(self, margin: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(-margin).neg_()

    def curvature(self, margin: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(margin) * torch.sigmoid(-margin)


@dataclass(frozen=True)
class Solution:
    """Minimisers of P = len(grid) * K problems, those of the first C first.

    w: (P, D) float64, intercepts last; objective and gap (P,); ``steps`` (P,) Newton steps;
    ``passes`` over the features, shared by all.
    """

    w: np.ndarray
    objective: np.ndarray
    gap: np.ndarray
    steps: np.ndarray
    passes: int


def minimise(
    features: np.ndarray,
    signs: np.ndarray,
    grid: Sequence[float],
    loss: Loss,
    *,
    tolerance: float,
    max_iterations: int = 100,
    device: str | torch.device | None = None,
) -> Solution:
    """Minimise P for each column of signs (N, K), +1 or -1, and each C of ``grid``.

    features: (N, F) float16 or float32, read as they are. Stops when every gap is at most
    ``tolerance`` times its objective, or warns after ``max_iterations`` Newton steps.
    """
    data = Rows(features, device)
    y = torch.from_numpy(signs).to(data.device)
    with full_float32():
        start = None
        if len(data) < data.x.shape[1] and len(data) <= _SPAN:
            start = _solve_in_span(data, y, grid, loss, 0.1 * tolerance, max_iterations)
        state = _newton(data, y, grid, loss, tolerance, max_iterations, start=start)
    worst = float((state.gap / state.objective).max())
    if worst > tolerance:
        warnings.warn(
            f"a linear probe stopped after {max_iterations} Newton steps with a relative duality "
            f"gap of {worst:.1e}, above the tolerance {tolerance:.1e}",
            stacklevel=3,
        )
    return Solution(
        w=state.w.T.cpu().numpy(),
        objective=state.objective.cpu().numpy(),
        gap=state.gap.cpu().numpy(),
        steps=state.steps.cpu().numpy(),
        passes=data.passes,
    )


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


def _eigenvectors(data: Rows) -> _Eigenvectors:
    """All eigenvectors of X^T X for few columns, else a sketch of the leading ones."""
    if data.columns <= _EXACT:
        every = torch.arange(data.columns - 1, device=data.device)
        ones = torch.ones(len(data), dtype=torch.float64, device=data.device)
        values, vectors = torch.linalg.eigh(data.weighted_gram(every, ones))
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
    data: Rows,
    signs: torch.Tensor,
    grid: Sequence[float],
    loss: Loss,
    tolerance: float,
    max_iterations: int,
) -> torch.Tensor:
    """Solutions (D, P) found in the coordinates of the span of the N examples, N < D.

    With X X^T = U S U^T the examples have coordinates Z = U sqrt(S), and w = X^T U v / sqrt(S).
    """
    x = data.x
    gram = torch.ones(len(x), len(x), dtype=torch.float64, device=data.device)
    for start in range(0, x.shape[1], _PANEL):
        part = x[:, start : start + _PANEL].double()
        for top in range(0, len(x), _PANEL):  # the upper triangle is enough
            gram[top : top + _PANEL, top:].addmm_(part[top : top + _PANEL], part[top:].T)
    values, u = torch.linalg.eigh(gram, UPLO="U")
    kept = values > 1e-10 * values[-1]
    values, u = values[kept], u[:, kept]
    z = Rows(u * values.sqrt(), data.device, bias=False)
    axes = _Eigenvectors(None, values, 0.0)
    found = _newton(z, signs, grid, loss, tolerance, max_iterations, eigen=axes)
    return data.transposed_times(u @ (found.w / values.sqrt()[:, None]), exact=True)


@dataclass
class _State:
    """Where P problems are, those of the first C first."""

    w: torch.Tensor  # (D, P) float64, intercepts last
    objective: torch.Tensor  # (P,)
    gap: torch.Tensor  # (P,)
    steps: torch.Tensor  # (P,) Newton steps


def _newton(
    data: Rows,
    signs: torch.Tensor,
    grid: Sequence[float],
    loss: Loss,
    tolerance: float,
    max_iterations: int,
    *,
    start: torch.Tensor | None = None,
    eigen: _Eigenvectors | None = None,
) -> _State:
    """Newton's method on all problems at once; a problem leaves when its gap is small enough."""
    c = torch.tensor(grid, dtype=torch.float64, device=data.device)
    c = c.repeat_interleave(signs.shape[1])  # (P,)
    y = signs.repeat(1, len(grid))  # (N, P)
    if start is None:
        w = torch.zeros(data.columns, len(c), dtype=torch.float64, device=data.device)
        margin = torch.zeros_like(y)
    else:
        w, margin = start, y * data.times(start, exact=True)
    state = _State(w, torch.zeros_like(c), torch.zeros_like(c), torch.zeros_like(c))
    todo = torch.arange(len(c), device=data.device)
    first_norm = torch.zeros_like(c)
    for step in range(max_iterations + 1):
        m = margin[:, todo]
        pull = c[todo] * y[:, todo] * loss.slope(m)
        gradient = w[:, todo] + data.transposed_times(pull, exact=True)
        state.objective[todo] = 0.5 * w[:, todo].square().sum(0) + c[todo] * loss.value(m).sum(0)
        state.gap[todo] = 0.5 * gradient.square().sum(0)
        going = state.gap[todo] > tolerance * state.objective[todo]
        todo, gradient, m = todo[going], gradient[:, going], m[:, going]
        if step == max_iterations or len(todo) == 0:
            break
        state.steps[todo] += 1
        norm = gradient.norm(dim=0)
        first_norm[todo] = torch.maximum(first_norm[todo], norm)
        # Loose while the curvature still moves, then tight: superlinear near the optimum.
        forcing = (norm / first_norm[todo]).sqrt().clamp_(1e-3, 0.1)
        eigen = eigen or _eigenvectors(data)
        curvature = loss.curvature(m).float()
        direction = _conjugate_gradients(data, gradient, curvature, c[todo], eigen, forcing)
        along = y[:, todo] * data.times(direction, exact=True)
        t = _line_search(loss, w[:, todo], direction, m, along, c[todo])
        w[:, todo] += t * direction
        margin[:, todo] += t * along
    return state


def _conjugate_gradients(
    data: Rows,
    gradient: torch.Tensor,
    curvature: torch.Tensor,
    c: torch.Tensor,
    eigen: _Eigenvectors,
    forcing: torch.Tensor,
) -> torch.Tensor:
    """d with ||H d + gradient|| <= forcing ||gradient||, H = I + C X^T curvature X.

    gradient: (D, P); curvature: (N, P); eigen: the preconditioner, as if the curvature did not
    depend on the example; returns (D, P).
    """
    weight = c * curvature.mean(0, dtype=torch.float64)
    d = torch.zeros_like(gradient)
    residual = -gradient
    z = eigen.solve(residual, weight)
    p = z.clone()
    rz = (residual * z).sum(0)
    goal = forcing * gradient.norm(dim=0)
    todo = torch.arange(gradient.shape[1], device=gradient.device)
    for _ in range(_CG_LIMIT):
        scale = curvature[:, todo] if len(todo) < curvature.shape[1] else curvature
        hp = p + c[todo] * data.gram_times(p, scale)
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
    loss: Loss,
    w: torch.Tensor,
    d: torch.Tensor,
    margin: torch.Tensor,
    along: torch.Tensor,
    c: torch.Tensor,
) -> torch.Tensor:
    """The minimiser t > 0 of P(w + t d), (P,), for each of P problems.

    margin, along: (N, P), the margins and how fast they change. P along a line is convex, so its
    slope increases: Newton steps on the slope, kept inside a bracket.
    """
    wd, dd = (w * d).sum(0), d.square().sum(0)
    low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
    t = torch.ones_like(c)
    for _ in range(30):
        m = margin + t * along
        slope = wd + t * dd + c * (loss.slope(m) * along).sum(0)
        curvature = dd + c * (loss.curvature(m) * along.square()).sum(0)
        low, high = torch.where(slope < 0, t, low), torch.where(slope >= 0, t, high)
        newton = t - slope / curvature
        middle = torch.where(high.isinf(), 2 * t, (low + high) / 2)
        following = torch.where((newton > low) & (newton < high), newton, middle)
        if ((following - t).abs() <= 1e-9 * t).all():
            return following
        t = following
    return t
