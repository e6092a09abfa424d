# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   radford: {alone: true}
# ---

# %% [markdown]
# (ch-roofline)=
# # What the machine allows
#
# A program can be slow because it does too much, or because the machine can do no more. To tell the two
# apart one needs a bound: the least time that the operations and the bytes of a training step
# must take. Where does each network of this book stand below its bound, which part of a machine
# sets it, and when is making a kernel leaner not worth the trouble?
#
# **What came out in this run.** One core of this machine multiplies matrices at
# {result}`D-X9.product_gflops:.0f` GFLOP/s and copies memory at {result}`D-X9.copy_gb:.0f` GB/s, so that a program
# needs {result}`D-X9.ridge:.1f` operations for each byte it moves before its arithmetic becomes the limit. The mLSTM trained on
# {result}`D-X9.batch_small` sequence at a time reaches {result}`D-X9.mlstm_small:.0%` of that rate, on
# {result}`D-X9.batch_large` at a time {result}`D-X9.mlstm_large:.0%`: it is the batch that decides. The convolutions of a
# DCGAN all lie on the arithmetic's side, and reach {result}`D-X9.convolutions:.0%` together; the slowest of them,
# {result}`D-X9.slowest_layer`, {result}`D-X9.slowest:.0%`. Batch norm with its activation, fused, is
# {result}`D-X9.norm_times:.1f` times as fast as the same written operation by operation.
#
# **What the papers say.** Next to nothing: one rate of training, 12,500 bytes a second in the second paper, and no
# word on what it was limited by.

# %% tags=["parameters"]
seed: int = 0
hidden: int = 512  # of the mLSTM
batches: list = [1, 4, 16, 64]  # sequences side by side
window: int = 16
product_sizes: list = [64, 128, 256, 512, 1024]  # of square matrices
copy_kilobytes: list = [64, 512, 4096, 65536]
shape: str = "svhn32"  # of the DCGAN: svhn32, imagenet32, lsun64
width: int = 64
batch: int = 32
rounds: int = 3

# %% tags=["hide-input"]
import statistics

import pandas as pd
import torch

from radford_lib import plots
from radford_lib.book import record
from radford_lib.machine_room import dcgan_bounds, mlstm_bounds, norms, roofline
from radford_lib.machine_room.bounds import H200
from radford_lib.machine_room.timing import clock_for

plots.use_style()
_ = torch.manual_seed(seed)

# %% [markdown]
# ## Two ceilings
#
# A processor has a highest rate of arithmetic and a highest rate of moving bytes. A program that needs
# $F$ operations and moves $Q$ bytes between memory and processor takes at least
#
# $$t \ge \max\left(\frac{F}{\text{rate}}, \frac{Q}{\text{bandwidth}}\right),$$ (eq-roof)
#
# so what matters is $F / Q$, its *arithmetic intensity*: below $\text{rate} / \text{bandwidth}$ operations a byte memory is the
# limit, above it arithmetic. Drawn with both axes logarithmic this is a roof. Both ceilings are measured here,
# not read off a data sheet: products of square matrices and copies, each of several sizes, one thread,
# processor time, in the same rounds as everything that is compared with them.

# %%
works = roofline.measure(
    [
        *roofline.products(product_sizes),
        *roofline.copies(copy_kilobytes),
        *roofline.mlstm_steps(hidden, batches, window),
        *roofline.convolutions(shape, width, batch),
    ],
    rounds=rounds,
    sample_seconds=0.05,
    wait_seconds=0,
)
machine = roofline.machine_of(works)
by_kind = {}
for work in works:
    by_kind.setdefault(work.kind, []).append(work)

# %% mystnb={"figure": {"caption": "A product needs size to be efficient: on this core the rate rises to {result}`D-X9.product_gflops:.0f` GFLOP/s.", "name": "fig-products"}, "image": {"alt": "GFLOP/s of square matrix products against their size.", "classes": "dark-light"}} tags=["hide-input"]
plots.learning_curve(
    product_sizes,
    {"product": [work.flop_rate / 1e9 for work in by_kind["product"]]},
    xlabel="rows and columns",
    ylabel="GFLOP/s",
    log_x=True,
)

# %% mystnb={"figure": {"caption": "Copies are fast while they stay in a cache, up to {result}`D-X9.cache_gb:.0f` GB/s here; from memory it is {result}`D-X9.copy_gb:.0f` GB/s.", "name": "fig-copies"}, "image": {"alt": "GB/s of copies against how much is copied, falling where the caches end.", "classes": "dark-light"}} tags=["hide-input"]
plots.learning_curve(
    copy_kilobytes,
    {"copy": [work.byte_rate / 1e9 for work in by_kind["copy"]]},
    xlabel="kilobytes copied",
    ylabel="GB/s, read and written",
    log_x=True,
)

