"""Grids of images, drawn as one mosaic: samples, samples by epoch, nearest neighbours."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from radford_lib.errors import RadfordError
from radford_lib.plots.style import CHARACTER, LINE, WIDTH, mark_photo, styled

_GAP = 0.06  # of an image's width, between images
_LARGEST = 1.1  # inches: few images are not blown up to the page's width


@styled
def sample_grid(
    images: np.ndarray,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
) -> Figure:
    """A grid of images in reading order.

    images: (N, H, W, C) uint8, C in {1, 3}; titles: N, one over each image; row_labels: one for
    each row. Raises ``RadfordError`` for other images, and for another number of titles or labels.
    """
    images = _as_rgb(images)
    if columns < 1:
        raise RadfordError(f"a grid needs at least one column, not {columns}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    _check_count(titles, len(images), "titles")
    _check_count(row_labels, rows, "row labels")
    grid: list[list[np.ndarray | None]] = [
        [images[r * columns + c] if r * columns + c < len(images) else None for c in range(columns)]
        for r in range(rows)
    ]
    above = None
    if titles is not None:
        above = [list(titles[r * columns : (r + 1) * columns]) for r in range(rows)]
    return _mosaic(grid, images.shape[1:3], row_labels=row_labels, above=above)


@styled
def sample_rows(rows: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """One row of images for each label, the first ``columns`` of each: epochs one above five.

    rows: {label: (N, H, W, C) uint8}, all of one image size.
    """
    if not rows:
        raise RadfordError("sample_rows needs at least one row of images")
    pictures = [_as_rgb(images)[:columns] for images in rows.values()]
    sizes = {p.shape[1:3] for p in pictures}
    if len(sizes) > 1:
        raise RadfordError(f"rows must hold images of one size, not {sorted(sizes)}")
    grid = [list(p) + [None] * (max(map(len, pictures)) - len(p)) for p in pictures]
    return _mosaic(grid, pictures[0].shape[1:3], row_labels=list(rows))


@styled
def neighbour_panel(
    samples: np.ndarray,
    neighbours: np.ndarray,
    distances: np.ndarray,
    headings: tuple[str, str] = ("sample", "nearest training images, with their distance"),
) -> Figure:
    """Each sample beside its nearest images, their distances below them.

    samples: (N, H, W, C) uint8; neighbours: (N, K, H, W, C) uint8; distances: (N, K).
    """
    left = _as_rgb(samples)
    if (
        neighbours.ndim != 5
        or neighbours.shape[:2] != np.shape(distances)
        or len(left) != len(neighbours)
    ):
        raise RadfordError(
            f"{len(left)} samples need neighbours (N, K, H, W, C) and distances (N, K), not "
            f"{neighbours.shape} and {np.shape(distances)}"
        )
    right = _as_rgb(neighbours.reshape(-1, *neighbours.shape[2:]))
    right = right.reshape(*neighbours.shape[:2], *right.shape[1:])
    if right.shape[2:] != left.shape[1:]:
        raise RadfordError("samples and neighbours must be images of one size")
    if right.shape[1] == 1:  # pairs, side by side: samples above, their neighbours below
        return _pairs(left, right[:, 0], np.asarray(distances)[:, 0])
    grid = [[sample, *others] for sample, others in zip(left, right, strict=True)]
    below = [["", *(f"{d:.3g}" for d in row)] for row in np.asarray(distances)]
    return _mosaic(grid, left.shape[1:3], below=below, headings=headings)


def _pairs(samples: np.ndarray, neighbours: np.ndarray, distances: np.ndarray) -> Figure:
    """Two rows for every ten pairs."""
    grid: list[list[np.ndarray | None]] = []
    below: list[list[str]] = []
    columns = min(10, len(samples))
    for start in range(0, len(samples), columns):
        part = slice(start, start + columns)
        rest: list[None] = [None] * (columns - len(samples[part]))
        grid += [[*samples[part], *rest], [*neighbours[part], *rest]]
        below += [[], [f"{d:.3g}" for d in distances[part]]]
    labels = ["sample", "nearest"] * (len(grid) // 2)
    return _mosaic(grid, samples.shape[1:3], row_labels=labels, below=below)


def _as_rgb(images: np.ndarray) -> np.ndarray:
    """Images as (N, H, W, 3) uint8; ``RadfordError`` for anything but (N, H, W, 1 or 3) uint8."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise RadfordError(f"images must be (N, H, W, 1 or 3), not of shape {images.shape}")
    if images.dtype != np.uint8:
        raise RadfordError(f"images must be uint8 in 0 .. 255, not {images.dtype}")
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _check_count(names: Sequence[str] | None, count: int, what: str) -> None:
    if names is not None and len(names) != count:
        raise RadfordError(f"{count} {what} are needed, not {len(names)}")


def _mosaic(
    grid: Sequence[Sequence[np.ndarray | None]],
    size: tuple[int, ...],
    *,
    row_labels: Sequence[str] | None = None,
    above: Sequence[Sequence[str]] | None = None,
    below: Sequence[Sequence[str]] | None = None,
    headings: tuple[str, str] | None = None,
) -> Figure:
    """The grid (None is an empty place) on one transparent canvas, with its texts.

    With ``headings`` the first column stands apart, under a heading of its own.
    """
    height, width = size
    columns = len(grid[0])
    gap = max(1, round(_GAP * width))
    apart = 2 * gap if headings else 0  # extra space after the first column
    canvas_width = columns * width + (columns - 1) * gap + apart
    margin = max((len(label) for label in row_labels), default=0) * CHARACTER if row_labels else 0
    inches = min(WIDTH - margin, columns * _LARGEST)
    pixel = inches / canvas_width  # inches for each image pixel
    line = round(LINE / pixel)  # a line of text in image pixels
    head = line if headings else 0
    tops = []  # of each row's images
    y = head
    for r in range(len(grid)):
        tops.append(y + (line if above else 0))
        y = tops[-1] + height + (line if below and below[r] else 0) + gap
    canvas_height = y - gap
    canvas = np.zeros((canvas_height, canvas_width, 4), np.uint8)
    figure = Figure(figsize=(inches + margin, canvas_height * pixel))
    axes = figure.add_axes((margin / (inches + margin), 0, inches / (inches + margin), 1))
    room = int((width + gap) * pixel / CHARACTER * 1.1)  # characters over one image, at most
    for r, row in enumerate(grid):
        y = tops[r]
        for c, image in enumerate(row):
            x = c * (width + gap) + (apart if c else 0)
            if image is not None:
                canvas[y : y + height, x : x + width, :3] = image
                canvas[y : y + height, x : x + width, 3] = 255
            centre = x + width / 2
            if above and c < len(above[r]):
                axes.text(
                    centre, y - 0.2 * line, _shorten(above[r][c], room), ha="center", size="small"
                )
            if below and c < len(below[r]):
                axes.text(
                    centre,
                    y + height + 0.1 * line,
                    below[r][c],
                    ha="center",
                    va="top",
                    size="small",
                )
        if row_labels:
            axes.text(-0.08 / pixel, y + height / 2, row_labels[r], ha="right", va="center")
    if headings:
        axes.text(0, 0.7 * line, headings[0], ha="left")
        axes.text(width + gap + apart, 0.7 * line, headings[1], ha="left")
    # pixel edges, not centres, at whole numbers
    axes.imshow(canvas, extent=(0, canvas_width, canvas_height, 0))
    axes.set_axis_off()
    return mark_photo(figure)


def _shorten(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(1, room - 1)] + "…"
