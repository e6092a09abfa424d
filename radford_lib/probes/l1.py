"""L1-regularised logistic regression over a grid of C: proximal Newton on a working set.

Minimises, for each C, the objective of liblinear's L1 logistic regression (the released code's
probe, ``train_with_reg_cv`` in the official utils.py):

    P(w) = sum_j |w_j| + C sum_i log(1 + exp(-y_i w.x_i)),   y_i = +1 or -1,

where x_i ends with a constant 1, so that the intercept is penalised with the weights. C goes from
the smallest to the largest, each starting where the last ended. A step takes the weights that are
not zero and the zeros that violate optimality most, computes their Hessian (one matrix product
over X), and minimises the quadratic model exactly (``radford_lib.probes.lasso``); the line search
is on P itself.

liblinear, celer and skglm minimise P by coordinate descent, which the correlated features of a byte
mLSTM slow down, the more the larger C is; ``radford bench probe`` times liblinear beside this.

Every solution carries its duality gap: the probabilities of error, scaled until no feature's
correlation with them exceeds 1, are a feasible point of the dual.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from radford_lib.probes.lasso import solve_lasso
from radford_lib.probes.newton import Logistic, Solution
from radford_lib.probes.rows import Rows, full_float32

_LOSS = Logistic()
_FIRST = 100  # weights that may enter at least in one step
_RIDGE = 1e-6  # of the Hessian's diagonal at least: as many weights as examples make it singular
_SAME = 0.02  # relative change of the curvature up to which a Hessian is used again
_NEARLY = 0.1  # relative gap below which the zeros are nearly right


def minimise_l1(
    data: Rows,
    signs: np.ndarray,
    grid: Sequence[float],
    *,
    tolerance: float,
    max_iterations: int = 50,
) -> Solution:
    """Minimise P for each C of ``grid``, in any order; one problem a C in the ``Solution``.

    data: N examples; signs: (N,), +1 or -1. Stops when the gap is at most ``tolerance`` times the
    objective, or warns. There is no randomness.
    """
    with full_float32():
        path = _Path(data, torch.from_numpy(signs).to(data.device))
        points = {c: path.minimise(c, tolerance, max_iterations) for c in sorted(set(grid))}
    ordered = [points[c] for c in grid]
    worst = max(point.gap / point.objective for point in ordered)
    if worst > tolerance:
        warnings.warn(
            f"L1 logistic regression stopped with a relative duality gap of {worst:.1e}, "
            f"above the tolerance {tolerance:.1e}",
            stacklevel=2,
        )
    return Solution(
        w=np.stack([point.w for point in ordered]),
        objective=np.array([point.objective for point in ordered]),
        gap=np.array([point.gap for point in ordered]),
        steps=np.array([point.steps for point in ordered]),
        passes=data.passes,
    )


class _Point(NamedTuple):
    """Where the path ends for one C."""

    w: np.ndarray  # (D,)
    objective: float
    gap: float
    steps: int


class _Path:
    """Weights that follow C upwards, with their margins and the last Hessian."""

    def __init__(self, data: Rows, y: torch.Tensor) -> None:
        self.data, self.y = data, y
        self.w = torch.zeros(data.columns, dtype=torch.float64, device=data.device)
        self.margin = torch.zeros(len(y), dtype=torch.float64, device=data.device)
        self.rho: float | None = None
        self.known: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def minimise(self, c: float, tolerance: float, max_iterations: int) -> _Point:
        """The minimum for this C, found from where the path is."""
        for step in range(max_iterations + 1):
            error = -_LOSS.slope(self.margin)  # (N,), probability of the other label
            gradient = -c * self.data.transposed_times((self.y * error)[:, None], exact=True)[:, 0]
            objective = _objective(c, self.w, self.margin)
            gap = objective - _dual(c, error / max(1.0, float(gradient.abs().max())))
            if gap <= tolerance * objective or step == max_iterations:
                break
            if not self._step(c, gradient, gap / objective > _NEARLY):
                break  # what is left of the gap is rounding
        return _Point(self.w.cpu().numpy(), objective, gap, step)

    def _step(self, c: float, gradient: torch.Tensor, zeros_move: bool) -> bool:
        """One step of proximal Newton; whether it got lower."""
        features = self._working_set(gradient)
        index = torch.cat([features, features.new_tensor([len(self.w) - 1])])
        hessian = self._hessian(features, c * _LOSS.curvature(self.margin))
        here = self.w[index]
        start = self.rho or float(hessian.diagonal().mean())
        goal, rho = solve_lasso(
            hessian, hessian @ here - gradient[index], here, start if zeros_move else None
        )
        self.rho = rho or self.rho
        step = torch.zeros_like(self.w)
        step[index] = goal - here
        promised = float(gradient @ step + goal.abs().sum() - here.abs().sum())
        return self._move(c, step, promised)

    def _move(self, c: float, step: torch.Tensor, promised: float) -> bool:
        """Go along ``step``, half as far until P falls by a share of what the model promised."""
        along = self.y * self.data.times(step[:, None], exact=True)[:, 0]
        before, t = _objective(c, self.w, self.margin), 1.0
        while t > 1e-4:
            w, margin = self.w + t * step, self.margin + t * along
            if _objective(c, w, margin) <= before + 0.01 * t * promised:
                self.w, self.margin = w, margin
                return True
            t /= 2
        return False

    def _working_set(self, gradient: torch.Tensor) -> torch.Tensor:
        """Features (M,), sorted: those in use, and of the others the worst violations of |g| <= 1.

        As many may enter as are in use. The intercept is always in the working set, not in here.
        """
        used = self.w[:-1] != 0
        violation = torch.where(used, 0, gradient[:-1].abs() - 1).clamp_(min=0)
        room = max(_FIRST, int(used.sum()))
        entering = violation.topk(min(room, int((violation > 0).sum()))).indices
        return torch.cat([torch.nonzero(used)[:, 0], entering]).sort().values

    def _hessian(self, features: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
        """The loss's Hessian over ``features`` and the intercept, or one that is nearly it."""
        if self.known is not None:
            known, before, hessian = self.known
            near = float((curvature - before).abs().sum()) <= _SAME * float(before.sum())
            if near and bool(torch.isin(features, known).all()):
                place = torch.searchsorted(known, features)
                place = torch.cat([place, place.new_tensor([len(known)])])
                return hessian[place][:, place]
        hessian = _definite(self.data.weighted_gram(features, curvature))
        self.known = features, curvature, hessian
        return hessian


def _definite(hessian: torch.Tensor) -> torch.Tensor:
    """``hessian``, its diagonal raised until it has a Cholesky factor.

    Its entries are float32 sums: features with a large common offset leave rounding of the
    offset's size. A raised diagonal only shortens steps.
    """
    diagonal, ridge = hessian.diagonal().clone(), _RIDGE
    while True:
        hessian.diagonal().copy_((1 + ridge) * diagonal)
        if int(torch.linalg.cholesky_ex(hessian).info) == 0:
            return hessian
        ridge *= 10


def _objective(c: float, w: torch.Tensor, margin: torch.Tensor) -> float:
    return float(w.abs().sum() + c * _LOSS.value(margin).sum())


def _dual(c: float, error: torch.Tensor) -> float:
    """The dual's value: C times the entropy of the feasible ``error`` (N,)."""
    other = 1 - error
    return -c * float((torch.xlogy(error, error) + torch.xlogy(other, other)).sum())
