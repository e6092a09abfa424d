"""The toy texts: deterministic, disjoint, varied, and not to be read off single words."""

import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from radford_lib.data.toy.encyclopaedia import encyclopaedia_corpus
from radford_lib.data.toy.reviews import polarity_words, reviews_corpus, reviews_texts
from radford_lib.errors import UsageError


@pytest.fixture(scope="module")
def train():
    return reviews_texts(2000, seed=0, split="train")


@pytest.fixture(scope="module")
def test():
    return reviews_texts(1000, seed=0, split="test")


def documents(corpus):
    return [line for shard in corpus.shards for line in bytes(shard).decode("ascii").splitlines()]


def test_the_same_arguments_give_the_same_reviews_and_a_longer_set_begins_with_the_shorter(train):
    again = reviews_texts(300, seed=0, split="train")
    assert again.texts == train.texts[:300]
    assert again.sha256 != train.sha256
    assert reviews_texts(300, seed=1, split="train").texts != again.texts


def test_no_review_is_in_two_splits(train, test):
    valid = reviews_texts(500, seed=0, split="valid")
    corpus = set(documents(reviews_corpus(400_000, seed=0, split="train", dialect="mixed")))
    assert not set(train.texts) & set(test.texts)
    assert not set(valid.texts) & set(test.texts)
    assert not corpus & (set(test.texts) | set(valid.texts))


def test_labels_are_balanced_and_follow_the_stars(train):
    assert train.labels.mean() == 0.5
    assert set(train.latents["stars"][train.labels == 0]) == {1, 2}
    assert set(train.latents["stars"][train.labels == 1]) == {4, 5}


def test_latents_describe_the_text(train):
    assert (train.latents["length"] == [len(text) for text in train.texts]).all()
    contrasted = [text for text, c in zip(train.texts, train.latents["contrast"], strict=True) if c]
    marks = ("but", "yet", "although", "still", "while", "all the same")
    assert contrasted
    assert all(any(mark in text.lower() for mark in marks) for text in contrasted)


def test_reviews_are_sentences_of_varied_words(train):
    text = "\n".join(documents(reviews_corpus(1_500_000, seed=0, dialect="mixed")))
    assert len(set(re.findall(r"[a-z]+", text.lower()))) > 1300
    assert all(re.fullmatch(r"[A-Z][^\n{}]*[.!]", review) for review in train.texts)
    assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiouAEIOU]", " ".join(train.texts))


def test_the_corpus_is_skewed_to_praise_as_shop_reviews_are():
    corpus = reviews_corpus(200_000, seed=3)
    assert len(corpus.shards) == 8
    assert all(shard.dtype == np.uint8 and bytes(shard[-1:]) == b"\n" for shard in corpus.shards)
    assert 200_000 <= corpus.bytes < 210_000
    assert corpus.toy


def test_context_decides_words_of_praise_stand_in_bad_reviews(train):
    bad = " ".join(text for text, label in zip(train.texts, train.labels, strict=True) if not label)
    assert re.search(r"not call the [a-z ]+ (comfortable|warm|sharp|gripping|witty)", bad)
    assert "highly recommended" not in bad.lower()


def test_single_words_tell_much_but_not_all(train, test):
    # measured once at 0.86; word pairs reach a little more, a reader everything
    vectorizer = CountVectorizer()
    model = LogisticRegression(C=0.3, max_iter=1000)
    model.fit(vectorizer.fit_transform(train.texts), train.labels)
    accuracy = model.score(vectorizer.transform(test.texts), test.labels)
    assert 0.78 < accuracy < 0.93


def test_polarity_words_leave_out_what_praises_one_part_and_blames_another():
    polarity = polarity_words()
    assert polarity["superb"] == 1
    assert polarity["dreadful"] == -1
    assert not {"long", "short"} & set(polarity)


def test_the_encyclopaedia_has_no_opinion_words():
    text = " ".join(documents(encyclopaedia_corpus(200_000, seed=0)))
    opinions = {word for word in polarity_words() if " " not in word}
    found = opinions & set(re.findall(r"[a-z-]+", text.lower()))
    assert len(found) < 5
    assert bytes(encyclopaedia_corpus(50_000, seed=0).shards[0]) == bytes(
        encyclopaedia_corpus(50_000, seed=0).shards[0]
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: reviews_texts(1),
        lambda: reviews_texts(10, split="dev"),
        lambda: reviews_texts(10, dialect="poetry"),
        lambda: reviews_corpus(100),
        lambda: encyclopaedia_corpus(100),
        lambda: encyclopaedia_corpus(100_000, split="dev"),
    ],
)
def test_bad_arguments_are_one_line(call):
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
