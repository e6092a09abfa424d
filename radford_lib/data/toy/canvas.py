"""Anti-aliased drawing of many images at once: signed distances, coverage, compositing.

Every shape is a signed distance in units where an image spans -1 to 1 on both axes (x to the
right, y down), negative inside; coverage of a pixel follows from the distance at its centre and
the pixel's width. All parameters are (n,) arrays, all fields (n, H, W).
"""

import hashlib
import json
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from radford_lib.errors import UsageError

CHUNK = 500  # images drawn at once; also the unit of random numbers, so image i never depends on n
SIZES = (16, 128)
Level: TypeAlias = np.ndarray | np.floating | float


def check_arguments(n: int, size: int, split: str, splits: tuple[str, ...]) -> None:
    """Raise ``UsageError`` for what no toy world can draw."""
    if n < 1:
        raise UsageError(f"cannot draw {n} images: n must be at least 1")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"cannot draw images of {size} pixels: size is {SIZES[0]} to {SIZES[1]}")
    if split not in splits:
        raise UsageError(f"no split '{split}'; there are: {', '.join(splits)}")


def chunks(n: int, seed: int, stream: str) -> Iterator[tuple[np.random.Generator, int]]:
    """A generator and a count for each chunk of n images; always the same for chunk k."""
    key = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "big")
    for number, start in enumerate(range(0, n, CHUNK)):
        yield np.random.default_rng([seed, key, number]), min(CHUNK, n - start)


