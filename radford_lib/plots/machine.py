"""Figures of the machine room: a ladder of times, a roofline, the data flow of one mLSTM step."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from radford_lib.errors import RadfordError
from radford_lib.plots.style import CHARACTER, GREY, LINE, PALETTE, WIDTH, new_figure, styled

FORWARD, BACKWARD, WEIGHTS = PALETTE[0], PALETTE[1], PALETTE[2]
_MARKERS = "osD^v"


@styled
def waterfall(
    times: Mapping[str, float],
    floor: tuple[str, float] | None = None,
    *,
    xlabel: str = "milliseconds a training step",
) -> Figure:
    """A bar for each rung of a ladder, from the top, and beside it what the rung took off.

    times: {name: time}, each rung one idea more than the one above it; a rung that is slower is
    marked so. floor: (name, time), what no rung can get under, a dashed line.
    """
    if not times or not all(np.isfinite(value) and value > 0 for value in times.values()):
        raise RadfordError("a waterfall needs at least one rung, and times above zero")
    values = list(times.values())
    figure, axes = new_figure(0.9 + 0.36 * len(values) + (LINE if floor else 0))
    for place, value in enumerate(values):
        axes.barh(place, value, height=0.58, color=FORWARD, alpha=0.85, linewidth=0)
        before = values[place - 1] if place else value
        axes.annotate(
            _rung_text(value, before if place else None), (max(before, value), place), (5, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
        if place:
            _difference(axes, place, before, value)
    room = 14 * CHARACTER / (0.6 * WIDTH)  # for the longest text behind a bar
    axes.set(xlim=(0, max(values) * (1 + room)), ylim=(len(values) - 0.5, -0.6), xlabel=xlabel)
    if floor is not None:
        axes.axvline(floor[1], color=GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            f"{floor[0]} {floor[1]:,.0f}", (floor[1], 1), (0, 3),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="left" if floor[1] < max(values) / 2 else "right",
        )  # fmt: skip
    axes.set_yticks(range(len(values)), list(times))
    axes.tick_params(axis="y", length=0)
    return figure


def _rung_text(value: float, before: float | None) -> str:
    """The time, and by how much it differs from that of the rung above."""
    text = f"{value:,.0f}"
    return text if before is None else f"{text}  ({value / before - 1:+.0%})".replace("-", "−")


def _difference(axes: Axes, place: int, before: float, value: float) -> None:
    """The part of a rung's bar that it took off the one above, or added to it."""
    slower = value > before
    color = BACKWARD if slower else WEIGHTS
    left, width = min(before, value), abs(value - before)
    axes.barh(
        place, width, left=left, height=0.58, facecolor="none", edgecolor=color, hatch="////",
        linewidth=0.8,
    )  # fmt: skip
    axes.plot([before, before], [place - 0.71, place - 0.29], color=GREY, linewidth=0.8)


@styled
def roofline(
    roofs: Mapping[str, tuple[float, float]],
    points: Mapping[str, Sequence[tuple[float, float]]],
    names: Mapping[tuple[float, float], str] | None = None,
    *,
    xlabel: str = "FLOP a byte of memory traffic",
    ylabel: str = "GFLOP/s",
) -> Figure:
    """Rates against arithmetic intensity, both logarithmic, under the machine's roofs.

    roofs: {name: (highest rate, FLOP/s; bandwidth, bytes/s)}; points: {kind: [(FLOP a byte,
    FLOP/s), ...]}, kinds told apart by colour and marker; names: {point: text beside it}.
    """
    if not 1 <= len(points) <= len(_MARKERS):
        raise RadfordError(f"a roofline holds 1 to {len(_MARKERS)} kinds of points")
    every = np.array([point for group in points.values() for point in group])
    low = min(every[:, 0].min() / 2, *(rate / speed / 4 for rate, speed in roofs.values()))
    at = np.geomspace(low, every[:, 0].max() * 2, 200)
    figure, axes = new_figure(3.9)
    for (name, (rate, speed)), line in zip(roofs.items(), ("-", (0, (4, 3))), strict=False):
        axes.plot(at, np.minimum(rate, speed * at) / 1e9, color=GREY, lw=1.2, linestyle=line)
        axes.text(
            1.15 * low, 1.15 * low * speed / 1e9 * 1.14, name, rotation_mode="anchor",
            rotation=np.degrees(np.arctan(speed / 1e9)), transform_rotates_text=True,
        )  # fmt: skip
    for (kind, group), color, marker in zip(points.items(), PALETTE, _MARKERS, strict=False):
        x, y = np.array(group).T
        axes.plot(x, y / 1e9, marker, color=color, label=kind, markersize=6, alpha=0.9)
    for (x, y), text in (names or {}).items():
        axes.annotate(
            text, (x, y / 1e9), (-4, -4), textcoords="offset points", ha="right", va="top"
        )
    axes.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel, xlim=(at[0], at[-1]))
    axes.set_ylim(bottom=every[:, 1].min() / 1e9 / 1.7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=3, labelcolor="linecolor",
        handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return figure


@styled
def mlstm_step_flow() -> Figure:
    """One mLSTM step: forward to the right, gradients to the left, weights' gradients below."""
    figure, axes = new_figure(3.0)
    names = [r"$h_{t-1}$", r"$a_t$", r"$m_t$", r"$z_t$", r"$c_t,\ h_t$"]
    places = np.array([0.0, 2.6, 5.2, 7.8, 10.4])
    ways = [r"$\times W_{mh}$", r"$\odot\,T_{mx}[x_t]$", r"$\times W_{zm} + T_{zx}[x_t]$", "gates"]
    back = [r"$\times W_{mh}^\top$", r"$\odot\,T_{mx}[x_t]$", r"$\times W_{zm}^\top$", "gates"]
    for x, name in zip(places, names, strict=True):
        _box(axes, x, 4.0, name, FORWARD)
        _box(axes, x, 2.4, _barred(name), BACKWARD)
    for left, way, way_back in zip(places, ways, back, strict=False):
        for y, text, color, ends in (
            (4.0, way, FORWARD, (0.6, 2.0)),
            (2.4, way_back, BACKWARD, (2.0, 0.6)),
        ):
            _arrow(axes, (left + ends[0], y), (left + ends[1], y), color)
            axes.text(left + 1.3, y + 0.4, text, ha="center", va="bottom", color=color)
    for first, text in (
        (0, r"$\bar W_{mh} = \sum_t h_{t-1}^\top \bar a_t$"),
        (2, r"$\bar W_{zm} = \sum_t m_t^\top \bar z_t$"),
    ):
        middle = places[first] + 1.3
        axes.text(middle, 0.5, text, ha="center", va="center", color=WEIGHTS, fontsize=11)
        for place in places[first : first + 2]:
            _arrow(axes, (place, 2.0), ((place + middle) / 2, 0.95), WEIGHTS)
    axes.text(10.4, 0.5, "once a window", ha="center", va="center", color=WEIGHTS)
    axes.set(xlim=(-0.8, 11.3), ylim=(0, 5.0))
    axes.axis("off")
    return figure


def _barred(name: str) -> str:
    """The gradient of what ``name`` shows: each letter with a bar."""
    for letter in "hamzc":
        name = name.replace(f"{letter}_", rf"\bar {letter}_")
    return name


def _box(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - 0.55, y - 0.32), 1.1, 0.64, boxstyle="round,pad=0,rounding_size=0.15",
            facecolor="none", edgecolor=color, linewidth=1.3,
        )
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", fontsize=10)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.3, "shrinkA": 0,
                                    "shrinkB": 0},
    )  # fmt: skip
