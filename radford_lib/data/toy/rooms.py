"""Toy bedrooms with known truth: a room in true perspective and eight things that may be in it.

Each thing of ``OBJECTS`` is an independent coin (a second window needs a first), with a box and a
mask of the pixels in which it is seen. Light comes by the windows by day, from the lamp at night.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from radford_lib.data.image_set import ImageSet
from radford_lib.data.toy import drawing, world
from radford_lib.data.toy.drawing import Array, Canvas, Level, palette, span
from radford_lib.data.toy.world import Dice, Latents

#: Raise by one with any change that alters a pixel or a latent.
VERSION = 2
SPLITS = ("train", "test")
OBJECTS = ("window", "second window", "bed", "lamp", "picture", "rug", "plant", "wardrobe")

#: The order in which they are painted, the farthest first; the masks' channels until they are done.
_PAINTED = ("window", "second window", "picture", "rug", "lamp", "wardrobe", "plant", "bed")

_WALLS = palette("ede8de e6d6ba cccfd1 b5c4ad a3bdcc dbbdb2 e0c98f 6b8c8f 5c6e8c bd876e b8adc2")
_FLOORS = palette("c2996b a3754a 784f33 573b2b 998f82 b2a899")
_WOODS = palette("b88a59 8f5e38 5c3b26 e0dbd1 454042")
_CLOTHS = palette(
    "e6e0d6 c2b299 8c9199 475c85 7899b2 809673 bd6b54 cca152 9e4c5c b88f99 6b5775 407373"
)
# Of each weather (clear, overcast, sunset, night): sky above, sky at the horizon, land, room light.
_WEATHERS = np.stack(
    [
        palette("619eeb d6ebfa 618c47 fffffc"),
        palette("bdc9d6 e6ebf0 6b8061 e6edf7"),
        palette("7880bd fab875 5c4c4c ffebd4"),
        palette("141f52 404c8a 121a2e 9e9cad"),
    ]
)
_WHITE, _LINEN, _GOLD, _LAMPLIGHT = palette("f5f2ed eddebd b8944a ffdb94")
_LEAF = palette("3d7033")


def rooms(n: int = 10_000, size: int = 32, seed: int = 0, split: str = "train") -> ImageSet:
    """``n`` toy bedrooms of ``size`` x ``size`` pixels, with attributes, boxes, masks and latents.

    ``attributes`` (N, 8) follow ``OBJECTS``. ``extra`` holds ``masks`` (N, 8, H, W) uint8, how much
    of a pixel shows the object, nearer ones cut out; ``boxes`` (N, 8, 4) int16, those of
    `boxes_about`; and every latent of `sample_rooms`. Raises ``UsageError`` for a size, count, seed
    or split it cannot make.
    """
    world.check_arguments("rooms", n, size, seed, split, SPLITS)
    latents = sample_rooms(n, seed, split)
    images, masks = draw_rooms_and_masks(latents, size)
    return ImageSet(
        images=images,
        name="rooms",
        split=split,
        toy=True,
        sha256=world.identity("rooms", VERSION, n=n, size=size, seed=seed, split=split),
        attributes=np.stack([latents[name] for name in OBJECTS], axis=1).astype(np.uint8),
        attribute_names=OBJECTS,
        extra=latents | {"boxes": boxes_about(masks), "masks": masks},
    )


def sample_rooms(n: int, seed: int = 0, split: str = "train") -> Latents:
    """The latents of the first ``n`` rooms: name -> (N,) or, for colours, (N, 3) float32.

    Presence of each object under its name, 0 or 1; places and sizes in metres, x from the middle of
    the back wall to the bed's side, ``away`` from the back wall; ``mirrored`` flips the picture.
    Change some and call `draw_rooms` to intervene on one cause alone.
    """
    return world.draw_latents("rooms", split, seed, n, _draw_block)


def draw_rooms(latents: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """Paint rooms (N, size, size, 3) uint8 from latents as `sample_rooms` gives them."""
    return draw_rooms_and_masks(latents, size)[0]


def draw_rooms_and_masks(
    latents: Mapping[str, np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rooms as `draw_rooms` paints them, and masks (N, 8, size, size) uint8 of their objects."""
    images, known = world.paint(latents, size, _paint_room)
    return images, known["masks"]


def boxes_about(masks: np.ndarray) -> np.ndarray:
    """Smallest boxes (N, K, 4) int16 about what masks (N, K, H, W) uint8 show by half or more.

    x0, y0, x1, y1 in pixels, the last two exclusive; -1 where there is none.
    """
    inside, bounds = masks >= 128, []
    for axis in (2, 3):
        line = np.logical_or.reduce(inside, axis)
        bounds.append((line.argmax(2), line.shape[2] - line[..., ::-1].argmax(2)))
    (left, right), (top, bottom) = bounds
    boxes = np.stack([left, top, right, bottom], -1).astype(np.int16)
    boxes[~np.logical_or.reduce(line, axis=2)] = -1
    return boxes


# Latents


def _draw_block(rng: np.random.Generator, count: int) -> Latents:
    dice = Dice(rng, count)
    latents = _draw_camera(dice)
    latents |= _draw_presence(dice)
    latents |= _draw_wall(dice, latents)
    latents |= _draw_furniture(dice, latents)
    latents |= _draw_weather(dice)
    latents |= _draw_shell(dice)
    latents |= _draw_stuffs(dice)
    return {key: np.asarray(value, np.float32) for key, value in latents.items()}


def _draw_camera(dice: Dice) -> Latents:
    """A room of some size, seen from somewhere; the lens is shifted to keep the room in view."""
    width, focal = dice.uniform(3.5, 4.2), dice.uniform(0.85, 1.25)
    scale, eye_x = dice.uniform(0.66, 0.86) / width, dice.uniform(-0.7, 0.7)
    return {
        "width": width,
        "height": dice.uniform(2.4, 2.8),
        "focal": focal,
        "wall": focal / scale,
        "eye_x": eye_x,
        "eye_height": dice.uniform(1.45, 1.75),
        "horizon": dice.uniform(0.36, 0.44),
        "vanishing": 0.5 + 0.7 * scale * eye_x,
        "mirrored": dice.coin(),
    }


