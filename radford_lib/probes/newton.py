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
preconditioned (``radford_lib.probes.precondition``): by all eigenvectors of X^T X where there are
few features, by a subspace of the leading ones where there are many. The problems are first solved
in that subspace, whose products cost little. Few examples (fewer than features) span a small space:
there they are first solved in that space's coordinates, whose axes are the eigenvectors.

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

from radford_lib.probes.precondition import (
    Eigenvectors,
    Preconditioner,
    Solve,
    Subspace,
    preconditioner,
    span,
)
from radford_lib.probes.rows import Rows, full_float32

_CG_LIMIT = 400  # passes for one Newton step
_SPAN = 6144  # examples up to which the problems are solved in their span, where features are more
_ROUGHLY = 1e-2  # relative gap of a start


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
        start = known = None
        if len(data) < data.x.shape[1] and len(data) <= _SPAN:
            start = _solve_in_span(data, y, grid, loss, 0.1 * tolerance, max_iterations)
        elif isinstance(known := preconditioner(data), Subspace):
            start = _solve_in_subspace(known, y, grid, loss, max_iterations)
        state = _newton(data, y, grid, loss, tolerance, max_iterations, start=start, known=known)
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
    values, u = span(data)
    z = Rows(u * values.sqrt(), data.device, bias=False)
    axes = Eigenvectors(None, values)
    found = _newton(z, signs, grid, loss, tolerance, max_iterations, known=axes)
    return data.transposed_times(u @ (found.w / values.sqrt()[:, None]), exact=True)


def _solve_in_subspace(
    known: Subspace, signs: torch.Tensor, grid: Sequence[float], loss: Loss, max_iterations: int
) -> torch.Tensor:
    """Where the problems would end without the features' rest, nearly: a start (D, P)."""
    z = Rows(known.z, known.z.device, bias=False)
    axes = Eigenvectors(None, known.values)
    found = _newton(z, signs, grid, loss, _ROUGHLY, max_iterations, known=axes)
    return known.vectors @ found.w


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
    known: Preconditioner | None = None,
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
    first = torch.zeros_like(c)
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
        curvature = loss.curvature(m).float()
        known = known or preconditioner(data)
        solve = known.at(curvature, c[todo])
        # The Newton decrement, about. A gradient's own norm is mostly that along a common offset.
        every = torch.arange(len(todo), device=data.device)
        decrement = (gradient * solve(gradient, every)).sum(0).sqrt()
        first[todo] = torch.maximum(first[todo], decrement)
        # Loose while the curvature still moves, then tight: superlinear near the optimum.
        forcing = (decrement / first[todo]).sqrt().clamp_(1e-3, 0.1)
        # A tenth of the gap that is asked for, and the gap is half the gradient's square.
        enough = 2 * (0.1 * tolerance * state.objective[todo])
        direction = _conjugate_gradients(data, gradient, curvature, c[todo], solve, forcing, enough)
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
    solve: Solve,
    forcing: torch.Tensor,
    enough: torch.Tensor,
) -> torch.Tensor:
    """d with ||H d + gradient|| <= forcing ||gradient||, H = I + C X^T curvature X.

    gradient: (D, P); curvature: (N, P); returns (D, P). The norms are those that ``solve`` gives,
    ||r||^2 = r . solve(r): near the error in the objective, unlike r . r. A residual r, which is
    the next gradient if the curvatures hold, need not be smaller than r . r = ``enough`` (P,).
    """
    d = torch.zeros_like(gradient)
    residual = -gradient
    todo = torch.arange(gradient.shape[1], device=gradient.device)
    z = solve(residual, todo)
    p = z.clone()
    rz = (residual * z).sum(0)
    goal = forcing.square() * rz
    for _ in range(_CG_LIMIT):
        scale = curvature[:, todo] if len(todo) < curvature.shape[1] else curvature
        hp = p + c[todo] * data.gram_times(p, scale)
        alpha = rz / (p * hp).sum(0)
        d[:, todo] += alpha * p
        residual = residual - alpha * hp
        z = solve(residual, todo)
        rz, previous = (residual * z).sum(0), rz
        going = (rz > goal[todo]) & (residual.square().sum(0) > enough[todo])
        if not going.any():
            break
        todo, residual, z, p = todo[going], residual[:, going], z[:, going], p[:, going]
        rz, previous = rz[going], previous[going]
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
