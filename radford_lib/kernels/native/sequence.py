"""The mLSTM and LSTM recurrences on CPU in C++: one autograd node for a sequence.

Threads that live as long as the sequence share the units, in panels, and help each other out
(``threads.h``); a panel's product ends with its gates (``forward.h``, ``backward.h``). Each weight
gradient is one product over all steps.

To the bit: h, c and the gradients of the tables and of the state do not depend on the number of
threads; h and c of a sequence depend neither on its batch nor on how it is cut into windows. The
weight gradients are torch's products, which repeat themselves for a fixed number of threads.
"""

import ctypes
import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radford_lib.errors import UsageError
from radford_lib.kernels.memory import Block
from radford_lib.kernels.native.build import library
from radford_lib.kernels.native.layout import (
    Packed,
    addresses,
    pack,
    pack_transposed,
    unpack_table,
)
from radford_lib.kernels.sequence_cpu import sum_of_outer

# Rows whose distance is a power of two would want the same few places of the first-level cache.
_ROW_GAP = 16
# Multiply-adds of a thread below which waking it (in a window) or meeting the others (in a step)
# costs more than it saves.
_LEAST_IN_WINDOW, _LEAST_IN_STEP = 10_000_000, 200_000


class _SequenceStruct(ctypes.Structure):
    """Twin of ``Sequence`` in ``sequence.h``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "batch", "hidden", "threads")),
        *((name, ctypes.c_int64) for name in ("multiplicative", "keep", "m_stride")),
        *((name, ctypes.c_void_p) for name in ("bytes", "lengths")),
        *((name, ctypes.c_void_p) for name in ("table_zx", "table_mx", "w_z", "w_m")),
        *((name, ctypes.c_void_p) for name in ("h0", "c0", "h", "c_last")),
        *((name, ctypes.c_void_p) for name in ("gates", "c", "hm", "m")),
    )


class _GradientsStruct(ctypes.Structure):
    """Twin of ``Gradients`` in ``sequence.h``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dz_stride", "dhm_stride")),
        *((name, ctypes.c_void_p) for name in ("w_z", "w_m", "h", "h_last", "c_last")),
        *((name, ctypes.c_void_p) for name in ("h0", "c0", "table_zx", "table_mx")),
        *((name, ctypes.c_void_p) for name in ("dz", "dhm", "dh", "dc", "dm")),
    )


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

    Shapes and results are those of :func:`radford_lib.kernels.mlstm.mlstm`; float32 only.
    Raises ``UsageError`` for a byte outside 0..255, and as ``library`` does.
    """
    window = _Window(_as_bytes(bytes), _as_lengths(lengths, len(bytes)))
    inputs = [t for t in (table_zx, w_z, h0, c0, table_mx, w_m) if t is not None]
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        h, h_last, c_last = _Node.apply(window, table_zx, w_z, h0, c0, table_mx, w_m)
        return h, h_last, c_last
    return _read(window, pack(table_zx, w_z, table_mx, w_m), h0, c0)


def read(
    packed: Packed, bytes: Tensor, h0: Tensor, c0: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``run``, with weights that are laid out already, and never with gradients."""
    return _read(_Window(_as_bytes(bytes), _as_lengths(lengths, len(bytes))), packed, h0, c0)


class _Window(NamedTuple):
    bytes: Tensor  # (T, B) uint8
    lengths: Tensor | None  # (B,) int64, none longer than all of it


def _as_bytes(bytes: Tensor) -> Tensor:
    whole = bytes.cpu().contiguous()
    narrow = whole.new_empty(whole.shape, dtype=torch.uint8)
    if not library().radford_narrow(whole.data_ptr(), narrow.data_ptr(), whole.numel()):
        raise UsageError(f"bytes must be in 0..255, not {int(whole.min())}..{int(whole.max())}")
    return narrow


def _as_lengths(lengths: Tensor | None, steps: int) -> Tensor | None:
    if lengths is None or int(lengths.min()) >= steps:
        return None
    # a copy: the backward pass reads them as they were
    return lengths.to("cpu", torch.int64, copy=True).contiguous()