def _draw_presence(dice: Dice) -> Latents:
    """What there is, each by a coin of its own."""
    window = dice.coin(0.75)
    return {
        "window": window,
        "second window": window & dice.coin(0.4),
        "bed": dice.coin(0.9),
        "lamp": dice.coin(0.6),
        "picture": dice.coin(0.55),
        "rug": dice.coin(0.5),
        "plant": dice.coin(0.35),
        "wardrobe": dice.coin(0.3),
    }


def _draw_wall(dice: Dice, room: Latents) -> Latents:
    """Windows and picture, so placed and so large that they leave one another room."""
    two, half = room["second window"], room["width"] / 2
    crowd = 0.55 * room["wardrobe"]
    window_half = np.where(two, dice.uniform(0.34, 0.44), dice.uniform(0.45, 0.75) - 0.2 * crowd)
    window_x = crowd - half + window_half + np.where(two, 0.3, dice.uniform(0.3, 0.55))
    second_x = half - 0.35 - window_half
    left = window_x + window_half + 0.24
    right = np.where(two, second_x - window_half - 0.24, half - 0.15)
    picture_half = np.minimum(dice.uniform(0.26, 0.44), (right - left) / 2)
    free = np.where(two, 0, dice.uniform(0, 1)) * ((right - left) / 2 - picture_half)
    panes = dice.rng.choice(5, dice.count, p=[0.15, 0.25, 0.25, 0.2, 0.15])
    return {
        "window_half": window_half,
        "window_x": window_x,
        "second_x": second_x,
        "sill": dice.uniform(0.8, 1.0),
        "lintel": dice.uniform(1.95, 2.15),
        "frame": dice.uniform(0.06, 0.09),
        # Bars beside the middle and below the top, in units as `_paint_view` has them; 9 is none.
        "bar_beside": np.array([9, 0, 0, 0.33, 9])[panes],
        "bar_below": np.array([9, 9, 0.5, 0.5, 0.28])[panes],
        "curtains": dice.coin(0.65),
        "curtain_reach": dice.uniform(0.12, 0.28),
        "curtain_low": np.where(dice.coin(0.4), 0.06, dice.uniform(0.6, 0.75)),
        "picture_half": picture_half,
        "picture_x": (left + right) / 2 + free,
        "picture_y": dice.uniform(1.6, 1.75),
        "picture_tall": np.clip(picture_half * dice.uniform(0.75, 1.4), 0.18, 0.34),
        "picture_kind": dice.rng.integers(3, size=dice.count),
        "picture_mat": dice.some(0.5, dice.uniform(0.04, 0.08)),
        "picture_spot": dice.uniform(0, 1),
    }


def _draw_furniture(dice: Dice, room: Latents) -> Latents:
    """Where each thing stands, and its measures."""
    half, tall = room["width"] / 2, dice.coin(0.3)
    bed_width = dice.uniform(1.15, 1.6)
    bed_x = half - bed_width / 2 - dice.uniform(0.08, 0.4)
    return {
        "bed_width": bed_width,
        "bed_x": bed_x,
        "bed_length": dice.uniform(1.8, 2.1),
        "bed_height": dice.uniform(0.42, 0.56),
        "head_height": dice.uniform(0.85, 1.2),
        "head_round": np.where(dice.coin(), dice.uniform(0.1, 0.3), 0.02),
        "head_slats": dice.some(0.3, dice.uniform(3.5, 5.0)),
        "stand_x": bed_x - bed_width / 2 - dice.uniform(0.3, 0.4),
        "stand_height": dice.uniform(0.45, 0.58),
        "floor_lamp": tall,
        "lamp_height": np.where(tall, dice.uniform(1.45, 1.65), dice.uniform(0.95, 1.1)),
        "lamp_half": np.where(tall, dice.uniform(0.2, 0.26), dice.uniform(0.16, 0.22)),
        "lamp_flare": dice.uniform(0.0, 0.5),
        "rug_x": dice.uniform(-0.9, 0.1),
        "rug_away": dice.uniform(1.3, 1.9),
        "rug_half": dice.uniform(0.7, 1.15),
        "rug_deep": dice.uniform(0.45, 0.75),
        "rug_round": dice.coin(),
        "plant_x": dice.uniform(0.3, 0.5) - half + 0.6 * room["wardrobe"],
        "plant_away": dice.uniform(0.4, 0.7),
        "plant_height": dice.uniform(0.75, 1.3),
        "leaf_turn": dice.uniform(-0.3, 0.3),
        "leaf_width": dice.uniform(0.05, 0.11),
        "wardrobe_long": dice.uniform(0.9, 1.3),
        "wardrobe_height": dice.uniform(1.85, 2.15),
    }


def _draw_weather(dice: Dice) -> Latents:
    """What the windows show, and the light that it makes in the room."""
    weather = dice.rng.choice(4, dice.count, p=[0.42, 0.18, 0.14, 0.26])
    above, horizon, land, ambient = (_WEATHERS[weather, i] for i in range(4))
    sunset, night = weather == 2, weather == 3
    sunny = (sunset | (weather == 0)) & dice.coin(0.75)

    def varied(colour: Array, spread: float) -> Array:
        return colour * (1 + dice.rng.normal(0, spread, (dice.count, 3)))

    return {
        "night": night,
        "sky_above": varied(above, 0.05),
        "sky_horizon": varied(horizon, 0.03),
        "land": varied(land, 0.1),
        "land_height": dice.uniform(0.15, 0.45),
        "land_phase": dice.uniform(0, 6.28),
        "clouds": (weather == 0) * dice.uniform(0.0, 0.8),
        "sun_disc": (sunset | night) & dice.coin(0.7),
        "sun_place": dice.uniform(0.2, 0.8),
        "pale": np.where(sunset[:, None], [[1.0, 0.86, 0.62]], [[0.97, 0.97, 0.95]]),
        "sunshine": sunny * dice.uniform(0.45, 1.0),
        "sun_slope": dice.uniform(0.55, 1.0),
        "sun_lean": dice.uniform(-0.5, 0.6),
        "ambient": varied(ambient, 0.01) * dice.uniform(0.93, 1.06)[:, None],
    }


