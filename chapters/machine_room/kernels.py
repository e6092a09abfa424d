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
# (ch-kernels)=
# # One training step, five times over
#
# The sentiment neuron took a month on four graphics cards {cite:p}`radford2017sentiment`. Not because
# its arithmetic is long: because a recurrent network is a chain of small products, each of which
# waits for the one before it, and whatever is done between two products is done many millions of
# times. How close to the speed of the bare products can a training step come, and what brings it
# there?
#
# **What came out in this run.** One step of an mLSTM with {result}`S-X3.hidden` units, on
# {result}`S-X3.batch` sequences of {result}`S-X3.window` bytes, on one processor core. Written as public
# reproductions are, it reaches {result}`S-X3.share_published:.0%` of the rate at which the same core
# multiplies two large matrices. At the end of the ladder it reaches {result}`S-X3.share_best:.0%`, which is
# {result}`S-X3.times_published:.1f` times as fast. `nn.LSTM`, the library routine for a simpler
# network, reaches {result}`S-X3.share_lstm:.0%`, operations for operations. The rungs compute the same
# numbers: the largest relative error of any output or gradient in 32-bit arithmetic is
# {result}`S-X3.largest_error:.1e`.
#
# **What the paper gives.** A single number, 12,500 bytes a second on four Pascal Titan X, and no
# code for training. No fused kernel for the multiplicative LSTM was public, as far as we know, when
# this was written.

# %% tags=["parameters"]
seed: int = 0
hidden: int = 512  # units; the paper: 4096
batch: int = 64  # sequences side by side; the paper: 128
window: int = 64  # bytes between updates; the paper: 256
threads: int = 1  # with one, time is the processor's, not the clock's
rounds: int = 3  # in which every rung has a turn
compile_triton: bool = True  # two of the GPU kernels, for Hopper; about ten seconds

# %% tags=["hide-input"]
import inspect

import pandas as pd
import torch

from radford_lib import plots
from radford_lib.book import record
from radford_lib.errors import RadfordError
from radford_lib.kernels import sequence_cpu
from radford_lib.kernels.cpu import choose_level
from radford_lib.machine_room.accuracy import float64_errors
from radford_lib.machine_room.ladder import RUNGS, cpu_table
from radford_lib.machine_room.resources import hopper_resources
from radford_lib.machine_room.timing import clock_for

plots.use_style()
_ = torch.manual_seed(seed)

