"""The one way in: ``load_images``, ``load_corpus`` and ``load_texts`` by name, toy or real."""

import dataclasses
import hashlib
import importlib
import json
from typing import Any

import numpy as np

from radford_lib.data.corpus import ByteCorpus
from radford_lib.data.image_set import ImageSet
from radford_lib.data.packs import find_pack, packs
from radford_lib.data.texts import LabelledTexts
from radford_lib.errors import UsageError

TOY_IMAGES = ("faces", "rooms", "things")
TOY_CORPORA = ("reviews", "encyclopaedia")
TOY_TEXTS = ("reviews",)


def load_images(
    name: str, split: str = "train", *, n: int | None = None, size: int | None = None, seed: int = 0
) -> ImageSet:
    """Images of a toy world or a pack, (N, size, size, C) uint8.

    Toy: faces, rooms, things (``n`` 10,000 and ``size`` 32 by default). Packs: cifar10,
    tiny-imagenet32, mnist, celeba, houses, houses-bedroom (-kitchen, -bathroom), and what was
    fetched. Of a pack, ``n`` keeps the first of a shuffle by ``seed``, classes alike; ``size``
    crops to the centred square and shrinks by area (celeba, houses: 64 by default). ``sha256``
    differs for every selection. Raises ``UsageError`` for an unknown name, split, n or size,
    ``RadfordError`` where the pack is missing or corrupt.
    """
    check_count(n)
    if name in TOY_IMAGES:
        return toy(name, name, n=n, size=size, seed=seed, split=split)
    from radford_lib.data.image_packs import read_images

    pack_name, kind = name, ""
    if name.startswith("houses-"):
        pack_name, kind = "houses", name.removeprefix("houses-")
    check_name(pack_name, "images", TOY_IMAGES)
    whole = read_images(find_pack(pack_name, "images"), split, size=size, kind=kind)
    if n is None:
        return whole
    chosen = selection(len(whole), whole.labels, n, seed, f"{name} ({split})")
    return dataclasses.replace(
        whole.take(chosen), sha256=selected_identity(whole.sha256, n=n, seed=seed)
    )


def load_corpus(
    name: str, split: str = "train", *, max_bytes: int | None = None, seed: int = 0
) -> ByteCorpus:
    """A corpus as shards of UTF-8 bytes, one newline at the end of each document.

    Toy: reviews, encyclopaedia (10 MB by default, made from ``seed``). Packs: amazon, imdb-unsup,
    books; their rows already stand in random order, so ``max_bytes`` keeps the beginning and
    ``seed`` changes nothing. Splits: train, valid, test. Raises ``UsageError`` for an unknown name,
    split or size, ``RadfordError`` where the pack is missing or corrupt.
    """
    if name in TOY_CORPORA:
        return toy(name, f"{name}_corpus", max_bytes=max_bytes, seed=seed, split=split)
    from radford_lib.data.text_packs import read_corpus

    check_name(name, "corpus", TOY_CORPORA)
    return read_corpus(find_pack(name, "corpus"), split, max_bytes=max_bytes)


def load_texts(name: str, split: str, *, n: int | None = None, seed: int = 0) -> LabelledTexts:
    """Labelled texts of a toy world or an evaluation set.

    Toy: reviews (train, valid, test; label 0 or 1; 2,000 by default). Packs: sst2, sick (train,
    valid, test), imdb, msrp (train, test), mr, cr, subj, mpqa, yelp (all). Of a pack, ``n`` keeps
    the first of a shuffle by ``seed``, classes alike. Raises ``UsageError`` for an unknown name,
    split or n, ``RadfordError`` where the pack is missing or corrupt.
    """
    check_count(n)
    if name in TOY_TEXTS:
        return toy(name, f"{name}_texts", n=n, seed=seed, split=split)
    from radford_lib.data.text_packs import read_texts

    check_name(name, "texts", TOY_TEXTS)
    whole = read_texts(find_pack(name, "texts"), split)
    if n is None:
        return whole
    classes = whole.labels if whole.labels.dtype == np.int64 else None
    chosen = selection(len(whole), classes, n, seed, f"{name} ({split})")
    return dataclasses.replace(
        whole,
        texts=tuple(whole.texts[i] for i in chosen),
        labels=whole.labels[chosen],
        pairs=None if whole.pairs is None else tuple(whole.pairs[i] for i in chosen),
        latents={key: value[chosen] for key, value in whole.latents.items()},
        sha256=selected_identity(whole.sha256, n=n, seed=seed),
    )


def toy(world: str, function: str, **arguments: Any) -> Any:
    """Call a function of a toy world's module with the arguments that were given."""
    module = importlib.import_module(f"radford_lib.data.toy.{world}")
    given = {name: value for name, value in arguments.items() if value is not None}
    return getattr(module, function)(**given)


def check_count(n: int | None) -> None:
    """Raise ``UsageError`` where a number of items is not positive."""
    if n is not None and n < 1:
        raise UsageError(f"n must be positive, not {n}")


def check_name(name: str, kind: str, toy: tuple[str, ...]) -> None:
    """Raise ``UsageError`` where neither a toy world nor a pack of this kind has the name."""
    names = [key for key, pack in packs().items() if pack.kind == kind]
    if name not in names:
        raise UsageError(
            f"no data called '{name}': toy worlds are {', '.join(toy)}; packs are "
            f"{', '.join(names)}"
        )


def selection(count: int, labels: np.ndarray | None, n: int, seed: int, what: str) -> np.ndarray:
    """Indices (n,) of a seeded shuffle; with labels, classes differ by one at most where they can.

    Raises ``UsageError`` where there are fewer than ``n``.
    """
    if n > count:
        raise UsageError(f"{what} has {count} items, fewer than n = {n}")
    order = np.random.default_rng(seed).permutation(count)
    if labels is None:
        return order[:n]
    shuffled = labels[order]
    by_class = np.argsort(shuffled, kind="stable")
    starts = np.searchsorted(shuffled[by_class], shuffled[by_class])
    rank = np.empty(count, np.int64)
    rank[by_class] = np.arange(count) - starts  # how many of the class came before
    return order[np.argsort(rank, kind="stable")[:n]]


def selected_identity(sha256: str, **chosen: Any) -> str:
    """Hexadecimal SHA-256 of a part of some data: of the whole's and of how it was chosen."""
    return hashlib.sha256(json.dumps([sha256, chosen], sort_keys=True).encode()).hexdigest()