def _draw_shell(dice: Dice) -> Latents:
    """Walls and floor; boards, tiles and stripes to the metre, 0 for none."""
    wall, dado = dice.pick(_WALLS), dice.some(0.25, dice.uniform(0.8, 1.0))
    floor = dice.rng.choice(3, dice.count, p=[0.6, 0.25, 0.15])
    return {
        "wall_colour": wall,
        "wall_stripes": (dado == 0) * dice.some(0.3, dice.uniform(2.2, 4.5)),
        "dado": dado,
        "dado_colour": dice.either(0.6, _WHITE, 0.7 * wall),
        "light_side": dice.uniform(-1, 1),
        "floor_colour": dice.pick(_FLOORS),
        "boards": (floor == 0) * dice.uniform(2.5, 4.0),
        "tiles": (floor == 2) * dice.uniform(1.4, 2.2),
    }


def _draw_stuffs(dice: Dice) -> Latents:
    """Woods and cloths, their colours and patterns."""
    wood, blanket, other = dice.pick(_WOODS), dice.pick(_CLOTHS), dice.pick(_CLOTHS)
    return {
        "wood": wood,
        "stand_wood": dice.either(0.6, wood, dice.pick(_WOODS)),
        "wardrobe_colour": dice.either(0.5, wood, dice.pick(_WOODS)),
        "head_colour": dice.either(0.65, wood, dice.pick(_CLOTHS)),
        "frame_colour": dice.either(0.7, dice.pick(_WHITE[None], 0.03), dice.pick(_WOODS)),
        "picture_frame": dice.either(0.8, dice.pick(_WOODS), _GOLD),
        "picture_ground": dice.pick(_CLOTHS, 0.1),
        "picture_figure": dice.either(0.5, dice.pick(_CLOTHS), dice.pick(_WALLS)),
        "blanket": blanket,
        "blanket_other": dice.either(0.5, 0.4 * blanket + 0.55, other),
        "stripes_x": dice.some(0.4, dice.uniform(1.8, 3.2)),
        "stripes_away": dice.some(0.4, dice.uniform(1.4, 2.4)),
        "sheet": dice.uniform(0.4, 0.75),
        "throw": dice.some(0.3, dice.uniform(0.35, 0.6)),
        "pillow": dice.either(0.75, _WHITE, 0.5 * other + 0.45),
        "cushion": dice.coin(0.45),
        "cushion_colour": other,
        "curtain_colour": dice.pick(_CLOTHS),
        "shade_colour": dice.either(0.7, _LINEN, dice.pick(_CLOTHS)),
        "rug_colour": dice.pick(_CLOTHS),
        "rug_border": dice.pick(_CLOTHS),
        "rug_stripes": dice.some(0.35, dice.uniform(1.5, 2.5)),
        "pot": dice.either(0.6, dice.pick(_CLOTHS), dice.pick(_WOODS)),
        "leaf": dice.pick(_LEAF, 0.2),
    }


# Perspective


@dataclass(frozen=True)
class _Camera:
    """A pinhole that looks at the back wall, ``wall`` metres off. All (B, 1, 1)."""

    x: Array  # the vanishing point in the picture
    y: Array
    focal: Array
    eye_x: Array
    eye_height: Array
    wall: Array

    def scale(self, away: Level) -> Array:
        """Picture widths a metre, ``away`` metres before the back wall."""
        return self.focal / (self.wall - away)

    def place(self, x: Level, height: Level, away: Level) -> tuple[Array, Array]:
        """Where in the picture a point of the room is."""
        scale = self.scale(away)
        return self.x + (x - self.eye_x) * scale, self.y + (self.eye_height - height) * scale

    def level(self, part: Canvas, height: Level) -> tuple[Array, Array, Array]:
        """The level plane at ``height`` as each pixel sees it: x, away, and a pixel's width in
        metres across. The last two depend on the row alone, and a plane above the eye is nowhere.
        """
        depth = (self.eye_height - height) * self.focal / np.maximum(part.y - self.y, 1e-4)
        metre = depth / self.focal
        x = (part.x - self.x) * metre + self.eye_x
        return x, self.wall - depth, np.abs(part.pixel * metre) + 1e-6

    def upright(self, part: Canvas, edge: Level) -> tuple[Array, Array, Array]:
        """The plane at x = ``edge`` that runs from the eye: height, away, a pixel's height."""
        depth = np.abs(edge - self.eye_x) * self.focal / np.maximum(np.abs(part.x - self.x), 1e-4)
        metre = depth / self.focal
        height = self.eye_height - (part.y - self.y) * metre
        return height, self.wall - depth, part.pixel * metre + 1e-6


@dataclass(frozen=True)
class _Scene:
    """The pictures, and beside them the masks: a canvas with a channel for each object."""

    picture: Canvas
    masks: Canvas
    camera: _Camera

    def window(self, left: Array, top: Array, right: Array, bottom: Array) -> "_Scene":
        """The scene within these bounds of every picture, with a pixel to spare."""
        spare = self.picture.pixel
        bounds = (
            float(left.min()) - spare,
            float(top.min()) - spare,
            float(right.max()) + spare,
            float(bottom.max()) + spare,
        )
        return _Scene(self.picture.window(*bounds), self.masks.window(*bounds), self.camera)

    def mark(self, name: str, cover: Array) -> None:
        """Say that an object was painted here; it hides what was here before."""
        channel = _PAINTED.index(name)
        self.masks.pixels[:, : channel + 1] *= 1 - cover[:, None]
        self.masks.pixels[:, channel] += cover

    def hide(self, cover: Array) -> None:
        """Say that something without a mask was painted here."""
        self.masks.shade(1 - cover)


