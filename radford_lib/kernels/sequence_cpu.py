"""The mLSTM and LSTM recurrences on CPU, without a compiler: one autograd node for a sequence.

Autograd through every step would keep some twenty nodes for each byte and add into every weight
gradient T times. Here the forward pass writes into buffers made once a sequence, the backward pass
is written out by hand, and each weight gradient is one matrix product over all steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radford_lib.kernels.memory import Block


def run(
    bytes: Tensor,
    table_zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    table_mx: Tensor | None = None,
    w_m: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence; with ``table_mx`` and ``w_m`` the mLSTM, without them the LSTM.

    Shapes and results are those of :func:`radford_lib.kernels.mlstm.mlstm`; any float type.
    """
    alive = None
    if lengths is not None and int(lengths.min()) < len(bytes):
        alive = torch.arange(len(bytes))[:, None, None] < lengths[:, None]  # (T, B, 1)
    inputs = [t for t in (table_zx, w_z, h0, c0, table_mx, w_m) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        h, h_last, c_last = _Sequence.apply(bytes, table_zx, w_z, h0, c0, table_mx, w_m, alive)
        return h, h_last, c_last
    # one step's worth, used again and again; two cell states in turn: a frozen row needs both
    scratch = {
        name: h0.new_empty(shape)
        for name, shape in _activations(1, 2, h0, table_mx is not None).items()
    }
    h, c = _forward(bytes, table_zx, w_z, h0, c0, table_mx, w_m, alive, scratch)
    return h, h[-1].clone(), c.clone()


def _activations(
    steps: int, cells: int, h0: Tensor, multiplicative: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes of what the forward pass works in: ``cells`` cell states, of the others ``steps``."""
    batch, hidden = h0.shape
    shapes = {"gates": (steps, batch, 4 * hidden), "c": (cells, batch, hidden)}
    of_m = ("mx", "hm", "m") if multiplicative else ()
    return shapes | dict.fromkeys(("tanh_c", *of_m), (steps, batch, hidden))


def _forward(
    bytes: Tensor,
    table_zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    table_mx: Tensor | None,
    w_m: Tensor | None,
    alive: Tensor | None,
    room: dict[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """h (T, B, H) and c_T; fills ``room`` with every step's activations, or each step's in turn."""
    steps, (batch, hidden) = len(bytes), h0.shape
    h_all = h0.new_empty(steps, batch, hidden)
    z, zx = h0.new_empty(2, batch, 4 * hidden)  # used at every step, so near the processor
    # all views at once: one at a time they would cost as much as small operations
    z_ifo, z_u = z.split((3 * hidden, hidden), dim=1)
    of_ifo, of_u = (g.unbind() for g in room["gates"].split((3 * hidden, hidden), dim=2))
    of_gates = list(zip(*(g.unbind() for g in room["gates"].chunk(4, dim=2)), strict=True))
    of = {name: kept.unbind() for name, kept in room.items() if name != "gates"}
    h, c = h0, c0
    for t, (h_new, row) in enumerate(zip(h_all, bytes, strict=True)):
        k = t % len(of_gates)
        c_new, tanh = of["c"][t % len(of["c"])], of["tanh_c"][k]
        x = h
        if table_mx is not None and w_m is not None:
            torch.index_select(table_mx, 0, row, out=of["mx"][k])
            torch.mm(h, w_m, out=of["hm"][k])
            x = torch.mul(of["hm"][k], of["mx"][k], out=of["m"][k])
        torch.mm(x, w_z, out=z)
        z += torch.index_select(table_zx, 0, row, out=zx)  # addmm is slower on top of it
        torch.sigmoid(z_ifo, out=of_ifo[k])
        torch.tanh(z_u, out=of_u[k])
        i, f, o, u = of_gates[k]
        torch.mul(f, c, out=c_new).addcmul_(i, u)
        torch.tanh(c_new, out=tanh)
        torch.mul(o, tanh, out=h_new)
        if alive is not None:
            torch.where(alive[t], c_new, c, out=c_new)
            torch.where(alive[t], h_new, h, out=h_new)
        h, c = h_new, c_new
    return h_all, c


class _Sequence(torch.autograd.Function):
    """The whole sequence as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any,
        bytes: Tensor,
        table_zx: Tensor,
        w_z: Tensor,
        h0: Tensor,
        c0: Tensor,
        table_mx: Tensor | None,
        w_m: Tensor | None,
        alive: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps = len(bytes)
        ctx.kept = Block(_activations(steps, steps, h0, table_mx is not None), h0.dtype)
        h, c = _forward(bytes, table_zx, w_z, h0, c0, table_mx, w_m, alive, ctx.kept.tensors)
        ctx.save_for_backward(bytes, w_z, h0, c0, w_m, alive, h)
        return h, h[-1].clone(), c.clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: Tensor, grad_h_last: Tensor, grad_c_last: Tensor
    ) -> tuple[Tensor | None, ...]:
        bytes, w_z, h0, c0, w_m, alive, h = ctx.saved_tensors
        kept = ctx.kept.tensors
        gates, c, tanh_c = kept["gates"], kept["c"], kept["tanh_c"]
        of_m = dict.fromkeys(("dhm", "dmx"), h.shape) if w_m is not None else {}
        scratch = Block({"dz": gates.shape, **of_m}, h.dtype)
        dz = scratch.tensors["dz"]
        dh, dc = grad_h_last.clone(), grad_c_last.clone()
        dm, v, w = (torch.empty_like(dh) for _ in range(3))

        for t in reversed(range(len(h))):
            dh += grad_h[t]
            if alive is not None:  # a frozen row hands its gradient on untouched
                dh_kept, dc_kept = dh.masked_fill(alive[t], 0), dc.masked_fill(alive[t], 0)
                dh, dc = dh - dh_kept, dc - dc_kept
            c_before = c[t - 1] if t else c0
            _gates_backward(gates[t], tanh_c[t], c_before, dh, dc, dz[t], v, w)
            if w_m is None:
                torch.mm(dz[t], w_z.t(), out=dh)
            else:
                torch.mm(dz[t], w_z.t(), out=dm)
                dhm = torch.mul(dm, kept["mx"][t], out=scratch.tensors["dhm"][t])
                torch.mul(dm, kept["hm"][t], out=scratch.tensors["dmx"][t])
                torch.mm(dhm, w_m.t(), out=dh)
            if alive is not None:
                dh += dh_kept
                dc += dc_kept

        table_zx = _sum_by_byte(bytes, dz)
        if w_m is None:
            return None, table_zx, sum_of_outer(h0, h, dz), dh, dc, None, None, None
        dw_z = kept["m"].flatten(0, 1).t() @ dz.flatten(0, 1)
        dw_m = sum_of_outer(h0, h, scratch.tensors["dhm"])
        table_mx = _sum_by_byte(bytes, scratch.tensors["dmx"])
        return None, table_zx, dw_z, dh, dc, table_mx, dw_m, None


def _gates_backward(
    gates: Tensor,
    tanh_c: Tensor,
    c_before: Tensor,
    dh: Tensor,
    dc: Tensor,
    dz: Tensor,
    v: Tensor,
    w: Tensor,
) -> None:
    """Fill dz (B, 4H) from dh and dc (B, H), and turn dc into its value one step before.

    v and w (B, H) are scratch. With s' = s - s^2 for the sigmoids and 1 - u^2 for the tanh.
    """
    i, f, o, u = gates.chunk(4, dim=1)
    dz_i, dz_f, dz_o, dz_u = dz.chunk(4, dim=1)
    torch.mul(dh, tanh_c, out=v).mul_(o)
    torch.addcmul(v, v, o, value=-1, out=dz_o)  # dh tanh(c) o (1 - o)
    dc.addcmul_(dh, o).addcmul_(v, tanh_c, value=-1)  # += dh o (1 - tanh(c)^2)
    torch.mul(dc, i, out=w)
    torch.mul(w, u, out=v)
    torch.addcmul(v, v, i, value=-1, out=dz_i)  # dc u i (1 - i)
    torch.addcmul(w, v, u, value=-1, out=dz_u)  # dc i (1 - u^2)
    dc.mul_(f)
    torch.mul(dc, c_before, out=v)
    torch.addcmul(v, v, f, value=-1, out=dz_f)  # dc c_before f (1 - f)


def _sum_by_byte(bytes: Tensor, d: Tensor) -> Tensor:
    """Gradient of a table (256, G) from that of its rows (T, B, G): those of each byte, summed."""
    rows = d.flatten(0, 1)
    return torch.zeros(256, rows.shape[1], dtype=d.dtype).index_add_(0, bytes.flatten(), rows)


def sum_of_outer(h0: Tensor, h: Tensor, d: Tensor) -> Tensor:
    """Sum over steps and rows of h_{t-1} (outer) d_t: one product, and one for the first step."""
    first = h0.t() @ d[0]
    if len(h) == 1:
        return first
    return first.addmm_(h[:-1].flatten(0, 1).t(), d[1:].flatten(0, 1))