# %% [markdown]
# ## Forward
#
# The multiplicative LSTM reads $B$ sequences side by side, a byte $x_t$ of each at every step. With one row
# for each sequence, so that $h$ and $c$ are $B \times H$,
#
# $$\begin{aligned}
# a_t &= h_{t-1} W_{mh} \\
# m_t &= T_{mx}[x_t] \odot a_t
# \end{aligned}$$ (eq-forward-m)
#
# $$\begin{aligned}
# z_t &= T_{zx}[x_t] + m_t W_{zm} \\
# i, f, o &= \sigma(z^i, z^f, z^o), \quad u = \tanh z^u
# \end{aligned}$$ (eq-forward-z)
#
# $$\begin{aligned}
# c_t &= f \odot c_{t-1} + i \odot u \\
# h_t &= o \odot \tanh c_t
# \end{aligned}$$ (eq-forward-c)
#
# where $W_{mh}$ is $H \times H$, $W_{zm}$ is $H \times 4H$ and $z_t$ is $B \times 4H$. The paper writes the input as a
# product too, $m_t = (x_t W_{mx}) \odot (h_{t-1} W_{mh})$, with $x_t$ the embedding of the byte. But a byte has only 256
# values. So all that it can ever contribute is a row of a table, $T_{mx} = E\,W_{mx}$ with 256 rows and $H$ columns,
# $T_{zx} = E\,W_{zx} + b$ with $4H$: two products of 256 rows for each update take the place of two products of
# $B\,T$ rows, and reading a row the place of multiplying. Nothing is approximated.
#
# ## Backward, by hand
#
# Write $\bar v$ for the derivative of the loss by $v$; it has the shape of $v$. Two of them travel from each
# step to the one before it. $\bar h_t$ is what the output layer says about $h_t$ plus what step $t+1$ handed on, and
# $\bar c_t$ begins as what step $t+1$ handed on. Then, from {eq}`eq-forward-c` and the derivatives $\sigma' = \sigma(1-\sigma)$ and
# $\tanh' = 1 - \tanh^2$,
#
# $$\bar c_t \mathrel{+}= \bar h_t \odot o \odot (1 - \tanh^2 c_t)$$ (eq-back-c)
#
# $$\begin{aligned}
# \bar z^i &= \bar c_t \odot u \odot i(1-i) \\
# \bar z^f &= \bar c_t \odot c_{t-1} \odot f(1-f) \\
# \bar z^o &= \bar h_t \odot \tanh c_t \odot o(1-o) \\
# \bar z^u &= \bar c_t \odot i \odot (1-u^2)
# \end{aligned}$$ (eq-back-z)
#
# Through the two products, with a transposed matrix each,
#
# $$\begin{aligned}
# \bar m_t &= \bar z_t W_{zm}^\top \\
# \bar a_t &= T_{mx}[x_t] \odot \bar m_t
# \end{aligned}$$ (eq-back-m)
#
# $$\begin{aligned}
# \bar h_{t-1} &\leftarrow \bar a_t W_{mh}^\top \\
# \bar c_{t-1} &\leftarrow \bar c_t \odot f
# \end{aligned}$$ (eq-back-h)
#
# and that is all that the step before has to wait for: $\bar z_t$ is $B \times 4H$, the rest $B \times H$. What has to be kept
# from the forward pass are $h$, $a$, $m$, $c$ and the four gates; $\tanh c$ may be kept or made again.
#
# What the parameters get is on nobody's way:
#
# $$\begin{aligned}
# \bar W_{zm} &= \sum_t m_t^\top \bar z_t = M^\top \bar Z \\
# \bar W_{mh} &= \sum_t h_{t-1}^\top \bar a_t = H_{-}^\top \bar A
# \end{aligned}$$ (eq-back-w)
#
# $$\begin{aligned}
# \bar T_{zx}[b] &= \sum_{t:\,x_t = b} \bar z_t \\
# \bar T_{mx}[b] &= \sum_{t:\,x_t = b} \bar m_t \odot a_t
# \end{aligned}$$ (eq-back-t)

# %% mystnb={"figure": {"caption": "One step: forward to the right, the derivatives to the left. Only the upper two rows form a chain over the bytes of a window. The weights' gradients (below) need what the chain leaves behind, but nothing in the chain needs them, so they can wait until the window's end.", "name": "fig-step-flow"}, "image": {"alt": "Data flow of an mLSTM step: boxes from the last state through two products to the next state, the same boxes backwards for the derivatives, and below them the two sums that give the weights' gradients once a window.", "classes": "dark-light"}} tags=["hide-input"]
plots.mlstm_step_flow()

# %% [markdown]
# In {eq}`eq-back-w` a sum of $T$ products with $B$ rows each is *one* product with $T B$ rows: stack all $m_t$ into $M$,
# all $\bar z_t$ into $\bar Z$, all $h_{t-1}$ into $H_{-}$ and all $\bar a_t$ into $\bar A$. The operations are the same. The difference is in what is not done: to add into a
# gradient of $5H^2$ numbers at every step means to read and write it at every step. At the paper's size
# that is 84 million numbers, three times over, for each position in the window: by the arithmetic of the next
# chapter that alone would take a large GPU as long as all the rest of the step. An automatic differentiator has no choice there, since it sees one step after
# another.
#
# Weight norm is the last thing that needs doing once only. The paper scales each column of the
# matrices to a learned length, $W = g\, V / \lVert V \rVert$. Its value changes when $V$ and $g$ change, at an update and
# not at a byte, and so does its gradient: with $\bar W$ summed over the window, for each column
#
# $$\begin{aligned}
# \bar g &= \frac{\langle \bar W, V \rangle}{\lVert V \rVert} \\
# \bar V &= \frac{g}{\lVert V \rVert}\Big(\bar W - \frac{\bar g}{\lVert V \rVert}\, V\Big)
# \end{aligned}$$ (eq-norm)
#
# In code, {eq}`eq-back-c` and {eq}`eq-back-z` are these lines of the library, which need no compiler. `out=` and the
# in-place operations see to it that a step makes no new memory; `v` and `w` are scratch.