def _rectangle(part: Canvas, left: Level, top: Level, right: Level, bottom: Level) -> Array:
    """Coverage of an upright rectangle, exact."""
    across = span(part.x, left, right, np.float32(part.pixel))
    return across * span(part.y, top, bottom, np.float32(part.pixel))


@dataclass(frozen=True)
class _Block:
    """A box that stands square to the room, in metres; ``near`` and ``far`` from the back wall."""

    left: Level
    right: Level
    low: Level
    high: Level
    near: Level
    far: Level

    def scene(self, scene: _Scene) -> _Scene:
        """The window that holds the box in every picture."""
        x, y = zip(
            *(
                scene.camera.place(x, height, away)
                for x in (self.left, self.right)
                for height in (self.low, self.high)
                for away in (self.near, self.far)
            ),
            strict=True,
        )
        return scene.window(
            np.minimum.reduce(x), np.minimum.reduce(y), np.maximum.reduce(x), np.maximum.reduce(y)
        )

    def front(self, part: Canvas, camera: _Camera) -> Array:
        left, top = camera.place(self.left, self.high, self.near)
        right, bottom = camera.place(self.right, self.low, self.near)
        return _rectangle(part, left, top, right, bottom)

    # A face is measured at its own nearest row or column: a pixel that it only grazes has its
    # centre elsewhere, where the face's plane may be far off.

    def top(self, part: Canvas, camera: _Camera) -> Array:
        _, back = camera.place(0, self.high, self.far)
        _, fore = camera.place(0, self.high, self.near)
        x, _, pixel = camera.level(replace(part, y=np.clip(part.y, back, fore)), self.high)
        rows = span(part.y, back, fore, np.float32(part.pixel))
        return rows * span(x, self.left, self.right, pixel)

    def side(self, part: Canvas, camera: _Camera) -> Array:
        """The side that the eye sees, if it stands to the left or right of the box."""
        edge = np.clip(camera.eye_x, self.left, self.right)
        near, _ = camera.place(edge, 0, self.near)
        far, _ = camera.place(edge, 0, self.far)
        left, right = np.minimum(near, far), np.maximum(near, far)
        height, _, pixel = camera.upright(replace(part, x=np.clip(part.x, left, right)), edge)
        columns = span(part.x, left, right, np.float32(part.pixel))
        return columns * span(height, self.low, self.high, pixel)


def _paint_block(scene: _Scene, block: _Block, colour: Array, present: Level) -> Array:
    """A box with its three visible sides in three lights; returns its coverage."""
    part, camera = scene.picture, scene.camera
    front, top, side = (face(part, camera) for face in (block.front, block.top, block.side))
    whole = front + top + side
    light = (0.86 * front + 1.05 * top + 0.72 * side) / np.maximum(whole, 1e-6)
    whole = np.minimum(whole, 1) * present
    part.paint(whole, drawing.spread(colour) * light[:, None])
    return whole


# Painting


def _paint_room(canvas: Canvas, latents: Latents) -> Latents:
    camera = _Camera(
        latents["vanishing"],
        latents["horizon"],
        latents["focal"],
        latents["eye_x"],
        latents["eye_height"],
        latents["wall"],
    )
    masks = Canvas.blank(len(canvas.pixels), len(canvas.x.ravel()), len(OBJECTS))
    scene = _Scene(canvas, masks, camera)
    _paint_shell(canvas, latents, camera)
    for name, x in (("window", "window_x"), ("second window", "second_x")):
        _paint_window(scene, latents, name, latents[x])
    _paint_picture(scene, latents)
    _paint_rug(scene, latents)
    _paint_floor_light(canvas, latents, camera)
    _paint_stand(scene, latents)
    _paint_lamp(scene, latents)
    _paint_wardrobe(scene, latents)
    _paint_plant(scene, latents)
    _paint_bed(scene, latents)
    _light_room(canvas, latents, camera)
    levels = np.empty(masks.pixels.shape, np.uint8)
    for channel, name in enumerate(_PAINTED):
        shown = masks.pixels[:, channel] * np.float32(255) + np.float32(0.5)
        levels[:, OBJECTS.index(name)] = shown
    mirrored = latents["mirrored"].ravel() > 0
    for pixels in (canvas.pixels, levels):
        pixels[mirrored] = pixels[mirrored, :, :, ::-1]
    return {"masks": levels}


def _paint_shell(canvas: Canvas, latents: Latents, camera: _Camera) -> None:
    """Walls, skirting, ceiling and floor."""
    height, dado = latents["height"], latents["dado"]
    metre, light, aslant = _paint_walls(canvas, latents, camera)
    pixel = canvas.pixel * metre * aslant
    # What is higher than the eye is seen above the horizon, what is lower below it.
    part = canvas.window(0, 0, 1, float(camera.y.max()) + canvas.pixel)
    level = camera.eye_height - (part.y - camera.y) * metre
    part.shade(1 - np.float32(0.1) * drawing.smoothstep(height - 0.5, height, level))
    ceiling = np.clip(0.5 + (level - height) / pixel, 0, 1)
    part.paint(ceiling, 0.25 * latents["wall_colour"] + 0.68)
    part = canvas.window(0, float(camera.y.min()) - canvas.pixel, 1, 1)
    level = camera.eye_height - (part.y - camera.y) * metre
    panel = np.clip(np.float32(0.5) - (level - dado) / pixel, 0, 1) * (dado > 0)
    part.paint(panel, drawing.spread(latents["dado_colour"]) * light[:, None])
    part.paint(np.clip(0.5 - (level - 0.09) / pixel, 0, 0.8), 0.92 * _WHITE)
    _paint_floor(part, latents, camera, np.clip(0.5 - level / pixel, 0, 1))


