"""Text to pre-train on: byte shards, documents separated by newlines."""

from dataclasses import dataclass

import numpy as np

from radford_lib.errors import RadfordError


@dataclass(frozen=True)
class ByteCorpus:
    """Shards of UTF-8 bytes; each document ends in a newline and holds none.

    Shapes: every shard (n_i,) uint8, memory-mapped where it comes from a pack. ``sha256``
    identifies the pack files, or the toy world's name, generator version and arguments.
    Raises ``RadfordError`` where a shard is empty or not a vector of bytes.
    """

    shards: tuple[np.ndarray, ...]
    name: str
    split: str
    toy: bool
    sha256: str

    def __post_init__(self) -> None:
        if not self.shards:
            raise RadfordError(f"corpus '{self.name}' ({self.split}) has no shards")
        for number, shard in enumerate(self.shards):
            if shard.ndim != 1 or shard.dtype != np.uint8 or not len(shard):
                raise RadfordError(
                    f"shard {number} of corpus '{self.name}' is {shard.dtype} {shard.shape}, "
                    "not a vector of bytes"
                )

    @property
    def bytes(self) -> int:
        """Length of all shards together, in bytes."""
        return sum(len(shard) for shard in self.shards)
