"""Byte language models: the sentiment neuron's multiplicative LSTM and the LSTM it is compared to.

Conventions of the released ``encoder.py`` (2017): matrices multiply from the right, gates in the
order i, f, o, u, no forget bias, weight norm on each output column of the recurrent matrices only
(neither embedding nor output layer).
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from radford_lib.errors import RadfordError, UsageError
from radford_lib.files import atomic_path
from radford_lib.kernels.lstm import lstm
from radford_lib.kernels.mlstm import mlstm
from radford_lib.kernels.reader import Reader
from radford_lib.kernels.weight_norm import column_normed

CELLS = ("mlstm", "lstm")
State = tuple[Tensor, Tensor]

# The release's files in their order; 2 to 5 are the four gates of w_h.
_OFFICIAL = {
    0: "embedding",
    1: "w_x",
    6: "w_mx",
    7: "w_mh",
    8: "bias",
    9: "g_x",
    10: "g_h",
    11: "g_mx",
    12: "g_mh",
    13: "w_out",
    14: "b_out",
}
_OFFICIAL_GATES = range(2, 6)


class RecurrentWeights(NamedTuple):
    """What the recurrence multiplies with: byte tables made, weight norm applied."""

    table_zx: Tensor  # (256, 4H)
    w_z: Tensor  # (H, 4H)
    table_mx: Tensor | None = None  # (256, H), mLSTM only
    w_m: Tensor | None = None  # (H, H), mLSTM only


class ByteLanguageModel(nn.Module):
    """One recurrent layer that predicts the next byte.

    With x = embedding[byte] and every recurrent W written for its weight-normed self, the mLSTM
    is ``m = (x W_mx) * (h W_mh)``, ``z = x W_x + m W_h + b``; the LSTM has h in place of m.
    ``seed`` decides the initial weights. Raises ``UsageError`` for an unknown ``cell``.
    """

    def __init__(
        self,
        cell: str = "mlstm",
        hidden: int = 512,
        embed: int = 64,
        weight_norm: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise UsageError(f"unknown cell {cell!r}: choose from {', '.join(CELLS)}")
        self.cell, self.hidden, self.embed, self.weight_norm = cell, hidden, embed, weight_norm
        generator = torch.Generator().manual_seed(seed)

        def matrix(rows: int, columns: int) -> nn.Parameter:
            # columns of length about one, so that what they make has its input's scale
            values = torch.randn(rows, columns, generator=generator)
            return nn.Parameter(values * rows**-0.5)

        self.embedding = nn.Parameter(torch.randn(256, embed, generator=generator))
        self.w_x = matrix(embed, 4 * hidden)
        self.w_h = matrix(hidden, 4 * hidden)
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        if cell == "mlstm":
            self.w_mx = matrix(embed, hidden)
            self.w_mh = matrix(hidden, hidden)
        self.w_out = matrix(hidden, 256)
        self.b_out = nn.Parameter(torch.zeros(256))
        if weight_norm:
            for name in self._recurrent_names():
                columns = getattr(self, f"w_{name}").detach().norm(dim=0)
                self.register_parameter(f"g_{name}", nn.Parameter(columns))

    def _recurrent_names(self) -> tuple[str, ...]:
        return ("x", "h", "mx", "mh") if self.cell == "mlstm" else ("x", "h")

    def initial_state(self, batch: int, dtype: torch.dtype | None = None) -> State:
        """h and c before the first byte: zeros (batch, H).

        ``dtype``, that of h, is the one the recurrence multiplies in: the weights' own unless
        given. With ``torch.bfloat16`` a GPU is at its fastest, and c stays as exact as it was.
        """
        zeros = self.w_h.new_zeros(batch, self.hidden)
        return zeros if dtype is None else zeros.to(dtype), zeros

    def forward(self, bytes: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Predict: bytes (T, B) int64 -> logits (T, B, 256) for the byte after each, state."""
        h, state = self.hidden_states(bytes, state)
        return h.to(self.w_out.dtype) @ self.w_out + self.b_out, state

    def hidden_states(
        self,
        bytes: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, State]:
        """Read: bytes (T, B) int64 -> h (T, B, H) and the final state (h, c), each (B, H).

        From step ``lengths[b]`` on, sequence b keeps its state. The recurrence multiplies in the
        type of the state's h (``initial_state``); ``backend`` as in
        :func:`radford_lib.kernels.mlstm.mlstm`. ``reader`` reads faster where gradients are not
        wanted.
        """
        h, c = self.initial_state(bytes.shape[1]) if state is None else state
        table_zx, w_z, table_mx, w_m = self.recurrent_weights()
        if table_mx is None or w_m is None:
            h, h_last, c_last = lstm(bytes, table_zx, w_z, h, c, lengths, backend)
        else:
            h, h_last, c_last = mlstm(bytes, table_mx, table_zx, w_m, w_z, h, c, lengths, backend)
        return h, (h_last, c_last)

    @torch.no_grad()
    def reader(self, dtype: torch.dtype | None = None) -> Reader:
        """What reads bytes without gradients, one or many windows, with the weights as they are.

        With ``dtype``, what it reads on from is the state ``initial_state(batch, dtype)``.
        """
        return Reader(*self.recurrent_weights(dtype))

    def recurrent_weights(self, dtype: torch.dtype | None = None) -> RecurrentWeights:
        """Apply weight norm and the embedding; once for each forward pass.

        With ``dtype`` other than the weights' own, the matrices are in it and lie in memory as
        backend "triton" reads them: for many windows whose state's h is of that type.
        """
        table_zx = self.embedding @ self._normed("x") + self.bias  # (256, 4H)
        w_z = self._normed("h")
        table_mx = w_m = None
        if self.cell == "mlstm":
            table_mx, w_m = self.embedding @ self._normed("mx"), self._normed("mh")
        if dtype not in (None, w_z.dtype):
            w_z = w_z.to(dtype).t().contiguous().t()
            w_m = None if w_m is None else w_m.to(dtype).t().contiguous().t()
        return RecurrentWeights(table_zx, w_z, table_mx, w_m)

    def _normed(self, name: str) -> Tensor:
        w: Tensor = getattr(self, f"w_{name}")
        return column_normed(w, getattr(self, f"g_{name}")) if self.weight_norm else w

    @classmethod
    def from_official(cls, folder: str | os.PathLike[str]) -> "ByteLanguageModel":
        """Read the 2017 release's ``0.npy`` to ``14.npy`` (or files in that layout).

        Raises ``RadfordError`` naming the files that are missing or whose shape does not fit.
        """
        arrays = _read_official(Path(folder))
        hidden, embed = len(arrays[11]), arrays[0].shape[-1]
        model = cls("mlstm", hidden=hidden, embed=embed)
        found = {name: arrays[i] for i, name in _OFFICIAL.items()}
        gates = [arrays[i] for i in _OFFICIAL_GATES]
        for i, gate in zip(_OFFICIAL_GATES, gates, strict=True):
            _check_shape(Path(folder) / f"{i}.npy", gate, (hidden, hidden))
        found["w_h"] = np.concatenate(gates, axis=1)
        numbers = {name: i for i, name in _OFFICIAL.items()}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                path = Path(folder) / f"{numbers.get(name, _OFFICIAL_GATES[0])}.npy"
                _check_shape(path, found[name], tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(found[name].astype(np.float32)))
        return model

    def to_official(self, folder: str | os.PathLike[str]) -> None:
        """Write the weights in the 2017 release's layout.

        Raises ``UsageError`` unless this is an mLSTM with weight norm, as the layout assumes.
        """
        if self.cell != "mlstm" or not self.weight_norm:
            raise UsageError("only an mLSTM with weight norm has the layout of the 2017 release")
        weights = {name: p.detach().cpu().numpy() for name, p in self.named_parameters()}
        arrays = {i: weights[name] for i, name in _OFFICIAL.items()}
        arrays |= dict(zip(_OFFICIAL_GATES, np.split(weights["w_h"], 4, axis=1), strict=True))
        for i, array in arrays.items():
            with atomic_path(Path(folder) / f"{i}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)


def _read_official(folder: Path) -> dict[int, np.ndarray]:
    missing = [f"{i}.npy" for i in range(15) if not (folder / f"{i}.npy").exists()]
    if missing:
        raise RadfordError(f"{folder} lacks {', '.join(missing)} of the release's 15 weight files")
    arrays = {}
    for i in range(15):
        path = folder / f"{i}.npy"
        try:
            arrays[i] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise RadfordError(f"{path} is not a readable NumPy array: fetch it again") from error
    if arrays[0].ndim != 2 or arrays[11].ndim != 1:
        raise RadfordError(f"{folder}: 0.npy must be a matrix and 11.npy a vector of gains")
    return arrays


def _check_shape(path: Path, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise RadfordError(f"{path} has shape {array.shape} where {expected} is needed")