def _paint_walls(canvas: Canvas, latents: Latents, camera: _Camera) -> tuple[Array, Array, Array]:
    """The three walls, unfolded into one strip that paper may stripe; no two alike in light.

    Returns of each column, (B, 1, W): metres a picture width, light, and by how much a level edge
    runs aslant, so that a pixel spans more of it.
    """
    half = latents["width"] / 2
    dx = canvas.x - camera.x
    reach = np.where(dx > 0, half - camera.eye_x, half + camera.eye_x)
    depth = np.minimum(camera.wall, reach * camera.focal / np.maximum(np.abs(dx), 1e-4))
    metre = depth / camera.focal
    along = np.clip(dx * metre + camera.eye_x, -half, half) + np.sign(dx) * (camera.wall - depth)
    left, _ = camera.place(-half, 0, 0)
    right, _ = camera.place(half, 0, 0)
    back = span(canvas.x, left, right, np.float32(canvas.pixel))
    side = 0.84 + 0.09 * latents["light_side"] * np.sign(dx)
    light = drawing.mix(side, 1 - 0.05 * (along / half) ** 2, back)
    stripes = latents["wall_stripes"]
    paper = drawing.wave_edge(along * stripes, np.abs(np.gradient(along, axis=2)) * stripes)
    light = light * (1 - 0.09 * paper * (stripes > 0))
    canvas.pixels[:] = drawing.spread(latents["wall_colour"]) * light[:, None]
    return metre, light, 1 + np.float32(0.4) * (depth < camera.wall)


def _paint_floor(canvas: Canvas, latents: Latents, camera: _Camera, cover: Array) -> None:
    """Boards that run to the back wall, tiles or a plain carpet; darker along the wall."""
    top = float(camera.place(0, 0, 0)[1].min()) - canvas.pixel
    part = canvas.window(0, top, 1, 1)
    cover = cover[:, -part.y.shape[1] :]
    x, away, pixel = camera.level(part, 0)
    boards, tiles = latents["boards"], latents["tiles"]
    phase = x * boards
    fine = np.clip(1.5 - 3 * pixel * boards, 0, 1)
    tone = 0.05 * np.sin(np.floor(phase) * 2.4) + 0.02 * np.sin(phase * 19 + 3 * away)
    tone = tone - 0.16 * (2 * np.abs(phase - np.floor(phase) - 0.5)) ** 10
    deep = pixel * (camera.wall - away) / camera.eye_height
    checks = 2 * drawing.wave_edge(x * tiles, pixel * tiles) - 1
    checks = checks * (2 * drawing.wave_edge(away * tiles, deep * tiles) - 1)
    tone = tone * fine * (boards > 0) + np.float32(0.11) * checks * (tiles > 0)
    tone = tone + 0.94 - 0.10 * np.clip(1 - away / 0.5, 0, 1)
    part.paint(cover, drawing.spread(latents["floor_colour"]) * tone[:, None])


def _paint_window(scene: _Scene, latents: Latents, name: str, x: Array) -> None:
    """A frame with panes and a view, a sill, and curtains on a rod."""
    camera, half, present = scene.camera, latents["window_half"], latents[name]
    sill, lintel, low = latents["sill"], latents["lintel"], latents["curtain_low"]
    scene = _Block(x - half - 0.2, x + half + 0.2, low, lintel + 0.16, 0, 0).scene(scene)
    pane = _Block(x - half - 0.07, x + half + 0.07, sill - 0.06, lintel, 0, 0).scene(scene)
    part = pane.picture
    frame = _hung(part, camera, x - half, x + half, sill, lintel)
    board = _hung(part, camera, x - half - 0.07, x + half + 0.07, sill - 0.06, sill)
    frame = np.maximum(frame, board) * present
    part.paint(frame, latents["frame_colour"])
    pane.mark(name, frame)
    _paint_view(part, camera, latents, x, present)
    part = scene.picture
    cloth = _hung(part, camera, x - half - 0.2, x + half + 0.2, lintel + 0.09, lintel + 0.13)
    reach = 2 * half * latents["curtain_reach"]
    for x0, x1 in ((x - half - 0.16, x - half + reach), (x + half - reach, x + half + 0.16)):
        cloth = np.maximum(cloth, _hung(part, camera, x0, x1, low, lintel + 0.1))
    cloth = cloth * (present * latents["curtains"])
    folds = (part.x - camera.place(x, 0, 0)[0]) / camera.scale(0)
    folds = 0.86 + 0.14 * np.sin(34 * folds)
    part.paint(cloth, drawing.spread(latents["curtain_colour"]) * folds[:, None])
    scene.mark(name, cloth)


def _hung(part: Canvas, camera: _Camera, x0: Level, x1: Level, low: Level, high: Level) -> Array:
    """Coverage of a rectangle on the back wall, in metres."""
    (left, top), (right, bottom) = camera.place(x0, high, 0), camera.place(x1, low, 0)
    return _rectangle(part, left, top, right, bottom)


def _paint_view(part: Canvas, camera: _Camera, latents: Latents, x: Array, present: Array) -> None:
    """Panes, and through them sky over hills: by day with clouds, later with the sun or moon."""
    half, frame, phase = latents["window_half"], latents["frame"], latents["land_phase"]
    sill, lintel = latents["sill"] + frame, latents["lintel"] - frame
    # Across the window -1..1, and down it 0..1.
    u = (part.x - camera.place(x, 0, 0)[0]) / (camera.scale(0) * half)
    v = (part.y - camera.place(0, lintel, 0)[1]) / (camera.scale(0) * (lintel - sill))
    sky = drawing.mix_field(latents["sky_above"], latents["sky_horizon"], np.clip(1.15 * v, 0, 1))
    drift = np.sin(3.1 * u + phase) * np.sin(9 * v - 1.7 * u + phase)
    disc = drawing.length(u - 1.4 * (latents["sun_place"] - 0.5), (v - 0.3) * 1.6) - 0.2
    pale = latents["clouds"] * np.clip(0.3 + drift, 0, 1)
    pale = np.maximum(pale, latents["sun_disc"] * np.clip(0.5 - disc / 0.12, 0, 1))
    sky = sky + (drawing.spread(latents["pale"]) - sky) * pale[:, None]
    crest = 1 - latents["land_height"] + 0.07 * np.sin(2.4 * u + phase) + 0.03 * np.sin(7 * u)
    land = drawing.smoothstep(-0.04, 0.04, v - crest)
    sky = sky + (drawing.spread(latents["land"]) - sky) * land[:, None]
    glass = _hung(part, camera, x - half + frame, x + half - frame, sill, lintel)
    part.paint(glass * _panes(part, camera, latents, u, v) * present, sky)


