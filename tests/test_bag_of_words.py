"""The counting control finds what counting can find, and nothing that order alone says."""

import numpy as np
import pytest

from radford_lib.errors import UsageError
from radford_lib.probes.bag_of_words import fit_bag_of_words


def texts_of(rng, n, pairs):
    """n texts of filler with one of two phrases hidden in them."""
    filler = ["the", "film", "was", "long", "and", "the", "end", "came", "late"]
    labels = rng.integers(0, 2, n)
    texts = []
    for label in labels:
        words = list(rng.permutation(filler))
        words.insert(int(rng.integers(0, len(words))), pairs[label])
        texts.append(" ".join(words))
    return texts, labels


@pytest.mark.parametrize("of", ["words", "bytes"])
def test_a_telling_word_is_found(of):
    rng = np.random.default_rng(0)
    sets = [texts_of(rng, n, ("awful", "lovely")) for n in (60, 30, 40)]
    bag = fit_bag_of_words(*sets[0], *sets[1], of=of, longest=1 if of == "words" else 3)
    assert (bag.predict(sets[2][0]) == sets[2][1]).all()
    assert bag.valid_accuracy == 1.0


def test_order_needs_pairs_of_words():
    rng = np.random.default_rng(1)
    sets = [texts_of(rng, n, ("not good but bad", "not bad but good")) for n in (200, 60, 80)]
    accuracy = {
        longest: (
            fit_bag_of_words(*sets[0], *sets[1], longest=longest).predict(sets[2][0]) == sets[2][1]
        ).mean()
        for longest in (1, 2)
    }
    assert accuracy[1] < 0.7
    assert accuracy[2] == 1.0


def test_what_is_counted_is_words_or_bytes():
    texts, labels = ["é é", "é e", "e e", "e é"], np.array([0, 0, 1, 1])
    bag = fit_bag_of_words(texts, labels, texts, labels, of="bytes")
    assert set(bag.vectorizer.vocabulary_) == {" ", "e", "\xc3", "\xa9"}
    with pytest.raises(UsageError, match="not of 'letters'"):
        fit_bag_of_words(texts, labels, texts, labels, of="letters")
    with pytest.raises(UsageError, match="c_grid is empty"):
        fit_bag_of_words(texts, labels, texts, labels, c_grid=())
