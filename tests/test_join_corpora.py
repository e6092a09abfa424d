"""Joined corpora keep every byte and whole documents, in shards short enough to mix."""

import numpy as np
import pytest

from radford_lib.data.corpus import ByteCorpus, join_corpora
from radford_lib.errors import RadfordError


def corpus(name: str, *shards: bytes, split: str = "train") -> ByteCorpus:
    arrays = tuple(np.frombuffer(shard, np.uint8) for shard in shards)
    return ByteCorpus(arrays, name, split, toy=name == "toy", sha256=name * 8)


def test_every_byte_is_kept_and_documents_are_whole():
    a = corpus("a", b"".join(b"%d times\n" % n for n in range(100)))
    b = corpus("b", b"no end of line", b"one line of more than a shard, all in one\nlast\n")
    joined = join_corpora([a, b], shard_bytes=20)
    texts = [shard.tobytes() for shard in joined.shards]
    assert b"".join(texts) == b"".join(s.tobytes() for s in (*a.shards, *b.shards))
    assert all(text.endswith(b"\n") for text in texts if text != b"no end of line")
    assert max(len(text) for text in texts[:-2]) <= 20 + len("99 times\n")
    assert (joined.name, joined.split, joined.toy) == ("a+b", "train", False)


def test_the_parts_identify_the_whole():
    a, b = corpus("a", b"a\n" * 9), corpus("toy", b"b\n" * 9)
    joined = join_corpora([a, b], 4)
    assert joined.toy
    others = [join_corpora([b, a], 4), join_corpora([a, b], 6), join_corpora([a], 4)]
    assert joined.sha256 not in {other.sha256 for other in others}
    assert joined.sha256 == join_corpora([a, b], 4).sha256


def test_splits_must_agree():
    with pytest.raises(RadfordError, match=r"one split, not \['test', 'train'\]"):
        join_corpora([corpus("a", b"a\n"), corpus("b", b"b\n", split="test")], 4)
    with pytest.raises(RadfordError, match="one split"):
        join_corpora([], 4)
