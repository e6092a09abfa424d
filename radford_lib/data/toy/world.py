"""What the toy image worlds share: arguments, latents by block, painting by chunk, identity.

Image i is a function of (world, split, seed, i) alone, so a longer set begins with the shorter one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radford_lib.data.toy.drawing import Canvas, Level
from radford_lib.errors import UsageError

SIZES = range(16, 129)

#: Latents are drawn in blocks of this many images; divisible by the class counts of `things`.
BLOCK = 240

#: Pixels painted at once: a plane of them stays in the processor's cache.
_CHUNK_PIXELS = 1 << 17

Latents = dict[str, np.ndarray]
Draw = Callable[[np.random.Generator, int], Latents]


def check_arguments(
    world: str, n: int, size: int, seed: int, split: str, splits: Sequence[str]
) -> None:
    """Raise ``UsageError`` unless the toy world can be made with these arguments."""
    if split not in splits:
        raise UsageError(f"'{world}' has no split '{split}': choose from {', '.join(splits)}")
    if n < 1:
        raise UsageError(f"'{world}' needs at least one image: n is {n}")
    if size not in SIZES:
        raise UsageError(f"'{world}' is made at {SIZES[0]} to {SIZES[-1]} pixels: size is {size}")
    if seed < 0:
        raise UsageError(f"'{world}' needs a seed of 0 or more: seed is {seed}")


def identity(world: str, version: int, **arguments: int | str) -> str:
    """sha256 of the world's name, its generator's version and the arguments."""
    text = json.dumps([world, version, arguments], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def draw_latents(world: str, split: str, seed: int, n: int, draw: Draw) -> Latents:
    """Latents of the first ``n`` images: ``draw(rng, BLOCK)`` for each block, joined and cut."""
    stream = int.from_bytes(hashlib.sha256(f"{world}/{split}".encode()).digest()[:8], "big")
    blocks = [
        draw(np.random.default_rng([seed, stream, block]), BLOCK) for block in range(-(-n // BLOCK))
    ]
    return {key: np.concatenate([block[key] for block in blocks])[:n] for key in blocks[0]}


@dataclass(frozen=True)
class Dice:
    """What is drawn for a block of images: arrays with a row for each of ``count``."""

    rng: np.random.Generator
    count: int

    def uniform(self, low: Level, high: Level) -> np.ndarray:
        return self.rng.uniform(low, high, self.count)

    def coin(self, chance: float = 0.5) -> np.ndarray:
        return self.rng.random(self.count) < chance

    def some(self, chance: float, value: np.ndarray) -> np.ndarray:
        """``value`` with this chance, else 0."""
        return np.where(self.coin(chance), value, 0.0)

    def either(self, chance: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Colour ``a`` with this chance, else ``b``; either of them (count, 3) or (3,)."""
        return np.where(self.coin(chance)[:, None], a, b)

    def pick(self, palette: np.ndarray, spread: float = 0.05) -> np.ndarray:
        """Colours (count, 3) of a palette, each a little lighter or darker and off its hue."""
        chosen = palette[self.rng.integers(len(palette), size=self.count)]
        level = 1 + self.rng.normal(0, spread, (self.count, 1))
        hue = self.rng.normal(0, spread / 3, (self.count, 3))
        return np.clip(chosen * (level + hue), 0.03, 0.98)


def paint(
    latents: Mapping[str, np.ndarray],
    size: int,
    painter: Callable[[Canvas, Latents], Latents],
) -> tuple[np.ndarray, Latents]:
    """Paint all images in chunks of one fixed length, so that none depends on how many there are.

    ``painter(canvas, latents)`` paints one chunk and returns what else it knows of it (masks).
    Scalars reach it as (B, 1, 1) float32. Returns images (N, size, size, 3) uint8 and the rest.
    """
    count = len(next(iter(latents.values())))
    fitting = max(1, _CHUNK_PIXELS // size**2)
    chunk = max(
        divisor for divisor in range(1, BLOCK + 1) if divisor <= fitting and BLOCK % divisor == 0
    )
    images = np.empty((count, size, size, 3), np.uint8)
    rest: Latents = {}
    for start in range(0, count, chunk):
        index = np.minimum(np.arange(start, start + chunk), count - 1)
        part = {
            key: value[index][:, None, None].astype(np.float32) if value.ndim == 1 else value[index]
            for key, value in latents.items()
        }
        canvas = Canvas.blank(chunk, size)
        known = painter(canvas, part)
        kept = min(chunk, count - start)
        images[start : start + kept] = canvas.to_uint8()[:kept]
        for key, value in known.items():
            if key not in rest:
                rest[key] = np.empty((count, *value.shape[1:]), value.dtype)
            rest[key][start : start + kept] = value[:kept]
    return images, rest
