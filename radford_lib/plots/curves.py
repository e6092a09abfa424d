"""Curves, bars and histograms, each line named where it ends or above the axes."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from radford_lib.errors import RadfordError
from radford_lib.plots.style import (
    CHARACTER,
    GREY,
    LINE,
    NEGATIVE,
    PALETTE,
    POSITIVE,
    WIDTH,
    new_figure,
    styled,
)

_WINDOWS = 50  # a smoothed curve averages over this part of its length

T = TypeVar("T")


def loss_curves(
    x: ArrayLike,
    losses: Mapping[str, ArrayLike],
    *,
    xlabel: str = "updates",
    ylabel: str = "loss (nats)",
) -> Figure:
    """``loss_curve`` for losses of one run, against a common x.

    x: (N,); losses: {name: (N,)}, discriminator and generator for instance.
    """
    return loss_curve({n: (x, y) for n, y in losses.items()}, xlabel=xlabel, ylabel=ylabel)


@styled
def loss_curve(
    losses: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    xlabel: str = "updates",
    ylabel: str = "loss (nats)",
) -> Figure:
    """Losses, each against its own x, smoothed where they are long, raw values behind.

    losses: {name: (x, y)}, training loss and a rarer validation loss for instance.
    The smoothed curve is a centred running mean over a fiftieth of the values.
    """
    figure, axes = new_figure(3.2)
    ends = []
    for color, (name, pair) in _coloured(losses):
        x, y = _curve(name, *pair)
        smooth = _running_mean(y, len(y) // _WINDOWS)
        if smooth is not y:
            axes.plot(x, y, color=color, alpha=0.3, linewidth=0.7)
        axes.plot(x, smooth, color=color, marker="o" if len(y) == 1 else "")
        ends.append((smooth[-1], name, color))
    _frame_smooth(axes, losses)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _name_ends(axes, figure.get_figheight(), ends)
    return figure


@styled
def learning_curve(
    x: ArrayLike,
    series: Mapping[str, ArrayLike],
    *,
    spread: Mapping[str, ArrayLike] | None = None,
    floor: tuple[str, float] | None = None,
    xlabel: str = "epochs",
    ylabel: str = "",
    log_x: bool = False,
) -> Figure:
    """A few measurements along training, with error bars and the best value there could be.

    x: (N,); series: {name: (N,)}; spread: {name: (N,)} half lengths of error bars;
    floor: (name, value), drawn as a dashed line.
    """
    figure, axes = new_figure(3.2)
    ends = []
    for color, (name, values) in _coloured(series):
        at, y = _curve(name, x, values)
        error = None if spread is None or name not in spread else np.asarray(spread[name])
        axes.errorbar(at, y, error, color=color, marker="o", markersize=4, elinewidth=1)
        ends.append((y[-1], name, color))
    if floor is not None:
        axes.axhline(floor[1], color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        ends.append((floor[1], floor[0], GREY))
    if log_x:
        axes.set_xscale("log")
    elif np.issubdtype(np.asarray(x).dtype, np.integer):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _name_ends(axes, figure.get_figheight(), ends)
    return figure


@styled
def label_efficiency(
    sizes: ArrayLike,
    series: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    references: Mapping[str, float] | None = None,
    *,
    xlabel: str = "labelled examples of each class",
    ylabel: str = "test accuracy",
) -> Figure:
    """Accuracy against the number of labels, with a band over draws (sentiment neuron, figure 2).

    sizes: (N,); series: {name: (mean, low, high)}, (N,) each, fractions; references: {name: value},
    results with all labels, drawn as dashed lines.
    """
    figure, axes = new_figure(3.6)
    ends = []
    for color, (name, band) in _coloured(series):
        at, mean = _curve(name, sizes, band[0])
        axes.fill_between(
            at, np.asarray(band[1]), np.asarray(band[2]), color=color, alpha=0.2, lw=0
        )
        axes.plot(at, mean, color=color, marker="o", markersize=4)
        ends.append((mean[-1], name, color))
    for name, value in (references or {}).items():
        axes.axhline(value, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        ends.append((value, name, GREY))
    axes.set_xscale("log")
    ticks = np.asarray(sizes)
    if len(ticks) <= 8:
        axes.set_xticks(ticks, [f"{size:,g}" for size in ticks])
        axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _name_ends(axes, figure.get_figheight(), ends)
    return figure


@styled
def accuracy_bars(
    results: Mapping[str, tuple[float, float]],
    references: Mapping[str, float] | None = None,
    *,
    xlabel: str = "test accuracy",
) -> Figure:
    """One bar for each result, from the top, with its value; references as dashed lines.

    results: {name: (accuracy, half length of its error bar)}, fractions; references:
    {name: accuracy}, named above the bars: chance, the paper's number.
    """
    if not results:
        raise RadfordError("accuracy_bars needs at least one result")
    references = references or {}
    values, spreads = np.array(list(results.values()), dtype=float).T
    right = 1.1 * max(*(values + np.nan_to_num(spreads)), *references.values(), 0.1)
    names = list(results)
    room = WIDTH - max(map(len, names)) * CHARACTER - 0.4  # inches of the axes
    levels = _levels(references, room / right)
    height = 0.75 + 0.3 * len(names) + LINE * (max(levels.values(), default=-1) + 1)
    figure, axes = new_figure(height)
    places = np.arange(len(names))
    axes.barh(places, values, height=0.62, color=PALETTE[0], alpha=0.85, linewidth=0)
    axes.errorbar(
        values, places, xerr=spreads, fmt="none", ecolor=GREY, elinewidth=1.4, capsize=2.5
    )
    for place, value, spread in zip(places, values, np.nan_to_num(spreads), strict=True):
        axes.annotate(
            f"{value:.1%}", (value + spread, place), (5, 0), textcoords="offset points", va="center"
        )
    for name, value in references.items():
        axes.axvline(value, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"{name} {value:.1%}",
            (value, 1),
            (0, 3 + 72 * LINE * levels[name]),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if value * room / right > room * 0.7 else "left",
        )
    axes.set(xlim=(0, right), ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= min(right, 1)])
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@styled
def distance_histogram(
    distances: Mapping[str, ArrayLike],
    *,
    xlabel: str = "distance to the nearest training image",
    ylabel: str = "share of images",
) -> Figure:
    """Histograms of several sets of distances in the same bins, medians as ticks below.

    distances: {name: (N,)}; each set's bars add up to one.
    """
    sets = {name: np.asarray(values, float).ravel() for name, values in distances.items()}
    for name, values in sets.items():
        _check_finite(name, values)
    bins = _bins(np.concatenate(list(sets.values())))
    figure, axes = new_figure(3.0)
    for color, (name, values) in _coloured(sets):
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, bins, weights=share, color=color, alpha=0.3, histtype="stepfilled")
        axes.hist(values, bins, weights=share, color=color, histtype="step", label=name, lw=1.4)
        middle = float(np.median(values))
        axes.plot(middle, 0, marker="^", color=color, markersize=7, clip_on=False, zorder=5)
    axes.set(xlabel=f"{xlabel} (▲ median)", ylabel=ylabel)
    _legend_above(axes)
    return figure


@styled
def weight_spikes(
    weights: np.ndarray, highlight: int | None = None, *, ylabel: str = "weight"
) -> Figure:
    """The weight of each unit in a sparse probe, with the one that sticks out named.

    weights: (H,); ``highlight``: a unit, by default the one of largest absolute weight.
    """
    weights = np.asarray(weights, float)
    if weights.ndim != 1 or len(weights) == 0:
        raise RadfordError(f"weights must be (units,), not of shape {weights.shape}")
    _check_finite("weights", weights)
    unit = int(np.abs(weights).argmax()) if highlight is None else highlight
    if not 0 <= unit < len(weights):
        raise RadfordError(f"unit {unit} is not one of 0 .. {len(weights) - 1}")
    figure, axes = new_figure(2.8)
    used = np.flatnonzero(weights)
    axes.add_collection(
        LineCollection([[(u, 0), (u, weights[u])] for u in used], colors=GREY, linewidths=0.9)
    )
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.plot([unit, unit], [0, weights[unit]], color=PALETTE[1], linewidth=2)
    axes.plot(unit, weights[unit], marker="o", color=PALETTE[1], markersize=5)
    to_left = unit > 0.75 * len(weights)
    axes.annotate(
        f"unit {unit}",
        (unit, weights[unit]),
        (-8 if to_left else 8, 0),
        textcoords="offset points",
        color=PALETTE[1],
        va="center",
        ha="right" if to_left else "left",
    )
    axes.margins(y=0.1)
    axes.autoscale_view()
    axes.set(xlim=(-0.01 * len(weights), 1.01 * len(weights)), xlabel="unit", ylabel=ylabel)
    return figure


@styled
def unit_histogram(
    values: ArrayLike,
    labels: ArrayLike,
    threshold: float | None = None,
    *,
    class_names: tuple[str, str] = ("negative", "positive"),
    xlabel: str = "value of the unit",
    ylabel: str = "texts",
) -> Figure:
    """How one unit is distributed for each of two labels, and the threshold between them.

    values: (N,); labels: (N,) in {0, 1}; class_names: of 0 and of 1.
    """
    values, labels = np.asarray(values, float), np.asarray(labels)
    if values.shape != labels.shape or values.ndim != 1 or not np.isin(labels, (0, 1)).all():
        raise RadfordError(
            f"a value and a label, 0 or 1, are needed for each text: {values.shape} values, "
            f"{labels.shape} labels"
        )
    _check_finite("values", values)
    bins = _bins(values)
    figure, axes = new_figure(3.0)
    for label, color in enumerate((NEGATIVE, POSITIVE)):
        mine = values[labels == label]
        axes.hist(mine, bins, color=color, alpha=0.35, histtype="stepfilled")
        axes.hist(mine, bins, color=color, histtype="step", label=class_names[label], lw=1.4)
    if threshold is not None:
        axes.axvline(threshold, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"threshold {threshold:.2f}",
            (threshold, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
        )
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _legend_above(axes, lines=1 if threshold is not None else 0)
    return figure


def _coloured(series: Mapping[str, T]) -> list[tuple[str, tuple[str, T]]]:
    """(colour, (name, value)) of each series; ``RadfordError`` for more than can be told apart."""
    if not 1 <= len(series) <= len(PALETTE):
        raise RadfordError(f"a figure holds 1 to {len(PALETTE)} series, not {len(series)}")
    return list(zip(PALETTE, series.items(), strict=False))


def _curve(name: str, x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as float arrays (N,), N >= 1."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if xs.ndim != 1 or xs.shape != ys.shape or len(xs) == 0:
        raise RadfordError(f"{name!r} needs as many y as x: {ys.shape} and {xs.shape}")
    return xs, ys


def _check_finite(name: str, values: np.ndarray) -> None:
    if len(values) == 0 or not np.isfinite(values).all():
        raise RadfordError(f"{name!r} must hold numbers, none of them NaN or infinite")


def _running_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Centred mean of ``window`` values, of those there are at the edges; ``y`` itself for < 3."""
    if window < 3:
        return y
    kernel = np.ones(window)
    return np.convolve(y, kernel, "same") / np.convolve(np.ones(len(y)), kernel, "same")


