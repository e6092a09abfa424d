"""Curves, bars and histograms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from radford_lib.errors import RadfordError
from radford_lib.plots.style import GREY, NEGATIVE, PALETTE, POSITIVE, new_figure, styled

Series = tuple[Sequence[float], Sequence[float]]
SMOOTHED_FROM = 60  # points: shorter curves are shown as they are


@styled
def loss_curves(
    curves: Mapping[str, Series], *, xlabel: str = "updates", ylabel: str = "loss"
) -> Figure:
    """Losses against progress; long curves are smoothed, with the raw values pale behind.

    curves: {label: (x, y)}, sequences of equal length, each with its own x.
    """
    figure, axes = new_figure(3.2)
    for colour, (label, (x, y)) in zip(PALETTE, curves.items(), strict=False):
        x_values, y_values = checked(label, x, y)
        if len(y_values) >= SMOOTHED_FROM:
            axes.plot(x_values, y_values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(x_values, smoothed(y_values), color=colour, label=label)
        else:
            axes.plot(x_values, y_values, color=colour, marker="o", markersize=3, label=label)
    finish(axes, xlabel, ylabel)
    return figure


@styled
def learning_curve(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    spread: Mapping[str, Sequence[float]] | None = None,
    floor: tuple[str, float] | None = None,
    xlabel: str,
    ylabel: str,
) -> Figure:
    """A measure against progress, with error bars and a named horizontal line to compare with.

    curves, spread: {label: y}, of the length of ``x``; floor: (label, value).
    """
    figure, axes = new_figure(3.2)
    for colour, (label, y) in zip(PALETTE, curves.items(), strict=False):
        x_values, y_values = checked(label, x, y)
        error = None if spread is None else spread.get(label)
        axes.errorbar(
            x_values,
            y_values,
            error,
            color=colour,
            marker="o",
            markersize=4,
            capsize=2,
            label=label,
        )
    if floor is not None:
        axes.axhline(floor[1], color=GREY, linestyle="--", linewidth=1.2, label=floor[0])
    finish(axes, xlabel, ylabel)
    return figure


@styled
def accuracy_bars(
    accuracies: Mapping[str, tuple[float, float]], references: Mapping[str, float] | None = None
) -> Figure:
    """Horizontal bars of accuracies with their half intervals; references are dashed lines.

    accuracies: {label: (accuracy, half interval)}, fractions; references: {label: accuracy}.
    """
    figure, axes = new_figure(0.6 + 0.42 * len(accuracies))
    rows = np.arange(len(accuracies))[::-1]
    values = np.array([value for value, _ in accuracies.values()])
    errors = np.array([half for _, half in accuracies.values()])
    axes.barh(rows, values, xerr=errors, height=0.62, color=PALETTE[0], ecolor=GREY, capsize=3)
    for row, value, error in zip(rows, values, errors, strict=True):
        axes.text(value + error + 0.012, row, f"{value:.1%}", va="center")
    for label, value in (references or {}).items():
        axes.axvline(value, color=GREY, linestyle="--", linewidth=1.2)
        axes.text(value, len(rows) - 0.45, label, ha="center", va="bottom")
    axes.set_yticks(rows, list(accuracies))
    axes.set_xlim(0, min(1.12, float((values + errors).max()) * 1.15 + 0.05))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("test accuracy")
    return figure


@styled
def label_efficiency(
    sizes: Sequence[int],
    bands: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    reference: Mapping[str, float] | None = None,
) -> Figure:
    """Accuracy against the number of labels, on a logarithmic axis, with bands.

    bands: {label: (mean, low, high)}, fractions of the length of ``sizes``.
    """
    figure, axes = new_figure(3.2)
    for colour, (label, (mean, low, high)) in zip(PALETTE, bands.items(), strict=False):
        axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(sizes, mean, color=colour, marker="o", markersize=4, label=label)
    for label, value in (reference or {}).items():
        axes.axhline(value, color=GREY, linestyle="--", linewidth=1.2, label=label)
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    finish(axes, "labels of each class", "test accuracy")
    return figure


@styled
def distance_histogram(distances: Mapping[str, np.ndarray], *, xlabel: str = "distance") -> Figure:
    """Overlaid histograms of distances, on common bins; {label: (N,)}."""
    figure, axes = new_figure(3.0)
    joined = np.concatenate([np.asarray(values) for values in distances.values()])
    bins = np.linspace(joined.min(), joined.max(), 41).tolist()
    for colour, (label, values) in zip(PALETTE, distances.items(), strict=False):
        axes.hist(values, bins, density=True, color=colour, alpha=0.35, histtype="stepfilled")
        axes.hist(values, bins, density=True, color=colour, histtype="step", label=label)
    axes.set_yticks([])
    finish(axes, xlabel, "density")
    return figure


@styled
def weight_spikes(weights: np.ndarray, highlight: int | None = None) -> Figure:
    """The weights of a linear probe, (H,), one spike a unit; the strongest is named.

    ``highlight`` names another unit instead.
    """
    figure, axes = new_figure(2.8)
    units = np.arange(len(weights))
    chosen = int(np.abs(weights).argmax()) if highlight is None else highlight
    axes.vlines(units, 0, weights, color=PALETTE[0], linewidth=1.0)
    axes.vlines([chosen], 0, weights[chosen], color=PALETTE[1], linewidth=2.2)
    axes.axhline(0, color=GREY, linewidth=0.8)
    up = weights[chosen] >= 0
    axes.annotate(
        f"unit {chosen}", (chosen, weights[chosen]), (0, 5 if up else -5),
        textcoords="offset points", ha="center", va="bottom" if up else "top", color=PALETTE[1],
    )  # fmt: skip
    axes.margins(x=0.02, y=0.18)
    axes.set_xlabel("unit")
    axes.set_ylabel("weight")
    return figure


@styled
def unit_histogram(
    values: np.ndarray,
    labels: np.ndarray,
    *,
    threshold: float | None = None,
    class_names: tuple[str, str] = ("negative", "positive"),
    xlabel: str = "cell state",
) -> Figure:
    """Values of one unit, (N,), by class, labels (N,) 0 or 1; the threshold is a dashed line."""
    figure, axes = new_figure(3.0)
    bins = np.linspace(values.min(), values.max(), 51).tolist()
    for label, colour in ((0, NEGATIVE), (1, POSITIVE)):
        chosen = values[labels == label]
        axes.hist(chosen, bins, color=colour, alpha=0.35, histtype="stepfilled")
        axes.hist(chosen, bins, color=colour, histtype="step", label=class_names[label])
    if threshold is not None:
        axes.axvline(threshold, color=GREY, linestyle="--", linewidth=1.2, label="threshold")
    finish(axes, xlabel, "texts")
    return figure


def checked(label: str, x: Sequence[float], y: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """x and y as arrays; ``RadfordError`` unless they are of one length and not empty."""
    if len(x) != len(y) or not len(x):
        raise RadfordError(f"curve '{label}' has {len(x)} places and {len(y)} values")
    return np.asarray(x, float), np.asarray(y, float)


def smoothed(y: np.ndarray) -> np.ndarray:
    """A running mean over a thirtieth of the curve, shorter at its ends."""
    width = max(3, len(y) // 30)
    kernel = np.ones(width)
    return np.convolve(y, kernel, "same") / np.convolve(np.ones_like(y), kernel, "same")


def finish(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Label the axes; put the legend above the data."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4)
