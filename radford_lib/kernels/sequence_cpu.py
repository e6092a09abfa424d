"""The mLSTM and LSTM recurrences on CPU, without a compiler: one autograd node for a sequence.

Autograd through every step would keep some twenty nodes for each byte and add into every weight
gradient T times. Here the forward pass writes into buffers made once a sequence, the backward pass
is written out by hand, and each weight gradient is one matrix product over all steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def run(
    zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    mx: Tensor | None = None,
    w_m: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence; with ``mx`` (T, B, H) and ``w_m`` (H, H) the mLSTM, without the LSTM.

    zx: (T, B, 4H), what the bytes add to the pre-activations; w_z: (H, 4H); h0, c0: (B, H).
    Returns h (T, B, H), h_T and c_T (B, H).
    """
    alive = None
    if lengths is not None and int(lengths.min()) < len(zx):
        alive = torch.arange(len(zx))[:, None, None] < lengths[:, None]  # (T, B, 1)
    inputs = [t for t in (zx, w_z, h0, c0, mx, w_m) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        h, h_last, c_last = _Sequence.apply(zx, w_z, h0, c0, mx, w_m, alive)
        return h, h_last, c_last
    h, c, _ = _forward(zx, w_z, h0, c0, mx, w_m, alive, keep=False)
    return h, h[-1].clone(), c


def _forward(
    zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    mx: Tensor | None,
    w_m: Tensor | None,
    alive: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """h (T, B, H), c_T and, where ``keep``, the activations of every step for the backward pass.

    Activations: gates (T, B, 4H), c and tanh c (T, B, H), h W^mh and m (T, B, H).
    """
    steps, batch, hidden = len(zx), *h0.shape
    kept = steps if keep else 1  # one step's worth, used again and again, where nothing is kept
    h_all = zx.new_empty(steps, batch, hidden)
    gates = zx.new_empty(kept, batch, 4 * hidden)
    # without keep, two cell states in turn: a frozen row needs the one before
    c_all = zx.new_empty(steps if keep else 2, batch, hidden)
    tanh_c = zx.new_empty(kept, batch, hidden)
    hm = zx.new_empty(kept if mx is not None else 0, batch, hidden)
    m = torch.empty_like(hm)

    h, c = h0, c0
    for t in range(steps):
        k = t if keep else 0
        if mx is not None and w_m is not None:
            torch.mm(h, w_m, out=hm[k])
            torch.mul(hm[k], mx[t], out=m[k])
        g = gates[k]
        torch.addmm(zx[t], h if mx is None else m[k], w_z, out=g)
        g[:, : 3 * hidden].sigmoid_()
        g[:, 3 * hidden :].tanh_()
        i, f, o, u = g.chunk(4, dim=1)
        c_new, h_new, tanh = c_all[t if keep else t % 2], h_all[t], tanh_c[k]
        torch.mul(f, c, out=c_new).addcmul_(i, u)
        torch.tanh(c_new, out=tanh)
        torch.mul(o, tanh, out=h_new)
        if alive is not None:
            torch.where(alive[t], c_new, c, out=c_new)
            torch.where(alive[t], h_new, h, out=h_new)
        h, c = h_new, c_new
    return h_all, c.clone(), (gates, c_all, tanh_c, hm, m)


class _Sequence(torch.autograd.Function):
    """The whole sequence as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any,
        zx: Tensor,
        w_z: Tensor,
        h0: Tensor,
        c0: Tensor,
        mx: Tensor | None,
        w_m: Tensor | None,
        alive: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        h, c_last, activations = _forward(zx, w_z, h0, c0, mx, w_m, alive, keep=True)
        ctx.save_for_backward(w_z, h0, c0, mx, w_m, alive, h, *activations)
        return h, h[-1].clone(), c_last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: Tensor, grad_h_last: Tensor, grad_c_last: Tensor
    ) -> tuple[Tensor | None, ...]:
        w_z, h0, c0, mx, w_m, alive, h, gates, c, tanh_c, hm, m = ctx.saved_tensors
        steps, batch, hidden = h.shape
        dz = torch.empty_like(gates)
        dhm, dmx = torch.empty_like(hm), torch.empty_like(hm)
        dh, dc = grad_h_last.clone(), grad_c_last.clone()
        dm, v, w = (torch.empty_like(dh) for _ in range(3))
        back_z = w_z.t().contiguous()
        back_m = None if w_m is None else w_m.t().contiguous()

        for t in reversed(range(steps)):
            dh += grad_h[t]
            if alive is not None:  # a frozen row hands its gradient on untouched
                dh_kept, dc_kept = dh.masked_fill(alive[t], 0), dc.masked_fill(alive[t], 0)
                dh, dc = dh - dh_kept, dc - dc_kept
            c_before = c[t - 1] if t else c0
            _gates_backward(gates[t], tanh_c[t], c_before, dh, dc, dz[t], v, w)
            if back_m is None:
                torch.mm(dz[t], back_z, out=dh)
            else:
                torch.mm(dz[t], back_z, out=dm)
                torch.mul(dm, mx[t], out=dhm[t])
                torch.mul(dm, hm[t], out=dmx[t])
                torch.mm(dhm[t], back_m, out=dh)
            if alive is not None:
                dh += dh_kept
                dc += dc_kept

        flat_dz = dz.view(steps * batch, 4 * hidden)
        if w_m is None:
            return dz, _sum_of_outer(h0, h, dz), dh, dc, None, None, None
        dw_z = m.view(steps * batch, hidden).t() @ flat_dz
        return dz, dw_z, dh, dc, dmx, _sum_of_outer(h0, h, dhm), None


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


def _sum_of_outer(h0: Tensor, h: Tensor, d: Tensor) -> Tensor:
    """Sum over steps and rows of h_{t-1} (outer) d_t: one product, and one for the first step."""
    first = h0.t() @ d[0]
    if len(h) == 1:
        return first
    return first.addmm_(h[:-1].flatten(0, 1).t(), d[1:].flatten(0, 1))