# %% [markdown]
# ## Where each size stands
#
# An mLSTM step reads all its recurrent weights, $5H^2$ numbers, once forward and once backward, and uses each for
# $B$ sequences: $10 H^2 B$ operations each way. Were that all, its intensity would be $2B$ operations for
# each number read, *whatever $H$ is*. A larger network is no better off; a larger batch is. To it come the
# activations, about {result}`D-X9.activation_numbers` numbers moved for each unit, step and sequence, and Adam with weight norm,
# once a window. The count supposes that every step reads the weights from memory. Where a cache holds them,
# as it may on this machine, a point can lie above the lower roof.
#
# A convolution uses each weight at every position of every image, so its intensity is high from the start; only the layers
# next to the image, with three channels on one side, do little with each number they move.

# %% mystnb={"figure": {"caption": "The mLSTM climbs the roof with its batch, from {result}`D-X9.mlstm_small:.0%` to {result}`D-X9.mlstm_large:.0%` of the highest rate; convolutions stand under its flat part, those next to the image to the left of the others; the slowest is {result}`D-X9.slowest_layer`. Solid: bandwidth of memory; dashed: of the fastest cache.", "name": "fig-roofline"}, "image": {"alt": "Roofline: GFLOP/s against operations a byte, with the roofs of memory and cache, points for mLSTM steps of several batch sizes and for the convolutions of generator and discriminator, forward and backward.", "classes": "dark-light"}} tags=["hide-input"]
fastest_copy = max(work.byte_rate for work in by_kind["copy"])
peak = machine.matmul_flops
plots.roofline(
    {
        "from memory": (peak, machine.memory_bandwidth),
        "from the cache": (peak, fastest_copy),
    },
    {
        kind: [(work.intensity, work.flop_rate) for work in found]
        for kind, found in by_kind.items()
        if kind not in ("product", "copy")
    },
    {(work.intensity, work.flop_rate): work.name for work in by_kind["mLSTM"]},
)

# %% tags=["hide-input"]
convolved = [work for work in works if work.kind[0] in "GD"]
layers = {}
for work in convolved:
    row = layers.setdefault(work.name, {"FLOP a byte": f"{work.intensity:.0f}"})
    row[work.kind.split()[1]] = f"{work.flop_rate / peak:.0%}"
pd.DataFrame.from_dict(layers, orient="index")

# %% [markdown]
# Forward and backward as shares of the product's rate. Layers are named by their net and their number of input and
# output maps.

# %% tags=["remove-input", "remove-output"]
slowest = min(convolved, key=lambda work: work.flop_rate)
together = sum(w.flops for w in convolved) / sum(w.seconds for w in convolved)
small, large = by_kind["mLSTM"][0], by_kind["mLSTM"][-1]
record("D-X9", "product_gflops", peak / 1e9, n=rounds)
record("D-X9", "copy_gb", machine.memory_bandwidth / 1e9, n=rounds)
record("D-X9", "cache_gb", fastest_copy / 1e9, n=rounds)
record("D-X9", "ridge", machine.ridge, n=rounds)
record("D-X9", "batch_small", batches[0])
record("D-X9", "batch_large", batches[-1])
record("D-X9", "activation_numbers", mlstm_bounds.ACTIVATION_NUMBERS)
record("D-X9", "mlstm_small", small.flop_rate / peak, n=rounds, unit="fraction")
record("D-X9", "mlstm_large", large.flop_rate / peak, n=rounds, unit="fraction")
record("D-X9", "convolutions", together / peak, n=rounds, unit="fraction")
record("D-X9", "slowest_layer", f"{slowest.name}, {slowest.kind.split()[1]}")
record("D-X9", "slowest", slowest.flop_rate / peak, n=rounds, unit="fraction")

# %% [markdown]
# ## The same on paper, for one H200
#
# {eq}`eq-roof` needs no machine, only its two rates. The following is **computed from assumed rates and not measured**:
# {result}`D-X9.assumed_tflops:.0f` TFLOP/s for a large bfloat16 product and {result}`D-X9.assumed_tb:.1f` TB/s, which others have seen
# on an H200; a cache of {result}`D-X9.assumed_cache_mb:.0f` MB, from which weights that fit are read for nothing; and two microseconds for
# a kernel that waits for the one before it, four of which make a step. Its ridge is at
# {result}`D-X9.assumed_ridge:.0f` operations a byte, so that weights which must come from memory at each step are the limit for
# any batch smaller than that: the paper's 4,096 units, 168 MB of weights for each direction, and its batch of 128.

