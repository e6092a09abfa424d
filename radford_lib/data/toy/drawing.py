"""Anti-aliased painting of a whole batch of small pictures at once, from signed distances.

Conventions: the picture is the unit square, x to the right and y down. A parameter of a shape is a
number or an array that broadcasts with (B, H, W): (B, 1, 1) for one value an image. A signed
distance is negative inside, in units of the picture's width. Colours are (B, 3) or (B, 3, H, W),
float32 in 0..1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Array = np.ndarray
#: A parameter: one number for all images, or an array that broadcasts with (B, H, W).
Level: TypeAlias = np.ndarray | np.floating | float
_TINY = np.float32(1e-6)


@dataclass(frozen=True)
class Canvas:
    """A batch of pictures being painted, or a window of them that paints through to the whole.

    Shapes: ``pixels`` (B, C, H, W) float32, C 3 unless told; ``x`` (1, 1, W) and ``y`` (1, H, 1)
    are pixel centres; ``pixel`` is the width of one pixel.
    """

    pixels: Array
    x: Array
    y: Array
    pixel: float

    @classmethod
    def blank(cls, count: int, size: int, channels: int = 3) -> "Canvas":
        """``count`` black pictures of ``size`` x ``size`` pixels."""
        centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
        pixels = np.zeros((count, channels, size, size), np.float32)
        return cls(pixels, centres[None, None, :], centres[None, :, None], 1.0 / size)

    def window(self, left: float, top: float, right: float, bottom: float) -> "Canvas":
        """The pixels within these bounds, the same for all images: what small shapes need paint."""
        columns = self._span(self.x.ravel(), left, right)
        rows = self._span(self.y.ravel(), top, bottom)
        return Canvas(
            self.pixels[:, :, rows, columns], self.x[..., columns], self.y[:, rows], self.pixel
        )

    @staticmethod
    def _span(centres: Array, low: float, high: float) -> slice:
        """The pixels whose centres lie in ``low`` .. ``high``, never fewer than one."""
        start = min(int(np.searchsorted(centres, low)), len(centres) - 1)
        return slice(start, max(int(np.searchsorted(centres, high)), start + 1))

    def around(self, x: Array, y: Array, width: float, height: float) -> "Canvas":
        """The window that holds, in every image, a ``width`` x ``height`` box about (x, y)."""
        return self.window(
            float(x.min()) - width / 2,
            float(y.min()) - height / 2,
            float(x.max()) + width / 2,
            float(y.max()) + height / 2,
        )

    def cover(self, distance: Array, softness: float = 0.0) -> Array:
        """How much of each pixel lies inside: 0..1 over one pixel plus ``softness``."""
        width = np.float32(self.pixel + softness)
        return np.clip(np.float32(0.5) - distance / width, 0.0, 1.0)

    def paint(self, coverage: Array, colour: Array) -> None:
        """Lay ``colour`` over the picture, as opaque as ``coverage`` (B, H, W)."""
        difference = spread(colour) - self.pixels
        difference *= coverage[:, None]
        np.add(self.pixels, difference, out=self.pixels)

    def shade(self, factor: Array) -> None:
        """Multiply by ``factor`` (B, H, W): below 1 is shadow."""
        np.multiply(self.pixels, factor[:, None], out=self.pixels)

    def light(self, amount: Array, colour: Array) -> None:
        """Add light of ``colour``, less where the picture is bright already."""
        rest = np.float32(1.0) - self.pixels
        rest *= spread(colour)
        rest *= amount[:, None]
        np.add(self.pixels, rest, out=self.pixels)

    def to_uint8(self) -> Array:
        """The pictures as (B, H, W, 3) uint8."""
        levels = np.clip(self.pixels, 0.0, 1.0) * np.float32(255.0) + np.float32(0.5)
        return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))


def spread(colour: Array) -> Array:
    """A colour (B, 3) or (3,) as one that broadcasts with (B, 3, H, W)."""
    return colour if colour.ndim == 4 else np.atleast_2d(colour)[:, :, None, None]


def palette(codes: str) -> Array:
    """Colours (N, 3) float32 from hexadecimal codes with blanks between: "ffffff 102030"."""
    levels = [list(bytes.fromhex(code)) for code in codes.split()]
    return np.array(levels, np.float32) / np.float32(255)


def mix(a: Array, b: Array, share: Level) -> Array:
    """``share`` of ``b`` in ``a``."""
    return a + (b - a) * share


def mix_field(a: Array, b: Array, share: Array) -> Array:
    """Two colours (B, 3) mixed in each pixel by ``share`` (B, H, W): (B, 3, H, W)."""
    return spread(a) + spread(b - a) * share[:, None]


def span(at: Array, low: Level, high: Level, width: Level) -> Array:
    """Share of a stretch ``width`` long about ``at`` that lies in ``low`` .. ``high``.

    Of pixels and an upright edge this is their coverage, exactly, be the span ever so thin.
    """
    half = np.float32(0.5) * width
    overlap = np.minimum(at + half, high) - np.maximum(at - half, low)
    return np.clip(overlap / width, 0.0, 1.0)


def smoothstep(low: Level, high: Level, value: Level) -> Array:
    """0 below ``low``, 1 above ``high``, with no corner between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def blob(x: Array, y: Array, cx: Level, cy: Level, rx: Level, ry: Level) -> Array:
    """A soft spot, 1 in its middle and 0 beyond its radii: a Gaussian with an end."""
    inside = np.maximum(np.float32(1.0) - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0.0)
    return inside * inside


