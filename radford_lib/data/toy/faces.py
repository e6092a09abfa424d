"""Toy faces: smile, glasses, sex, pose, hair, skin, light and background, all known."""

import numpy as np

from radford_lib.data.image_set import ImageSet
from radford_lib.data.toy.drawing import (
    CHUNK,
    Canvas,
    arc,
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
ATTRIBUTES = ("smiling", "glasses", "male", "long_hair", "beard")
SKIN = np.array(
    [[0.98, 0.84, 0.74], [0.93, 0.75, 0.61], [0.82, 0.62, 0.46], [0.62, 0.43, 0.30],
     [0.42, 0.28, 0.20]], np.float32,
)  # fmt: skip
HAIR = np.array(
    [[0.10, 0.08, 0.07], [0.28, 0.17, 0.10], [0.48, 0.29, 0.14], [0.83, 0.66, 0.36],
     [0.60, 0.24, 0.10], [0.68, 0.67, 0.66]], np.float32,
)  # fmt: skip
IRIS = np.array([[0.25, 0.15, 0.08], [0.20, 0.36, 0.55], [0.25, 0.42, 0.24]], np.float32)
FRAMES = np.array([[0.08, 0.08, 0.10], [0.45, 0.16, 0.10], [0.16, 0.20, 0.42]], np.float32)


def faces(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train") -> ImageSet:
    """``n`` toy portraits with attributes (0/1) and continuous latents in ``extra``.

    ``extra``: ``yaw`` (-1 left to 1 right), ``mouth`` (curvature, above 0 a smile), ``light``
    (direction, -1 to 1), ``skin`` and ``hair`` (palette index), ``background`` (hue, 0 to 1).
    Smile, glasses and sex are independent; hair length and beard depend on sex. Image i does not
    depend on ``n``. Raises ``UsageError`` for a size or split that cannot be drawn.
    """
    check_arguments(n, size, split, SPLITS)
    parts = []
    for rng, count in chunks(n, seed, f"faces/{split}"):
        latents = draw_latents(rng)
        images = render(latents, size)
        parts.append((images[:count], {name: value[:count] for name, value in latents.items()}))
    known = {name: np.concatenate([latents[name] for _, latents in parts]) for name in parts[0][1]}
    return ImageSet(
        images=np.concatenate([images for images, _ in parts]),
        name="faces",
        split=split,
        toy=True,
        sha256=identity("faces", VERSION, n=n, size=size, seed=seed, split=split),
        attributes=np.stack([known[name] for name in ATTRIBUTES], 1).astype(np.uint8),
        attribute_names=ATTRIBUTES,
        extra={
            name: known[name] for name in ("yaw", "mouth", "light", "skin", "hair", "background")
        },
    )


def draw_latents(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Everything that decides a chunk of portraits, (500,) or (500, ...) each."""

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (CHUNK, *shape)).astype(np.float32)

    def normal(deviation: float, *shape: int) -> np.ndarray:
        return rng.normal(0, deviation, (CHUNK, *shape)).astype(np.float32)

    male, smiling = rng.random(CHUNK) < 0.5, rng.random(CHUNK) < 0.5
    return {
        "male": male,
        "smiling": smiling,
        "glasses": rng.random(CHUNK) < 0.4,
        "long_hair": rng.random(CHUNK) < np.where(male, 0.06, 0.85),
        "beard": male & (rng.random(CHUNK) < 0.35),
        "yaw": np.clip(rng.normal(0, 0.5, CHUNK), -1, 1).astype(np.float32),
        "mouth": np.where(smiling, uniform(0.55, 1.0), uniform(-0.35, 0.15)).astype(np.float32),
        "light": uniform(-1, 1),
        "skin": rng.choice(len(SKIN), CHUNK, p=[0.28, 0.26, 0.18, 0.16, 0.12]),
        "hair": rng.choice(len(HAIR), CHUNK, p=[0.3, 0.25, 0.17, 0.14, 0.07, 0.07]),
        "iris": rng.choice(len(IRIS), CHUNK, p=[0.6, 0.25, 0.15]),
        "frame": rng.choice(len(FRAMES), CHUNK),
        "background": uniform(0, 1),
        "shirt": uniform(0, 1),
        "centre": normal(0.035, 2),
        "build": uniform(-1, 1, 4),
        "tint": (rng.normal(0, 0.03, (CHUNK, 1)) + rng.normal(0, 0.008, (CHUNK, 3))).astype(
            np.float32
        ),
        "clouds": uniform(-1, 1, 4, 4),
        "bangs": uniform(-1, 1),
    }


def render(latent: dict[str, np.ndarray], size: int) -> np.ndarray:
    """Paint a chunk of portraits from back to front, (500, size, size, 3) uint8."""
    n = len(latent["male"])
    canvas = Canvas(n, size)
    skin = np.clip(SKIN[latent["skin"]] + latent["tint"], 0, 1)
    hair = np.clip(HAIR[latent["hair"]] + latent["tint"] * 0.5, 0.03, 1)
    head = head_frame(latent)
    paint_background(canvas, latent)
    paint_hair_behind(canvas.part(-0.85, -1.0, 0.85, 0.75), latent, head, hair)
    paint_shoulders(canvas.part(-1.0, 0.2, 1.0, 1.0), latent, head, skin)
    paint_head(canvas.part(-0.75, -0.85, 0.75, 0.8), latent, head, skin)
    paint_mouth(canvas.part(-0.55, 0.0, 0.55, 0.65), latent, head, skin)
    paint_nose(canvas.part(-0.45, -0.3, 0.45, 0.4), head, skin)
    paint_eyes(canvas, latent, head, hair)
    paint_hair_in_front(canvas.part(-0.8, -1.0, 0.8, 0.55), latent, head, hair)
    paint_glasses(canvas.part(-0.75, -0.45, 0.75, 0.3), latent, head)
    return canvas.to_uint8()


def head_frame(latent: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where the head is and how large; ``turn`` is how far its features are shifted by the yaw."""
    male, build = latent["male"].astype(np.float32), latent["build"]
    return {
        "x": latent["centre"][:, 0],
        "y": latent["centre"][:, 1] - 0.06,
        "rx": 0.44 + 0.03 * build[:, 0] + 0.025 * male,
        "ry": 0.58 + 0.03 * build[:, 1],
        "turn": latent["yaw"] * 0.17,
        "male": male,
        "eye_gap": 0.19 + 0.015 * build[:, 2],
        "eye_size": 0.078 + 0.008 * build[:, 3] - 0.008 * male,
    }


def paint_background(canvas: Canvas, latent: dict[str, np.ndarray]) -> None:
    """A soft two-colour gradient with a little unevenness, brighter on the lit side."""
    hue = latent["background"]
    top = hsv(hue, np.float32(0.30), np.float32(0.86))
    bottom = hsv((hue + 0.08) % 1, np.float32(0.42), np.float32(0.55))
    t = (canvas.y + 1) / 2
    clouds = smooth(latent["clouds"], canvas.colour.shape[1])
    blend = np.clip(t + 0.18 * clouds + 0.12 * canvas.x * field(latent["light"]), 0, 1)
    canvas.colour[:] = mix(top[:, None, None], bottom[:, None, None], blend[..., None])


def paint_hair_behind(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], hair: np.ndarray
) -> None:
    """Long hair falls behind the head to the shoulders."""
    u, v = canvas.local(head["x"] - head["turn"] * 0.35, head["y"] + 0.20)
    fall = box(u, v, head["rx"] + 0.13, np.full_like(head["rx"], 0.66), 0.34)
    alpha = canvas.coverage(fall) * field(latent["long_hair"])
    shadow = 0.72 + 0.18 * canvas.x * field(latent["light"])
    canvas.paint(alpha, hair[:, None, None] * shadow[..., None])


def paint_shoulders(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], skin: np.ndarray
) -> None:
    """Neck and a coloured shirt, wider for men."""
    male = head["male"]
    u, v = canvas.local(head["x"], np.full(len(male), 1.12, np.float32))
    shirt = hsv(latent["shirt"], np.float32(0.55), np.float32(0.62))
    folds = 0.9 + 0.25 * canvas.x * field(latent["light"]) - 0.12 * np.abs(canvas.x)
    body = canvas.coverage(ellipse(u, v, 0.72 + 0.10 * male, 0.44 + 0.04 * male))
    u, v = canvas.local(head["x"], head["y"] + 0.62)
    neck = canvas.coverage(box(u, v, 0.17 + 0.05 * male, np.full_like(male, 0.26), 0.08))
    canvas.paint(neck, skin * 0.80)
    canvas.paint(body, shirt[:, None, None] * folds[..., None])
    u, v = canvas.local(head["x"], head["y"] + 0.77)
    collar = canvas.coverage(ellipse(u, v, 0.19 + 0.04 * male, np.full_like(male, 0.12)))
    canvas.paint(collar, skin * 0.84)


def paint_head(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], skin: np.ndarray
) -> None:
    """Ears, the skull with a jaw (squarer for men), shading from the light, cheeks, a beard."""
    for side in (-1, 1):
        u, v = canvas.local(head["x"] + side * head["rx"] * 0.97 - head["turn"] * 0.5, head["y"])
        ear = ellipse(u, v, np.full_like(head["rx"], 0.075), np.full_like(head["rx"], 0.13))
        canvas.paint(canvas.coverage(ear), skin * 0.88)
    face = face_coverage(canvas, head)
    u, v = canvas.local(head["x"], head["y"])
    across, down = u / field(head["rx"]), v / field(head["ry"])
    tone = 1.02 + 0.20 * across * field(latent["light"]) - 0.10 * across**2 - 0.07 * down
    canvas.paint(face, skin[:, None, None] * tone[..., None])
    if latent["beard"].any():
        u, v = canvas.local(head["x"] + head["turn"] * 0.7, head["y"] + 0.33)
        jaw = ellipse(u, v, head["rx"] * 0.86, head["ry"] * 0.50)
        beard = HAIR[latent["hair"]] * 0.9
        above = np.clip((v + 0.10) / 0.14, 0, 1)
        alpha = canvas.coverage(jaw, 0.06) * above * face * field(latent["beard"]) * 0.82
        canvas.paint(alpha, beard)
    for side in (-1, 1):
        u, v = canvas.local(head["x"] + side * 0.23 + head["turn"], head["y"] + 0.16)
        cheek = np.exp(-(u**2 + v**2) / 0.014) * 0.30 * (1 - 0.6 * field(head["male"]))
        blush = np.clip(skin * np.array([1.04, 0.72, 0.70], np.float32), 0, 1)
        canvas.paint(cheek * face * (1 - field(latent["beard"])), blush)


