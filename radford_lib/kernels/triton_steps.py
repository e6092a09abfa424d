r"""Triton kernels for one time step of the mLSTM and the LSTM, forward and backward.

Four products make a step of training, each with what follows it in its epilogue, so that nothing
between them is a kernel of its own (equations of :mod:`radford_lib.kernels.mlstm`; ``rows`` of a
weight are its outputs, the transpose of the model's matrix):

- :func:`scaled_product` forward: :math:`h W^{mh}` and :math:`m = T^{mx}[x] \odot h W^{mh}`;
- :func:`gates_forward`: a tile of :math:`m W^{zm}` holds i, f, o, u of the same units, so the
  epilogue makes gates, c and h of them;
- :func:`gates_backward`: the gradient of h from step t + 1, then of the gates of step t;
- :func:`scaled_product` backward: :math:`dm = dz W^{zm\top}`, and from it the gradients of the two
  factors of m.

One copy of each weight, rows as outputs, serves both directions. Sums are in float32, so are the
cell state and its gradient; h, m and gates are stored in the type of h. Programs that share a tile
of a weight have neighbouring numbers: they run together, and memory is read for it once a step.
"""

from typing import Any

import triton
import triton.language as tl

from radford_lib.kernels.triton_interpreter import interpreting
from radford_lib.kernels.triton_tiles import Tile


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _quarters(tile, R: tl.constexpr, C: tl.constexpr):
    """The four blocks of C neighbouring columns of a tile (R, 4 C)."""
    blocks = tl.permute(tl.reshape(tile, (R, 2, 2, C)), (0, 3, 2, 1))  # block = 2 p + q: R, C, q, p
    first, second = tl.split(blocks)
    block0, block1 = tl.split(first)
    block2, block3 = tl.split(second)
    return block0, block1, block2, block3


@triton.jit
def _halves(tile, R: tl.constexpr, C: tl.constexpr):
    """The two blocks of C neighbouring columns of a tile (R, 2 C)."""
    return tl.split(tl.permute(tl.reshape(tile, (R, 2, C)), (0, 2, 1)))


@triton.jit
def _place(B, R: tl.constexpr, SPLIT: tl.constexpr):
    """This program's tile (row block, unit block), its part of the split and the tile's number."""
    row_blocks = tl.cdiv(B, R)
    tile = tl.program_id(0) // SPLIT
    # the row blocks of one weight tile are neighbours: read once from memory, then from cache
    return tile % row_blocks, tile // row_blocks, tl.program_id(0) % SPLIT, tile


@triton.jit
def _after_the_kernel_before(OVERLAP: tl.constexpr):
    """With ``OVERLAP`` a kernel is launched while the one before still runs: wait for its end."""
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def _part(K, part, D: tl.constexpr, SPLIT: tl.constexpr):
    """The inputs [start, stop) that belong to one part of the split."""
    span = tl.cdiv(tl.cdiv(K, D), SPLIT) * D
    return part * span, tl.minimum(K, (part + 1) * span)


