"""Text coloured by the value of a unit at each character."""

import html
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from radford_lib.errors import RadfordError
from radford_lib.plots.style import GREY, NEGATIVE, POSITIVE, WIDTH, styled

COLUMNS = 84  # characters a line
LINE = 0.19  # inches
MOST_TINT = 0.75


@styled
def heat_map(
    texts: Sequence[str],
    values: Sequence[np.ndarray],
    *,
    titles: Sequence[str] | None = None,
    columns: int = COLUMNS,
) -> Figure:
    """Texts with each character on a tint of its value: green above zero, red-orange below.

    values: one (length of the text,) array a text; the strongest of all takes the full tint.
    Source: Figure 4 of the sentiment paper. Raises ``RadfordError`` where lengths disagree.
    """
    check(texts, values)
    scale = max(float(np.abs(v).max()) for v in values) or 1.0
    blocks = [wrap(text, columns) for text in texts]
    heads = list(titles) if titles is not None else [""] * len(texts)
    lines = sum(len(block) for block in blocks) + sum(1 for head in heads if head)
    lines += len(blocks) - 1
    figure = Figure(figsize=(WIDTH, LINE * lines + 0.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, columns)
    axes.set_ylim(lines, 0)
    row = 0
    for text, value, block, head in zip(texts, values, blocks, heads, strict=True):
        if head:
            axes.text(0, row + 0.5, head, va="center", fontsize=8, fontweight="bold", color=GREY)
            row += 1
        for start, end in block:
            for place in range(start, end):
                column = place - start
                axes.add_patch(
                    Rectangle((column, row), 1, 1, linewidth=0, **tint(value[place] / scale))
                )
                axes.text(
                    column + 0.5, row + 0.52, text[place], ha="center", va="center",
                    fontsize=6.6, family="monospace",
                )  # fmt: skip
            row += 1
        row += 1
    return figure


def heat_map_html(text: str, values: np.ndarray, *, label: str) -> str:
    """One text as HTML, each character on a tint of its value; ``label`` says so to a reader's aid.

    values: (length of the text,). The tint is half transparent, so it reads on light and dark.
    """
    check([text], [values])
    scale = float(np.abs(values).max()) or 1.0
    spans = []
    for character, value in zip(text, values, strict=True):
        look = tint(value / scale)
        red, green, blue = (round(255 * part) for part in look["facecolor"])
        colour = f"rgba({red},{green},{blue},{look['alpha']:.2f})"
        spans.append(f'<span style="background:{colour}">{html.escape(character)}</span>')
    return (
        f'<p class="radford-heat" role="img" aria-label="{html.escape(label, quote=True)}">'
        + "".join(spans)
        + "</p>"
    )


def tint(value: float) -> dict:
    """Colour and opacity of a value in -1 to 1."""
    colour = to_rgb(POSITIVE if value > 0 else NEGATIVE)
    return {"facecolor": colour, "alpha": min(1.0, abs(float(value))) * MOST_TINT}


def wrap(text: str, columns: int) -> list[tuple[int, int]]:
    """Start and end of each line of at most ``columns`` characters, broken at spaces."""
    lines, start = [], 0
    while len(text) - start > columns:
        space = text.rfind(" ", start + 1, start + columns)
        end = space + 1 if space > start else start + columns
        lines.append((start, end))
        start = end
    lines.append((start, len(text)))
    return lines


def check(texts: Sequence[str], values: Sequence[np.ndarray]) -> None:
    """Raise ``RadfordError`` unless every character has one value."""
    if len(texts) != len(values) or not texts:
        raise RadfordError(f"{len(texts)} texts but {len(values)} rows of values")
    for text, value in zip(texts, values, strict=True):
        if len(text) != len(value):
            raise RadfordError(f"a text of {len(text)} characters has {len(value)} values")