def _panes(part: Canvas, camera: _Camera, latents: Latents, u: Array, v: Array) -> Array:
    """How much of each pixel is free of bars."""
    thick = np.float32(0.04)
    beside = np.abs(np.abs(u) - latents["bar_beside"])
    below = np.abs(v - latents["bar_below"])
    across = part.pixel / (camera.scale(0) * latents["window_half"])
    down = part.pixel / camera.scale(0)
    return (1 - span(beside, -thick, thick, across)) * (1 - span(below, -thick, thick, down))


def _paint_picture(scene: _Scene, latents: Latents) -> None:
    """A framed picture: a landscape, two fields of colour or a disc, perhaps in a mat."""
    camera, half, tall = scene.camera, latents["picture_half"], latents["picture_tall"]
    x, y, present = latents["picture_x"], latents["picture_y"], latents["picture"]
    left, top = camera.place(x - half, y + tall, 0)
    right, bottom = camera.place(x + half, y - tall, 0)
    scene = scene.window(left, top, right, bottom)
    part, scale = scene.picture, camera.scale(0)
    whole = _rectangle(part, left, top, right, bottom) * present
    part.paint(whole, latents["picture_frame"])
    scene.mark("picture", whole)
    edge = 0.045 * scale
    inside = _rectangle(part, left + edge, top + edge, right - edge, bottom - edge) * present
    part.paint(inside, _WHITE)
    edge = edge + latents["picture_mat"] * scale
    inside = _rectangle(part, left + edge, top + edge, right - edge, bottom - edge) * present
    part.paint(inside, latents["picture_ground"])
    u, v = (part.x - (left + right) / 2) / half, (part.y - (top + bottom) / 2) / tall
    u, v, spot, kind = u / scale, v / scale, latents["picture_spot"], latents["picture_kind"]
    hills = v - 0.2 - 0.2 * np.sin(3 * u + 6 * spot)
    fields = v + 0.6 * spot - 0.3
    disc = 0.45 - drawing.length(u - 0.3 * spot, v)
    shape = np.where(kind < 1, hills, np.where(kind < 2, fields, disc))
    part.paint(drawing.smoothstep(-0.12, 0.12, shape) * inside, latents["picture_figure"])


def _paint_rug(scene: _Scene, latents: Latents) -> None:
    """A rug, round or square, with a border and perhaps stripes."""
    camera, x0, away0 = scene.camera, latents["rug_x"], latents["rug_away"]
    half, deep = latents["rug_half"], latents["rug_deep"]
    scene = _Block(x0 - half, x0 + half, 0, 0, away0 + deep, away0 - deep).scene(scene)
    part = scene.picture
    x, away, pixel = camera.level(part, 0)
    metre = pixel / part.pixel
    # In units of the picture: a metre across, and the shorter one into the depth.
    u, rx = (x - x0) / metre, half / metre
    shorter = camera.eye_height / ((camera.wall - away) * metre)
    v, ry = (away - away0) * shorter, deep * shorter
    square = np.maximum(np.abs(u) - rx, np.abs(v) - ry)
    edge = np.where(latents["rug_round"] > 0, drawing.ellipse(u, v, 0.0, 0.0, rx, ry), square)
    whole = part.cover(edge) * latents["rug"]
    stripes = drawing.wave_edge(x * latents["rug_stripes"], pixel * latents["rug_stripes"])
    stripes = stripes * (latents["rug_stripes"] > 0) * 0.8
    part.paint(whole, drawing.mix_field(latents["rug_colour"], latents["rug_border"], stripes))
    border = np.abs(edge + 0.11 / metre) - 0.05 / metre
    part.paint(part.cover(border) * whole, latents["rug_border"])
    scene.mark("rug", whole)


def _paint_floor_light(canvas: Canvas, latents: Latents, camera: _Camera) -> None:
    """The shadows of the furniture, and the sun through the windows, on the floor."""
    part = canvas.window(0, float(camera.place(0, 0, 0)[1].min()) - canvas.pixel, 1, 1)
    x, away, _ = camera.level(part, 0)
    soft = np.float32(0.3)
    for block, name in ((_bed_block(latents), "bed"), (_wardrobe_block(latents), "wardrobe")):
        rows = span(away, block.far, block.near, soft) * latents[name]
        part.shade(1 - 0.4 * rows * span(x, block.left, block.right, soft))
    # A spot of the floor is lit through the spot of the wall from which the sun comes to it.
    across = x - away * latents["sun_lean"]
    soft = np.float32(0.12)
    rows = span(away * latents["sun_slope"], latents["sill"], latents["lintel"], soft)
    half = latents["window_half"] * (0.95 - 0.2 * latents["curtains"])
    lit = np.zeros((1, 1, 1), np.float32)
    for name, place in (("window", "window_x"), ("second window", "second_x")):
        columns = span(across, latents[place] - half, latents[place] + half, soft)
        bar = np.clip(np.abs(across - latents[place]) / 0.06, 0.3, 1)
        lit = np.maximum(lit, columns * bar * latents[name])
    part.light(lit * (0.42 * rows * latents["sunshine"]), _LAMPLIGHT)