# %% tags=["hide-input"]
lines = inspect.getsource(sequence_cpu._gates_backward)
print(inspect.cleandoc(lines.rpartition('"""')[2]))

# %% [markdown]
# ## The ladder
#
# Each rung adds one idea to the one above it.
#
# | rung | what it adds |
# | --- | --- |
# | as published | a linear layer for every product, one byte after another, weights normed at every byte, gradients by autograd |
# | norm once | weights normed once a window |
# | byte tables | input products as 256-row tables, {eq}`eq-forward-m` and {eq}`eq-forward-z`; this is the library's `reference`, which defines what is right |
# | one node | the whole window as one `autograd.Function`: the backward pass above, weights' gradients at the end |
# | compiled | the same loop in C++: persistent threads, weights laid out once a window, gates computed where the product ends |
#
# What counts as work is $3\,(10 H^2 + 512 H)$ operations for each byte, whatever a rung computes besides, and a
# *step* is all of training on a window: forward, backward, output layer, Adam. The ceiling is
# PyTorch's own product of two square matrices. All take turns, several rounds of it; shares are taken
# within a round, and times are processor time, so that other work on the machine disturbs them little.

# %%
LABELS = dict(
    zip(
        RUNGS,
        ("as published", "norm once", "byte tables", "one node", "compiled"),
        strict=True,
    )
)
rows = cpu_table(
    hidden,
    batch,
    window,
    threads,
    only=(*RUNGS, "nn.LSTM"),
    rounds=rounds,
    wait_seconds=0,
    clock=clock_for(threads),
)
by_name = {row["candidate"]: row for row in rows}
ladder = {LABELS[name]: by_name[name] for name in RUNGS if name in by_name}
least = (
    by_name["naive"]["ms"] * by_name["naive"]["gflops"] / rows[0]["ceiling_gflops"]
)

# %% mystnb={"figure": {"caption": "What each idea is worth, against the rung above it. Norming once: {result}`S-X3.change_norm:+.0%` time. Byte tables: {result}`S-X3.change_tables:+.0%`. One node with deferred weight gradients: {result}`S-X3.change_node:+.0%`. Hatched is what a rung takes off (green) or adds (orange). The dashed line is the step's arithmetic at the rate of a large matrix product.", "name": "fig-waterfall"}, "image": {"alt": "Bars of milliseconds for a training step, one for each rung of the ladder from the published way to the compiled loop, each with the part that it takes off the one above; a dashed line marks the time of the bare matrix products.", "classes": "dark-light"}} tags=["hide-input"]
plots.waterfall(
    {name: row["ms"] for name, row in ladder.items()}, ("bare products", least)
)

# %% tags=["remove-input", "remove-output"]
share = {name: row["share_of_ceiling"] for name, row in ladder.items()}
milliseconds = {name: row["ms"] for name, row in ladder.items()}
best = list(ladder)[-1]
for metric, value in {"hidden": hidden, "batch": batch, "window": window}.items():
    record("S-X3", metric, value)
for metric, value in {
    "share_published": share["as published"],
    "share_norm_once": share["norm once"],
    "share_tables": share["byte tables"],
    "share_node": share["one node"],
    "share_best": share[best],
    "share_lstm": by_name["nn.LSTM"]["share_of_ceiling"],
    "change_norm": milliseconds["norm once"] / milliseconds["as published"] - 1,
    "change_tables": milliseconds["byte tables"] / milliseconds["norm once"] - 1,
    "change_node": milliseconds["one node"] / milliseconds["byte tables"] - 1,
}.items():
    record("S-X3", metric, value, n=rounds, unit="fraction")