def face_coverage(canvas: Canvas, head: dict[str, np.ndarray]) -> np.ndarray:
    """Coverage of the skull and jaw together."""
    u, v = canvas.local(head["x"], head["y"])
    skull = ellipse(u, v, head["rx"], head["ry"])
    u, v = canvas.local(head["x"] + head["turn"] * 0.3, head["y"] + 0.22)
    jaw = box(u, v, head["rx"] * (0.66 + 0.16 * head["male"]), head["ry"] * 0.58, 0.22)
    return canvas.coverage(np.minimum(skull, jaw))


def paint_eyes(
    whole: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], hair: np.ndarray
) -> None:
    """Whites, iris, pupil, a glint, lids and brows; the far eye narrows as the head turns."""
    white = np.full((len(hair), 3), 0.97, np.float32)
    dark = np.full((len(hair), 3), 0.06, np.float32)
    squint = 1 - 0.22 * np.clip(latent["mouth"], 0, 1)
    for side in (-1, 1):
        canvas = whole.part(*((-0.62, -0.42, 0.3, 0.25) if side < 0 else (-0.3, -0.42, 0.62, 0.25)))
        narrow = 1 - 0.30 * np.clip(side * latent["yaw"], 0, 1)
        x = head["x"] + head["turn"] + side * head["eye_gap"] * (1 - 0.12 * np.abs(latent["yaw"]))
        y = head["y"] - 0.06
        u, v = canvas.local(x, y)
        opening = ellipse(u, v, head["eye_size"] * 1.25 * narrow, head["eye_size"] * squint)
        eye = canvas.coverage(opening)
        canvas.paint(canvas.coverage(opening - 0.022) * 0.75, dark)
        canvas.paint(eye, white)
        look = latent["yaw"] * 0.03
        u, v = canvas.local(x + look, y)
        canvas.paint(
            canvas.coverage(ellipse(u, v, head["eye_size"] * 0.66, head["eye_size"] * 0.66)) * eye,
            IRIS[latent["iris"]],
        )
        canvas.paint(
            canvas.coverage(ellipse(u, v, head["eye_size"] * 0.34, head["eye_size"] * 0.34)) * eye,
            dark,
        )
        glint = ellipse(u + 0.022, v + 0.025, head["eye_size"] * 0.2, head["eye_size"] * 0.2)
        canvas.paint(canvas.coverage(glint) * eye, white)
        u, v = canvas.local(x, y - 0.155 - 0.01 * latent["mouth"])
        thick = 0.018 + 0.014 * head["male"]
        brow = arc(u, v, head["eye_size"] * 1.5 * narrow, np.full_like(thick, -0.03), thick)
        canvas.paint(canvas.coverage(brow) * 0.9, hair * 0.75)


