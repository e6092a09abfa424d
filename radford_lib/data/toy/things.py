"""Toy things: shapes with textures on cluttered grounds; some kinds only for probing."""

import numpy as np

from radford_lib.data.image_set import ImageSet
from radford_lib.data.toy.canvas import (
    CHUNK,
    Canvas,
    box,
    check_arguments,
    chunks,
    ellipse,
    field,
    hsv,
    identity,
    mix,
    polygon,
    smooth,
    star,
)

VERSION = 1
SHAPES = ("disc", "square", "triangle", "star", "ring", "cross")
TEXTURES = ("plain", "striped", "checked", "dotted", "banded")
# Each shape and each texture occurs in both parts, no pair in both
PROBED = {(s, (2 * s + k) % len(TEXTURES)) for s in range(len(SHAPES)) for k in (0, 1)} - {
    (4, 4),
    (5, 1),
}
PROBE = tuple(sorted(PROBED))
PRETRAIN = tuple(
    (s, t) for s in range(len(SHAPES)) for t in range(len(TEXTURES)) if (s, t) not in PROBED
)
SPLITS = ("pretrain", "probe-train", "probe-test")


def things(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "pretrain") -> ImageSet:
    """``n`` toy images of one textured shape each, kinds balanced.

    ``pretrain`` shows 20 kinds, ``probe-train`` and ``probe-test`` the same 10 others: every shape
    and texture is seen in pre-training, none of the probe's pairs is. Colour, size, turn, place,
    light, ground and what lies in front vary freely, so that pixels alone tell little of the kind.
    Image i does not depend on ``n``. Raises ``UsageError`` for a size or split it cannot draw.
    """
    check_arguments(n, size, split, SPLITS)
    kinds = np.array(PRETRAIN if split == "pretrain" else PROBE)
    images, labels = [], []
    for rng, count in chunks(n, seed, f"things/{split}"):
        label = rng.permutation(np.arange(CHUNK) % len(kinds))
        images.append(render(rng, kinds[label], size)[:count])
        labels.append(label[:count])
    return ImageSet(
        images=np.concatenate(images),
        name="things",
        split=split,
        toy=True,
        sha256=identity("things", VERSION, n=n, size=size, seed=seed, split=split),
        labels=np.concatenate(labels).astype(np.int64),
        classes=tuple(f"{TEXTURES[texture]} {SHAPES[shape]}" for shape, texture in kinds),
    )