def identity(world: str, version: int, **arguments: object) -> str:
    """SHA-256 that identifies a toy data set: its world, the generator's version, the arguments."""
    text = json.dumps({"world": world, "version": version, **arguments}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def field(parameter: Level) -> np.ndarray:
    """A (n,) parameter as (n, 1, 1), to be combined with fields."""
    return np.asarray(parameter, np.float32).reshape(-1, 1, 1)


def mix(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Linear blend from ``a`` (t = 0) to ``b`` (t = 1)."""
    return a + (b - a) * t


class Canvas:
    """n images in float32, painted layer by layer.

    Shapes: ``x`` and ``y`` (1, H, W), pixel centres in -1 to 1; ``colour`` (n, H, W, 3) in 0 to 1.
    """

    def __init__(self, n: int, size: int) -> None:
        steps = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(steps, steps)
        self.x: np.ndarray = x[None]
        self.y: np.ndarray = y[None]
        self.pixel = 2 / size
        self.colour = np.zeros((n, size, size, 3), np.float32)

    def part(self, left: float, top: float, right: float, bottom: float) -> "Canvas":
        """The same images seen through a window: what is painted there, is painted here.

        Most features are small; painting them through a window is what makes a world fast.
        """
        size = self.x.shape[2]
        columns, rows = (
            slice(max(0, int((low + 1) / 2 * size) - 1), min(size, int((high + 1) / 2 * size) + 2))
            for low, high in ((left, right), (top, bottom))
        )
        window = object.__new__(Canvas)
        window.x, window.y = self.x[:, rows, columns], self.y[:, rows, columns]
        window.pixel = self.pixel
        window.colour = self.colour[:, rows, columns]
        return window

    def coverage(self, distance: np.ndarray, softness: Level = 0.0) -> np.ndarray:
        """Share of each pixel inside a shape, 0 to 1; ``softness`` widens the edge."""
        width = self.pixel + softness
        return np.clip(0.5 - distance / width, 0, 1)

    def paint(self, alpha: np.ndarray, colour: np.ndarray) -> None:
        """Composite ``colour`` (n, 3) or (n, H, W, 3) over the images where ``alpha`` is 1."""
        if colour.ndim == 2:
            colour = colour[:, None, None, :]
        self.colour += (colour - self.colour) * alpha[..., None]

    def shade(self, amount: np.ndarray) -> None:
        """Multiply brightness by 1 + ``amount`` (n, H, W)."""
        self.colour *= 1 + amount[..., None]

    def local(
        self, cx: np.ndarray, cy: np.ndarray, angle: Level = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates around (cx, cy), turned by ``angle`` radians."""
        dx, dy = self.x - field(cx), self.y - field(cy)
        cos, sin = np.cos(field(angle)), np.sin(field(angle))
        return dx * cos + dy * sin, dy * cos - dx * sin

    def to_uint8(self) -> np.ndarray:
        """The images as (n, H, W, 3) uint8."""
        return (np.clip(self.colour, 0, 1) * 255 + 0.5).astype(np.uint8)


def ellipse(u: np.ndarray, v: np.ndarray, rx: np.ndarray, ry: np.ndarray) -> np.ndarray:
    """Distance (first order, exact for discs) to an ellipse of radii ``rx`` and ``ry``."""
    rx, ry = field(rx), field(ry)
    length = np.sqrt((u / rx) ** 2 + (v / ry) ** 2)
    slope = np.sqrt((u / rx**2) ** 2 + (v / ry**2) ** 2)
    return (length - 1) * length / np.maximum(slope, 1e-6)


def box(
    u: np.ndarray, v: np.ndarray, hx: np.ndarray, hy: np.ndarray, corner: Level = 0.0
) -> np.ndarray:
    """Distance to a rectangle of half sides ``hx``, ``hy`` with rounded corners."""
    corner = field(corner)
    qx, qy = np.abs(u) - field(hx) + corner, np.abs(v) - field(hy) + corner
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return outside + np.minimum(np.maximum(qx, qy), 0) - corner


def arc(
    u: np.ndarray, v: np.ndarray, half: np.ndarray, bend: np.ndarray, thick: Level
) -> np.ndarray:
    """Distance to a stroke over |u| <= half whose ends rise by ``bend`` above its middle."""
    half, bend = field(half), field(bend)
    clipped = np.clip(u, -half, half)
    curve = -bend * (clipped / half) ** 2 + bend / 2
    slope = 2 * bend * clipped / half**2
    across = (v - curve) / np.sqrt(1 + slope**2)
    return np.hypot(across, u - clipped) - field(thick)


def polygon(u: np.ndarray, v: np.ndarray, radius: np.ndarray, sides: int) -> np.ndarray:
    """Distance to a regular polygon of circumradius ``radius`` (first order near corners)."""
    sector = 2 * np.pi / sides
    angle = np.arctan2(u, -v)
    folded = np.abs((angle + sector / 2) % sector - sector / 2)
    return np.hypot(u, v) * np.cos(folded - sector / 2) - field(radius) * np.cos(sector / 2)


def star(u: np.ndarray, v: np.ndarray, radius: np.ndarray, points: int, inner: float) -> np.ndarray:
    """Distance (first order) to a star whose dents lie at ``inner`` of its radius."""
    sector = 2 * np.pi / points
    angle = np.arctan2(u, -v)
    folded = np.abs((angle + sector / 2) % sector - sector / 2)
    length = np.hypot(u, v)
    px, py = length * np.cos(folded), length * np.sin(folded)
    tip, dent = np.array([1.0, 0.0]), inner * np.array([np.cos(sector / 2), np.sin(sector / 2)])
    edge = dent - tip
    normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
    scale = field(radius)
    return (px - scale * tip[0]) * normal[0] + py * normal[1]


def smooth(grid: np.ndarray, size: int) -> np.ndarray:
    """Smooth interpolation of values (n, k + 1, k + 1) on a coarse grid, as (n, size, size)."""
    cells = grid.shape[1] - 1
    at = (np.arange(size, dtype=np.float32) + 0.5) / size * cells
    low = np.minimum(at.astype(int), cells - 1)
    t = at - low
    t = t * t * (3 - 2 * t)
    rows = mix(grid[:, low], grid[:, low + 1], t[None, :, None])
    return mix(rows[:, :, low], rows[:, :, low + 1], t[None, None, :])


def hsv(hue: Level, saturation: Level, value: Level) -> np.ndarray:
    """RGB (n, 3) in 0 to 1 of hue, saturation, value in 0 to 1."""
    hue, saturation, value = np.broadcast_arrays(hue, saturation, value)
    offsets = np.array([5.0, 3.0, 1.0])
    k = (offsets + hue[:, None] * 6) % 6
    ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * ramp)).astype(np.float32)
