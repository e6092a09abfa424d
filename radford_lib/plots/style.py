"""One look for every figure, and how a figure becomes the same bytes each time it is drawn."""

import functools
import io
from collections.abc import Callable
from typing import Any, TypeVar

import matplotlib
import seaborn
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.4  # inches: the text column of the book
GREY = "#7f7f7f"
# Distinguishable with any colour vision; contrast of at least 3.4 on white and on #121212 alike.
PALETTE = ("#1f7fd0", "#d55e00", "#009e73", "#b565a7", "#9a7400", GREY)
NEGATIVE, POSITIVE = PALETTE[1], PALETTE[2]

FONT_SIZE = 9.0  # points
# Where a figure must leave room for text, in inches: a line, and a generous mean character.
LINE = 1.35 * FONT_SIZE / 72
CHARACTER = 0.6 * FONT_SIZE / 72
_PHOTO = "photo"
_DPI = 200

Drawing = TypeVar("Drawing", bound=Callable[..., Figure])


@functools.cache
def style() -> Any:
    """The matplotlib settings of the book, derived from seaborn's ``ticks`` style."""
    return {
        **seaborn.axes_style("ticks"),
        **seaborn.plotting_context("notebook"),
        "figure.figsize": (WIDTH, 3.4),
        "figure.dpi": 100,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "savefig.transparent": True,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],  # the one font that matplotlib brings along
        "font.size": FONT_SIZE,
        "axes.labelsize": FONT_SIZE,
        "axes.titlesize": FONT_SIZE,
        "xtick.labelsize": FONT_SIZE - 1,
        "ytick.labelsize": FONT_SIZE - 1,
        "legend.fontsize": FONT_SIZE,
        "legend.frameon": False,
        "text.color": GREY,
        "axes.labelcolor": GREY,
        "axes.edgecolor": GREY,
        "axes.titlecolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.linewidth": 0.8,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "xtick.major.size": 3.5,
        "ytick.major.size": 3.5,
        "xtick.minor.size": 2.0,
        "ytick.minor.size": 2.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE),
        "lines.linewidth": 1.6,
        "svg.fonttype": "path",  # the same picture whatever fonts a reader has
        "svg.hashsalt": "radford",
    }


def use_style() -> None:
    """Give every later figure the book's look; in a notebook, show SVG and photographs as PNG."""
    matplotlib.rcParams.update(style())
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    # Load the inline backend now: loading it later would undo the formatters set below.
    import matplotlib.pyplot as plt
    from matplotlib_inline.config import InlineBackend

    InlineBackend.instance(parent=shell).figure_formats = {"svg"}
    plt.switch_backend("module://matplotlib_inline.backend_inline")
    formatters = shell.display_formatter.formatters
    formatters["image/svg+xml"].for_type(Figure, lambda f: None if is_photo(f) else svg_text(f))
    formatters["image/png"].for_type(Figure, lambda f: png_bytes(f) if is_photo(f) else None)


def new_figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of one axes, sizes in inches. It is not pyplot's, so that nothing keeps it alive."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def styled(draw: Drawing) -> Drawing:
    """Let ``draw`` work in the book's style, and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def inner(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(style()):
            return draw(*args, **kwargs)

    return inner  # type: ignore[return-value]


def mark_photo(figure: Figure) -> Figure:
    """Say that ``figure`` shows photographs: a notebook then stores it as PNG."""
    figure.set_gid(_PHOTO)
    return figure


def is_photo(figure: Figure) -> bool:
    """Whether ``figure`` is to be stored as PNG."""
    return figure.get_gid() == _PHOTO


def svg_text(figure: Figure) -> str:
    """The figure as SVG, cropped to what is drawn: the same text for the same figure."""
    buffer = io.StringIO()
    with matplotlib.rc_context(style()):
        _settle(figure)
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return buffer.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """The figure as transparent PNG at two pixels for each of a 100 dpi screen."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(style()):
        _settle(figure)
        figure.savefig(buffer, format="png", bbox_inches="tight", dpi=_DPI)
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all: a second layout starts from the first, and differs."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
