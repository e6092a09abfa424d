"""A unit along a text: each character on a tint of its value (sentiment neuron, figure 4).

Low values are orange and high ones green: the paper's red and green, in hues that stay apart for
every colour vision, and stronger away from zero.
"""

import html
import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

from radford_lib.errors import RadfordError
from radford_lib.plots.style import WIDTH, styled

_PAPER = "#d9d9d9"  # tiles are opaque, so that black text reads on them on any page
_INK = "#111111"
_TINTS = LinearSegmentedColormap.from_list("tint", ["#f0803c", _PAPER, "#3cc09a"])
_SHADES = 10  # to either side of zero
_FONT = FontProperties(family="DejaVu Sans Mono")  # comes with matplotlib
_ADVANCE = 0.602  # width of its characters for their size
_PITCH = 1.6  # height of a line for its size
_TILE = 1.35  # height of a tile for the size

_CSS = """<style>
.heat-map{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;line-height:1.7;\
white-space:pre-wrap;overflow-wrap:anywhere}
.heat-map .low{background:rgb(213 94 0/calc(var(--strength)*.55))}
.heat-map .high{background:rgb(0 158 115/calc(var(--strength)*.55))}
</style>"""


@styled
def heat_map(
    text: str | Sequence[str],
    values: np.ndarray | Sequence[np.ndarray],
    *,
    titles: Sequence[str] | None = None,
    width: int = 80,
) -> Figure:
    """One text, or several below one another, each character on a tint of its value.

    values: (len(text),) float, or one such array for each text; zero is untinted and the largest
    absolute value of all has the full tint. titles: one above each text; width: characters a line.
    Raises ``RadfordError`` where characters and values do not pair up.
    """
    texts, traces = _as_pairs(text, values)
    if titles is not None and len(titles) != len(texts):
        raise RadfordError(f"{len(texts)} titles are needed, not {len(titles)}")
    if width < 10:
        raise RadfordError(f"a line needs at least 10 characters, not {width}")
    strongest = _strongest(traces)
    wrapped = [_wrap(t, width) for t in texts]
    titled = titles is not None
    rows = sum(len(lines) + titled for lines in wrapped) + 0.6 * len(texts) + 1
    size = WIDTH * 72 / (width * _ADVANCE)  # points
    figure = Figure(figsize=(WIDTH, rows * _PITCH * size / 72))
    # data units: one character across, one line down
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(rows, 0))
    axes.set_axis_off()
    y = 0.0
    for n, (string, trace, lines) in enumerate(zip(texts, traces, wrapped, strict=True)):
        if titles is not None:
            axes.text(0, y + 0.5, titles[n], va="center_baseline", fontsize=size, parse_math=False)
            y += 1
        for start, stop in lines:
            shades = _shades(trace[start:stop], strongest)
            _draw_line(axes, string[start:stop], shades, 0, y, size)
            y += 1
        y += 0.6
    _draw_key(axes, strongest, y, size)
    return figure


def heat_map_html(text: str, values: np.ndarray, *, label: str = "value of the unit") -> str:
    """The same as HTML text that can be selected, read aloud and reflowed, in light and dark.

    values: (len(text),) float. Neighbours of one shade share a ``span``, whose class says the sign
    and whose ``--strength`` the size. Everything is escaped.
    """
    (text,), (trace,) = _as_pairs(text, values)
    strongest = _strongest([trace])
    spans = []
    start = 0
    for shade, run in itertools.groupby(_shades(trace, strongest).tolist()):
        stop = start + len(list(run))
        part = html.escape(text[start:stop])
        start = stop
        if shade:
            sign = "low" if shade < 0 else "high"
            part = f'<span class="{sign}" style="--strength:{abs(shade) / _SHADES:g}">{part}</span>'
        spans.append(part)
    said = html.escape(
        f"Text tinted by {label}: orange for low, down to {-strongest:.2g}, green for high, up to "
        f"{strongest:.2g}",
        quote=True,
    )
    return f'{_CSS}\n<div class="heat-map" role="group" aria-label="{said}">{"".join(spans)}</div>'


def _as_pairs(
    text: str | Sequence[str], values: np.ndarray | Sequence[np.ndarray]
) -> tuple[list[str], list[np.ndarray]]:
    """Texts and their values, one float for each character."""
    texts = [text] if isinstance(text, str) else list(text)
    traces = [values] if isinstance(text, str) else list(values)
    if not texts or len(texts) != len(traces):
        raise RadfordError(f"{len(texts)} texts need {len(texts)} traces, not {len(traces)}")
    arrays = [np.asarray(trace, float) for trace in traces]
    for string, trace in zip(texts, arrays, strict=True):
        if not string or trace.shape != (len(string),):
            raise RadfordError(
                f"a text of {len(string)} characters needs one value for each, not {trace.shape}"
            )
        if not np.isfinite(trace).all():
            raise RadfordError("a heat map's values must be numbers, none of them NaN or infinite")
    return texts, arrays


def _strongest(traces: Sequence[np.ndarray]) -> float:
    return max(float(np.abs(trace).max()) for trace in traces) or 1.0


def _shades(trace: np.ndarray, strongest: float) -> np.ndarray:
    """Values as whole shades, -10 .. 10."""
    return np.rint(trace / strongest * _SHADES).astype(int)


def _wrap(text: str, width: int) -> list[tuple[int, int]]:
    """(start, stop) of lines of at most ``width`` characters, broken after a space if any."""
    lines = []
    start = 0
    while len(text) - start > width:
        space = text.rfind(" ", start + 1, start + width)
        stop = space + 1 if space > 0 else start + width
        lines.append((start, stop))
        start = stop
    return [*lines, (start, len(text))]


def _draw_line(axes: Axes, text: str, shades: np.ndarray, x: int, y: float, size: float) -> None:
    """One line of text from column x on its tiles, one tile for neighbours of one shade."""
    tiles = []
    start = x
    height = _TILE / _PITCH
    for shade, run in itertools.groupby(shades.tolist()):
        length = len(list(run))
        color = _TINTS((shade / _SHADES + 1) / 2)
        tiles.append(
            Rectangle((start, y + (1 - height) / 2), length, height, color=color, linewidth=0)
        )
        start += length
    axes.add_collection(PatchCollection(tiles, match_original=True, antialiased=False))
    font = get_font(findfont(_FONT))
    known = "".join(
        (c if font.get_char_index(ord(c)) else "\ufffd") if c.isprintable() else " " for c in text
    )
    axes.text(
        x, y + 0.68, known, va="baseline", color=_INK, font=_FONT, fontsize=size, parse_math=False
    )  # fmt: skip


def _draw_key(axes: Axes, strongest: float, y: float, size: float) -> None:
    """The scale: lowest and highest value at the ends of the tints."""
    low, high = f"{-strongest:.2g} ".replace("-", "\u2212"), f" {strongest:.2g}"
    key = np.arange(-_SHADES, _SHADES + 1)
    _draw_line(axes, " " * len(key), key, len(low), y, size)
    axes.text(0, y + 0.68, low, font=_FONT, fontsize=size)
    axes.text(len(low) + len(key), y + 0.68, high, font=_FONT, fontsize=size)