record("S-X3", "best", best)
record(
    "S-X3",
    "times_published",
    milliseconds["as published"] / milliseconds[best],
    n=rounds,
)
record("S-X3", "times_naive", ladder[best]["times_naive"], n=rounds)
record("S-X3", "ceiling_gflops", rows[0]["ceiling_gflops"], n=rounds)
record("S-X3", "bytes_per_second", ladder[best]["bytes_per_second"], n=rounds)

# %% mystnb={"figure": {"caption": "The same as shares of the rate of a large product, {result}`S-X3.ceiling_gflops:.0f` GFLOP/s on this core. `nn.LSTM` has four fifths of the recurrent work and is credited with its own.", "name": "fig-shares"}, "image": {"alt": "Bars of the share of the matrix product's rate that each rung reaches, and nn.LSTM for comparison.", "classes": "dark-light"}} tags=["hide-input"]
plots.accuracy_bars(
    {
        name: (row["share_of_ceiling"], float("nan"))
        for name, row in (*ladder.items(), ("nn.LSTM", by_name["nn.LSTM"]))
    },
    xlabel="share of the matrix product's rate",
)

# %% [markdown]
# What to read off these two figures:
#
# - **Norming once** ({result}`S-X3.change_norm:+.0%`) changes nothing but where a line of code stands.
# - **Byte tables alone** ({result}`S-X3.change_tables:+.0%`): they take the embedding's products away,
#   and autograd takes some of the gain back, because to it the gradient of reading a row is
#   a whole table, zero but for the rows read, made and added at every byte. The idea
#   pays in full once the backward pass is written by hand and sums the rows at the end, {eq}`eq-back-t`.
# - **One node** ({result}`S-X3.change_node:+.0%`) needs no compiler and no new arithmetic, only that someone writes out the derivatives.
# - **Compiled** does what PyTorch's operations cannot be told: keep a product's result in
#   registers while the gates are computed from it, and keep the weights in the order in which
#   the next step will read them.
#
# Against the naive cell with weights normed once, a kinder comparison, the last rung here
# ("{result}`S-X3.best`") is {result}`S-X3.times_naive:.2f` times as fast.
#
# ## Do all rungs compute the same?
#
# Speed is easy where the result may be wrong. The definition is the reference in 64-bit arithmetic. Each
# way is run on the same inputs in 32 bits, at sizes that no tile divides, with a state carried in and
# sequences that end at different steps (one at once, one not at all), and every output and
# gradient is compared: root mean square of the error over that of the value. What rounding to 32 bits must cost is of the
# order of $10^{-7}$.

# %%
ways = {"byte tables": "reference", "one node": "cpu:torch"}
if choose_level()[0] == "native":
    ways["compiled"] = "cpu:native"
errors = float64_errors(list(ways.values()), seed=seed)

# %% tags=["hide-input"]
pd.DataFrame(
    {
        name: {quantity: f"{ratio:.1e}" for quantity, ratio in errors[way].items()}
        for name, way in ways.items()
    }
)

# %% tags=["remove-input", "remove-output"]
record(
    "S-X3",
    "largest_error",
    max(ratio for by_quantity in errors.values() for ratio in by_quantity.values()),
    seed=seed,
)

# %% [markdown]
# Here `d name` is the gradient of an input. The tests of the library do the same over many shapes.
#
# ## On a GPU
#
# The same ladder has a rung more there. On a large GPU the naive cell is slow for another
# reason: each of its fifty little operations a byte must be launched by the processor, which
# takes longer than running it. The library's Triton kernels make a step of two launches forward and two
# backward, the products {eq}`eq-forward-m`, {eq}`eq-forward-z`, {eq}`eq-back-m` and {eq}`eq-back-h`, each with all that is
# element by element computed in its epilogue; a whole window of them is recorded as one CUDA graph.
#
# This page times no GPU, not even where there is one. What can be said without one is what a compiler says: whether a kernel fits the chip. A multiprocessor of a Hopper GPU has 65,536
# registers, 255 at most for a thread, and 227 KB of shared memory for a program; what does not fit in
# registers spills to memory, and a kernel on a step's critical path must not.

