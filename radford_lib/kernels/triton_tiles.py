"""Which tiles the Triton kernels of :mod:`radford_lib.kernels.triton_steps` use, and when."""

from typing import NamedTuple


class Tile(NamedTuple):
    """How one product is cut into programs.

    A program sums ``rows`` of the batch times ``units`` outputs (times four for gates) over
    ``depth`` inputs at a time. ``split`` programs share the inputs of one tile, and then its units:
    each adds for its own what all of them found, in a fixed order. ``tma`` loads through tensor
    descriptors; ``overlap`` launches the kernel while the one before it ends.
    """

    rows: int
    units: int
    depth: int
    split: int = 1
    warps: int = 4
    stages: int = 4
    tma: bool = False
    overlap: bool = False


class Tiles(NamedTuple):
    """The tiles of a step's four products."""

    product: Tile
    gates: Tile
    gates_back: Tile
    product_back: Tile


# For bfloat16, by how many numbers a step makes (batch x hidden), largest first: about one program
# for each of Hopper's 132 multiprocessors, and tiles as square as that allows, because what limits
# a step is how often its inputs are read again from the L2 cache. Where whole tiles of that shape
# are too few, the inputs are split, above all the 4H of ``product_back``.
BFLOAT16: tuple[tuple[int, Tiles], ...] = (
    (
        2**20,  # H 4096 with B 512, H 2048 with B 512
        Tiles(
            product=Tile(128, 128, 64, 1, 8, 4),
            gates=Tile(128, 64, 64, 1, 8, 4),
            gates_back=Tile(128, 128, 64, 1, 8, 4),
            product_back=Tile(128, 256, 64, 2, 8, 3),
        ),
    ),
    (
        2**19,  # H 4096 with B 128, H 2048 with B 256
        Tiles(
            product=Tile(128, 128, 64, 4, 8, 4),
            gates=Tile(128, 32, 64, 1, 8, 4),
            gates_back=Tile(128, 128, 64, 4, 8, 4),
            product_back=Tile(128, 128, 64, 4, 8, 4),
        ),
    ),
    (
        2**18,  # H 2048 with B 128, H 1024 with B 256
        Tiles(
            product=Tile(64, 32, 128, 1, 4, 4),
            gates=Tile(64, 32, 64, 1, 4, 5),
            gates_back=Tile(64, 32, 128, 1, 4, 4),
            product_back=Tile(64, 64, 128, 2, 4, 4),
        ),
    ),
    (
        0,
        Tiles(
            product=Tile(64, 32, 128, 1, 4, 4),
            gates=Tile(64, 16, 128, 1, 4, 4),
            gates_back=Tile(64, 32, 128, 1, 4, 4),
            product_back=Tile(64, 32, 128, 4, 4, 4),
        ),
    ),
)
# float32 is for checking, not for speed
FLOAT32 = Tiles(*(Tile(32, 32, 32, 1, 4, 2),) * 3, product_back=Tile(32, 32, 32, 2, 4, 2))


def tiles_for(hidden: int, batch: int, itemsize: int) -> Tiles:
    """The tiles for H units and B sequences of numbers of ``itemsize`` bytes, 2 or 4."""
    if itemsize == 4:
        return FLOAT32
    return next(tiles for least, tiles in BFLOAT16 if batch * hidden >= least)


def with_options(tiles: Tiles, *, tma: bool = False, overlap: bool = False) -> Tiles:
    """The same tiles with descriptors, with overlapping launches, or both."""
    return Tiles(*(tile._replace(tma=tma, overlap=overlap) for tile in tiles))
