"""Toy portraits with known truth: smile, glasses, sex, hair, skin, pose, light and background.

Smile, glasses and sex are independent fair coins, so that arithmetic and probes can be scored;
hair, beard and make-up lean on sex, which is how a picture shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from radford_lib.data.image_set import ImageSet
from radford_lib.data.toy import drawing, world
from radford_lib.data.toy.drawing import Array, Canvas
from radford_lib.data.toy.world import Latents

#: Raise by one with any change that alters a pixel or a latent.
VERSION = 1
SPLITS = ("train", "test")
ATTRIBUTES = ("smiling", "glasses", "male", "long_hair", "fringe", "beard", "light_hair")

_SKIN = np.array(
    [
        [0.99, 0.87, 0.78],
        [0.95, 0.77, 0.64],
        [0.85, 0.63, 0.47],
        [0.66, 0.44, 0.31],
        [0.43, 0.28, 0.2],
    ]
)
# black, dark brown, brown, auburn, ginger, dark blond, blond, grey
_HAIR = np.array(
    [
        [0.09, 0.08, 0.09],
        [0.22, 0.14, 0.10],
        [0.38, 0.24, 0.15],
        [0.45, 0.18, 0.10],
        [0.74, 0.36, 0.13],
        [0.66, 0.49, 0.27],
        [0.90, 0.75, 0.45],
        [0.72, 0.71, 0.70],
    ]
)
_LIGHT_HAIR = (5, 6, 7)
_IRIS = np.array([[0.24, 0.14, 0.08], [0.42, 0.27, 0.12], [0.25, 0.45, 0.30], [0.25, 0.45, 0.70]])
_FRAMES = np.array(
    [[0.06, 0.06, 0.08], [0.32, 0.17, 0.08], [0.62, 0.08, 0.12], [0.12, 0.2, 0.5], [0.6, 0.5, 0.25]]
)
_WHITE = np.array([0.98, 0.97, 0.95], np.float32)
_BLACK = np.array([0.05, 0.04, 0.05], np.float32)


def faces(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train") -> ImageSet:
    """``n`` toy portraits of ``size`` x ``size`` pixels, with attributes and all latents.

    ``attributes`` (N, 7) follow ``ATTRIBUTES``. ``extra`` holds every latent of `sample_faces`:
    (N,) or (N, 3) float32. Raises ``UsageError`` for a size, count, seed or split it cannot make.
    """
    world.check_arguments("faces", n, size, seed, split, SPLITS)
    latents = sample_faces(n, seed, split)
    return ImageSet(
        images=draw_faces(latents, size),
        name="faces",
        split=split,
        toy=True,
        sha256=world.identity("faces", VERSION, n=n, size=size, seed=seed, split=split),
        attributes=np.stack([latents[name] for name in ATTRIBUTES], axis=1).astype(np.uint8),
        attribute_names=ATTRIBUTES,
        extra=latents,
    )


def sample_faces(n: int, seed: int = 0, split: str = "train") -> Latents:
    """The latents of the first ``n`` portraits: name -> (N,) or, for colours, (N, 3) float32.

    ``pose`` -1..1 turns the head to the picture's left or right, ``mouth`` is the curvature
    (smiling above 0.45), ``mouth_open`` 0..1, ``light`` -1..1 where the light stands, ``skin_tone``
    0 light to 1 dark. Change some and call `draw_faces` to intervene on one cause alone.
    """
    return world.draw_latents("faces", split, seed, n, _draw_block)


def draw_faces(latents: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """Paint portraits (N, size, size, 3) uint8 from latents as `sample_faces` gives them."""
    return world.paint(latents, size, _paint_face)[0]


# Latents


def _draw_block(rng: np.random.Generator, count: int) -> Latents:
    def uniform(low: float, high: float) -> Array:
        return rng.uniform(low, high, count)

    def coin(chance: float | Array = 0.5) -> Array:
        return (rng.random(count) < chance).astype(np.float64)

    male, smiling, glasses = coin(), coin(), coin()
    latents = {"male": male, "smiling": smiling, "glasses": glasses}
    latents |= {
        "pose": np.clip(rng.normal(0, 0.5, count), -1, 1),
        "light": uniform(-1, 1),
        "light_height": uniform(0.2, 0.8),
        "x": rng.normal(0.5, 0.015, count).clip(0.46, 0.54),
        "y": rng.normal(0.515, 0.012, count).clip(0.48, 0.55),
        "width": uniform(0.225, 0.255) + 0.012 * male,
        "height": uniform(0.305, 0.335) + 0.008 * male,
        "jaw": uniform(0.24, 0.36) - 0.17 * male,
        "mouth": np.where(smiling == 1, uniform(0.55, 1.0), uniform(-0.35, 0.15)),
        "mouth_open": np.where(smiling == 1, uniform(0.25, 1.0), uniform(0, 0.12)),
        "mouth_width": uniform(0.085, 0.105),
        "lips": uniform(0.012, 0.018) + 0.006 * (1 - male),
        "make_up": (1 - male) * uniform(0.3, 1.0),
        "lip_hue": uniform(-0.06, 0.03) % 1,
        "eye_size": uniform(0.052, 0.064) + 0.006 * (1 - male),
        "eye_open": uniform(0.5, 0.68),
        "gaze": uniform(-1, 1),
        "brow": uniform(0.008, 0.013) + 0.007 * male,
        "brow_tilt": uniform(-0.6, 0.6),
        "nose": uniform(0.028, 0.040) + 0.007 * male,
        "iris": _IRIS[rng.integers(len(_IRIS), size=count)] * uniform(0.8, 1.2)[:, None],
    }
    latents |= _draw_hair(rng, count, male)
    latents |= _draw_colours(rng, count, latents["skin_tone"])
    latents |= {
        "lens_round": uniform(0.2, 1.0),
        "lens_size": uniform(0.078, 0.092),
        "lens_tint": np.where(coin(0.15) == 1, uniform(0.75, 0.92), uniform(0.05, 0.15)),
        "frame": uniform(0.010, 0.019),
        "frame_colour": _FRAMES[rng.integers(len(_FRAMES), size=count)],
        "earring": (1 - male) * coin(0.4),
    }
    return {key: np.asarray(value, np.float32) for key, value in latents.items()}


def _draw_hair(rng: np.random.Generator, count: int, male: Array) -> Latents:
    """Cut, colour and beard; also the skin's tone, which the hair's colour goes with."""

    def uniform(low: float, high: float) -> Array:
        return rng.uniform(low, high, count)

    tone = rng.beta(0.9, 1.3, count)
    shade = rng.choice(len(_HAIR), count, p=[0.16, 0.2, 0.2, 0.09, 0.08, 0.09, 0.12, 0.06])
    shade = np.where((tone > 0.6) & (rng.random(count) < 0.9), shade % 2, shade)
    colour = _HAIR[shade] * uniform(0.85, 1.15)[:, None]
    long_hair = rng.random(count) < np.where(male == 1, 0.08, 0.82)
    bald = (rng.random(count) < 0.1) & (male == 1) & ~long_hair
    fringe = (rng.random(count) < np.where(male == 1, 0.2, 0.35)) & ~bald
    beard = (rng.random(count) < 0.4) & (male == 1)
    curl = np.where(rng.random(count) < 0.35, uniform(0.5, 1.0), uniform(0.0, 0.15))
    return {
        "skin_tone": tone,
        "hair": colour,
        "light_hair": np.isin(shade, _LIGHT_HAIR),
        "long_hair": long_hair,
        "bald": bald,
        "fringe": fringe,
        "beard": beard,
        "beard_fullness": uniform(0.0, 1.0),
        "curl": curl,
        "curl_phase": uniform(0, 6.28),
        "volume": np.where(long_hair, uniform(0.035, 0.075), uniform(0.012, 0.065)) + 0.02 * curl,
        "hair_length": np.where(rng.random(count) < 0.35, uniform(0.35, 0.7), uniform(0.9, 1.5)),
        "hairline": np.where(fringe, uniform(-0.42, -0.34), uniform(-0.72, -0.55)),
        "parting": np.where(rng.random(count) < 0.6, uniform(-1, 1), 0.0),
        "sideburn": np.where(long_hair, uniform(0.2, 0.6), uniform(-0.25, 0.15)),
    }


def _draw_colours(rng: np.random.Generator, count: int, tone: Array) -> Latents:
    """Skin, clothes and background, with the noise that dapples it."""

    def uniform(low: float, high: float) -> Array:
        return rng.uniform(low, high, count)

    place = tone * (len(_SKIN) - 1)
    low = np.minimum(place.astype(int), len(_SKIN) - 2)
    skin = drawing.mix(_SKIN[low], _SKIN[low + 1], (place - low)[:, None])
    hue = uniform(0, 1)
    return {
        "skin": skin * (1 + rng.normal(0, 0.02, (count, 3))),
        "clothes": drawing.hsv(uniform(0, 1), uniform(0.1, 0.75), uniform(0.2, 0.95)),
        "trim": drawing.hsv(uniform(0, 1), uniform(0.0, 0.6), uniform(0.3, 1.0)),
        "neckline": uniform(0, 1),
        "stripes": np.where(rng.random(count) < 0.3, uniform(9, 16), 0.0),
        "background": drawing.hsv(hue, uniform(0.1, 0.65), uniform(0.35, 0.95)),
        "background_far": drawing.hsv(
            (hue + rng.normal(0, 0.08, count)) % 1, uniform(0.1, 0.6), uniform(0.2, 0.9)
        ),
        "background_angle": uniform(0, 6.28),
        "bokeh": rng.uniform(0, 1, (count, 3, 3)),
        "dapple": rng.normal(0, 1, (count, 5, 5)),
    }


# Painting


@dataclass(frozen=True)
class _Head:
    """Where the head is: an ellipsoid turned by ``turn`` radians. All (B, 1, 1)."""

    x: Array
    y: Array
    rx: Array
    ry: Array
    turn: Array

    def place(self, longitude: float, height: float) -> tuple[Array, Array, Array]:
        """Picture position and foreshortening of a spot at ``longitude`` radians from the nose
        and ``height`` from the middle (-1) of the crown to the chin (1)."""
        angle = self.turn + np.float32(longitude)
        return self.x + self.rx * np.sin(angle), self.y + self.ry * height, np.cos(angle)


def _paint_face(canvas: Canvas, latents: Latents) -> Latents:
    turn = 0.55 * latents["pose"]
    head = _Head(latents["x"], latents["y"], latents["width"], latents["height"], turn)
    _paint_background(canvas, latents)
    _paint_back_hair(canvas, latents, head)
    _paint_body(canvas, latents, head)
    _paint_head(canvas, latents, head)
    _paint_nose(canvas, latents, head)
    _paint_beard(canvas, latents, head)
    _paint_mouth(canvas, latents, head)
    for side in (-1, 1):
        _paint_eye(canvas, latents, head, side)
    _paint_front_hair(canvas, latents, head)
    _paint_glasses(canvas, latents, head)
    return {}


def _paint_background(canvas: Canvas, latents: Latents) -> None:
    x, y = canvas.x - 0.5, canvas.y - 0.5
    angle = latents["background_angle"]
    share = 0.5 + np.cos(angle) * x + np.sin(angle) * y
    share = share + 0.08 * drawing.smooth_noise(latents["dapple"], canvas.y, canvas.x)
    canvas.pixels[:] = drawing.mix_field(
        latents["background"], latents["background_far"], np.clip(share, 0, 1)
    )
    for i in range(latents["bokeh"].shape[1]):
        bx, by, size = (latents["bokeh"][:, i, j, None, None] for j in range(3))
        disc = drawing.circle(canvas.x - bx, canvas.y - by * 0.7, 0.04 + 0.09 * size)
        canvas.light(0.16 * canvas.cover(disc, 0.02), _WHITE)
    glow = drawing.blob(canvas.x, canvas.y, 0.5 + 0.45 * latents["light"], 0.2, 0.9, 0.9)
    canvas.light(0.22 * glow, _WHITE)


def _hair_outline(canvas: Canvas, latents: Latents, head: _Head) -> tuple[Array, Array]:
    """Signed distance of the hair as seen from behind the face, and its radius from the middle."""
    volume = latents["volume"]
    cx = head.x - 0.12 * head.rx * np.sin(head.turn)
    u = (canvas.x - cx) / (head.rx + 0.85 * volume)
    v = (canvas.y - head.y + 0.10 * head.ry) / (0.9 * head.ry + volume)
    k = drawing.length(u, v)
    # Curls: the outline swells and shrinks as it goes round.
    swell = np.sin(9 * u + latents["curl_phase"]) * np.sin(8 * v + 1.3 * latents["curl_phase"])
    distance = (k - 1) * head.rx + 0.022 * latents["curl"] * swell
    return distance, k


def _hair_body(canvas: Canvas, latents: Latents, head: _Head) -> Array:
    """Signed distance of hair that falls to the sides of the neck and on the shoulders."""
    top, bottom = head.y - 0.2 * head.ry, head.y + latents["hair_length"] * head.ry
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    sway = np.sin((canvas.y - head.y) * 26 + latents["curl_phase"]) * 0.018 * latents["curl"]
    widening = 0.05 * drawing.smoothstep(0, 0.5, canvas.y - head.y)
    return drawing.box(
        canvas.x - head.x + 0.12 * head.rx * np.sin(head.turn) + sway,
        canvas.y - middle,
        head.rx + 0.8 * latents["volume"] + widening,
        half,
        np.minimum(half, 0.09),
    )


def _hair_colour(canvas: Canvas, latents: Latents, head: _Head, radius: Array) -> Array:
    """Hair with strands that run from the crown, a band of shine and the light's side brighter."""
    x, y = canvas.x - head.x, canvas.y - head.y + 0.95 * head.ry
    spread = x / (np.abs(y) + 0.12)
    strands = np.sin(spread * 13 + latents["curl"] * 3 * np.sin(y * 30 + latents["curl_phase"]))
    lit = 0.8 + 0.25 * latents["light"] * x / head.rx + 0.14 * strands
    shine = drawing.blob(radius, x, 0.78, 0.5 * latents["light"] * head.rx, 0.26, 0.75 * head.rx)
    shine = shine * (canvas.y < head.y) * (1 + 0.5 * strands)
    hair = drawing.spread(latents["hair"])
    return hair * np.clip(lit, 0.4, 1.4)[:, None] + (0.18 + 0.35 * hair) * (0.55 * shine)[:, None]