@triton.jit
def _times_rows(
    a,
    w,
    row0,
    unit0,
    start,
    stop,
    B,
    H,
    K,
    R: tl.constexpr,
    U: tl.constexpr,
    D: tl.constexpr,
    GATES: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """a (B, K) times rows of w (GATES H, K): a tile (R, GATES U), gate after gate."""
    total = tl.zeros((R, GATES * U), tl.float32)
    if TMA:
        for k in range(start, stop, D):
            x = a.load([row0, k])
            y = w.load([0, unit0, k]).reshape(GATES * U, D)
            total = tl.dot(x, y.T, total, input_precision=PRECISION)
    else:
        inner = tl.arange(0, D)
        rows = tl.minimum(row0 + tl.arange(0, R), B - 1)  # beyond the batch: computed, not stored
        column = tl.arange(0, GATES * U)
        units = column // U * H + tl.minimum(unit0 + column % U, H - 1)
        x_at = rows[:, None] * K + inner[None, :]
        y_at = units[:, None] * K + inner[None, :]
        for k in range(start, stop, D):
            if EVEN:
                x = tl.load(a + k + x_at)
                y = tl.load(w + k + y_at)
            else:
                inside = (k + inner < stop)[None, :]
                x = tl.load(a + k + x_at, mask=inside, other=0.0)
                y = tl.load(w + k + y_at, mask=inside, other=0.0)
            total = tl.dot(x, y.T, total, input_precision=PRECISION)
    return total


@triton.jit
def _times_columns(
    a,
    w,
    row0,
    unit0,
    start,
    stop,
    B,
    H,
    K,
    R: tl.constexpr,
    U: tl.constexpr,
    D: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """a (B, K) times columns of w (K, H): a tile (R, U)."""
    total = tl.zeros((R, U), tl.float32)
    if TMA:
        for k in range(start, stop, D):
            x, y = a.load([row0, k]), w.load([k, unit0])
            total = tl.dot(x, y, total, input_precision=PRECISION)
    else:
        inner = tl.arange(0, D)
        rows = tl.minimum(row0 + tl.arange(0, R), B - 1)
        units = unit0 + tl.arange(0, U)
        x_at = rows[:, None] * K + inner[None, :]
        y_at = inner[:, None] * H + units[None, :]
        for k in range(start, stop, D):
            if EVEN:
                x = tl.load(a + k + x_at)
                y = tl.load(w + k * H + y_at)
            else:
                inside = k + inner < stop
                x = tl.load(a + k + x_at, mask=inside[None, :], other=0.0)
                y = tl.load(
                    w + k * H + y_at, mask=inside[:, None] & (units < H)[None, :], other=0.0
                )
            total = tl.dot(x, y, total, input_precision=PRECISION)
    return total


@triton.jit
def _share(
    total,
    scratch,
    counters,
    tile,
    part,
    units,
    R: tl.constexpr,
    C: tl.constexpr,
    SPLIT: tl.constexpr,
    WAIT: tl.constexpr,
):
    """Leave this part's sums (R, C) in ``scratch``; which of the tile's ``units`` to finish.

    Returns [first, stop): with ``WAIT`` an equal share of them, once all parts are there, without
    it all of them in the last program of the tile and none in the others. That the programs of a
    tile wait for each other is safe because their numbers are neighbours: whichever is missing
    starts as soon as a program of an earlier tile ends.
    """
    at = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    tl.store(scratch + (tile * SPLIT + part) * (R * C) + at, total)
    tl.debug_barrier()  # every thread's stores come before the one that counts
    arrived = counters + 2 * tile
    there = tl.atomic_add(arrived, 1, sem="acq_rel", scope="gpu") + 1
    if WAIT:
        while there < SPLIT:
            there = tl.atomic_add(arrived, 0, sem="acquire", scope="gpu")
        tl.debug_barrier()
        if tl.atomic_add(arrived + 1, 1, sem="acq_rel", scope="gpu") == SPLIT - 1:
            tl.store(arrived, 0)  # all have passed: ready for the next launch
            tl.store(arrived + 1, 0)
        first = part * (units // SPLIT)
        stop = first + units // SPLIT
    else:
        if there == SPLIT:
            tl.store(arrived, 0)
        first = 0
        stop = tl.where(there == SPLIT, units, 0)
    return first, stop


@triton.jit
def _sum_of_parts(
    scratch,
    tile,
    first,
    R: tl.constexpr,
    C: tl.constexpr,
    W: tl.constexpr,
    SPLIT: tl.constexpr,
):
    """Columns [first, first + W) of a tile (R, C), its parts added in their order."""
    at = tl.arange(0, R)[:, None] * C + first + tl.arange(0, W)[None, :]
    total = tl.zeros((R, W), tl.float32)
    for part in tl.static_range(SPLIT):
        # past the L1 cache, which does not see what other multiprocessors wrote
        total += tl.load(scratch + (tile * SPLIT + part) * (R * C) + at, cache_modifier=".cg")
    return total


@triton.jit
def _store_scaled(p, row0, unit0, io, B, H, R: tl.constexpr, W: tl.constexpr, BACK: tl.constexpr):
    bytes_, table, other, plain, scaled = io
    rows, units = row0 + tl.arange(0, R), unit0 + tl.arange(0, W)
    mask = (rows < B)[:, None] & (units < H)[None, :]
    at = rows[:, None] * H + units[None, :]
    byte = tl.load(bytes_ + rows, mask=rows < B, other=0)
    factor = tl.load(table + byte[:, None] * H + units[None, :], mask=mask, other=0.0)
    tl.store(scaled + at, (p * factor).to(scaled.dtype.element_ty), mask=mask)
    if BACK:
        p *= tl.load(other + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(plain + at, p.to(plain.dtype.element_ty), mask=mask)


@triton.jit
def scaled_product(
    a,
    w,
    bytes_,
    table,
    other,
    plain,
    scaled,
    scratch,
    counters,
    B,
    H,
    K,
    R: tl.constexpr,
    U: tl.constexpr,
    D: tl.constexpr,
    W: tl.constexpr,
    SPLIT: tl.constexpr,
    WAIT: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    OVERLAP: tl.constexpr,
    PRECISION: tl.constexpr,
    BACK: tl.constexpr,
):
    """p = a w^T (forward) or a w (``BACK``), written as it is and times the bytes' table rows.

    Forward: a = h (B, H), w (H, H); ``plain`` = p, ``scaled`` = T[x] * p = m.
    Backward: a = dz (B, 4H), w (4H, H), so p = dm; ``plain`` = p * ``other`` (h W^mh), the gradient
    of T[x], and ``scaled`` = T[x] * p, that of h W^mh. Outputs (B, H); table (256, H) float32.
    """
    _after_the_kernel_before(OVERLAP)
    row_block, unit_block, part, tile = _place(B, R, SPLIT)
    row0, unit0 = row_block * R, unit_block * U
    start, stop = _part(K, part, D, SPLIT)
    io = (bytes_, table, other, plain, scaled)
    if BACK:
        p = _times_columns(a, w, row0, unit0, start, stop, B, H, K, R, U, D, EVEN, TMA, PRECISION)
    else:
        p = _times_rows(a, w, row0, unit0, start, stop, B, H, K, R, U, D, 1, EVEN, TMA, PRECISION)
    if SPLIT == 1:
        _store_scaled(p, row0, unit0, io, B, H, R, U, BACK)
    else:
        first, stop = _share(p, scratch, counters, tile, part, U, R, U, SPLIT, WAIT)
        for unit in range(first, stop, W):
            columns = _sum_of_parts(scratch, tile, unit, R, U, W, SPLIT)
            _store_scaled(columns, row0, unit0 + unit, io, B, H, R, W, BACK)


@triton.jit
def _store_gates(i, f, o, u, row0, unit0, io, t, B, H, R: tl.constexpr, W: tl.constexpr):
    bytes_, table, lengths, h_before, c_before, gates, h, c = io
    rows, units = row0 + tl.arange(0, R), unit0 + tl.arange(0, W)
    mask = (rows < B)[:, None] & (units < H)[None, :]
    byte = tl.load(bytes_ + rows, mask=rows < B, other=0)
    frozen = (t >= tl.load(lengths + rows, mask=rows < B, other=0))[:, None]
    added = table + byte[:, None] * (4 * H) + units[None, :]
    i = tl.sigmoid(i + tl.load(added, mask=mask, other=0.0))
    f = tl.sigmoid(f + tl.load(added + H, mask=mask, other=0.0))
    o = tl.sigmoid(o + tl.load(added + 2 * H, mask=mask, other=0.0))
    u = _tanh(u + tl.load(added + 3 * H, mask=mask, other=0.0))

    at = rows[:, None] * H + units[None, :]
    kept = tl.load(c_before + at, mask=mask, other=0.0)
    c_new = tl.where(frozen, kept, f * kept + i * u)
    h_new = (o * _tanh(c_new)).to(h.dtype.element_ty)
    kept_h = tl.load(h_before + at, mask=mask & frozen, other=0.0)
    tl.store(c + at, c_new, mask=mask)
    tl.store(h + at, tl.where(frozen, kept_h, h_new), mask=mask)
    to = gates + rows[:, None] * (4 * H) + units[None, :]
    tl.store(to, i.to(gates.dtype.element_ty), mask=mask)
    tl.store(to + H, f.to(gates.dtype.element_ty), mask=mask)
    tl.store(to + 2 * H, o.to(gates.dtype.element_ty), mask=mask)
    tl.store(to + 3 * H, u.to(gates.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["t"])
def gates_forward(
    a,
    w,
    bytes_,
    table,
    lengths,
    t,
    h_before,
    c_before,
    gates,
    h,
    c,
    scratch,
    counters,
    B,
    H,
    K,
    R: tl.constexpr,
    U: tl.constexpr,
    D: tl.constexpr,
    W: tl.constexpr,
    SPLIT: tl.constexpr,
    WAIT: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    OVERLAP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """z = a w^T + T[x], its gates, and the step's c and h; a sequence that has ended keeps both.

    a: m for the mLSTM, h for the LSTM, (B, K = H); w (4H, K); table (256, 4H) float32; lengths
    (B,). gates (B, 4H) are stored activated: i, f, o, u.
    """
    _after_the_kernel_before(OVERLAP)
    row_block, unit_block, part, tile = _place(B, R, SPLIT)
    row0, unit0 = row_block * R, unit_block * U
    start, stop = _part(K, part, D, SPLIT)
    io = (bytes_, table, lengths, h_before, c_before, gates, h, c)
    z = _times_rows(a, w, row0, unit0, start, stop, B, H, K, R, U, D, 4, EVEN, TMA, PRECISION)
    if SPLIT == 1:
        i, f, o, u = _quarters(z, R, U)
        if U > 32:
            # half by half: all that the epilogue reads would not fit into the registers
            C: tl.constexpr = U // 2
            i, i2 = _halves(i, R, C)
            f, f2 = _halves(f, R, C)
            o, o2 = _halves(o, R, C)
            u, u2 = _halves(u, R, C)
            _store_gates(i2, f2, o2, u2, row0, unit0 + C, io, t, B, H, R, C)
            _store_gates(i, f, o, u, row0, unit0, io, t, B, H, R, C)
        else:
            _store_gates(i, f, o, u, row0, unit0, io, t, B, H, R, U)
    else:
        first, stop = _share(z, scratch, counters, tile, part, U, R, 4 * U, SPLIT, WAIT)
        for unit in range(first, stop, W):
            i = _sum_of_parts(scratch, tile, unit, R, 4 * U, W, SPLIT)
            f = _sum_of_parts(scratch, tile, U + unit, R, 4 * U, W, SPLIT)
            o = _sum_of_parts(scratch, tile, 2 * U + unit, R, 4 * U, W, SPLIT)
            u = _sum_of_parts(scratch, tile, 3 * U + unit, R, 4 * U, W, SPLIT)
            _store_gates(i, f, o, u, row0, unit0 + unit, io, t, B, H, R, W)


@triton.jit
def _store_gates_back(dh, row0, unit0, io, t, B, H, R: tl.constexpr, W: tl.constexpr):
    lengths, grad_h, carry, gates, c_before, c, dc, dz = io
    rows, units = row0 + tl.arange(0, R), unit0 + tl.arange(0, W)
    mask = (rows < B)[:, None] & (units < H)[None, :]
    at = rows[:, None] * H + units[None, :]
    length = tl.load(lengths + rows, mask=rows < B, other=0)
    alive = mask & (t < length)[:, None]
    dh += tl.load(grad_h + at, mask=mask, other=0.0).to(tl.float32)
    dh += tl.load(carry + at, mask=mask & (t + 1 >= length)[:, None], other=0.0)
    tl.store(carry + at, dh, mask=mask & (t >= length)[:, None])

    to = rows[:, None] * (4 * H) + units[None, :]
    i = tl.load(gates + to, mask=alive, other=0.0).to(tl.float32)
    f = tl.load(gates + to + H, mask=alive, other=0.0).to(tl.float32)
    o = tl.load(gates + to + 2 * H, mask=alive, other=0.0).to(tl.float32)
    u = tl.load(gates + to + 3 * H, mask=alive, other=0.0).to(tl.float32)
    tanh_c = _tanh(tl.load(c + at, mask=alive, other=0.0))
    before = tl.load(c_before + at, mask=alive, other=0.0)
    dc_here = tl.load(dc + at, mask=alive, other=0.0) + dh * o * (1 - tanh_c * tanh_c)
    tl.store(dc + at, dc_here * f, mask=alive)
    # where a sequence has ended its gates were read as zero, and so is every one of these
    dtype = dz.dtype.element_ty
    tl.store(dz + to, (dc_here * u * i * (1 - i)).to(dtype), mask=mask)
    tl.store(dz + to + H, (dc_here * before * f * (1 - f)).to(dtype), mask=mask)
    tl.store(dz + to + 2 * H, (dh * tanh_c * o * (1 - o)).to(dtype), mask=mask)
    tl.store(dz + to + 3 * H, (dc_here * i * (1 - u * u)).to(dtype), mask=mask)


@triton.jit(do_not_specialize=["t"])
def gates_backward(
    a,
    w,
    lengths,
    t,
    grad_h,
    carry,
    gates,
    c_before,
    c,
    dc,
    dz,
    scratch,
    counters,
    B,
    H,
    K,
    R: tl.constexpr,
    U: tl.constexpr,
    D: tl.constexpr,
    W: tl.constexpr,
    SPLIT: tl.constexpr,
    WAIT: tl.constexpr,
    EVEN: tl.constexpr,
    TMA: tl.constexpr,
    OVERLAP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """dh = a w + grad_h, then the gradients dz (B, 4H) of step t's pre-activations.

    a: gradient of h W^mh at t + 1 with w (H, H) for the mLSTM, dz at t + 1 with w (4H, H) for the
    LSTM; zero after the last step. dc (B, H) is the gradient of c, replaced by that of the c one
    step before. ``carry`` (B, H): the gradient of h that passes a step untouched because the
    sequence has ended, and at the last step the one of h_T. Both are float32.
    """
    _after_the_kernel_before(OVERLAP)
    row_block, unit_block, part, tile = _place(B, R, SPLIT)
    row0, unit0 = row_block * R, unit_block * U
    start, stop = _part(K, part, D, SPLIT)
    io = (lengths, grad_h, carry, gates, c_before, c, dc, dz)
    dh = _times_columns(a, w, row0, unit0, start, stop, B, H, K, R, U, D, EVEN, TMA, PRECISION)
    if SPLIT > 1:
        first, stop = _share(dh, scratch, counters, tile, part, U, R, U, SPLIT, WAIT)
        for unit in range(first, stop, W):
            columns = _sum_of_parts(scratch, tile, unit, R, U, W, SPLIT)
            _store_gates_back(columns, row0, unit0 + unit, io, t, B, H, R, W)
    elif U > 64:
        # a quarter at a time: what the epilogue reads would not fit into the registers
        Q: tl.constexpr = U // 4
        q0, q1, q2, q3 = _quarters(dh, R, Q)
        _store_gates_back(q0, row0, unit0, io, t, B, H, R, Q)
        _store_gates_back(q1, row0, unit0 + Q, io, t, B, H, R, Q)
        _store_gates_back(q2, row0, unit0 + 2 * Q, io, t, B, H, R, Q)
        _store_gates_back(q3, row0, unit0 + 3 * Q, io, t, B, H, R, Q)
    else:
        _store_gates_back(dh, row0, unit0, io, t, B, H, R, U)


def constants(tile: Tile, *, even: bool, precision: str) -> dict[str, Any]:
    """The compile-time arguments that all kernels share.

    even: H and the inputs of each part are multiples of the tile's sizes. precision: that of
    products of float32 numbers, ``ieee`` or ``tf32``.
    """
    wait = not interpreting()  # which runs one program after another
    share = tile.units // tile.split if wait else tile.units
    return {
        "R": tile.rows,
        "U": tile.units,
        "D": tile.depth,
        "W": min(share, 32),  # units at a time in the epilogue of a split product: few registers
        "SPLIT": tile.split,
        "WAIT": wait,
        "EVEN": even,
        "TMA": tile.tma,
        "OVERLAP": tile.overlap,
        "PRECISION": precision,
    }