# %%
compiled, obstacle = [], "not asked for: compile_triton is false"
if compile_triton:
    try:
        compiled = hopper_resources(4096, 128, ("gates", "gates_back"))
    except RadfordError as error:
        obstacle = str(error)
print(f"compiled for Hopper: {len(compiled)} kernels" if compiled else obstacle)

# %% tags=["remove-input", "remove-output"]
for row in compiled:
    record("S-X3", f"{row['kernel']}_tile", row["tile"])
    record("S-X3", f"{row['kernel']}_registers", row["registers"])
    record("S-X3", f"{row['kernel']}_spilled", row["spill_bytes"], unit="bytes")
    record("S-X3", f"{row['kernel']}_shared_kb", row["shared_bytes"] / 1024)

# %% [markdown]
# ```{result-table} Two of the four kernels of a step, compiled for Hopper at the paper's size (4096 units, 128 sequences, bfloat16). Facts of compilation, not times.
# :name: tab-hopper
# S-X3.gates_tile | Forward, product and gates: tile (rows, units, depth)
# S-X3.gates_registers | registers a thread | d
# S-X3.gates_spilled | bytes spilled | d
# S-X3.gates_shared_kb | shared memory, KB | .0f
# S-X3.gates_back_tile | Backward, product and gates: tile
# S-X3.gates_back_registers | registers a thread | d
# S-X3.gates_back_spilled | bytes spilled | d
# S-X3.gates_back_shared_kb | shared memory, KB | .0f
# ```
#
# The ladder once more in numbers. A column for a GPU machine appears when a run there has been recorded.
#
# ```{result-table} Shares of the matrix product's rate, on one core.
# :name: tab-ladder
# :profiles: current cpu h200
# S-X3.share_published | As published | .0%
# S-X3.share_norm_once | Weights normed once | .0%
# S-X3.share_tables | Byte tables | .0%
# S-X3.share_node | One node | .0%
# S-X3.share_best | The last rung | .0%
# S-X3.share_lstm | nn.LSTM, its own operations | .0%
# S-X3.bytes_per_second | Bytes a second, the last rung | ,.0f
# ```
#
# ## What this run can and cannot say
#
# - The shares are of one core, where products of {result}`S-X3.batch` rows are still fairly efficient. With fewer
#   sequences all rungs fall, as {ref}`the next chapter <ch-roofline>` shows.
# - The ceiling is measured, not read off a data sheet, and is disturbed as everything else is: a
#   few percent between two runs are noise.
# - The Triton kernels are tested against the same reference, interpreted on a CPU, and compiled for Hopper. That
#   they are right there is tested; how fast they are is unknown until they have run.
#
# **Try this.** `radford run machine_room/kernels -p batch 8` shows what small batches do to each rung; `-p hidden
# 128` what small matrices do. `-p threads 2` adds a core, and then every product must be shared out and
# waited for, twice a step. Cores are rarely equally fast, so in the compiled rung a thread that is done takes units
# from one that is late.
#
# ```{exercise}
# :label: ex-kept
# How many numbers does the backward pass need from the forward pass, for each sequence, step and unit?
# Which of them could be made again from the others without a matrix product?
# ```
#
# ```{solution} ex-kept
# :class: dropdown
# Four gates, $c$, $h$, $a$, and $m$: eight, with $\tanh c$ nine. $\tanh c$ follows from $c$, then $h$ from $o$ and $\tanh c$,
# and $m$ from $a$ and the table. $a$ and the gates need the products; given $c_{t-1}$, $i$, $f$ and $u$, $c_t$ follows too.
# ```
