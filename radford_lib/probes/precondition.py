"""Preconditioners of Newton's method for linear classifiers: what is known of X^T X beforehand.

A Newton step solves (I + C X^T K X) d = r, K the curvatures of the examples. Features that are all
positive or of very different sizes make that slow for conjugate gradients. All problems share X:

- ``Eigenvectors`` of X^T X, all of them, turn the problem into a diagonal one but for K;
- a ``Subspace`` of leading ones, for features too many for that, is small enough to take K along
  too, exactly, one dense matrix for each problem. Its axes are those of a few examples (Nystrom's
  method with sampled columns, after which Rayleigh and Ritz choose the axes from all examples:
  Williams and Seeger 2001; Frangella, Tropp and Udell 2021 on what it does for a solver).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from radford_lib.probes.rows import Rows

_EXACT = 2560  # features up to which all eigenvectors are found
_SKETCH = 1024  # axes of a subspace at most
_FEATURES = 16  # features for each axis of a subspace: its products stay a small part of a pass
_SAMPLE = 4  # examples for each axis that span what the axes are chosen from
_PANEL = 512  # rows and columns of X X^T at a time
_RIDGE = 1e-4  # of the scaled Hessian in the subspace: float32 then always has its Cholesky factor

# (r (D, p), which p of the problems) -> (I + C X^T K X)^-1 r, about
Solve = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Preconditioner(ABC):
    """What is known of X^T X."""

    @abstractmethod
    def at(self, curvature: torch.Tensor, c: torch.Tensor) -> Solve:
        """The solver for P problems with these curvatures (N, P) and C (P,)."""


@dataclass(frozen=True)
class Eigenvectors(Preconditioner):
    """All of X^T X: ``vectors`` (D, D), or None for the unit vectors; ``values`` (D,)."""

    vectors: torch.Tensor | None
    values: torch.Tensor

    def at(self, curvature: torch.Tensor, c: torch.Tensor) -> Solve:
        """As if all examples had a problem's mean curvature."""
        values = 1 + _mean_weight(curvature, c) * self.values[:, None]

        def solve(r: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
            if self.vectors is None:
                return r / values[:, which]
            return self.vectors @ ((self.vectors.T @ r) / values[:, which])

        return solve


@dataclass(frozen=True)
class Subspace(Preconditioner):
    """The leading part of X^T X, and the examples in its coordinates.

    vectors: (D, R) float64, orthonormal; values: (R,), rising; z: X vectors, (N, R) float32.
    """

    vectors: torch.Tensor
    values: torch.Tensor
    z: torch.Tensor

    def at(self, curvature: torch.Tensor, c: torch.Tensor) -> Solve:
        """With each example's curvature along the axes, as the least axis for all the rest."""
        weight = _mean_weight(curvature, c)
        rest = 1 + weight * self.values[0]  # (P,)
        scale = (1 + weight * self.values[:, None]).rsqrt()  # (R, P)
        factors = [self._factor(curvature[:, k], c[k], scale[:, k]) for k in range(len(c))]

        def solve(r: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
            along = (r.T.contiguous() @ self.vectors).T
            scaled = (scale[:, which] * along).float()
            inner = [
                torch.cholesky_solve(scaled[:, i : i + 1], factors[k])
                for i, k in enumerate(which.tolist())
            ]
            kept = scale[:, which] * torch.cat(inner, 1) - along / rest[which]
            return r / rest[which] + self.vectors @ kept

        return solve

    def _factor(
        self, curvature: torch.Tensor, c: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """Cholesky factor (R, R) of the Hessian in the subspace, both sides times ``scale``."""
        used = curvature.nonzero()[:, 0]
        rows = self.z[used] * (c * curvature[used]).sqrt().float()[:, None]
        rows *= scale.float()
        hessian = rows.T @ rows
        hessian.diagonal().add_(scale.square().float() + _RIDGE)
        return torch.linalg.cholesky(hessian)


def _mean_weight(curvature: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return c * curvature.mean(0, dtype=torch.float64)


def preconditioner(data: Rows) -> Preconditioner:
    """All eigenvectors of X^T X for few columns, else a subspace of the leading ones."""
    return eigenvectors(data) if data.columns <= _EXACT else subspace(data)


def eigenvectors(data: Rows) -> Eigenvectors:
    """All eigenvectors of X^T X."""
    every = torch.arange(data.columns - 1, device=data.device)
    ones = torch.ones(len(data), dtype=torch.float64, device=data.device)
    values, vectors = torch.linalg.eigh(data.weighted_gram(every, ones))
    return Eigenvectors(vectors, values.clamp(min=0))


def subspace(data: Rows) -> Subspace:
    """Axes near the leading eigenvectors of X^T X, in one pass and a product of some examples.

    The seed of the examples only moves how many iterations a solver needs.
    """
    rank = min(_SKETCH, max(1, data.columns // _FEATURES), len(data))
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(data), generator=generator)[: _SAMPLE * rank].sort().values
    some = Rows(data.x[chosen.to(data.device)], data.device, data.bias)
    values, u = span(some)
    values, u = values[-rank:], u[:, -rank:]
    axes = some.transposed_times(u / values.sqrt(), exact=True)
    axes = torch.linalg.qr(axes).Q
    z = data.times(axes).float()
    gram = torch.zeros(len(values), len(values), dtype=torch.float64, device=data.device)
    for part in z.split(_PANEL):
        gram += part.T @ part
    values, turn = torch.linalg.eigh(gram)
    return Subspace(axes @ turn, values.clamp(min=0), z @ turn.float())


def span(data: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues (R,), rising, and eigenvectors (N, R) of X X^T that are not nothing."""
    x = data.x
    gram = torch.full((len(x), len(x)), float(data.bias), dtype=torch.float64, device=data.device)
    for start in range(0, x.shape[1], _PANEL):
        part = x[:, start : start + _PANEL].double()
        for top in range(0, len(x), _PANEL):  # the upper triangle is enough
            gram[top : top + _PANEL, top:].addmm_(part[top : top + _PANEL], part[top:].T)
    values, u = torch.linalg.eigh(gram, UPLO="U")
    kept = values > 1e-10 * values[-1]
    return values[kept], u[:, kept]
