"""Grouped batch norm and activation as Triton kernels, two passes over the data each way.

Forward: partial statistics of splits of the rows, then normalise and activate. Backward: partial
sums, then the input's gradient, with x normalised and the activation's mask found again from x, so
that only x and two numbers a channel are kept. Splits are combined in a fixed order, without
atomics: the same input gives the same bits.

x is read as a matrix of rows (samples and positions) by channels, which channels_last memory is.
A second pass finds x in the L2 cache if it is small enough; larger inputs go through both passes
in slabs of channels that are.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from radford_lib.kernels import triton_interpreter

if triton_interpreter.interpreting():
    triton_interpreter.mend()

BLOCK_CHANNELS = 32  # of bfloat16 are 64 bytes, two sectors of DRAM
PROGRAMS = 2  # to a multiprocessor: one's arithmetic hides the other's loads
MOST_SPLITS = 64  # what one program can combine in registers


@triton.jit
def tile(group, rows, channels, rows_per_split, first_channel, BLOCK_C: tl.constexpr):
    """The channels of this program, the offset of its first row and how many rows it has."""
    c = first_channel + tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    begin = tl.program_id(1) * rows_per_split
    count = tl.minimum(rows - begin, rows_per_split)
    offset = (group.to(tl.int64) * rows + begin) * channels
    return c, offset, count


@triton.jit
def vector(pointer, c, channels, IS_GIVEN: tl.constexpr, default: tl.constexpr):
    """Gain or bias of the channels c, or what stands for it where there is none."""
    if IS_GIVEN:
        return tl.load(pointer + c, mask=c < channels, other=default).to(tl.float32)
    return tl.full(c.shape, default, tl.float32)


@triton.jit
def moments(
    partials, c, rows, channels, rows_per_split, splits, parts, total,
    BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Mean and biased variance of the ``total`` rows of a group, from all its parts (Chan et al.).

    Deviations are taken from the largest mean: of equal values that is the mean, to the bit.
    """
    p = tl.arange(0, BLOCK_P)[:, None]
    here = (p < parts) & (c < channels)[None, :]
    part = partials + (p * tl.num_programs(2) + tl.program_id(2)) * 2 * channels + c[None, :]
    mean = tl.load(part, mask=here, other=0.0)
    squares = tl.load(part + channels, mask=here, other=0.0)
    of_part = tl.minimum(rows - (p % splits) * rows_per_split, rows_per_split)
    n = tl.where(here, of_part, 0).to(tl.float32)
    origin = tl.max(tl.where(here, mean, float("-inf")), 0)
    origin = tl.where(c < channels, origin, 0.0)
    deviation = mean - origin[None, :]
    shift = tl.sum(n * deviation, 0) / total
    spread = deviation - shift[None, :]
    return origin + shift, tl.sum(squares + n * spread * spread, 0) / total