def paint_nose(canvas: Canvas, head: dict[str, np.ndarray], skin: np.ndarray) -> None:
    """A ridge in shadow and a rounded tip, shifted further than the eyes by the yaw."""
    x = head["x"] + head["turn"] * 1.5
    u, v = canvas.local(x, head["y"] + 0.16)
    tip = arc(u, v, np.full_like(x, 0.062), np.full_like(x, 0.04), 0.016)
    canvas.paint(canvas.coverage(tip) * 0.65, skin * 0.62)
    u, v = canvas.local(x - 0.012, head["y"] + 0.05)
    ridge = np.exp(-((u / 0.035) ** 2) - (v / 0.12) ** 2)
    canvas.paint(ridge * 0.35, np.clip(skin * 1.12, 0, 1))


def paint_mouth(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], skin: np.ndarray
) -> None:
    """Lips bent by the curvature; a broad smile opens and shows teeth."""
    curve = latent["mouth"]
    x, y = head["x"] + head["turn"] * 1.1, head["y"] + 0.335
    u, v = canvas.local(x, y)
    half = 0.155 + 0.05 * np.clip(curve, 0, 1) - 0.02 * np.abs(latent["yaw"])
    bend = 0.105 * curve
    lip = np.clip(skin * np.array([0.80, 0.48, 0.47], np.float32), 0, 1)
    lip = mix(np.array([[0.74, 0.20, 0.24]], np.float32), lip, 0.45 + 0.45 * head["male"][:, None])
    thick = 0.034 - 0.008 * head["male"]
    opening = np.clip(curve - 0.45, 0, 1) * 0.09
    inner = np.maximum(arc(u, v, half * 0.9, bend, opening * 0.9 + 1e-3), -0.02 - v)
    canvas.paint(canvas.coverage(arc(u, v, half, bend, thick * 0.85 + opening * 0.62)), lip)
    shown = field(opening > 0.012)
    canvas.paint(canvas.coverage(inner) * shown, np.full((len(x), 3), 0.96, np.float32))


