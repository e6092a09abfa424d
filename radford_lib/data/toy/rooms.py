"""Toy bedrooms in one-point perspective, with a box and a mask for each object."""

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
    smooth,
)

VERSION = 1
SPLITS = ("train", "test")
OBJECTS = ("window", "second window", "bed", "lamp", "picture")
FLOOR = 0.30  # height of the line where the back wall meets the floor


def rooms(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train") -> ImageSet:
    """``n`` toy bedrooms; ``attributes`` say which of ``OBJECTS`` are there.

    ``extra``: ``boxes`` (N, 5, 4) int16, pixels x0, y0, x1, y1 (the last two exclusive), -1 where
    the object is absent; ``masks`` (N, 5, H, W) uint8, 255 where the object is seen, nearer objects
    cut out. Image i does not depend on ``n``. Raises ``UsageError`` for a size or split that cannot
    be drawn.
    """
    check_arguments(n, size, split, SPLITS)
    images, masks, present = [], [], []
    for rng, count in chunks(n, seed, f"rooms/{split}"):
        latents = draw_latents(rng)
        drawn, cover = render(latents, size)
        images.append(drawn[:count])
        masks.append((cover[:count] * 255 + 0.5).astype(np.uint8))
        present.append(np.stack([latents[name] for name in OBJECTS], 1)[:count])
    all_masks = np.concatenate(masks)
    return ImageSet(
        images=np.concatenate(images),
        name="rooms",
        split=split,
        toy=True,
        sha256=identity("rooms", VERSION, n=n, size=size, seed=seed, split=split),
        attributes=np.concatenate(present).astype(np.uint8),
        attribute_names=OBJECTS,
        extra={"boxes": boxes_around(all_masks), "masks": all_masks},
    )


def boxes_around(masks: np.ndarray) -> np.ndarray:
    """Smallest box around the half-covered pixels of each mask, (N, K, 4); -1 where it is empty."""
    inside: np.ndarray = masks >= 128
    bounds = []
    for axis in (2, 3):
        line: np.ndarray = np.asarray(inside.any(axis))
        length = line.shape[2]
        bounds.append((line.argmax(2), length - line[..., ::-1].argmax(2)))
    (left, right), (top, bottom) = bounds
    boxes = np.stack([left, top, right, bottom], -1).astype(np.int16)
    empty = ~np.asarray(inside.any((2, 3)))
    boxes[empty] = -1
    return boxes


def draw_latents(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Everything that decides a chunk of rooms."""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (CHUNK, *shape)).astype(np.float32)

    side = np.where(rng.random(CHUNK) < 0.5, -1, 1).astype(np.float32)
    window = rng.random(CHUNK) < 0.75
    return {
        "side": side,  # the bed's; the lamp stands beside it, windows lean to the other
        "window": window,
        "second window": window & (rng.random(CHUNK) < 0.35),
        "bed": rng.random(CHUNK) < 0.92,
        "lamp": rng.random(CHUNK) < 0.65,
        "picture": rng.random(CHUNK) < 0.6,
        "rug": rng.random(CHUNK) < 0.5,
        "curtains": rng.random(CHUNK) < 0.6,
        "night": rng.random(CHUNK) < 0.25,
        "wall_hue": uniform(0, 1),
        "wall_depth": uniform(0.05, 0.35),
        "wall_value": uniform(0.62, 0.95),
        "wood": uniform(0, 1),
        "hues": uniform(0, 1, 5),
        "shift": uniform(-1, 1, 8),
        "sky": uniform(-1, 1, 4, 4),
        "art": uniform(0, 1, 4),
        "panes": rng.integers(0, 3, CHUNK),
        "boards": uniform(5, 9),
    }


def render(latent: dict[str, np.ndarray], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint a chunk of rooms: images (500, H, W, 3) uint8 and masks (500, 5, H, W) in 0 to 1."""
    canvas = Canvas(CHUNK, size)
    masks = np.zeros((CHUNK, len(OBJECTS), size, size), np.float32)

    def keep(index: int, alpha: np.ndarray) -> None:
        masks[:, :index] *= 1 - alpha[:, None]
        masks[:, index + 1 :] *= 1 - alpha[:, None]
        masks[:, index] = np.maximum(masks[:, index], alpha)

    paint_shell(canvas, latent)
    keep(0, paint_window(canvas, latent, "window", -1.0, 0))
    keep(1, paint_window(canvas, latent, "second window", 1.0, 1))
    keep(4, paint_picture(canvas, latent))
    paint_rug(canvas, latent)
    keep(3, paint_lamp(canvas, latent))
    keep(2, paint_bed(canvas, latent))
    glow(canvas, latent)
    return canvas.to_uint8(), masks


def paint_shell(canvas: Canvas, latent: dict[str, np.ndarray]) -> None:
    """Back wall, side walls, ceiling and a boarded floor that all meet the vanishing point."""
    x, y = canvas.x, canvas.y
    wall = hsv(latent["wall_hue"], latent["wall_depth"], latent["wall_value"])
    half = 0.74 + 0.06 * field(latent["shift"][:, 0])
    light = 0.10 * x * field(latent["side"]) * -1 - 0.06 * y
    canvas.colour[:] = wall[:, None, None] * (0.98 + light)[..., None]
    # lines from the back wall's corners outwards: a side wall is where |x| leads
    outward = np.abs(x) - half
    below, above = y - FLOOR, -0.72 - y
    floor_line = below - outward * 1.15
    ceiling_line = above - outward * 0.75
    side = canvas.coverage(-outward)
    tone = 0.80 + 0.10 * np.sign(x) * field(latent["side"]) * -1
    canvas.paint(side, wall[:, None, None] * (tone + 0 * side)[..., None])
    ceiling = canvas.coverage(-np.minimum(above, ceiling_line))
    canvas.paint(ceiling, np.clip(wall * 0.4 + 0.56, 0, 1))
    floor = canvas.coverage(-np.minimum(below, floor_line))
    wood = mix(
        np.array([[0.72, 0.53, 0.34]], np.float32),
        np.array([[0.38, 0.25, 0.17]], np.float32),
        latent["wood"][:, None],
    )
    depth = np.maximum(y - FLOOR + 0.42, 0.05)
    across = x / depth * field(latent["boards"]) * 0.35
    seam = np.exp(-(((across + 0.5) % 1 - 0.5) ** 2) / 0.006)
    grain = 0.06 * np.sin(across * 9 + 4 / depth) - 0.16 * seam
    canvas.paint(floor, wood[:, None, None] * (0.86 + 0.22 * (y - FLOOR) + grain)[..., None])
    skirting = box(x, y - FLOOR, half[:, 0, 0], np.full(CHUNK, 0.018, np.float32))
    canvas.paint(canvas.coverage(skirting) * 0.8, np.clip(wall * 0.5 + 0.45, 0, 1))


def paint_window(
    canvas: Canvas, latent: dict[str, np.ndarray], name: str, lean: float, number: int
) -> np.ndarray:
    """A framed window with panes, sky and curtains; returns its coverage."""
    there = field(latent[name])
    shift = latent["shift"]
    alone = ~latent["second window"]
    x = np.where(alone, -latent["side"] * 0.36, lean * 0.42) + 0.06 * shift[:, 1 + number]
    y = -0.24 + 0.05 * shift[:, 3]
    wide = np.where(alone, 0.25, 0.19) + 0.03 * shift[:, 4]
    tall = 0.27 + 0.04 * shift[:, 5]
    u, v = canvas.local(x.astype(np.float32), y)
    frame = canvas.coverage(box(u, v, wide + 0.035, tall + 0.035, 0.01)) * there
    canvas.paint(frame, np.full((CHUNK, 3), 0.95, np.float32))
    glass = canvas.coverage(box(u, v, wide, tall)) * there
    sky = smooth(latent["sky"], canvas.colour.shape[1])
    day = mix(
        np.array([0.45, 0.68, 0.95], np.float32),
        np.array([0.92, 0.95, 0.98], np.float32),
        np.clip(0.35 + 0.5 * sky + (v + 0.2), 0, 1)[..., None],
    )
    hill = np.clip((v - 0.10 - 0.06 * np.sin(u * 7 + field(shift[:, 6]) * 3)) / 0.03, 0, 1)
    day = mix(day, np.array([0.36, 0.55, 0.30], np.float32), hill[..., None])
    night = np.array([0.07, 0.10, 0.22], np.float32) * (1 + 0.4 * sky[..., None])
    canvas.paint(glass, np.where(latent["night"][:, None, None, None], night, day))
    bars = np.minimum(
        np.abs(u) + 10 * field(latent["panes"] == 0), np.abs(v) + 10 * field(latent["panes"] < 2)
    )
    canvas.paint(canvas.coverage(bars - 0.016) * glass, np.full((CHUNK, 3), 0.95, np.float32))
    cloth = hsv(latent["hues"][:, 0], np.float32(0.45), np.float32(0.78))
    drawn = there * field(latent["curtains"])
    for side in (-1, 1):
        u, v = canvas.local((x + side * (wide + 0.045)).astype(np.float32), y + 0.06)
        panel = canvas.coverage(box(u, v, np.full_like(wide, 0.07), tall + 0.12)) * drawn
        canvas.paint(panel, cloth[:, None, None] * (0.86 + 0.16 * np.cos(u * 90))[..., None])
        frame = np.maximum(frame * (1 - panel), 0)
    return frame


def paint_picture(canvas: Canvas, latent: dict[str, np.ndarray]) -> np.ndarray:
    """A small framed abstract picture over the bed; returns its coverage."""
    there = field(latent["picture"] & ~latent["second window"])
    latent["picture"] = latent["picture"] & ~latent["second window"]
    x = latent["side"] * 0.38 + 0.07 * latent["shift"][:, 2]
    u, v = canvas.local(x, -0.33 + 0.05 * latent["shift"][:, 6])
    wide, tall = 0.13 + 0.05 * latent["art"][:, 0], 0.11 + 0.05 * latent["art"][:, 1]
    whole = canvas.coverage(box(u, v, wide + 0.03, tall + 0.03)) * there
    frame = mix(
        np.array([[0.12, 0.10, 0.09]], np.float32),
        np.array([[0.78, 0.62, 0.28]], np.float32),
        (latent["art"][:, 2:3] > 0.5).astype(np.float32),
    )
    canvas.paint(whole, frame)
    inside = canvas.coverage(box(u, v, wide, tall)) * there
    ground = hsv(latent["hues"][:, 1], np.float32(0.5), np.float32(0.85))
    canvas.paint(inside, ground)
    hill = canvas.coverage(v - 0.03 - 0.04 * np.sin(u * 16 + field(latent["art"][:, 3]) * 6))
    canvas.paint(
        inside * (1 - hill), hsv((latent["hues"][:, 1] + 0.4) % 1, np.float32(0.6), np.float32(0.5))
    )
    sun = ellipse(u - 0.04, v + 0.05, np.full(CHUNK, 0.035), np.full(CHUNK, 0.035))
    canvas.paint(canvas.coverage(sun) * inside, np.full((CHUNK, 3), 0.96, np.float32))
    return whole


def paint_rug(canvas: Canvas, latent: dict[str, np.ndarray]) -> None:
    """An oval rug with a border, on the free side of the floor."""
    u, v = canvas.local(-latent["side"] * 0.38, np.full(CHUNK, 0.74, np.float32))
    rug = ellipse(u, v, np.full(CHUNK, 0.42), np.full(CHUNK, 0.13))
    colour = hsv(latent["hues"][:, 2], np.float32(0.5), np.float32(0.7))
    canvas.paint(canvas.coverage(rug) * field(latent["rug"]), colour)
    ring = canvas.coverage(np.abs(rug + 0.035) - 0.012) * field(latent["rug"])
    canvas.paint(ring, np.clip(colour * 0.5 + 0.45, 0, 1))


def paint_bed(canvas: Canvas, latent: dict[str, np.ndarray]) -> np.ndarray:
    """Headboard at the back wall, mattress in perspective, pillow, blanket; its coverage."""
    there = field(latent["bed"])
    x = latent["side"] * 0.40
    wide = 0.33 + 0.04 * latent["shift"][:, 7]
    wood = hsv(np.full(CHUNK, 0.07), np.float32(0.55), 0.30 + 0.35 * latent["wood"])
    u, v = canvas.local(x, np.full(CHUNK, 0.20, np.float32))
    head = canvas.coverage(box(u, v, wide + 0.03, np.full(CHUNK, 0.19), 0.05)) * there
    canvas.paint(head, wood)
    blanket = hsv(latent["hues"][:, 3], np.float32(0.50), np.float32(0.80))
    u, v = canvas.local(x, np.full(CHUNK, 0.50, np.float32))
    # the mattress widens towards the viewer
    spread = 1 + 0.45 * (v + 0.22)
    top = canvas.coverage(box(u / spread, v, wide, np.full(CHUNK, 0.24), 0.03)) * there
    tone = 1.02 - 0.12 * v + 0.05 * np.sin(u * 24 + v * 10)
    canvas.paint(top, blanket[:, None, None] * tone[..., None])
    sheet = canvas.coverage(v + 0.10) * top
    canvas.paint(sheet, np.full((CHUNK, 3), 0.93, np.float32))
    stripe = canvas.coverage(np.abs(v + 0.02) - 0.02) * top
    canvas.paint(stripe, np.clip(blanket * 0.6 + 0.38, 0, 1))
    for side in (-1, 1):
        u, v = canvas.local(x + side * wide * 0.46, np.full(CHUNK, 0.31, np.float32))
        pillow = canvas.coverage(box(u, v, wide * 0.38, np.full(CHUNK, 0.065), 0.05)) * there
        canvas.paint(pillow, np.full((CHUNK, 3), 0.98, np.float32))
        canvas.paint(canvas.coverage(v * -1 + 0.02) * pillow * 0.10, blanket * 0.4)
    u, v = canvas.local(x, np.full(CHUNK, 0.82, np.float32))
    front = canvas.coverage(box(u, v, wide * 1.21, np.full(CHUNK, 0.10), 0.02)) * there
    canvas.paint(front, blanket * 0.72)
    return np.maximum(np.maximum(head, top), front)


def paint_lamp(canvas: Canvas, latent: dict[str, np.ndarray]) -> np.ndarray:
    """A lamp on a bedside table, on the bed's inner side; returns the lamp's coverage."""
    there = field(latent["lamp"])
    x = latent["side"] * -0.10 + 0.03 * latent["shift"][:, 6]
    wood = hsv(np.full(CHUNK, 0.07), np.float32(0.5), 0.34 + 0.35 * latent["wood"])
    u, v = canvas.local(x, np.full(CHUNK, 0.40, np.float32))
    table = canvas.coverage(box(u, v, np.full(CHUNK, 0.10), np.full(CHUNK, 0.12), 0.01)) * there
    canvas.paint(table, wood)
    canvas.paint(canvas.coverage(np.abs(v) - 0.008) * table * 0.6, wood * 0.5)
    u, v = canvas.local(x, np.full(CHUNK, 0.20, np.float32))
    stem = canvas.coverage(box(u, v, np.full(CHUNK, 0.016), np.full(CHUNK, 0.09))) * there
    canvas.paint(stem, np.full((CHUNK, 3), 0.30, np.float32))
    u, v = canvas.local(x, np.full(CHUNK, 0.06, np.float32))
    shade = canvas.coverage(
        box(u / (1 + 1.6 * (v + 0.08)), v, np.full(CHUNK, 0.075), np.full(CHUNK, 0.085), 0.01)
    )
    shade = shade * there
    canvas.paint(shade, hsv(0.09 + 0.08 * latent["hues"][:, 4], np.float32(0.35), np.float32(1.0)))
    return np.maximum(stem, shade)


def glow(canvas: Canvas, latent: dict[str, np.ndarray]) -> None:
    """Night darkens the room and lets the lamp light it; by day light falls from the window."""
    x = latent["side"] * -0.10 + 0.03 * latent["shift"][:, 6]
    u, v = canvas.local(x, np.full(CHUNK, 0.06, np.float32))
    lamp = np.exp(-(u**2 + v**2) / 0.16) * field(latent["lamp"])
    night = field(latent["night"])
    canvas.shade(night * (-0.38 + 0.75 * lamp) + (1 - night) * 0.10 * lamp)
    fall = field(latent["side"]) * -canvas.x * 0.10 * field(latent["window"]) * (1 - night)
    canvas.shade(fall)