# %% tags=["hide-input"]
sizes, sequences = (512, 1024, 2048, 4096), (64, 128, 256, 512, 1024)
bounds = {
    (h, b): mlstm_bounds.step_bound(H200, h, b) for h in sizes for b in sequences
}
pd.DataFrame(
    {
        f"B = {b}": {
            f"H = {h}": f"{1e6 * bounds[h, b].seconds:.3g} µs, {bounds[h, b].limiter}"
            for h in sizes
        }
        for b in sequences
    }
)

# %% [markdown]
# Microseconds for one step of the whole batch, windows of 256 bytes: forward and backward, each the larger of its products and
# the reading of its weights; the weights' gradients; output layer, activations and optimiser. Beside it what
# the step waits for most. *Memory* means that reading the weights takes longer than multiplying by them, *launches* that the {result}`D-X9.assumed_launches:.0f` µs of launching are more than all of this
# together: at 512 units and few sequences the chip is idle most of the time, and only fewer launches help, or more sequences. What the table
# leaves out is how often a product reads its operands from the L2 cache again, which costs most in the middle.
#
# At the paper's own setting the bound is {result}`D-X9.assumed_paper_rate:.2f` million bytes a second, against the
# 12,500 that the paper had of four cards in 2017.
#
# ## Where fusion pays, and where not
#
# Batch norm and its activation do next to no arithmetic. They read and write. Written as a library of operations
# does it, each of statistics, normalising and activation reads and writes the whole map, forward, and again
# backward: {result}`D-X9.bytes_op_by_op` bytes for each number in bfloat16. Fused in two passes, one for the statistics and one for all
# the rest, it is {result}`D-X9.bytes_two_passes`; if the second pass still finds the map in the cache,
# {result}`D-X9.bytes_one_read`. That is what there is to be gained, and it is worth what the norm's part of a step is worth:

# %% tags=["hide-input"]
EFFICIENCY = 0.45  # assumed, of the convolutions
gans = {
    "64 px, the paper's": ("lsun64", 128),
    "32 px, ImageNet": ("imagenet32", 128),
    "32 px, SVHN": ("svhn32", 64),
}
gan_bounds = {
    name: dcgan_bounds.gan_bound(H200, *net, 128) for name, net in gans.items()
}


def milliseconds(seconds):
    return f"{1e3 * seconds:.2f}"


pd.DataFrame(
    {
        name: {
            "convolutions, at the full rate": milliseconds(bound.products),
            f"at {EFFICIENCY:.0%} of it": milliseconds(bound.products / EFFICIENCY),
            **{
                f"norms, {way}": milliseconds(seconds)
                for way, seconds in bound.norms.items()
            },
            "Adam": milliseconds(bound.adam),
            "norms' share, op by op": f"{bound.share_of_norm('op by op', EFFICIENCY):.0%}",
            "norms' share, two passes": f"{bound.share_of_norm('two passes', EFFICIENCY):.0%}",
        }
        for name, bound in gan_bounds.items()
    }
)

# %% [markdown]
# Milliseconds of a D and a G update on 128 images, again computed from the assumed rates, with convolutions at the
# full rate or, as more likely, somewhat below half of it. At the paper's width the norms are {result}`D-X9.assumed_norm_share:.0%` of a step that has them
# fused in two passes. All that fusion can save there, from operation by operation to a single reading, is
# {result}`D-X9.assumed_norm_saved:.0%` of the step; the narrow nets can save {result}`D-X9.assumed_norm_saved_narrow:.0%`. **At the paper's width a
# DCGAN is bound by its convolutions, and a leaner batch norm is not worth much.** What the library's kernel is for is
# something else: real and fake images go through the discriminator as *one* batch, each half with its own statistics as in
# the authors' code. That gives the convolutions a batch twice as large, and it saves
# launches.
#
# ## Batch norm on this machine
#
# How far does the count of bytes carry? Forward and backward of batch norm with LeakyReLU, on the maps of this page's DCGAN,
# in three ways: op by op through autograd; PyTorch's own batch norm, then its activation; and the
# library's, which on a CPU runs PyTorch's kernel for each group. A norm of two groups (real, fake) has
# twice the images.

# %%
timed = {
    norm: norms.measure(
        batch,
        *norm,
        torch.float32,
        "cpu",
        norms.contenders(),
        most_sets=3,
        rounds=rounds,
        sample_seconds=0.05,
        clock=clock_for(1),
    )
    for norm in dcgan_bounds.norms(shape, width)
}

