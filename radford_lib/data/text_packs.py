"""Readers of text packs: corpora as mapped byte shards, evaluation sets as labelled texts."""

import hashlib
import html
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from radford_lib.cache import cached_folder
from radford_lib.data.corpus import ByteCorpus
from radford_lib.data.packs import Pack, PackFile, identity, require
from radford_lib.data.texts import LabelledTexts
from radford_lib.errors import RadfordError, UsageError

VERSION = 1  # of cleaning and splitting: part of the cache's key
SPLITS = ("train", "valid", "test")
LINE_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)
NEWLINES = re.compile(r"\r\n|[\n\r]")


def clean_document(text: str) -> str:
    """A document as the models read it: entities decoded, on one line, without outer spaces.

    ``<br />`` and newlines become spaces. Source: ``preprocess`` of the official utils.py (2017),
    which has no tags to meet; what it adds around a text to be encoded is not added here.
    """
    return NEWLINES.sub(" ", LINE_BREAK_TAG.sub(" ", html.unescape(text))).strip()


def digest_of(text: str) -> str:
    """Hexadecimal SHA-1 of a raw text: what places it in a split and a shard."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def split_of(text: str) -> str:
    """Split of a raw text where its source has none: one in a hundred valid, one test, by SHA-1."""
    return {0: "valid", 1: "test"}.get(int(digest_of(text)[:8], 16) % 100, "train")


def read_corpus(pack: Pack, split: str, *, max_bytes: int | None = None) -> ByteCorpus:
    """A split of a corpus, as shards (n_i,) uint8 mapped from the cache or from the pack.

    Every document is cleaned and ends in a newline. ``max_bytes`` keeps the beginning, up to a
    document's end; rows of the packs stand in order of a hash, so that is a random sample. Raises
    ``UsageError`` for an unknown split or a ``max_bytes`` below the first document,
    ``RadfordError`` where files are missing or corrupt.
    """
    if split not in SPLITS:
        raise UsageError(f"pack '{pack.name}' has no split '{split}'; splits: {', '.join(SPLITS)}")
    if max_bytes is not None and max_bytes < 1:
        raise UsageError(f"max_bytes must be positive, not {max_bytes}")
    files = pack.in_split(split, "all")
    if pack.layout == "shards":
        found = require(pack, files)
    else:
        parts = require(pack, files)
        found = [
            shard
            for file, path in zip(files, parts, strict=True)
            if (shard := unpacked(pack, file, path) / f"{split}.bytes").is_file()
        ]
    shards: list[np.ndarray] = [np.memmap(path, np.uint8, mode="r") for path in found]
    return ByteCorpus(
        shards=tuple(shards if max_bytes is None else beginning(pack, shards, max_bytes)),
        name=pack.name,
        split=split,
        toy=False,
        sha256=identity(files, split=split, max_bytes=max_bytes, version=VERSION),
    )


def unpacked(pack: Pack, file: PackFile, path: Path) -> Path:
    """Cache folder with a ``SPLIT.bytes`` for each split of one ``.jsonl.xz``."""
    from tqdm import tqdm

    def build(folder: Path) -> None:
        streams = {}
        bar = tqdm(
            raw_texts(path),
            desc=f"unpacking {path.name}",
            unit="doc",
            total=file.count,
            disable=None,
        )
        try:
            for text in bar:
                document = clean_document(text)
                if not document:
                    continue
                split = split_of(text) if file.split == "all" else file.split
                if split not in streams:
                    streams[split] = (folder / f"{split}.bytes").open("wb")
                streams[split].write(document.encode("utf-8", "replace") + b"\n")
        finally:
            bar.close()
            for stream in streams.values():
                stream.close()

    key = identity((file,), split=file.split, version=VERSION)[:16]
    return cached_folder(f"corpora/{pack.name}-{path.name.split('.')[0]}-{key}", build)


def raw_texts(path: Path) -> Iterator[str]:
    """The ``text`` of every line of a ``.jsonl.xz``; else a ``RadfordError``."""
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                yield json.loads(line)["text"]
    except (lzma.LZMAError, EOFError, ValueError, KeyError) as error:
        raise RadfordError(
            f"{path} is not JSON Lines in xz ({error!r}): get the pack again"
        ) from error


def beginning(pack: Pack, shards: list[np.ndarray], max_bytes: int) -> list[np.ndarray]:
    """Whole shards while they fit in ``max_bytes``, then one cut at the end of a document."""
    kept: list[np.ndarray] = []
    left = max_bytes
    for shard in shards:
        if len(shard) > left:
            shard = shard[: shard[:left].tobytes().rfind(b"\n") + 1]
            if len(shard):
                kept.append(shard)
            break
        kept.append(shard)
        left -= len(shard)
    if not kept:
        raise UsageError(f"the first document of '{pack.name}' is longer than {max_bytes} bytes")
    return kept


def read_texts(pack: Pack, split: str) -> LabelledTexts:
    """A split of an evaluation set, texts as published: ``clean_document`` is for the encoder.

    Sets without official splits (MR, CR, SUBJ, MPQA, Yelp) have one, ``all``. Yelp's rows of three
    stars have no label and are left out; each of its subsets is a split too. ``pairs`` are the
    second sentences of MSRP and SICK; SICK's labels are its scores, 1 to 5. ``latents`` holds what
    else the set gives: ``stars`` (-1 unknown), ``subset``. Raises ``UsageError`` for an unknown
    split, ``RadfordError`` where files are missing or corrupt.
    """
    import pyarrow.parquet as parquet

    own = tuple(dict.fromkeys(file.split for file in pack.files))
    subsets = SUBSETS.get(pack.name, ()) if own == ("all",) else ()
    if split not in own + subsets:
        raise UsageError(
            f"pack '{pack.name}' has no split '{split}'; splits: {', '.join(own + subsets)}"
        )
    files = pack.in_split("all" if split in subsets else split)
    (path,) = require(pack, files)
    columns = parquet.read_table(path).to_pydict()
    if split in subsets:
        columns = rows_where(columns, [name == split for name in columns["subset"]])
    if "label" in columns:
        columns = rows_where(columns, [label is not None for label in columns["label"]])
        labels: np.ndarray = np.asarray(columns["label"], np.int64)
    else:
        # scores are means of ten ratings; stored as float32, they are rounded back
        labels = np.round(np.asarray(columns["score"], np.float64), 3)
    latents = {}
    if "stars" in columns:
        stars = [-1 if value is None else value for value in columns["stars"]]
        latents["stars"] = np.asarray(stars, np.int64)
    if "subset" in columns:
        latents["subset"] = np.asarray(columns["subset"], np.str_)
    return LabelledTexts(
        texts=tuple(columns.get("text") or columns.get("text_a", ())),
        labels=labels,
        name=pack.name,
        split=split,
        toy=False,
        sha256=identity(files, split=split),
        pairs=tuple(columns["text_b"]) if "text_b" in columns else None,
        latents=latents,
    )


SUBSETS = {"yelp": ("yelp10k", "yelp_full_5k", "yelp_polarity_4k")}


def rows_where(columns: dict[str, list], keep: list[bool]) -> dict[str, list]:
    """The rows of a table of columns for which ``keep`` is true."""
    return {
        name: [value for value, kept in zip(values, keep, strict=True) if kept]
        for name, values in columns.items()
    }