def _paint_stand(scene: _Scene, latents: Latents) -> None:
    """The table beside the bed: part of the room, whether a lamp stands on it or not."""
    x = latents["stand_x"]
    block = _Block(x - 0.24, x + 0.24, 0.04, latents["stand_height"], 0.5, 0.05)
    scene = block.scene(scene)
    whole = _paint_block(scene, block, latents["stand_wood"], 1.0)
    scene.hide(whole)
    part, camera = scene.picture, scene.camera
    left, drawer = camera.place(x - 0.2, latents["stand_height"] - 0.2, 0.5)
    right, _ = camera.place(x + 0.2, 0, 0.5)
    thick = 0.02 * camera.scale(0.5)
    part.shade(1 - 0.45 * _rectangle(part, left, drawer - thick, right, drawer + thick))


def _paint_lamp(scene: _Scene, latents: Latents) -> None:
    """A lamp with a shade, on the table or tall on the floor; lit at night."""
    camera, present = scene.camera, latents["lamp"]
    foot = np.where(latents["floor_lamp"] > 0, 0, latents["stand_height"])
    x = latents["stand_x"] - 0.42 * latents["floor_lamp"]
    half, high = latents["lamp_half"], latents["lamp_height"]
    low = high - 0.32
    left, top = camera.place(x - half, high, 0.3)
    right, bottom = camera.place(x + half, foot, 0.3)
    scene = scene.window(left, top, right, bottom)
    part, scale = scene.picture, camera.scale(0.3)
    middle = (left + right) / 2
    _, rim = camera.place(x, low, 0.3)
    stem = _rectangle(part, middle - 0.025 * scale, rim, middle + 0.025 * scale, bottom)
    plate = _rectangle(
        part, middle - 0.1 * scale, bottom - 0.05 * scale, middle + 0.1 * scale, bottom
    )
    stem = np.maximum(stem, plate) * present
    part.paint(stem, 0.7 * latents["wood"])
    # The shade narrows upwards.
    width = half * scale * (1 - latents["lamp_flare"] * (rim - part.y) / (rim - top))
    shade = span(part.x, middle - width, middle + width, np.float32(part.pixel))
    shade = shade * span(part.y, top, rim, np.float32(part.pixel)) * present
    bulge = 0.92 - 0.25 * np.clip((part.x - middle) / (half * scale), -1, 1) ** 2
    glow = 1 + 0.75 * latents["night"]
    part.paint(shade, drawing.spread(latents["shade_colour"]) * (bulge * glow)[:, None])
    scene.mark("lamp", np.maximum(stem, shade))


def _wardrobe_block(latents: Latents) -> _Block:
    left = -latents["width"] / 2
    long = latents["wardrobe_long"]
    return _Block(left, left + 0.55, 0.05, latents["wardrobe_height"], long + 0.1, 0.1)


def _paint_wardrobe(scene: _Scene, latents: Latents) -> None:
    """A wardrobe along the free wall, two doors with knobs."""
    block = _wardrobe_block(latents)
    scene = block.scene(scene)
    part, camera, present = scene.picture, scene.camera, latents["wardrobe"]
    scene.mark("wardrobe", _paint_block(scene, block, latents["wardrobe_colour"], present))
    height, away, pixel = camera.upright(part, block.right)
    doors = block.side(part, camera) * present
    middle = 0.1 + latents["wardrobe_long"] / 2
    line = span(np.abs(away - middle), 0.0, 0.025, 0.1)
    level = span(height, 0.14, block.high - 0.1, pixel)
    part.shade(1 - 0.35 * doors * np.maximum(line, 1 - level))
    knob = span(np.abs(away - middle), 0.08, 0.16, 0.1) * span(height, 0.95, 1.15, pixel)
    part.paint(doors * knob, 0.5 * _LAMPLIGHT)


def _paint_plant(scene: _Scene, latents: Latents) -> None:
    """A pot with leaves that fan out."""
    camera, present = scene.camera, latents["plant"]
    x, away, high = latents["plant_x"], latents["plant_away"], latents["plant_height"]
    scene = _Block(x - high + 0.2, x + high - 0.2, 0, high + 0.05, away, away).scene(scene)
    part, scale = scene.picture, camera.scale(away)
    px, py = camera.place(x, 0.34, away)
    whole, tone = np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32)
    for i, angle in enumerate((-0.95, 0.9, -0.5, 0.55, -0.05, 0.2)):
        turned = angle + latents["leaf_turn"]
        half = (high - 0.34) * scale * np.float32(0.36 + 0.14 * np.cos(angle))
        middle_x, middle_y = px + half * np.sin(turned), py - half * np.cos(turned)
        u, v = drawing.turn(part.x, part.y, middle_x, middle_y, turned)
        leaf = drawing.ellipse(u, v, 0.0, 0.0, latents["leaf_width"] * scale, half)
        # Past the tip of so thin an ellipse its distance is told too short.
        leaf = part.cover(np.maximum(leaf, np.abs(v) - half))
        tone = tone + (np.float32(0.75 + 0.13 * (i % 4)) - tone) * leaf
        whole = np.maximum(whole, leaf)
    part.paint(whole * present, drawing.spread(latents["leaf"]) * tone[:, None])
    _, ground = camera.place(x, 0, away)
    width = 0.19 * scale * (1 - 0.3 * (part.y - py) / (ground - py))
    pixel = np.float32(part.pixel)
    pot = span(part.x, px - width, px + width, pixel) * span(part.y, py, ground, pixel)
    tone = 0.95 - 0.25 * np.clip((part.x - px) / (0.19 * scale), -1, 1)
    part.paint(pot * present, drawing.spread(latents["pot"]) * tone[:, None])
    scene.mark("plant", np.maximum(whole, pot) * present)


