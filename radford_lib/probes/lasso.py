"""The lasso as a quadratic form: min 1/2 v^T H v - b^T v + sum |v|, for some thousand unknowns.

Features that share a large offset or repeat one another make H ill-conditioned, and coordinate
descent then needs tens of thousands of sweeps. Here the alternating direction method of multipliers
(Boyd et al. 2011, section 6.4) finds nearly all of the unknowns that are not zero at the price of
one factorisation, and Newton steps on those, with exact line search over the changes of sign (as
feature-sign search, Lee et al. 2007), settle the rest to the digit.
"""

import torch

_ADMM_STEPS = 120
_RELAXATION = 1.6
_NEWTON_STEPS = 8


def solve_lasso(
    h: torch.Tensor, b: torch.Tensor, start: torch.Tensor, rho: float | None
) -> tuple[torch.Tensor, float | None]:
    """A point v (M,) below ``start``, most often the minimum, and the ``rho`` to begin with next.

    h: (M, M) positive definite, b and start (M,), all float64. ``rho`` is the penalty of ADMM,
    about one over a typical value; None skips it, where the zeros of ``start`` are nearly right.
    """
    v = start
    if rho is not None:
        found, rho = _admm(h, b, start, rho)
        v = found if _objective(h, b, found) < _objective(h, b, start) else start
    for _ in range(_NEWTON_STEPS):
        following = _newton_step(h, b, v)
        if following is None:
            break
        v = following
    return v, rho


def _objective(h: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> float:
    return float(v @ (h @ v / 2 - b) + v.abs().sum())


def _admm(
    h: torch.Tensor, b: torch.Tensor, z: torch.Tensor, rho: float
) -> tuple[torch.Tensor, float]:
    """Over-relaxed ADMM; rho follows the ratio of its two residuals, at most once."""
    dual = (b - h @ z).clamp_(-1, 1)
    inverse = _shifted_inverse(h, rho)
    for step in range(1, _ADMM_STEPS + 1):
        x = _RELAXATION * (inverse @ (b + rho * z - dual)) + (1 - _RELAXATION) * z
        shifted, before = x + dual / rho, z
        z = shifted.sign() * (shifted.abs() - 1 / rho).clamp_(min=0)
        dual = rho * (shifted - z)
        if step % 10:
            continue
        primal_residual = float((x - z).norm() / torch.maximum(x.norm(), z.norm()))
        dual_residual = float(rho * (z - before).norm() / dual.norm())
        if max(primal_residual, dual_residual) < 1e-5:
            break
        balance = (primal_residual / max(dual_residual, 1e-12)) ** 0.5
        if step == 20 and not 0.4 < balance < 2.5:
            rho *= min(max(balance, 0.1), 10.0)
            inverse = _shifted_inverse(h, rho)
    return z, rho


def _shifted_inverse(h: torch.Tensor, rho: float) -> torch.Tensor:
    shifted = h.clone()
    shifted.diagonal().add_(rho)
    return torch.cholesky_inverse(torch.linalg.cholesky(shifted))


def _newton_step(h: torch.Tensor, b: torch.Tensor, v: torch.Tensor) -> torch.Tensor | None:
    """The lowest point on the way to the minimum for the present signs; None at the optimum.

    Zeros whose gradient exceeds 1 get a sign too, unless the step would move them against it.
    """
    gradient = h @ v - b
    entering = (v == 0) & (gradient.abs() > 1 + 1e-7)
    sign = torch.where(entering, -gradient.sign(), v.sign())
    wrong = (gradient + sign).abs() * (sign != 0)
    if float(wrong.max()) < 1e-7:
        return None
    chosen = torch.nonzero(sign)[:, 0]
    while True:
        factor = torch.linalg.cholesky(h[chosen][:, chosen])
        goal = torch.cholesky_solve((b[chosen] - sign[chosen])[:, None], factor)[:, 0]
        against = (v[chosen] == 0) & (goal * sign[chosen] <= 0)
        if not against.any():
            break
        chosen = chosen[~against]
    step = torch.zeros_like(v)
    step[chosen] = goal - v[chosen]
    slope = float(step @ (gradient + sign))
    return _lowest(v, step, slope, float(step @ (h @ step)))


def _lowest(v: torch.Tensor, step: torch.Tensor, slope: float, curvature: float) -> torch.Tensor:
    """The lowest point v + t step, t > 0, where the slope grows by ``curvature`` t.

    It jumps by 2 |step_j| where v_j changes its sign; a minimum there sets v_j to zero.
    """
    crossing = torch.nonzero((v != 0) & (v * step < 0))[:, 0]
    times, order = torch.sort(-v[crossing] / step[crossing])
    crossing = crossing[order]
    jumps = 2 * step[crossing].abs()
    after = slope + curvature * times + jumps.cumsum(0)
    first = int((after < 0).sum())  # the first crossing after which the way leads up
    passed = float(jumps[:first].sum())
    t = -(slope + passed) / curvature
    if first < len(times) and t >= float(times[first]):
        t = float(times[first])
        found = v + t * step
        found[crossing[first]] = 0
        return found
    return v + t * step