@triton.jit
def partial_moments(
    x, partials, rows, channels, rows_per_split, first_channel,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared deviations of one split: Welford's update in every place of a tile.

    partials: (splits, groups, 2, channels).
    """
    group = tl.program_id(2)
    c, offset, count = tile(group, rows, channels, rows_per_split, first_channel, BLOCK_C)
    r = tl.arange(0, BLOCK_R)[:, None]
    seen = tl.zeros([BLOCK_R, 1], tl.float32)
    mean = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    squares = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    for start in range(0, count, BLOCK_R):
        inside = start + r < count
        here = inside & (c < channels)[None, :]
        at = x + offset + (start + r) * channels + c[None, :]
        value = tl.load(at, mask=here, other=0.0, eviction_policy="evict_last").to(tl.float32)
        seen += tl.where(inside, 1.0, 0.0)
        delta = tl.where(here, value - mean, 0.0)
        mean += delta * (1.0 / tl.maximum(seen, 1.0))
        squares += delta * (value - mean)
    # the places become one; as in `moments`, from an origin that equal values share
    origin = tl.max(tl.where(seen > 0, mean, float("-inf")), 0)
    deviation = tl.where(seen > 0, mean - origin[None, :], 0.0)
    shift = tl.sum(seen * deviation, 0) / count.to(tl.float32)
    spread = deviation - shift[None, :]
    part = partials + (tl.program_id(1) * tl.num_programs(2) + group) * 2 * channels + c
    tl.store(part, origin + shift, mask=c < channels)
    tl.store(part + channels, tl.sum(squares + seen * spread * spread, 0), mask=c < channels)


@triton.jit
def normalise(
    x, y, partials, statistics, gain, bias,
    rows, channels, rows_per_split, splits, parts, first_channel, slope, total, eps,
    HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """y of one split; statistics (groups, 2, channels) receives mean and 1 / deviation."""
    group = tl.program_id(2)
    c, offset, count = tile(group, rows, channels, rows_per_split, first_channel, BLOCK_C)
    mean, variance = moments(
        partials, c, rows, channels, rows_per_split, splits, parts, total, BLOCK_P
    )
    rstd = 1.0 / tl.sqrt_rn(variance + eps)
    if tl.program_id(1) == 0:
        kept = statistics + group * 2 * channels + c
        tl.store(kept, mean, mask=c < channels)
        tl.store(kept + channels, rstd, mask=c < channels)
    scale = rstd * vector(gain, c, channels, HAS_GAIN, 1.0)
    shift = vector(bias, c, channels, HAS_BIAS, 0.0)
    r = tl.arange(0, BLOCK_R)[:, None]
    for start in range(0, count, BLOCK_R):
        here = (start + r < count) & (c < channels)[None, :]
        at = offset + (start + r) * channels + c[None, :]
        value = tl.load(x + at, mask=here, other=0.0, eviction_policy="evict_first")
        out = (value.to(tl.float32) - mean[None, :]) * scale[None, :] + shift[None, :]
        out = tl.where(out > 0, out, out * slope)
        tl.store(y + at, out.to(y.dtype.element_ty), mask=here)


@triton.jit
def gradients_at(dy, x, at, here, mean, rstd, scale, shift, slope, POLICY: tl.constexpr):
    """The gradient before the activation, and x normalised, of one tile."""
    value = tl.load(x + at, mask=here, other=0.0, eviction_policy=POLICY).to(tl.float32)
    gradient = tl.load(dy + at, mask=here, other=0.0, eviction_policy=POLICY).to(tl.float32)
    centred = value - mean[None, :]
    is_kept = centred * scale[None, :] + shift[None, :] > 0
    return tl.where(is_kept, gradient, gradient * slope), centred * rstd[None, :]


@triton.jit
def partial_gradients(
    dy, x, partials, statistics, gain, bias,
    rows, channels, rows_per_split, first_channel, slope,
    HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Sums over one split of the gradient and of its product with x normalised.

    partials: (splits, groups, 2, channels).
    """
    group = tl.program_id(2)
    c, offset, count = tile(group, rows, channels, rows_per_split, first_channel, BLOCK_C)
    mean = tl.load(statistics + group * 2 * channels + c, mask=c < channels, other=0.0)
    rstd = tl.load(statistics + (group * 2 + 1) * channels + c, mask=c < channels, other=0.0)
    scale = rstd * vector(gain, c, channels, HAS_GAIN, 1.0)
    shift = vector(bias, c, channels, HAS_BIAS, 0.0)
    r = tl.arange(0, BLOCK_R)[:, None]
    plain = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    weighted = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    for start in range(0, count, BLOCK_R):
        here = (start + r < count) & (c < channels)[None, :]
        at = offset + (start + r) * channels + c[None, :]
        gradient, unit = gradients_at(
            dy, x, at, here, mean, rstd, scale, shift, slope, "evict_last"
        )
        plain += gradient  # zero where nothing was loaded
        weighted += gradient * unit
    part = partials + (tl.program_id(1) * tl.num_programs(2) + group) * 2 * channels + c
    tl.store(part, tl.sum(plain, 0), mask=c < channels)
    tl.store(part + channels, tl.sum(weighted, 0), mask=c < channels)


@triton.jit
def input_gradient(
    dy, x, dx, partials, statistics, gain, bias,
    rows, channels, rows_per_split, splits, first_channel, slope, total,
    HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """dx of one split; ``total`` rows went into the statistics, on all processes."""
    group = tl.program_id(2)
    c, offset, count = tile(group, rows, channels, rows_per_split, first_channel, BLOCK_C)
    p = tl.arange(0, BLOCK_P)[:, None]
    part = partials + (p * tl.num_programs(2) + group) * 2 * channels + c[None, :]
    there = (p < splits) & (c < channels)[None, :]
    plain = tl.sum(tl.load(part, mask=there, other=0.0), 0) / total
    weighted = tl.sum(tl.load(part + channels, mask=there, other=0.0), 0) / total
    mean = tl.load(statistics + group * 2 * channels + c, mask=c < channels, other=0.0)
    rstd = tl.load(statistics + (group * 2 + 1) * channels + c, mask=c < channels, other=0.0)
    scale = rstd * vector(gain, c, channels, HAS_GAIN, 1.0)
    shift = vector(bias, c, channels, HAS_BIAS, 0.0)
    r = tl.arange(0, BLOCK_R)[:, None]
    for start in range(0, count, BLOCK_R):
        here = (start + r < count) & (c < channels)[None, :]
        at = offset + (start + r) * channels + c[None, :]
        gradient, unit = gradients_at(
            dy, x, at, here, mean, rstd, scale, shift, slope, "evict_first"
        )
        out = scale[None, :] * (gradient - plain[None, :] - unit * weighted[None, :])
        tl.store(dx + at, out.to(dx.dtype.element_ty), mask=here)


@dataclass(frozen=True)
class Plan:
    """How a (groups * rows, channels) matrix is divided among programs.

    ``block_rows`` rows by ``block_channels`` channels at a time; ``splits`` of ``rows_per_split``
    rows in each group; ``slab`` channels go through both passes before the next do.
    """

    rows: int
    channels: int
    groups: int
    block_rows: int
    block_channels: int
    warps: int
    rows_per_split: int
    splits: int
    slab: int

    def slabs(self) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Each slab's first channel and its grid of programs."""
        for first in range(0, self.channels, self.slab):
            width = min(self.slab, self.channels - first)
            yield first, (triton.cdiv(width, self.block_channels), self.splits, self.groups)


def make_plan(
    rows: int,
    channels: int,
    groups: int,
    tensors: int,
    itemsize: int,
    *,
    multiprocessors: int,
    l2_bytes: int,
    most_splits: int = MOST_SPLITS,
) -> Plan:
    """Divide ``groups`` of ``rows``; a pass reads ``tensors`` alike, ``itemsize`` bytes a value."""
    block_channels = max(16, min(BLOCK_CHANNELS, triton.next_power_of_2(channels)))
    # a large tile keeps loads in flight; no larger, or registers leave room for one program only
    block_rows, warps = (256 // tensors, 8) if rows >= 2048 else (64, 4)
    # half of the cache: what is written passes through it too
    fits = l2_bytes // 2 // (rows * groups * tensors * itemsize) // block_channels * block_channels
    slab = min(max(fits, block_channels), channels)
    blocks = triton.cdiv(slab, block_channels)
    wanted = max(1, min(most_splits, PROGRAMS * multiprocessors // (blocks * groups)))
    rows_per_split = triton.cdiv(triton.cdiv(rows, wanted), block_rows) * block_rows
    splits = triton.cdiv(rows, rows_per_split)
    return Plan(
        rows, channels, groups, block_rows, block_channels, warps, rows_per_split, splits, slab
    )


@functools.cache
def machine(device: torch.device) -> tuple[int, int]:
    """Multiprocessors and bytes of L2 cache; four and a little for the interpreter's CPU."""
    if device.type == "cpu":
        return 4, 1 << 16
    properties = torch.cuda.get_device_properties(device)
    return properties.multi_processor_count, properties.L2_cache_size


def plan_for(x: Tensor, groups: int, tensors: int, process_group: Any) -> Plan:
    """The plan for x (B, C, ...), of which a pass reads ``tensors`` alike."""
    channels = x.shape[1]
    rows = x.numel() // channels // groups
    multiprocessors, l2_bytes = machine(x.device)
    if process_group is not None:  # all channels' statistics travel at once
        l2_bytes = 1 << 62
    return make_plan(
        rows, channels, groups, tensors, x.element_size(),
        multiprocessors=multiprocessors, l2_bytes=l2_bytes,
        most_splits=max(1, MOST_SPLITS // processes(process_group)),
    )  # fmt: skip


def processes(process_group: Any) -> int:
    return 1 if process_group is None else dist.get_world_size(process_group)


def two_pass(
    x: Tensor,
    gain: Tensor | None,
    bias: Tensor | None,
    groups: int,
    slope: float,
    eps: float,
    process_group: Any = None,
) -> Tensor:
    """Grouped batch norm of x (B, C) or (B, C, H, W); ``slope`` is kept of negative values."""
    with torch.cuda.device_of(x):
        return _TwoPass.apply(rows_first(x), gain, bias, groups, slope, eps, process_group)


def rows_first(x: Tensor) -> Tensor:
    """x in memory with channels last."""
    return x.contiguous(
        memory_format=torch.channels_last if x.ndim == 4 else torch.contiguous_format
    )


class _TwoPass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor | None,
        bias: Tensor | None,
        groups: int,
        slope: float,
        eps: float,
        process_group: Any,
    ) -> Tensor:
        plan = plan_for(x, groups, 1, process_group)
        partials = x.new_empty((plan.splits, groups, 2, plan.channels), dtype=torch.float32)
        statistics = torch.empty_like(partials[0])
        y = torch.empty_like(x)
        sizes = (plan.rows, plan.channels, plan.rows_per_split)
        blocks: dict[str, Any] = {
            "BLOCK_R": plan.block_rows, "BLOCK_C": plan.block_channels, "num_warps": plan.warps,
        }  # fmt: skip
        for first, grid in plan.slabs():
            partial_moments[grid](x, partials, *sizes, first, **blocks)
            parts = partials if process_group is None else _gathered(partials, process_group)
            normalise[grid](
                x, y, parts, statistics, gain, bias, *sizes, plan.splits, len(parts), first,
                slope, float(plan.rows * processes(process_group)), eps,
                HAS_GAIN=gain is not None, HAS_BIAS=bias is not None,
                BLOCK_P=triton.next_power_of_2(len(parts)), **blocks,
            )  # fmt: skip
        ctx.save_for_backward(x, gain, bias, statistics)
        ctx.groups, ctx.slope, ctx.process_group = groups, slope, process_group
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, bias, statistics = ctx.saved_tensors
        dy = rows_first(dy)
        plan = plan_for(x, ctx.groups, 2, ctx.process_group)
        partials = x.new_empty((plan.splits, *statistics.shape), dtype=torch.float32)
        dx = torch.empty_like(x)
        sizes = (plan.rows, plan.channels, plan.rows_per_split)
        blocks: dict[str, Any] = {
            "HAS_GAIN": gain is not None, "HAS_BIAS": bias is not None,
            "BLOCK_R": plan.block_rows, "BLOCK_C": plan.block_channels, "num_warps": plan.warps,
        }  # fmt: skip
        for first, grid in plan.slabs():
            partial_gradients[grid](
                dy, x, partials, statistics, gain, bias, *sizes, first, ctx.slope, **blocks
            )
            parts = partials
            if ctx.process_group is not None:
                parts = partials.clone()
                dist.all_reduce(parts, group=ctx.process_group)
            input_gradient[grid](
                dy, x, dx, parts, statistics, gain, bias, *sizes, plan.splits, first, ctx.slope,
                float(plan.rows * processes(ctx.process_group)),
                BLOCK_P=triton.next_power_of_2(plan.splits), **blocks,
            )  # fmt: skip
        dgain = dbias = None
        if any(ctx.needs_input_grad[1:3]):
            dbias, dgain = partials.sum((0, 1))  # of this process alone, as for any parameter
        return (
            dx,
            dgain if ctx.needs_input_grad[1] else None,
            dbias if ctx.needs_input_grad[2] else None,
            None, None, None, None,
        )  # fmt: skip


def _gathered(partials: Tensor, process_group: Any) -> Tensor:
    """The parts of all processes, (processes * splits, groups, 2, channels)."""
    count = processes(process_group)
    parts = partials.new_empty((count * len(partials), *partials.shape[1:]))
    dist.all_gather_into_tensor(parts, partials, group=process_group)
    return parts