def _bed_block(latents: Latents) -> _Block:
    x, half = latents["bed_x"], latents["bed_width"] / 2
    return _Block(x - half, x + half, 0.06, latents["bed_height"], latents["bed_length"], 0.08)


def _paint_bed(scene: _Scene, latents: Latents) -> None:
    """Headboard, mattress under a sheet and a blanket, pillows and perhaps a cushion."""
    block, present = _bed_block(latents), latents["bed"]
    head = _Block(block.left - 0.06, block.right + 0.06, 0.05, latents["head_height"], 0.08, 0)
    whole = _Block(head.left, head.right, 0, head.high, block.near, 0)
    scene = whole.scene(scene)
    cover = _paint_headboard(scene, latents, head)
    body = _paint_block(scene, block, 0.95 * latents["blanket"], present)
    _paint_bedding(scene, latents, block)
    scene.mark("bed", np.maximum(cover, body))
    low, high = block.high - 0.1, block.high + 0.4
    scene = _Block(block.left - 0.1, block.right + 0.1, low, high, 0.55, 0).scene(scene)
    width = latents["bed_width"]
    for place, half, height, away, colour, there in (
        (0.25, 0.2, 0.15, 0.3, "pillow", present),
        (0.75, 0.2, 0.15, 0.3, "pillow", present),
        (0.5, 0.13, 0.11, 0.5, "cushion_colour", present * latents["cushion"]),
    ):
        x = block.left + place * width
        _paint_pillow(
            scene, x, block.high + height, away, half * width, height, latents[colour], there
        )


def _paint_pillow(
    scene: _Scene,
    x: Level,
    y: Level,
    away: float,
    half: Array,
    tall: float,
    colour: Array,
    present: Array,
) -> None:
    """A pillow that stands on the bed about (x, y), lit from above."""
    part, camera = scene.picture, scene.camera
    scale = camera.scale(away)
    px, py = camera.place(x, y, away)
    shape = drawing.box(part.x - px, part.y - py, half * scale, tall * scale, 0.08 * scale)
    tone = 0.98 - 0.22 * drawing.smoothstep(0, 1, (part.y - py) / (tall * scale))
    part.shade(1 - 0.2 * part.cover(shape - 0.02 * scale, 0.01) * present)
    cover = part.cover(shape) * present
    part.paint(cover, drawing.spread(colour) * tone[:, None])
    scene.mark("bed", cover)


def _paint_headboard(scene: _Scene, latents: Latents, head: _Block) -> Array:
    """A panel at the wall, round or square above, of one piece or of slats; its coverage."""
    part, camera, slats = scene.picture, scene.camera, latents["head_slats"]
    left, top = camera.place(head.left, head.high, head.near)
    right, bottom = camera.place(head.right, 0.05, head.near)
    corner = latents["head_round"] * camera.scale(head.near)
    panel = drawing.box(
        part.x - (left + right) / 2,
        part.y - (top + bottom) / 2,
        (right - left) / 2,
        (bottom - top) / 2,
        corner,
    )
    x = (part.x - left) / camera.scale(head.near)
    open_ = drawing.wave_edge(x * slats, part.pixel * slats / camera.scale(head.near))
    inner = part.cover(panel + 0.1 * camera.scale(head.near))
    cover = part.cover(panel) * (1 - inner * open_ * (slats > 0)) * latents["bed"]
    tone = 1.0 - 0.12 * inner
    part.paint(cover, drawing.spread(latents["head_colour"]) * tone[:, None])
    return cover


def _paint_bedding(scene: _Scene, latents: Latents, block: _Block) -> None:
    """On the mattress: the sheet near the pillows, the blanket with its pattern, a throw."""
    part, camera, present = scene.picture, scene.camera, latents["bed"]
    top = block.top(part, camera) * present
    x, away, pixel = camera.level(part, block.high)
    part.paint(top, _blanket(latents, x, away, pixel, 1.04))
    front = block.front(part, camera) * present
    scale = camera.scale(block.near)
    drop = (part.y - camera.place(0, block.high, block.near)[1]) / scale
    flat = (part.x - camera.x) / scale + camera.eye_x
    part.paint(front, _blanket(latents, flat, block.near + drop, part.pixel / scale, 0.8))
    fold = 0.08 + latents["sheet"]
    part.paint(top * span(away, -1, fold, pixel), _WHITE)
    part.paint(top * span(away, fold, fold + 0.16, pixel), 0.5 * latents["blanket"] + 0.45)
    thrown = top * span(away, block.near - latents["throw"], block.near, pixel)
    part.paint(thrown * (latents["throw"] > 0), latents["cushion_colour"])
    _, ground = camera.place(0, 0.14, block.near)
    part.shade(1 - 0.45 * front * np.clip(0.5 + (part.y - ground) / part.pixel, 0, 1))


def _blanket(latents: Latents, x: Array, away: Array, pixel: Level, light: float) -> Array:
    """Colour of the blanket: plain, striped along or across, or a tartan of both."""
    along, across = latents["stripes_x"], latents["stripes_away"]
    share = drawing.wave_edge(x * along, pixel * along) * (along > 0)
    share = share + drawing.wave_edge(away * across, 2 * pixel * across) * (across > 0)
    return drawing.mix_field(
        light * latents["blanket"], light * latents["blanket_other"], np.float32(0.45) * share
    )


def _light_room(canvas: Canvas, latents: Latents, camera: _Camera) -> None:
    """Daylight or dusk over all, and at night the glow of the lamp."""
    x, y = camera.place(
        latents["stand_x"] - 0.42 * latents["floor_lamp"], latents["lamp_height"] - 0.2, 0.3
    )
    far = (canvas.x - x) ** 2 + (canvas.y - y) ** 2
    glow = latents["night"] * latents["lamp"] / (1 + far * 22)
    ambient = latents["ambient"]
    lit = drawing.mix_field(ambient, ambient + 0.75 * _LAMPLIGHT, glow)
    np.multiply(canvas.pixels, lit, out=canvas.pixels)