def _paint_back_hair(canvas: Canvas, latents: Latents, head: _Head) -> None:
    outline, radius = _hair_outline(canvas, latents, head)
    body = np.where(latents["long_hair"] > 0, _hair_body(canvas, latents, head), 1.0)
    cover = canvas.cover(np.minimum(outline, body)) * (1 - latents["bald"])
    canvas.paint(cover, 0.72 * _hair_colour(canvas, latents, head, radius))


def _paint_body(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """Neck and shoulders, with the head's shadow on the neck."""
    low = canvas.window(0, 0.6, 1, 1)
    x, y = low.x, low.y
    skin = latents["skin"]
    neck_width = head.rx * (0.5 + 0.1 * latents["male"])
    side = 0.5 + 0.5 * latents["light"] * (x - head.x) / neck_width
    neck = drawing.box(x - head.x, y - 0.85, neck_width + 0.25 * (y - 0.86) ** 2, 0.25, 0.02)
    chin = head.y + head.ry
    tone = (0.72 + 0.2 * side) * (0.72 + 0.28 * drawing.smoothstep(-0.02, 0.1, y - chin))
    low.paint(low.cover(neck), drawing.spread(skin) * tone[:, None])
    wide = 0.36 + 0.06 * latents["male"]
    shoulders = drawing.ellipse(x, y, head.x, np.float32(1.1), wide, np.float32(0.235))
    depth = np.where(latents["neckline"] > 0.5, 0.13, 0.07)
    slope = np.where(latents["neckline"] > 0.5, 1.1, 0.2)
    dip = 0.855 + depth - slope * np.abs(x - head.x) - 2.0 * (x - head.x) ** 2
    cloth = np.maximum(shoulders, (dip - y) * 0.7)
    stripes = drawing.wave_edge(y * latents["stripes"], low.pixel * latents["stripes"])
    stripes = stripes * (latents["stripes"] > 0)
    colour = drawing.mix_field(latents["clothes"], latents["trim"], 0.7 * stripes)
    fold = 0.8 + 0.35 * latents["light"] * (x - head.x) - 0.8 * np.clip(y - 0.93, 0, 1)
    fold = fold + 0.12 * np.clip(1 + shoulders * 20, 0, 1)
    low.paint(low.cover(cloth), colour * fold[:, None])
    hem = np.abs(y - dip) * 0.7 - 0.008
    low.paint(low.cover(np.maximum(hem, shoulders)), 0.85 * latents["trim"])


def _lit_skin(latents: Latents, lambert: Array) -> Array:
    """Skin under the light: shadows are darker and redder, lit parts a little warmer."""
    shadow = latents["skin"] * np.array([0.58, 0.45, 0.42], np.float32)
    lit = np.minimum(latents["skin"] * 1.06 + 0.02, 1)
    return drawing.mix_field(shadow, lit, np.clip(lambert, 0, 1))


def _paint_head(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """Ears, then the head as a shaded ellipsoid with a jaw, and the broad forms of the face."""
    for side in (-1, 1):
        _paint_ear(canvas, latents, head, side)
    x, y = canvas.x, canvas.y
    v = (y - head.y) / head.ry
    below = np.clip(v, 0, 1)
    # The chin leads the turn, the cheeks follow the jaw's taper.
    centre = head.x + head.rx * np.sin(head.turn) * (0.05 + 0.14 * below)
    u = (x - centre) / (head.rx * (1 - latents["jaw"] * below**1.6 + 0.05 * below * (1 - below)))
    squared = u * u + v * v
    distance = (np.sqrt(squared) - 1) * head.rx
    depth = np.sqrt(np.maximum(1.08 - squared, 0))
    height = latents["light_height"]
    lambert = 0.36 + 0.42 * latents["light"] * u - 0.26 * height * v + 0.36 * depth
    lambert = lambert + _face_forms(canvas, head)
    canvas.paint(canvas.cover(distance), _lit_skin(latents, lambert))
    _paint_cheeks(canvas, latents, head)


def _face_forms(canvas: Canvas, head: _Head) -> Array:
    """Light and dark that every face has: eye sockets, forehead, cheekbones, under the lip."""
    forms: Array = np.zeros((1, 1, 1), np.float32)
    for longitude, height, rx, ry, amount in (
        (-0.46, -0.08, 0.34, 0.19, -0.22),
        (0.46, -0.08, 0.34, 0.19, -0.22),
        (0.0, -0.55, 0.55, 0.25, 0.10),
        (-0.55, 0.22, 0.3, 0.2, 0.10),
        (0.55, 0.22, 0.3, 0.2, 0.10),
        (0.0, 0.74, 0.25, 0.09, -0.12),
        (0.0, 0.88, 0.25, 0.1, 0.08),
    ):
        cx, cy, _ = head.place(longitude, height)
        forms = forms + amount * drawing.blob(
            canvas.x, canvas.y, cx, cy, rx * head.rx * 1.4, ry * head.ry * 1.4
        )
    return forms


def _paint_ear(canvas: Canvas, latents: Latents, head: _Head, side: int) -> None:
    x, y, toward = head.place(side * 1.5, 0.03)
    part = canvas.around(x, y, 0.16, 0.26)
    ear = drawing.ellipse(part.x, part.y, x, y, np.float32(0.035), 0.17 * head.ry)
    lambert = 0.55 + 0.3 * side * latents["light"]
    hollow = drawing.blob(part.x, part.y, x, y, np.float32(0.024), 0.11 * head.ry)
    part.paint(part.cover(ear), _lit_skin(latents, lambert - 0.35 * hollow))
    ring = drawing.circle(part.x - x, part.y - y - 0.2 * head.ry, 0.016)
    part.paint(part.cover(ring) * latents["earring"] * (toward > -0.3), latents["trim"])


def _paint_cheeks(canvas: Canvas, latents: Latents, head: _Head) -> None:
    rose = latents["skin"] * np.array([1.0, 0.62, 0.6], np.float32)
    for side in (-1, 1):
        x, y, toward = head.place(side * 0.62, 0.33)
        part = canvas.around(x, y, 0.22, 0.18)
        spot = drawing.blob(part.x, part.y, x, y, 0.4 * head.rx * toward + 0.02, 0.24 * head.ry)
        part.paint(spot * (0.18 + 0.3 * latents["make_up"]), rose)


def _paint_nose(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """A bridge lit on one side and shaded on the other, a tip with shine, nostrils."""
    root_x, root_y, _ = head.place(0, -0.08)
    tip_x, tip_y, _ = head.place(0, 0.27)
    tip_x = tip_x + 0.12 * head.rx * np.sin(head.turn)
    part = canvas.around(tip_x, (root_y + tip_y) / 2, 0.2, 0.3)
    x, y, width = part.x, part.y, latents["nose"]
    dark = latents["skin"] * np.array([0.55, 0.40, 0.36], np.float32)
    away = -np.sign(latents["light"])
    shadow = drawing.segment(x, y, root_x + 0.012 * away, root_y, tip_x + 0.7 * width * away, tip_y)
    part.paint(0.30 * np.clip(1 - shadow / 0.028, 0, 1), dark)
    under = drawing.blob(x, y, tip_x, tip_y + 0.022, 1.5 * width, np.float32(0.03))
    part.paint(0.55 * under, dark)
    for side in (-1, 1):
        hole = drawing.blob(x, y, tip_x + side * 0.55 * width, tip_y + 0.014, 0.5 * width, 0.018)
        part.paint(0.75 * hole, 0.5 * dark)
    bridge = drawing.segment(x, y, root_x, root_y, tip_x, tip_y - 0.01)
    part.light(0.20 * np.clip(1 - bridge / 0.02, 0, 1), _WHITE)
    part.light(0.35 * drawing.blob(x, y, tip_x, tip_y - 0.008, width, 0.028), _WHITE)


def _paint_mouth(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """Two lips about a curve; when open, teeth and a dark mouth between them."""
    mx, my, toward = head.place(0, 0.52)
    mx = mx + 0.04 * head.rx * np.sin(head.turn)
    part = canvas.around(mx, my, 0.30, 0.24)
    curve, gap = latents["mouth"], latents["mouth_open"]
    width = latents["mouth_width"] * (1 + 0.22 * np.clip(curve, 0, 1)) * (0.35 + 0.65 * toward)
    t = (part.x - mx) / width
    inner = np.clip(1 - t * t, 0, 1)
    line = my + curve * (0.016 - 0.042 * t * t)
    slope = curve * 0.084 * t / width
    steep = 1 / np.sqrt(1 + slope * slope)
    opening = 0.046 * gap * inner
    ends = (np.abs(t) - 1) * width
    thickness = latents["lips"] * np.sqrt(inner)
    upper = line - thickness * (1 - 0.25 * np.exp(-40 * t * t))
    lower = line + opening + 1.25 * thickness
    lips = np.maximum(np.maximum(upper - part.y, part.y - lower) * steep, ends)
    made_up = drawing.hsv(latents["lip_hue"].ravel() % 1, np.float32(0.72), np.float32(0.78))
    natural = latents["skin"] * np.array([0.86, 0.56, 0.54], np.float32)
    colour = drawing.mix(natural, made_up, 0.75 * latents["make_up"][:, 0])
    part.paint(part.cover(lips), colour)
    glint = drawing.blob(part.x, part.y, mx, my + opening + thickness, 0.5 * width, 0.014)
    part.light(0.22 * glint * part.cover(lips), _WHITE)
    within = np.maximum(np.maximum(line - part.y, part.y - line - opening) * steep, ends)
    mouth = part.cover(within) * np.clip(opening / 0.006, 0, 1)
    part.paint(mouth, np.array([0.30, 0.07, 0.08], np.float32))
    teeth = np.maximum(within, (part.y - line - 0.72 * opening) * steep)
    part.paint(0.94 * part.cover(teeth) * np.clip(opening / 0.008, 0, 1), _WHITE)
    # Closed lips meet in a line.
    seam = np.maximum(np.abs(part.y - line) * steep - 0.005, ends)
    part.paint(part.cover(seam) * (1 - np.clip(gap * 5, 0, 1)) * 0.85, 0.4 * colour)


def _paint_beard(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """A beard along the jaw and a moustache, from stubble to full."""
    low = canvas.window(0, 0.45, 1, 1)
    x, y = low.x, low.y
    mx, my, _ = head.place(0, 0.52)
    v = (y - head.y) / head.ry
    centre = head.x + head.rx * np.sin(head.turn) * 0.15
    taper = 1 - latents["jaw"] * np.clip(v, 0, 1) ** 1.6
    u = (x - centre) / (head.rx * taper)
    outside = (drawing.length(u, v) - 1.03) * head.rx
    jaw_line = head.y + head.ry * (0.40 - 0.42 * u * u + 0.25 * np.clip(1 - 3 * u * u, 0, 1))
    beard = np.maximum(outside, (jaw_line - y) * 0.7)
    moustache = np.abs(y - (my - 0.042 + 3.0 * (x - mx) ** 2)) - 0.018 * np.clip(
        1 - ((x - mx) / 0.11) ** 2, 0, 1
    )
    chin_only = (np.abs(u) - 0.45) * head.rx
    beard = np.where(latents["beard_fullness"] > 0.3, beard, np.maximum(beard, chin_only))
    beard = np.minimum(beard, np.maximum(moustache, np.abs(x - mx) - 0.105))
    grain = 0.85 + 0.18 * np.sin(x * 210 + 9 * np.sin(y * 60)) * np.sin(y * 170)
    strength = latents["beard"] * (0.5 + 0.45 * latents["beard_fullness"])
    colour = (
        drawing.spread(0.8 * latents["hair"] + 0.02)
        * (grain * (1 + 0.25 * latents["light"] * u))[:, None]
    )
    low.paint(low.cover(beard, 0.018) * strength, colour)


def _paint_eye(canvas: Canvas, latents: Latents, head: _Head, side: int) -> None:
    """White, iris, pupil and glint within an almond; lid, lashes and brow above."""
    ex, ey, toward = head.place(side * 0.46, -0.06)
    part = canvas.around(ex, ey, 0.26, 0.3)
    x, y = part.x, part.y
    width = latents["eye_size"] * (0.45 + 0.6 * np.clip(toward, 0, 1))
    t = (x - ex) / width
    arch = np.clip(1 - t * t, 0, 1)
    height = latents["eye_size"] * latents["eye_open"]
    tilt = 0.006 * side * t
    almond = np.maximum((ey + tilt - height * arch) - y, y - (ey + tilt + 0.75 * height * arch))
    almond = np.maximum(almond * 0.85, (np.abs(t) - 1) * width)
    inside = part.cover(almond)
    part.paint(inside, _WHITE * np.float32(0.97))
    ix = ex + (0.22 * latents["gaze"] + 0.35 * latents["pose"]) * 0.5 * width
    radius = 0.86 * height
    iris = drawing.circle(x - ix, y - ey, radius)
    part.paint(inside * part.cover(iris), latents["iris"])
    part.paint(inside * part.cover(iris + 0.5 * radius), _BLACK)
    part.shade(1 - 0.35 * inside * np.clip((ey - y) / height, 0, 1))
    glint = drawing.circle(
        x - ix - 0.4 * radius * np.sign(latents["light"]), y - ey + 0.4 * radius, 0.009
    )
    part.light(0.95 * part.cover(glint), _WHITE)
    lid = np.abs(y - (ey + tilt - height * arch)) * 0.9
    lash = 0.006 + 0.006 * latents["make_up"]
    lid = np.maximum(lid - lash, (np.abs(t) - 1.08) * width)
    part.paint(0.9 * part.cover(lid), 0.25 * latents["hair"] + 0.03)
    _paint_brow(part, latents, ex, head.y - 0.27 * head.ry, 1.25 * width, side)


def _paint_brow(
    part: Canvas, latents: Latents, bx: Array, by: Array, width: Array, side: int
) -> None:
    t = (part.x - bx) / width
    arch = by + 0.016 * t * t + 0.012 * side * t * latents["brow_tilt"]
    thick = latents["brow"] * (1 - 0.45 * np.clip(side * t, -1, 1) ** 2)
    brow = np.maximum(np.abs(part.y - arch) - thick, (np.abs(t) - 1) * width)
    part.paint(0.88 * part.cover(brow, 0.004), 0.62 * latents["hair"] + 0.02)


def _paint_front_hair(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """Hair before the forehead down to the hairline, and long locks beside the face."""
    outline, radius = _hair_outline(canvas, latents, head)
    face_x = head.x + 0.3 * head.rx * np.sin(head.turn)
    u = (canvas.x - face_x) / head.rx
    line, side = latents["hairline"], latents["sideburn"]
    hairline = line + (side - line) * np.minimum(np.abs(u) / 0.98, 1.2) ** 5
    hairline = hairline + 0.16 * latents["parting"] * u * (1 - latents["fringe"])
    jag = np.sin(u * 17 + latents["curl_phase"]) * (0.02 + 0.04 * latents["fringe"])
    front = np.maximum(outline, (canvas.y - head.y - head.ry * (hairline + jag)) * 0.8)
    beside = (0.88 - np.abs(u)) * head.rx + 0.3 * np.clip(head.y - canvas.y, 0, 1)
    locks = np.maximum(_hair_body(canvas, latents, head), beside)
    front = np.minimum(front, np.where(latents["long_hair"] > 0, locks, 1.0))
    present = 1 - latents["bald"]
    canvas.shade(1 - 0.28 * canvas.cover(front - 0.012, 0.05) * present)
    canvas.paint(canvas.cover(front) * present, _hair_colour(canvas, latents, head, radius))


def _paint_glasses(canvas: Canvas, latents: Latents, head: _Head) -> None:
    """Two framed lenses with glare, a bridge, and arms back to the ears."""
    worn = latents["glasses"]
    band = canvas.window(0.12, 0.34, 0.88, 0.66)
    x, y, frame = band.x, band.y, latents["frame"]
    rims, lens = np.float32(1), np.float32(1)
    for side in (-1, 1):
        lx, ly, toward = head.place(side * 0.46, -0.04)
        half_x = latents["lens_size"] * (0.4 + 0.66 * np.clip(toward, 0, 1))
        half_y = latents["lens_size"] * (0.72 + 0.2 * latents["lens_round"])
        corner = (0.25 + 0.74 * latents["lens_round"]) * np.minimum(half_x, half_y)
        glass = drawing.box(x - lx, y - ly, half_x, half_y, corner)
        lens = np.minimum(lens, glass)
        edge = lx + side * half_x
        ear_x, ear_y, _ = head.place(side * 1.5, -0.08)
        shown = np.where(side * (ear_x - edge) > 0, 0.0, 1.0)
        arm = drawing.segment(x, y, edge, ly - 0.012, ear_x, ear_y) - 0.6 * frame + shown
        rims = np.minimum(np.minimum(rims, np.abs(glass) - 0.62 * frame), arm)
        glare = np.abs((x - lx) + 0.8 * (y - ly) + 0.02) - 0.014
        glare = np.maximum(glare, glass + 0.008)
        band.paint(band.cover(glass) * latents["lens_tint"] * worn, 0.35 * latents["frame_colour"])
        band.light(0.3 * band.cover(glare, 0.01) * worn, _WHITE)
    left_x, bridge_y, _ = head.place(-0.2, -0.09)
    right_x, _, _ = head.place(0.2, -0.09)
    bridge = drawing.segment(x, y, left_x, bridge_y, right_x, bridge_y) - 0.55 * frame
    bridge = np.maximum(bridge, -lens)
    band.paint(band.cover(np.minimum(rims, bridge)) * worn, latents["frame_colour"])
