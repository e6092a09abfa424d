"""The LSTM over a sequence of bytes, the baseline of the sentiment-neuron paper (its figure 1).

Same gates, order and byte table as :mod:`radford_lib.kernels.mlstm`, without the multiplicative
state: ``z_t = T[x_t] + h_{t-1} W``.
"""

import torch
from torch import Tensor

from radford_lib.kernels import cpu
from radford_lib.kernels.mlstm import check_sequence, choose_backend, lstm_step


def lstm(
    bytes: Tensor,
    table_zx: Tensor,
    w_zh: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the LSTM over a window of bytes.

    bytes: (T, B) int64; table_zx: (256, 4H); w_zh: (H, 4H); h0, c0: (B, H); lengths: (B,) or
    None, as in :func:`radford_lib.kernels.mlstm.mlstm`, whose results and errors these are.
    """
    check_sequence(bytes, table_zx, w_zh, h0, c0, lengths)
    chosen, _ = choose_backend(h0.device, h0.dtype, backend)
    if chosen == "cpu":
        return cpu.run(bytes, table_zx, w_zh, h0, c0, lengths)
    if chosen == "triton":
        from radford_lib.kernels import sequence_triton  # imports triton

        return sequence_triton.run(bytes, table_zx, w_zh, h0, c0, lengths)
    h, c, outputs = h0, c0, []
    w_zh = w_zh.to(h.dtype)
    for t, x in enumerate(bytes):
        alive = None if lengths is None else t < lengths
        h, c = lstm_step(table_zx[x] + h @ w_zh, h, c, alive)
        outputs.append(h)
    return torch.stack(outputs), h, c
