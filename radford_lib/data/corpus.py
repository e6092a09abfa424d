"""Text to pre-train on: byte shards, documents separated by newlines."""

import hashlib
from collections.abc import Sequence
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


def join_corpora(corpora: Sequence[ByteCorpus], shard_bytes: int) -> ByteCorpus:
    """Several corpora as one, cut into shards of about ``shard_bytes`` that hold whole documents.

    Training takes the shards in random order, so that short ones mix the corpora. The shards are
    views of the given ones. Raises ``RadfordError`` where there is none or their splits differ.
    """
    splits = {corpus.split for corpus in corpora}
    if len(splits) != 1:
        raise RadfordError(f"corpora to join must be of one split, not {sorted(splits)}")
    pieces: list[np.ndarray] = []
    for corpus in corpora:
        for shard in corpus.shards:
            ends = np.flatnonzero(shard == ord("\n")) + 1
            wanted = np.arange(shard_bytes, len(shard), shard_bytes)
            after = np.searchsorted(ends, wanted)  # the document end at or after each
            cuts = np.unique(ends[after[after < len(ends)]])
            pieces += [piece for piece in np.split(shard, cuts) if len(piece)]
    identity = [f"{corpus.name}:{corpus.sha256}:{corpus.bytes}" for corpus in corpora]
    described = f"{','.join(identity)};{shard_bytes}"
    return ByteCorpus(
        shards=tuple(pieces),
        name="+".join(corpus.name for corpus in corpora),
        split=splits.pop(),
        toy=any(corpus.toy for corpus in corpora),
        sha256=hashlib.sha256(described.encode()).hexdigest(),
    )