# %% tags=["hide-input"]
table, gains, rates = {}, [], []
for (channels, side, groups), ways in timed.items():
    moved = norms.bytes_moved(batch, channels, side, groups, roofline.FLOAT)
    gains.append(ways["ours"].times_faster_than(ways["reference"]))
    rates.append(moved / ways["ours"].median)
    name = f"{groups * batch} x {side} x {side} x {channels}"
    table[f"{name}, {groups} group{'s' * (groups > 1)}"] = {
        "op by op, ms": f"{1e3 * ways['reference'].median:.2f}",
        "PyTorch's, ms": f"{1e3 * ways['PyTorch'].median:.2f}",
        "ours, ms": f"{1e3 * ways['ours'].median:.2f}",
        "op by op / ours": f"{gains[-1]:.1f}",
        "ours, GB/s": f"{rates[-1] / 1e9:.1f}",
    }
pd.DataFrame.from_dict(table, orient="index")

# %% tags=["remove-input", "remove-output"]
narrow, paper = gan_bounds["32 px, ImageNet"], gan_bounds["64 px, the paper's"]


def saved(bound):
    """What one reading in place of op by op takes off a step."""
    rest = bound.products / EFFICIENCY + bound.adam
    return 1 - (rest + bound.norms["one read"]) / (rest + bound.norms["op by op"])


record("D-X9", "norm_times", statistics.median(gains), n=rounds)
record("D-X9", "norm_gb", statistics.median(rates) / 1e9, n=rounds)
for way, each in dcgan_bounds.NORM_BYTES.items():
    record("D-X9", f"bytes_{way.replace(' ', '_')}", each, unit="bytes")
record("D-X9", "assumed_tflops", H200.matmul_flops / 1e12)
record("D-X9", "assumed_tb", H200.memory_bandwidth / 1e12)
record("D-X9", "assumed_cache_mb", H200.cache_bytes / 1e6)
record("D-X9", "assumed_ridge", H200.ridge)
record("D-X9", "assumed_launches", 1e6 * bounds[512, 64].launches)
record("D-X9", "assumed_paper_rate", 128 / bounds[4096, 128].seconds / 1e6)
record(
    "D-X9",
    "assumed_norm_share",
    paper.share_of_norm("two passes", EFFICIENCY),
    unit="fraction",
)
record("D-X9", "assumed_norm_saved", saved(paper), unit="fraction")
record("D-X9", "assumed_norm_saved_narrow", saved(narrow), unit="fraction")

# %% [markdown]
# Against operation by operation the fused kernel is {result}`D-X9.norm_times:.1f` times as fast (median of the layers).
# The bytes counted above would make it {result}`D-X9.bytes_op_by_op` to {result}`D-X9.bytes_two_passes`. What goes beyond that
# must come from elsewhere: autograd keeps and reads more than a hand-written backward pass, and general
# reductions need not run as fast as a copy. The fused kernel, PyTorch's own here, moves its bytes at
# {result}`D-X9.norm_gb:.1f` GB/s, each counted once, where a copy has {result}`D-X9.copy_gb:.1f`.
#
# ```{result-table} This machine, one core, and the assumed one. A column for an H200 appears when a run there has been recorded.
# :name: tab-roofline
# :profiles: current cpu h200
# D-X9.product_gflops | Matrix product, GFLOP/s | .0f
# D-X9.copy_gb | Copy from memory, GB/s | .1f
# D-X9.ridge | Operations a byte at the ridge | .1f
# D-X9.mlstm_small | mLSTM, smallest batch, share of the product's rate | .0%
# D-X9.mlstm_large | mLSTM, largest batch, share | .0%
# D-X9.convolutions | Convolutions together, share | .0%
# D-X9.norm_times | Batch norm, fused against op by op, times | .1f
# D-X9.assumed_ridge | Ridge of an H200, from assumed rates | .0f
# ```
#
# ## What this run can and cannot say
#
# - A bound says what cannot be beaten, not what can be had. Between the two lie launches, reading again from caches, and tiles that
#   do not fill the chip; on a CPU the distance is measured above, on a GPU it is not yet.
# - The bytes are counted, not measured: each tensor once. A cache can make it fewer, a bad order of loops more.
# - One core has the memory of the whole machine to itself when it is alone, and it is not alone here. Two copies at
#   once would not each run at the same speed.
#
# **Try this.** `radford run machine_room/roofline -p hidden 128` keeps the weights in the nearest cache: do small
# batches rise? `-p shape imagenet32 -p width 32` has 3x3 kernels and norms at 32 pixels. `-p window 64` shares
# Adam out over more bytes.
#
# ```{exercise}
# :label: ex-ridge
# In bfloat16 a weight has two bytes. From which batch on are the products of an mLSTM step the limit on a machine
# whose ridge is at $r$ operations a byte, if nothing but weights is moved? And in 32-bit numbers?
# ```
#
# ```{solution} ex-ridge
# :class: dropdown
# A weight takes part in one multiply-add, two operations, for each sequence: $2B$ operations for 2 bytes, so
# $B = r$. With four bytes, $B = 2r$.
# ```
