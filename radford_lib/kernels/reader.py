"""Read bytes without gradients, with weights that are laid out once.

For many windows (features, bits per byte), and above all for one byte at a time: a single sequence
multiplies matrices by vectors, so laying out the weights would cost more than using them.
"""

import torch
from torch import Tensor

from radford_lib.kernels import cpu
from radford_lib.kernels.lstm import lstm
from radford_lib.kernels.mlstm import check_sequence, mlstm
from radford_lib.kernels.native import sequence as native
from radford_lib.kernels.native.layout import pack


class Reader:
    """A recurrence with its weights as they are now; for other weights make another.

    table_zx: (256, 4H); w_z: (H, 4H). With table_mx (256, H) and w_m (H, H) it is the mLSTM of
    :func:`radford_lib.kernels.mlstm.mlstm`, without them the LSTM of
    :func:`radford_lib.kernels.lstm.lstm`.
    """

    def __init__(
        self,
        table_zx: Tensor,
        w_z: Tensor,
        table_mx: Tensor | None = None,
        w_m: Tensor | None = None,
    ) -> None:
        self._weights = (table_zx, w_z, table_mx, w_m)
        self._packed = pack(*self._weights) if cpu.runs_native(*self._weights) else None

    @torch.no_grad()
    def read(
        self, bytes: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read on from the state h, c (B, H): bytes (T, B) -> h (T, B, H), h_T and c_T (B, H).

        One byte of each sequence is a window with T = 1. ``lengths`` (B,) and errors are those
        of the recurrence.
        """
        table_zx, w_z, table_mx, w_m = self._weights
        if self._packed is not None and cpu.runs_native(h, c):
            check_sequence(bytes, table_zx, w_z, h, c, lengths)
            return native.read(self._packed, bytes, h, c, lengths)
        if table_mx is None or w_m is None:
            return lstm(bytes, table_zx, w_z, h, c, lengths)
        return mlstm(bytes, table_mx, table_zx, w_m, w_z, h, c, lengths)
