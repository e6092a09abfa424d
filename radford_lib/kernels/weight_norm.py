"""Weight norm of a matrix's columns, with as few passes over the matrix as its gradient allows."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_FLOOR = 1e-12  # under the square of a length: the released code's ``l2_normalize``


def column_normed(w: Tensor, gain: Tensor) -> Tensor:
    """w (rows, columns) with each column scaled to the length ``gain`` (columns,).

    Source: Salimans & Kingma 2016, equation 2; ``encoder.py`` of the 2017 release.
    """
    normed: Tensor = _ColumnNormed.apply(w, gain)
    return normed


class _ColumnNormed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, w: Tensor, gain: Tensor) -> Tensor:
        # not ``torch.linalg.vector_norm``, which is slow over rows on a CPU
        length = w.square().sum(dim=0).clamp_min(_FLOOR).sqrt()
        ctx.save_for_backward(w, gain, length)
        return w * (gain / length)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        w, gain, length = ctx.saved_tensors
        scale = gain / length
        along = (grad * w).sum(dim=0) / length  # equation 3: what the gradient has along w
        return (grad * scale).addcmul_(w, -scale * along / length), along
