"""Ways of training the mLSTM without this library's kernels, to measure ours against."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.kernels.triton_tiles import Tiles


class CellByCell(nn.Module):
    """The mLSTM as public reproductions write it: layers called at each byte, and autograd.

    All of it in one type, cell state and Adam's moments too, which is faster than is wise.
    """

    def __init__(self, hidden: int, embed: int = 64) -> None:
        super().__init__()
        self.hidden = hidden
        self.embedding = nn.Embedding(256, embed)
        self.x = nn.Linear(embed, 4 * hidden)
        self.m = nn.Linear(hidden, 4 * hidden, bias=False)
        self.mx = nn.Linear(embed, hidden, bias=False)
        self.mh = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, 256)
        self.step: Callable[..., Any] = self.one_step

    def one_step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o, u = (self.x(x) + self.m(self.mx(x) * self.mh(h))).chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, bytes_: Tensor) -> Tensor:
        h = c = self.mh.weight.new_zeros(bytes_.shape[1], self.hidden)
        outputs = []
        for x in self.embedding(bytes_):
            h, c = self.step(x, h, c)
            outputs.append(h)
        logits: Tensor = self.out(torch.stack(outputs))
        return logits


class LibraryLSTM(nn.Module):
    """``nn.LSTM``, which is cuDNN's on a GPU: four fifths of the mLSTM's work a byte."""

    def __init__(self, hidden: int, embed: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, embed)
        self.lstm = nn.LSTM(embed, hidden)
        self.out = nn.Linear(hidden, 256)

    def forward(self, bytes_: Tensor) -> Tensor:
        logits: Tensor = self.out(self.lstm(self.embedding(bytes_))[0])
        return logits


def update_of(net: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    """One update of ``net`` on this window: loss, backward, clipping, Adam."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(inputs).flatten(0, 1).float(), targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    return update


class LibrarySteps:
    """Stands in for the Triton kernels: a library product for each, and element by element ops.

    Same arguments and results as ``sequence_triton._Steps``, for windows without lengths.
    """

    def __init__(
        self, batch: int, hidden: int, like: Tensor, lengths: Tensor, tiles: Tiles
    ) -> None:
        pass

    def product(
        self, h: Tensor, w: Tensor, x: Tensor, table: Tensor, hm: Tensor, m: Tensor
    ) -> None:
        torch.mm(h, w.t(), out=hm)
        m.copy_(hm * table[x])

    def gates(
        self, a: Tensor, w: Tensor, x: Tensor, table: Tensor, t: int, *tensors: Tensor
    ) -> None:
        _, c_before, gates, h, c = tensors
        z = torch.mm(a, w.t()) + table[x]
        hidden = c.shape[1]
        gates[:, : 3 * hidden] = z[:, : 3 * hidden].sigmoid()
        gates[:, 3 * hidden :] = z[:, 3 * hidden :].tanh()
        i, f, o, u = gates.chunk(4, dim=1)
        torch.mul(f, c_before, out=c).addcmul_(i, u)
        h.copy_(o * c.tanh())

    def product_back(
        self, dz: Tensor, w: Tensor, x: Tensor, table: Tensor, hm: Tensor, dmx: Tensor, dhm: Tensor
    ) -> None:
        dm = torch.mm(dz, w)
        torch.mul(dm, hm, out=dmx)
        dhm.copy_(dm * table[x])

    def gates_back(self, d_next: Tensor, w: Tensor, t: int, *tensors: Tensor) -> None:
        grad_h, carry, gates, c_before, c, dc, dz = tensors
        dh = torch.mm(d_next, w).float() + grad_h + carry
        carry.zero_()
        i, f, o, u = gates.float().chunk(4, dim=1)
        tanh_c = c.tanh()
        dc.addcmul_(dh * o, 1 - tanh_c.square())
        parts = (
            dc * u * i * (1 - i),
            dc * c_before * f * (1 - f),
            dh * tanh_c * o * (1 - o),
            dc * i * (1 - u.square()),
        )
        for place, part in zip(dz.chunk(4, dim=1), parts, strict=True):
            place.copy_(part)
        dc *= f
