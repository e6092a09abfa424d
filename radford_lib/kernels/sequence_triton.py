"""The mLSTM and LSTM recurrences on a GPU: one autograd node for a sequence, Triton for its steps.

The counterpart of :mod:`radford_lib.kernels.sequence_cpu`. A step of the mLSTM is two kernels
forward and two backward (:mod:`radford_lib.kernels.triton_steps`). What does not have to wait for
the step before is left to the end and done for all steps at once, as one matrix product each, with
sums in float32: the gradients of the weights, and those of the byte tables, which are products
with the bytes as one-hot rows (a byte is exact in any type, and no two threads add to one number).
"""

import contextlib
from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton.tools.tensor_descriptor import TensorDescriptor

from radford_lib.kernels import triton_interpreter, triton_steps
from radford_lib.kernels.products import float32_product
from radford_lib.kernels.triton_tiles import Tile, Tiles, tiles_for

if triton_interpreter.interpreting():
    triton_interpreter.mend()


def run(
    bytes_: Tensor,
    table_zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor | None = None,
    table_mx: Tensor | None = None,
    w_m: Tensor | None = None,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence: with ``table_mx`` (256, H) and ``w_m`` (H, H) the mLSTM, else the LSTM.

    bytes_: (T, B) int64; table_zx: (256, 4H); w_z: (H, 4H); h0, c0: (B, H); lengths: (B,) or None.
    Products are made, and h, m and gates stored, in the type of h0 (float32 or bfloat16); the cell
    state is float32 inside. ``tiles`` are those of the table unless given.
    Returns h (T, B, H) and h_T in the type of h0, c_T in that of c0, each (B, H).
    """
    steps, batch = bytes_.shape
    if lengths is None:
        lengths = bytes_.new_full((batch,), steps)
    arguments = (
        bytes_.contiguous(),
        table_zx.float().contiguous(),
        w_z,
        h0,
        c0.float(),
        lengths.clamp(max=steps),
        None if table_mx is None else table_mx.float().contiguous(),
        w_m,
        tiles or tiles_for(h0.shape[1], batch, h0.element_size()),
    )
    with torch.cuda.device(h0.device) if h0.is_cuda else contextlib.nullcontext():
        if torch.is_grad_enabled() and any(
            isinstance(t, Tensor) and t.requires_grad for t in arguments
        ):
            h, h_last, c_last = _Sequence.apply(*arguments)
        else:
            h, c_last, _ = _forward(*arguments, keep=False)
            h, h_last = h[1:], h[-1].clone()
    return h, h_last, c_last.to(c0.dtype)


class _Steps:
    """The kernels of a step for one window: its sizes, its tiles and their scratch memory."""

    def __init__(
        self, batch: int, hidden: int, like: Tensor, lengths: Tensor, tiles: Tiles
    ) -> None:
        self.batch, self.hidden, self.lengths, self.tiles = batch, hidden, lengths, tiles
        precise = torch.get_float32_matmul_precision() == "highest"
        self.precision = "ieee" if precise else "tf32"
        sizes, numbers = [0], [0]
        for tile, gates in zip(tiles, (1, 4, 1, 1), strict=True):
            if tile.split > 1:
                programs = self._programs(tile)
                numbers.append(2 * programs // tile.split)
                sizes.append(programs * tile.rows * tile.units * gates)
        self.scratch = like.new_empty(max(sizes), dtype=torch.float32)
        self.counters = like.new_zeros(max(numbers), dtype=torch.int32)

    def product(
        self, h: Tensor, w: Tensor, x: Tensor, table: Tensor, hm: Tensor, m: Tensor
    ) -> None:
        """hm = h w^T and m = table[x] * hm."""
        arguments = (x, table, hm, hm, m)  # no third factor: hm only stands in for it
        self._launch(
            triton_steps.scaled_product, self.tiles.product, h, w, 1, arguments, BACK=False
        )

    def product_back(
        self, dz: Tensor, w: Tensor, x: Tensor, table: Tensor, hm: Tensor, dmx: Tensor, dhm: Tensor
    ) -> None:
        """With dm = dz w: dmx = dm * hm and dhm = dm * table[x]."""
        arguments = (x, table, hm, dmx, dhm)
        self._launch(
            triton_steps.scaled_product, self.tiles.product_back, dz, w, 0, arguments, BACK=True
        )

    def gates(
        self, a: Tensor, w: Tensor, x: Tensor, table: Tensor, t: int, *tensors: Tensor
    ) -> None:
        """Gates, h and c of step t; ``tensors``: h_before, c_before, gates, h, c."""
        arguments = (x, table, self.lengths, t, *tensors)
        self._launch(triton_steps.gates_forward, self.tiles.gates, a, w, 4, arguments)

    def gates_back(self, d_next: Tensor, w: Tensor, t: int, *tensors: Tensor) -> None:
        """dz of step t; ``tensors``: grad_h, carry, gates, c_before, c, dc, dz."""
        arguments = (self.lengths, t, *tensors)
        self._launch(triton_steps.gates_backward, self.tiles.gates_back, d_next, w, 0, arguments)

    def _programs(self, tile: Tile) -> int:
        blocks = triton.cdiv(self.batch, tile.rows) * triton.cdiv(self.hidden, tile.units)
        return int(blocks * tile.split)

    def _launch(
        self, kernel: Any, tile: Tile, a: Tensor, w: Tensor, blocks: int, arguments: Any, **own: Any
    ) -> None:
        """``blocks`` of H rows of w are a forward tile's outputs; 0: its columns are."""
        inputs = a.shape[1]
        even = inputs % (tile.depth * tile.split) == 0 and self.hidden % tile.units == 0
        tile = tile._replace(
            # a descriptor's rows begin at multiples of 16 bytes
            tma=tile.tma and self.hidden * a.element_size() % 16 == 0,
            overlap=tile.overlap and not triton_interpreter.interpreting(),
        )
        if tile.tma:
            a = TensorDescriptor.from_tensor(a, [tile.rows, tile.depth])
            if blocks:
                w = w.view(blocks, self.hidden, inputs)
                w = TensorDescriptor.from_tensor(w, [blocks, tile.units, tile.depth])
            else:
                w = TensorDescriptor.from_tensor(w, [tile.depth, tile.units])
        sizes = (self.batch, self.hidden, inputs)
        kernel[(self._programs(tile),)](
            a,
            w,
            *arguments,
            self.scratch,
            self.counters,
            *sizes,
            **triton_steps.constants(tile, even=even, precision=self.precision),
            **own,
            num_warps=tile.warps,
            num_stages=tile.stages,
            **({"launch_pdl": True} if tile.overlap else {}),
        )


def _forward(
    bytes_: Tensor,
    table_zx: Tensor,
    w_z: Tensor,
    h0: Tensor,
    c0: Tensor,
    lengths: Tensor,
    table_mx: Tensor | None,
    w_m: Tensor | None,
    tiles: Tiles,
    keep: bool,
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """h (T + 1, B, H) from h0 on, c_T and, where ``keep``, what the backward pass needs.

    That is: gates (T, B, 4H), c (T + 1, B, H), h W^mh and m (T, B, H), and the weights as rows.
    """
    steps, (batch, hidden) = len(bytes_), h0.shape
    kept = steps if keep else 1  # one step's worth, used again and again, where nothing is kept
    rows_z, rows_m = as_rows(w_z, h0.dtype), None if w_m is None else as_rows(w_m, h0.dtype)
    h = h0.new_empty(steps + 1, batch, hidden)
    c = c0.new_empty(kept + 1, batch, hidden)
    gates = h0.new_empty(kept, batch, 4 * hidden)
    hm = h0.new_empty(kept if w_m is not None else 0, batch, hidden)
    m = torch.empty_like(hm)
    h[0], c[0] = h0, c0
    step = _Steps(batch, hidden, h0, lengths, tiles)
    for t in range(steps):
        k = t if keep else 0
        before, after = (t, t + 1) if keep else (t % 2, 1 - t % 2)
        if rows_m is not None and table_mx is not None:
            step.product(h[t], rows_m, bytes_[t], table_mx, hm[k], m[k])
        step.gates(
            h[t] if rows_m is None else m[k],
            rows_z,
            bytes_[t],
            table_zx,
            t,
            h[t],
            c[before],
            gates[k],
            h[t + 1],
            c[after],
        )
    c_last = c[steps if keep else steps % 2].clone()
    return h, c_last, (gates, c, hm, m, rows_z, rows_m)


class _Sequence(torch.autograd.Function):
    """The whole sequence as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any,
        bytes_: Tensor,
        table_zx: Tensor,
        w_z: Tensor,
        h0: Tensor,
        c0: Tensor,
        lengths: Tensor,
        table_mx: Tensor | None,
        w_m: Tensor | None,
        tiles: Tiles,
    ) -> tuple[Tensor, Tensor, Tensor]:
        h, c_last, kept = _forward(
            bytes_, table_zx, w_z, h0, c0, lengths, table_mx, w_m, tiles, keep=True
        )
        ctx.save_for_backward(bytes_, lengths, table_mx, h, *kept)
        ctx.tiles, ctx.weight_type = tiles, w_z.dtype
        return h[1:], h[-1].clone(), c_last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: Tensor, grad_h_last: Tensor, grad_c_last: Tensor
    ) -> tuple[Tensor | None, ...]:
        bytes_, lengths, table_mx, h, gates, c, hm, m, rows_z, rows_m = ctx.saved_tensors
        (steps, batch), hidden = bytes_.shape, h.shape[2]
        is_mlstm = rows_m is not None
        grad_h = grad_h.contiguous()
        carry, dc = torch.empty_like(grad_c_last), grad_c_last.clone()
        carry.copy_(grad_h_last)
        dz = h.new_empty(steps + 1, batch, 4 * hidden)
        dhm, dmx = h.new_empty(steps + is_mlstm, *hm.shape[1:]), torch.empty_like(hm)
        back, rows = (dhm, rows_m) if is_mlstm else (dz, rows_z)
        back[steps] = 0  # there is no step after the last to hand anything back
        step = _Steps(batch, hidden, h, lengths, ctx.tiles)
        for t in reversed(range(steps)):
            step.gates_back(
                back[t + 1], rows, t, grad_h[t], carry, gates[t], c[t], c[t + 1], dc, dz[t]
            )
            if is_mlstm:
                step.product_back(dz[t], rows_z, bytes_[t], table_mx, hm[t], dmx[t], dhm[t])

        dh0 = None
        if ctx.needs_input_grad[3]:
            dh0 = back[0].float() @ rows.float()
            dh0 = torch.where((lengths <= 0)[:, None], carry, dh0).to(h.dtype)
        one_hot = (bytes_.flatten()[:, None] == torch.arange(256, device=h.device)).to(h.dtype)
        flat_dz = dz[:steps].flatten(0, 1)
        dw_z = _sum_of_outer(m if is_mlstm else h[:steps], flat_dz).to(ctx.weight_type)
        dtable_zx = _sum_of_outer(one_hot, flat_dz)
        dw_m = dtable_mx = None
        if is_mlstm:
            dw_m = _sum_of_outer(h[:steps], dhm[:steps]).to(ctx.weight_type)
            dtable_mx = _sum_of_outer(one_hot, dmx)
        return None, dtable_zx, dw_z, dh0, dc, None, dtable_mx, dw_m, None


def as_rows(w: Tensor, dtype: torch.dtype) -> Tensor:
    """w (K, N) as the kernels read it: its transpose (N, K) in ``dtype``; nothing where it is."""
    return w.detach().to(dtype).t().contiguous()


def _sum_of_outer(a: Tensor, b: Tensor) -> Tensor:
    """Sum over all steps and sequences of a (outer) b, float32."""
    return float32_product(a.flatten(0, -2).t(), b.flatten(0, -2))
