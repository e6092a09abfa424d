"""The output layer over bytes and its cross-entropy, without logits of a whole window in memory."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radford_lib.kernels.products import float32_product

_ROWS = 2**16  # bytes at a time: 64 MB of float32 logits


def byte_cross_entropy(h: Tensor, w_out: Tensor, b_out: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p(target), nats per byte, where p = softmax(h W + b).

    h: (..., H) in the type of the products; w_out: (H, 256) and b_out: (256,); targets: (...)
    int64. What follows the products is float32. The gradient of the logits is made along with
    them and kept, in the type of h.
    """
    loss: Tensor = _ByteCrossEntropy.apply(h.flatten(0, -2), w_out, b_out, targets.flatten())
    return loss


class _ByteCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, w_out: Tensor, b_out: Tensor, targets: Tensor) -> Tensor:
        w = w_out.to(h.dtype)
        symbols = torch.arange(w.shape[1], device=h.device)
        gradient = h.new_empty(len(h), len(symbols))
        total = b_out.new_zeros(())
        for start in range(0, len(h), _ROWS):
            rows = slice(start, start + _ROWS)
            target = targets[rows, None]
            log_p = (float32_product(h[rows], w) + b_out).log_softmax(dim=1)
            total -= log_p.gather(1, target).sum()
            gradient[rows] = (log_p.exp() - (target == symbols).float()) / len(h)
        ctx.save_for_backward(h, w, gradient)
        ctx.weight_type = w_out.dtype
        return total / len(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        h, w, gradient = ctx.saved_tensors
        gradient = gradient * grad.to(gradient.dtype)
        dw_out = float32_product(h.t(), gradient).to(ctx.weight_type)
        return gradient @ w.t(), dw_out, gradient.float().sum(dim=0), None