def _read(window: _Window, packed: Packed, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shapes = _activations(packed, steps=1, batch=window.bytes.shape[1], keep=False)
    sizes = [math.prod(shape) for shape in shapes.values()]
    # one piece, without views of it: they would cost as much as reading a single byte
    scratch = h0.new_empty(sum(sizes))
    starts = itertools.accumulate(sizes, initial=scratch.data_ptr() // 4)
    places = {name: 4 * start for name, start in zip(shapes, starts, strict=False)}
    h, c_last = _forward(window, packed, h0, c0, places, keep=False)
    return h, h[-1].clone(), c_last


def _activations(packed: Packed, steps: int, batch: int, keep: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of what the forward pass works in, and the backward pass reads if it is kept."""
    panels, width = packed.table_zx.shape[0], packed.table_zx.shape[-1]
    shapes: dict[str, tuple[int, ...]] = {
        "gates": (steps, panels, batch, 4 * width),
        "c": (steps + keep, panels, batch, width),
    }
    if packed.w_m is not None:
        shapes["hm"] = (steps, panels, batch, width)
        shapes["m"] = (steps, batch, packed.hidden + _ROW_GAP)
    return shapes


def _forward(
    window: _Window, packed: Packed, h0: Tensor, c0: Tensor, places: dict[str, int], keep: bool
) -> tuple[Tensor, Tensor]:
    """h (T, B, H) and c_T (B, H); ``places`` are the addresses of the activations."""
    h, c_last = h0.new_empty(*window.bytes.shape, packed.hidden), h0.new_empty(h0.shape)
    state = {"h0": h0.contiguous(), "c0": c0.contiguous(), "h": h, "c_last": c_last}
    sequence = _struct(window, packed, places | addresses(state), keep)
    library().radford_forward(ctypes.byref(sequence))
    return h, c_last


def _struct(window: _Window, packed: Packed, places: dict[str, int], keep: bool) -> _SequenceStruct:
    (steps, batch), hidden = window.bytes.shape, packed.hidden
    multiplicative = packed.w_m is not None
    return _SequenceStruct(
        steps=steps,
        batch=batch,
        hidden=hidden,
        threads=_threads(steps, batch * hidden * hidden * (4 + multiplicative)),
        multiplicative=multiplicative,
        keep=keep,
        m_stride=hidden + _ROW_GAP,
        **packed.addresses,
        **addresses(window._asdict()),
        **places,
    )


def _threads(steps: int, work_in_step: int) -> int:
    worthwhile = min(work_in_step // _LEAST_IN_STEP, steps * work_in_step // _LEAST_IN_WINDOW)
    return max(1, min(torch.get_num_threads(), worthwhile))


class _Node(torch.autograd.Function):
    """The whole sequence as one differentiable operation."""

    @staticmethod
    def forward(
        ctx: Any,
        window: _Window,
        table_zx: Tensor,
        w_z: Tensor,
        h0: Tensor,
        c0: Tensor,
        table_mx: Tensor | None,
        w_m: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        packed = pack(table_zx, w_z, table_mx, w_m)
        steps, batch = window.bytes.shape
        kept = Block(_activations(packed, steps, batch, keep=True), torch.float32)
        h, c_last = _forward(window, packed, h0, c0, addresses(kept.tensors), keep=True)
        ctx.save_for_backward(w_z, w_m, h0, h)
        ctx.window, ctx.packed, ctx.kept = window, packed, kept
        return h, h[-1].clone(), c_last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_h: Tensor, grad_h_last: Tensor, grad_c_last: Tensor
    ) -> tuple[Tensor | None, ...]:
        w_z, w_m, h0, h = ctx.saved_tensors
        steps, batch, hidden = h.shape
        tile = ctx.kept.tensors["c"].shape[1:]
        shapes = {
            "dz": (steps, batch, 4 * hidden + _ROW_GAP),
            "dhm": (steps if w_m is not None else 0, batch, hidden + _ROW_GAP),
            **dict.fromkeys(("dh", "dc", "dm"), tile),
        }
        scratch = Block(shapes, torch.float32)
        given = {
            "h": grad_h.contiguous(),
            "h_last": grad_h_last.contiguous(),
            "c_last": grad_c_last.contiguous(),
            "w_z": pack_transposed(w_z),
        }
        made = {
            "h0": torch.empty_like(h[0]),
            "c0": torch.empty_like(h[0]),
            "table_zx": torch.empty_like(ctx.packed.table_zx),
        }
        if w_m is not None:
            given["w_m"] = pack_transposed(w_m)
            made["table_mx"] = torch.empty_like(ctx.packed.table_mx)
        gradients = _GradientsStruct(
            dz_stride=4 * hidden + _ROW_GAP,
            dhm_stride=hidden + _ROW_GAP,
            **addresses(given | made | scratch.tensors),
        )
        sequence = _struct(ctx.window, ctx.packed, addresses(ctx.kept.tensors), keep=True)
        library().radford_backward(ctypes.byref(sequence), ctypes.byref(gradients))

        dz = scratch.tensors["dz"][..., : 4 * hidden]
        table_zx = unpack_table(made["table_zx"], hidden)
        if w_m is None:
            dw_z = sum_of_outer(h0, h, dz)
            return None, table_zx, dw_z, made["h0"], made["c0"], None, None
        m = ctx.kept.tensors["m"][..., :hidden]
        dw_z = m.flatten(0, 1).t() @ dz.flatten(0, 1)
        dw_m = sum_of_outer(h0, h, scratch.tensors["dhm"][..., :hidden])
        table_mx = unpack_table(made["table_mx"], hidden)
        return None, table_zx, dw_z, made["h0"], made["c0"], table_mx, dw_m
