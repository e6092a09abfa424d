"""Matrix products of low-precision numbers that keep their sums in float32."""

import torch
from torch import Tensor


def float32_product(a: Tensor, b: Tensor) -> Tensor:
    """a (N, K) times b (K, M) of one type, as float32 (N, M), or wider where they are.

    A sum of many bfloat16 products, a weight's gradient above all, would lose to rounding what
    tensor cores have already added in float32. Before torch 2.8 CUDA has no such product, and
    the result is rounded first.
    """
    if a.element_size() >= 4:
        return a @ b
    if not a.is_cuda:
        return a.float() @ b.float()
    if torch.__version__ >= "2.8":  # compares as a version, not as text
        return torch.mm(a, b, out_dtype=torch.float32)
    return (a @ b).float()
