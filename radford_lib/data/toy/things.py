"""Toy things with known truth: one shape with one texture, some pairs only for probing.

A pair is told only by its shape and its texture together: every shape of the probe comes with two
of its textures, every texture with two of its shapes, and colour, size, turn, place, light, ground
and what stands about are drawn without regard to it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from radford_lib.data.image_set import ImageSet
from radford_lib.data.toy import drawing, world
from radford_lib.data.toy.drawing import Array, Canvas, Level, palette
from radford_lib.data.toy.world import Dice, Latents

#: Raise by one with any change that alters a pixel or a latent.
VERSION = 2
SPLITS = ("pretrain", "probe-train", "probe-test")
SHAPES = (
    *("disc", "square", "triangle", "star", "ring"),
    *("cross", "heart", "moon", "flower", "arrow"),
)
TEXTURES = ("plain", "faded", "striped", "checked", "dotted", "ringed", "marbled")
PROBE = (
    *(("disc", "plain"), ("disc", "striped")),
    *(("square", "striped"), ("square", "dotted")),
    *(("star", "dotted"), ("star", "ringed")),
    *(("ring", "ringed"), ("ring", "checked")),
    *(("cross", "checked"), ("cross", "plain")),
)
PRETRAIN = tuple(
    (shape, texture) for shape in SHAPES for texture in TEXTURES if (shape, texture) not in PROBE
)

_PAINTS = palette(
    "d9483b e88a3c f0c04f 7fae4d 3f8f6b 3d9db3 3f6fb5 6a55a8 a8508f d9738f "
    "f2e9dc c9a27a 7a4f35 45505c 8c9aa6 22242b"
)
_GROUNDS = palette("d8cfc0 b9c4c9 a7b59c c9b59a 8f9aa8 9c8577 6f7f78 5b6172 c7a9a4 e6e2da 7d6a58")
_WHITE, _BLACK = palette("ffffff 121014")


def things(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "pretrain") -> ImageSet:
    """``n`` toy images of one textured shape each, with labels (kinds balanced) and all latents.

    ``classes`` are the pairs of ``PRETRAIN`` for the split ``pretrain``, those of ``PROBE``, none
    of which is among them, for ``probe-train`` and ``probe-test``. ``extra`` holds every latent of
    `sample_things`. Raises ``UsageError`` for a size, count, seed or split it cannot make.
    """
    world.check_arguments("things", n, size, seed, split, SPLITS)
    latents = sample_things(n, seed, split)
    return ImageSet(
        images=draw_things(latents, size),
        name="things",
        split=split,
        toy=True,
        sha256=world.identity("things", VERSION, n=n, size=size, seed=seed, split=split),
        labels=latents["kind"].astype(np.int64),
        classes=tuple(f"{texture} {shape}" for shape, texture in _kinds(split)),
        extra=latents,
    )


def sample_things(n: int, seed: int = 0, split: str = "pretrain") -> Latents:
    """The latents of the first ``n`` things: name -> (N,), (N, 3) for colours, or more, float32.

    ``kind`` is the label, ``shape`` and ``texture`` index ``SHAPES`` and ``TEXTURES``. Change some
    and call `draw_things` to intervene on one cause alone.
    """
    return world.draw_latents("things", split, seed, n, partial(_draw_block, _kinds(split)))


def draw_things(latents: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """Paint things (N, size, size, 3) uint8 from latents as `sample_things` gives them."""
    return world.paint(latents, size, _paint_thing)[0]


def _kinds(split: str) -> Sequence[tuple[str, str]]:
    return PRETRAIN if split == "pretrain" else PROBE


# Latents


def _draw_block(kinds: Sequence[tuple[str, str]], rng: np.random.Generator, count: int) -> Latents:
    dice = Dice(rng, count)
    kind = rng.permutation(np.arange(count) % len(kinds))
    latents = {
        "kind": kind,
        "shape": np.array([SHAPES.index(shape) for shape, _ in kinds])[kind],
        "texture": np.array([TEXTURES.index(texture) for _, texture in kinds])[kind],
        "x": dice.uniform(0.38, 0.62),
        "y": dice.uniform(0.38, 0.62),
        "radius": dice.uniform(0.25, 0.36),
        "turn": dice.uniform(-np.pi, np.pi),
        "period": dice.uniform(0.13, 0.19),
        "phase": dice.uniform(0, 1),
        "light": dice.uniform(-np.pi, np.pi),
        "shadow": dice.uniform(0.02, 0.05),
    }
    latents |= _draw_colours(dice)
    latents |= _draw_clutter(dice)
    return {key: np.asarray(value, np.float32) for key, value in latents.items()}


def _draw_colours(dice: Dice) -> Latents:
    """Of the thing, and the other one of its texture, which is lighter or darker by far."""
    colour, ink = dice.pick(_PAINTS, 0.08), dice.pick(_PAINTS, 0.08)
    contrast = (ink - colour).mean(axis=1, keepdims=True)
    apart = np.where(colour.mean(axis=1, keepdims=True) < 0.5, _WHITE, _BLACK)
    ink = np.where(np.abs(contrast) < 0.22, drawing.mix(ink, apart, 0.65), ink)
    swap = dice.coin()[:, None]
    return {
        "colour": np.where(swap, ink, colour),
        "ink": np.where(swap, colour, ink),
        "ground": dice.pick(_GROUNDS, 0.06),
        "ground_far": dice.pick(_GROUNDS, 0.06),
        "ground_angle": dice.uniform(0, 6.28),
        "ground_edge": dice.some(0.4, dice.uniform(-0.35, 0.35)),
        "dapple": dice.rng.normal(0, 1, (dice.count, 5, 5)),
    }


def _draw_clutter(dice: Dice) -> Latents:
    """Two things behind and perhaps one before: bars or spots, in frames of their own."""
    clutter = {"in_front": dice.coin(0.35)}
    for name, scale in (("behind", 1.0), ("beside", 1.0), ("before", 0.55)):
        bar = dice.coin()
        clutter |= {
            f"{name}_x": dice.uniform(0, 1),
            f"{name}_y": dice.uniform(0, 1),
            f"{name}_turn": dice.uniform(-np.pi, np.pi),
            f"{name}_long": scale * np.where(bar, dice.uniform(0.2, 0.4), dice.uniform(0.1, 0.18)),
            f"{name}_wide": scale
            * np.where(bar, dice.uniform(0.04, 0.08), dice.uniform(0.08, 0.14)),
            f"{name}_corner": np.where(bar, 0.2, 1.0),
            f"{name}_colour": dice.pick(np.concatenate([_PAINTS, _GROUNDS]), 0.1),
        }
    return clutter


# Painting


def _paint_thing(canvas: Canvas, latents: Latents) -> Latents:
    _paint_ground(canvas, latents)
    _paint_clutter(canvas, latents, "behind", 0.85)
    _paint_clutter(canvas, latents, "beside", 0.85)
    _paint_body(canvas, latents)
    _paint_clutter(canvas, latents, "before", latents["in_front"])
    return {}


def _paint_ground(canvas: Canvas, latents: Latents) -> None:
    """Two colours that run into each other, or meet in an edge, dappled."""
    angle, edge = latents["ground_angle"], latents["ground_edge"]
    across = np.cos(angle) * (canvas.x - 0.5) + np.sin(angle) * (canvas.y - 0.5)
    dapple = drawing.smooth_noise(latents["dapple"], canvas.y, canvas.x)
    sharp = canvas.cover(edge - across)
    share = np.where(edge == 0, 0.5 + 0.6 * across + 0.15 * dapple, sharp)
    canvas.pixels[:] = drawing.mix_field(
        latents["ground"], latents["ground_far"], np.clip(share, 0, 1)
    )
    canvas.shade(1 + np.float32(0.04) * dapple)


def _paint_clutter(canvas: Canvas, latents: Latents, name: str, present: Level) -> None:
    """A bar or a spot, lit from one side."""
    x, y, long = latents[f"{name}_x"], latents[f"{name}_y"], latents[f"{name}_long"]
    wide = latents[f"{name}_wide"]
    u, v = drawing.turn(canvas.x, canvas.y, x, y, latents[f"{name}_turn"])
    corner = latents[f"{name}_corner"] * wide
    distance = drawing.box(u, v, long, wide, corner)
    tone = 0.95 + 0.9 * v
    colour = drawing.spread(latents[f"{name}_colour"]) * tone[:, None]
    canvas.paint(canvas.cover(distance) * present, colour)


def _paint_body(canvas: Canvas, latents: Latents) -> None:
    """The thing with its shadow, its texture, and a bevel that the light shows."""
    light, far = latents["light"], latents["shadow"]
    lx, ly = np.cos(light), np.sin(light)
    x, y, turned = latents["x"], latents["y"], latents["turn"]
    u, v = drawing.turn(canvas.x, canvas.y, x, y, turned)
    distance = _shape_distance(latents, u, v)
    su, sv = drawing.turn(canvas.x + far * lx, canvas.y + far * ly, x, y, turned)
    shifted = _shape_distance(latents, su, sv)
    canvas.shade(1 - 0.4 * canvas.cover(shifted, 0.05))
    ink = _texture_ink(latents, u, v, canvas.pixel)
    # Where the edge faces the light, a step towards the light leads outwards.
    facing = np.clip((shifted - distance) / far, -1, 1)
    bevel = np.clip(1 + distance / 0.045, 0, 1)
    lit = 1 + 0.30 * facing * bevel + 0.35 * ((canvas.x - x) * lx + (canvas.y - y) * ly)
    colour = drawing.mix_field(latents["colour"], latents["ink"], ink)
    canvas.paint(canvas.cover(distance), colour * lit[:, None])


def _shape_distance(latents: Latents, u: Array, v: Array) -> Array:
    """Signed distance of each image's shape, in the shape's own frame."""
    distance = np.ones_like(u)
    for number, name in enumerate(SHAPES):
        chosen = latents["shape"].ravel() == number
        if chosen.any():
            form, reach = _FORMS[name]
            radius = np.float32(reach) * latents["radius"][chosen]
            distance[chosen] = form(u[chosen], v[chosen], radius)
    return distance


def _square(x: Array, y: Array, radius: Array) -> Array:
    return drawing.box(x, y, radius, radius, 0.1 * radius)


def _ring(x: Array, y: Array, radius: Array) -> Array:
    return np.abs(drawing.circle(x, y, 0.74 * radius)) - 0.26 * radius


#: Distance of each shape, and its size for the same area: none is told by how much it covers.
_FORMS: dict[str, tuple[Callable[[Array, Array, Array], Array], float]] = {
    "disc": (drawing.circle, 0.84),
    "square": (_square, 0.74),
    "triangle": (partial(drawing.regular_polygon, sides=3), 1.30),
    "star": (partial(drawing.star, points=5, waist=0.48), 1.25),
    "ring": (_ring, 0.95),
    "cross": (partial(drawing.cross, arm=0.36), 0.97),
    "heart": (drawing.heart, 0.92),
    "moon": (drawing.moon, 1.19),
    "flower": (partial(drawing.flower, petals=6), 1.04),
    "arrow": (drawing.arrow, 1.21),
}


def _texture_ink(latents: Latents, u: Array, v: Array, pixel: float) -> Array:
    """How much of the second colour each pixel takes, 0..1."""
    ink = np.zeros_like(u)
    for number, name in enumerate(TEXTURES):
        chosen = latents["texture"].ravel() == number
        if name != "plain" and chosen.any():
            period, phase = latents["period"][chosen], latents["phase"][chosen]
            a, b = u[chosen] / period, v[chosen] / period
            ink[chosen] = _TEXTURES[name](a, b, phase, pixel / period)
    return ink


def _faded(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    return drawing.smoothstep(-2.0, 2.0, a + phase - 0.5)


def _striped(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    return drawing.wave_edge(a + phase, pixel)


def _checked(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    across = 2 * drawing.wave_edge(0.7 * a + phase, 0.7 * pixel) - 1
    along = 2 * drawing.wave_edge(0.7 * b + phase, 0.7 * pixel) - 1
    return 0.5 + 0.5 * across * along


def _dotted(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    a, b = a + phase, b + phase
    spot = drawing.length(a - np.floor(a) - 0.5, b - np.floor(b) - 0.5) - 0.36
    return np.clip(0.5 - spot / pixel, 0, 1)


def _ringed(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    return drawing.wave_edge(drawing.length(a, b) + phase, pixel)


def _marbled(a: Array, b: Array, phase: Array, pixel: Array) -> Array:
    swirl = np.sin(2.3 * b + 6.28 * phase) + 0.6 * np.sin(3.7 * a - 2.9 * b)
    vein = np.sin(4.4 * a + 1.9 * swirl)
    return drawing.smoothstep(-0.6, 0.6, vein)


_TEXTURES = {
    "faded": _faded,
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "ringed": _ringed,
    "marbled": _marbled,
}