def _frame_smooth(axes: Axes, losses: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """Leave the rarest raw spikes out of the frame, so that the curves fill it."""
    values = np.concatenate([np.asarray(y, float) for _, y in losses.values()])
    values = values[np.isfinite(values)]
    if len(values) > 200:
        low, high = np.quantile(values, [0.002, 0.998])
        margin = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)


def _name_ends(axes: Axes, height: float, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write (y, name, colour) where each line ends, moved apart where need be.

    height: of the figure, inches.
    """
    step = LINE / (height - 0.7)  # of the axes, whose own height is about that
    to_axes = axes.transScale + axes.transLimits
    axes.margins(x=0.02)
    axes.autoscale_view(scaley=False)
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # final from here on
    at = np.array([to_axes.transform((axes.get_xlim()[1], y))[1] for y, _, _ in ends])
    at = np.clip(at, 0, 1)
    order = np.argsort(at, kind="stable")
    placed = _spread(at[order], step)
    for place, index in zip(placed, order, strict=True):
        _, name, color = ends[index]
        axes.annotate(
            name,
            (1, place),
            (4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=color,
            va="center",
        )


def _spread(places: np.ndarray, step: float) -> np.ndarray:
    """Ascending places moved as little as need be to stand ``step`` apart (least squares)."""
    shifted = places - step * np.arange(len(places))
    blocks: list[list[float]] = []  # [mean, count]: pool adjacent violators
    for value in shifted:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, count = blocks.pop()
            total = blocks[-1][1] + count
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * count) / total, total]
    return np.concatenate([np.full(int(n), m) for m, n in blocks]) + step * np.arange(len(places))


def _levels(references: Mapping[str, float], inches: float) -> dict[str, int]:
    """The line above the bars on which each reference's name has room; ``inches`` for one unit."""
    levels: dict[str, int] = {}
    taken: list[float] = []  # where the text of each line ends, in inches
    for name, value in sorted(references.items(), key=lambda item: -item[1]):
        start, width = value * inches, (len(name) + 6) * CHARACTER
        left, right = (start - width, start) if start > 0.7 * WIDTH else (start, start + width)
        level = next((i for i, edge in enumerate(taken) if right < edge), len(taken))
        taken[level : level + 1] = [left]
        levels[name] = level
    return levels


def _bins(values: np.ndarray) -> list[float]:
    """Edges of 15 to 60 equal bins, as many as the values can bear."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, int(np.clip(2 * np.sqrt(len(values)), 15, 60)) + 1).tolist()


def _legend_above(axes: Axes, lines: int = 0) -> None:
    """The legend above the axes, ``lines`` of text higher, off the data."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1 + lines * LINE / 2.2),
        borderaxespad=0.2,
        ncols=3,
        handlelength=1.4,
        columnspacing=1.5,
        labelcolor="linecolor",
    )