def paint_hair_in_front(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray], hair: np.ndarray
) -> None:
    """A cap of hair with a parting, and locks at the sides where it is long."""
    u, v = canvas.local(head["x"] - head["turn"] * 0.3, head["y"] - 0.10)
    cap = ellipse(u, v, head["rx"] + 0.065, head["ry"] * 0.90)
    u, v = canvas.local(head["x"] + head["turn"] * 0.8 + 0.10 * latent["bangs"], head["y"] + 0.13)
    brow_line = ellipse(u, v, head["rx"] * 0.93, head["ry"] * 0.80 + 0.02 * latent["bangs"])
    u, v = canvas.local(head["x"], head["y"])
    sides = np.clip((v + 0.02 - 0.5 * field(latent["long_hair"])) / 0.12, 0, 1)
    alpha = canvas.coverage(cap) * (1 - canvas.coverage(brow_line, 0.02)) * (1 - sides)
    strands = 0.05 * np.sin(u * 27 + v * 14 + field(latent["bangs"]) * 6)
    gloss = 0.45 * np.exp(-((u - 0.2 * field(latent["light"])) ** 2 + (v + 0.52) ** 2) / 0.03)
    tone = 0.95 + strands + gloss + 0.2 * u * field(latent["light"])
    canvas.paint(alpha, np.clip(hair[:, None, None] * tone[..., None] + 0.03, 0, 1))


def paint_glasses(
    canvas: Canvas, latent: dict[str, np.ndarray], head: dict[str, np.ndarray]
) -> None:
    """Two rims, a bridge and temples, with a pale gleam on the lenses."""
    worn = field(latent["glasses"])
    frame = FRAMES[latent["frame"]]
    y = head["y"] - 0.055
    for side in (-1, 1):
        narrow = 1 - 0.25 * np.clip(side * latent["yaw"], 0, 1)
        x = head["x"] + head["turn"] + side * (head["eye_gap"] + 0.012)
        u, v = canvas.local(x, y)
        lens = box(u, v, 0.155 * narrow, np.full_like(x, 0.125), 0.085)
        canvas.paint(canvas.coverage(lens) * worn * 0.16, np.ones((len(x), 3), np.float32))
        canvas.paint(canvas.coverage(np.abs(lens) - 0.021) * worn, frame)
        u, v = canvas.local(head["x"] + side * (head["rx"] * 0.86) - head["turn"] * 0.2, y - 0.03)
        temple = box(u, v, head["rx"] * 0.16, np.full_like(x, 0.018), 0.01)
        canvas.paint(canvas.coverage(temple) * worn, frame)
    u, v = canvas.local(head["x"] + head["turn"], y - 0.03)
    bridge = box(u, v, np.full_like(y, 0.05), np.full_like(y, 0.016), 0.01)
    canvas.paint(canvas.coverage(bridge) * worn, frame)