def render(rng: np.random.Generator, kinds: np.ndarray, size: int) -> np.ndarray:
    """Paint a chunk: ``kinds`` (500, 2) shape and texture; returns (500, size, size, 3) uint8."""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (CHUNK, *shape)).astype(np.float32)

    canvas = Canvas(CHUNK, size)
    light = uniform(-np.pi, np.pi)
    ground_hue = uniform(0, 1)
    paint_ground(canvas, uniform(-1, 1, 6, 6), ground_hue, uniform(0.35, 0.95))
    for _ in range(2):
        paint_clutter(canvas, uniform(-1, 1, 6), uniform(0, 1, 3), alpha=0.7)
    hue = (ground_hue + uniform(0.2, 0.8)) % 1
    colour = hsv(hue, uniform(0.35, 0.9), uniform(0.55, 1.0))
    ink = hsv((hue + uniform(0.25, 0.75)) % 1, uniform(0.2, 0.9), uniform(0.12, 0.95))
    cx, cy = uniform(-0.28, 0.28), uniform(-0.28, 0.28)
    u, v = canvas.local(cx, cy, uniform(-np.pi, np.pi))
    distance = shape_distance(u, v, kinds[:, 0], uniform(0.42, 0.68))
    shadow = np.roll(distance, (max(1, size // 16), max(1, size // 24)), (1, 2))
    canvas.paint(canvas.coverage(shadow, 0.12) * 0.35, np.zeros((CHUNK, 3), np.float32))
    fill = texture_ink(u, v, kinds[:, 1], uniform(0.8, 1.25), canvas)
    body = mix(colour[:, None, None], ink[:, None, None], fill[..., None])
    cos, sin = np.cos(field(light)), np.sin(field(light))
    relief = 1 + 0.28 * ((canvas.x - field(cx)) * cos + (canvas.y - field(cy)) * sin)
    rim = 1 - 0.30 * np.exp(-((distance / 0.05) ** 2))
    alpha = canvas.coverage(distance)
    canvas.paint(alpha, np.clip(body * (relief * rim)[..., None], 0, 1))
    in_front = rng.random(CHUNK) < 0.35
    paint_clutter(canvas, uniform(-1, 1, 6), uniform(0, 1, 3), alpha=0.95 * in_front, small=True)
    canvas.colour += rng.normal(0, 0.015, canvas.colour.shape).astype(np.float32)
    return canvas.to_uint8()


def paint_ground(canvas: Canvas, grid: np.ndarray, hue: np.ndarray, value: np.ndarray) -> None:
    """A ground of two related colours in soft patches."""
    first = hsv(hue, np.float32(0.35), value)
    second = hsv((hue + 0.12) % 1, np.float32(0.5), value * 0.7)
    patches = 0.5 + 0.5 * smooth(grid, canvas.colour.shape[1])
    canvas.colour[:] = mix(first[:, None, None], second[:, None, None], patches[..., None])


def paint_clutter(
    canvas: Canvas,
    place: np.ndarray,
    colour: np.ndarray,
    alpha: np.ndarray | float,
    small: bool = False,
) -> None:
    """A bar or a blob somewhere, of a random colour."""
    u, v = canvas.local(place[:, 0], place[:, 1], place[:, 2] * np.pi)
    scale = 0.5 if small else 1.0
    bar = box(u, v, scale * (0.45 + 0.3 * place[:, 3]), scale * (0.10 + 0.05 * place[:, 4]), 0.05)
    blob = ellipse(u, v, scale * (0.26 + 0.12 * place[:, 3]), scale * (0.20 + 0.1 * place[:, 4]))
    distance = np.where(field(place[:, 5]) > 0, bar, blob)
    canvas.paint(canvas.coverage(distance) * field(alpha), hsv(*colour.T))


def shape_distance(
    u: np.ndarray, v: np.ndarray, shape: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """Distance to each image's shape, drawn group by group."""
    result = np.empty_like(u)
    for number, name in enumerate(SHAPES):
        chosen = shape == number
        a, b, r = u[chosen], v[chosen], radius[chosen]
        if name == "disc":
            result[chosen] = ellipse(a, b, r, r)
        elif name == "square":
            result[chosen] = box(a, b, r * 0.84, r * 0.84, 0.03)
        elif name == "triangle":
            result[chosen] = polygon(a, b, r * 1.2, 3)
        elif name == "star":
            result[chosen] = star(a, b, r * 1.2, 5, 0.45)
        elif name == "ring":
            result[chosen] = np.abs(ellipse(a, b, r * 0.8, r * 0.8)) - field(r) * 0.25
        else:
            upright = box(a, b, r * 0.34, r, 0.03)
            result[chosen] = np.minimum(upright, box(a, b, r, r * 0.34, 0.03))
    return result


def texture_ink(
    u: np.ndarray, v: np.ndarray, texture: np.ndarray, scale: np.ndarray, canvas: Canvas
) -> np.ndarray:
    """How much of the second colour each pixel takes, 0 to 1."""
    period = 0.36 * field(scale)
    edge = canvas.pixel * 1.5

    def wave(t: np.ndarray, period: np.ndarray) -> np.ndarray:
        """Anti-aliased square wave, -1 to 1."""
        return np.clip(np.sin(2 * np.pi * t / period) * period / (np.pi * edge), -1, 1)

    result = np.zeros_like(u)
    for number, name in enumerate(TEXTURES):
        chosen = texture == number
        a, b, p = u[chosen], v[chosen], period[chosen]
        if name == "striped":
            result[chosen] = 0.5 + 0.5 * wave(a, p)
        elif name == "checked":
            result[chosen] = 0.5 + 0.5 * wave(a, p * 1.3) * wave(b, p * 1.3)
        elif name == "dotted":
            cell = p * 0.95
            du, dv = (a + cell / 2) % cell - cell / 2, (b + cell / 2) % cell - cell / 2
            result[chosen] = canvas.coverage(np.hypot(du, dv) - cell * 0.29)
        elif name == "banded":
            result[chosen] = 0.5 + 0.5 * wave(np.hypot(a, b), p)
    return result