def turn(x: Array, y: Array, cx: Level, cy: Level, angle: Level) -> tuple[Array, Array]:
    """Coordinates in a frame at (cx, cy) turned by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    dx, dy = x - cx, y - cy
    return dx * cos + dy * sin, dy * cos - dx * sin


def length(x: Level, y: Level) -> Array:
    """Euclidean length; cheaper than np.hypot, and there is nothing to overflow."""
    return np.sqrt(x * x + y * y)


# Signed distances. Those of ellipses and polygons are first-order: exact at the edge, which is
# all that coverage needs. Formulas after I. Quilez, "2D distance functions".


def circle(x: Array, y: Array, radius: Level) -> Array:
    return length(x, y) - radius


def ellipse(x: Array, y: Array, cx: Level, cy: Level, rx: Level, ry: Level) -> Array:
    u, v = (x - cx) / rx, (y - cy) / ry
    k = length(u, v)
    return k * (k - 1) / (length(u / rx, v / ry) + _TINY)


def box(x: Array, y: Array, hx: Level, hy: Level, corner: Level = 0.0) -> Array:
    """A rectangle about the origin with half sides ``hx``, ``hy`` and rounded corners."""
    dx, dy = np.abs(x) - (hx - corner), np.abs(y) - (hy - corner)
    outside = length(np.maximum(dx, 0), np.maximum(dy, 0))
    return outside + np.minimum(np.maximum(dx, dy), 0) - corner


def segment(x: Array, y: Array, x0: Level, y0: Level, x1: Level, y1: Level) -> Array:
    """Distance to a line from (x0, y0) to (x1, y1); subtract the half width of the stroke."""
    px, py, bx, by = x - x0, y - y0, x1 - x0, y1 - y0
    t = np.clip((px * bx + py * by) / (bx * bx + by * by + _TINY), 0, 1)
    return length(px - bx * t, py - by * t)


def polygon(x: Array, y: Array, corners: Sequence[tuple[Level, Level]]) -> Array:
    """A convex polygon, corners clockwise as seen (y down): the largest of its half planes."""
    distance: Array | None = None
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        ex, ey = x1 - x0, y1 - y0
        scale = 1 / (length(ex, ey) + _TINY)
        side = (x * (ey * scale) - y * (ex * scale)) + (y0 * ex - x0 * ey) * scale
        distance = side if distance is None else np.maximum(distance, side)
    assert distance is not None
    return distance


def regular_polygon(x: Array, y: Array, radius: Level, sides: int) -> Array:
    """A regular polygon about the origin, one corner up; ``radius`` to its corners."""
    step = np.float32(2 * np.pi / sides)
    angle = np.arctan2(x, -y) + step / 2
    folded = angle - step * np.floor(angle / step) - step / 2
    folded = np.abs(folded) - step / 2
    return length(x, y) * np.cos(folded) - radius * np.float32(np.cos(step / 2))


def star(x: Array, y: Array, radius: Level, points: int, waist: float) -> Array:
    """A star about the origin, one point up; inner corners at ``waist`` of ``radius``."""
    step = np.float32(np.pi / points)
    angle = np.arctan2(x, -y)
    folded = np.abs((angle + step) % (2 * step) - step)
    r = length(x, y)
    px, py = r * np.sin(folded), r * np.cos(folded)
    # The edge runs from the point (0, radius) to the inner corner.
    ex, ey = waist * np.sin(step), waist * np.cos(step) - 1
    scale = np.float32(1 / np.hypot(ex, ey))
    return (px * -ey + (py - radius) * ex) * scale


def heart(x: Array, y: Array, radius: Level) -> Array:
    """A heart about the origin, point down, about ``radius`` high to each side."""
    px, py = np.abs(x) / radius / 1.7, (0.95 - y / radius) / 1.7
    upper = length(px - 0.25, py - 0.75) - np.float32(np.sqrt(2) / 4)
    ridge = 0.5 * np.maximum(px + py, 0)
    lower = np.sqrt(
        np.minimum(px**2 + (py - 1) ** 2, (px - ridge) ** 2 + (py - ridge) ** 2)
    ) * np.sign(px - py)
    return np.where(px + py > 1, upper, lower) * radius * 1.7


def moon(x: Array, y: Array, radius: Level) -> Array:
    """A crescent about the origin: a disc less a disc beside it."""
    return np.maximum(
        circle(x - 0.3 * radius, y, radius), -circle(x - 0.85 * radius, y, 0.82 * radius)
    )


def cross(x: Array, y: Array, radius: Level, arm: float) -> Array:
    """A plus sign; ``arm`` is its half width as a share of ``radius``."""
    return np.minimum(box(x, y, radius, arm * radius), box(x, y, arm * radius, radius))


def flower(x: Array, y: Array, radius: Level, petals: int) -> Array:
    """A blossom: a circle whose radius swells ``petals`` times around."""
    swell = 0.78 + 0.26 * np.cos(petals * np.arctan2(x, -y))
    return (length(x, y) - radius * swell) * np.float32(0.75)


def arrow(x: Array, y: Array, radius: Level) -> Array:
    """An arrow that points up."""
    zero = np.zeros_like(radius)
    head = polygon(
        x, y, [(zero, -radius), (0.85 * radius, 0.1 * radius), (-0.85 * radius, 0.1 * radius)]
    )
    return np.minimum(head, box(x, y - 0.45 * radius, 0.34 * radius, 0.5 * radius))


def smooth_noise(grid: Array, y: Array, x: Array) -> Array:
    """Value noise: lattice values (B, G, G) interpolated smoothly at ``y`` (H,), ``x`` (W,)."""

    def weights(at: Array) -> Array:
        scaled = np.clip(at, 0, 1) * (grid.shape[1] - 1)
        distance = np.abs(scaled[:, None] - np.arange(grid.shape[1], dtype=np.float32))
        t = np.maximum(np.float32(1) - distance, 0)
        return (t * t * (3 - 2 * t)).astype(np.float32)

    return weights(y.ravel()) @ grid @ weights(x.ravel()).T  # (B, H, W)


def wave_edge(phase: Array, width: Level) -> Array:
    """A soft square wave of period 1 in 0..1; ``width`` is a pixel in units of the period."""
    triangle = np.abs(phase - np.floor(phase) - np.float32(0.5)) * 2
    return np.clip(np.float32(0.5) + (triangle - np.float32(0.5)) / (2 * width + _TINY), 0, 1)


def hsv(hue: Level, saturation: Level, value: Level) -> Array:
    """Colours (..., 3) float32 from hue (in turns), saturation and value."""
    shift = np.array([5.0, 3.0, 1.0])
    k = (shift + np.asarray(hue)[..., None] * 6) % 6
    fall = np.clip(np.minimum(k, 4 - k), 0, 1)
    value, saturation = np.asarray(value)[..., None], np.asarray(saturation)[..., None]
    return (value - value * saturation * fall).astype(np.float32)
