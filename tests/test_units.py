"""Texts as features, units along a text, and a unit's threshold fitted on training texts only."""

import numpy as np
import pytest
import torch

from radford_lib.errors import RadfordError, UsageError
from radford_lib.interpret.units import (
    best_unit,
    character_trace,
    fit_threshold,
    preprocess,
    sentiment_unit,
    transform,
    unit_trace,
)
from radford_lib.models.language_model import ByteLanguageModel

TEXTS = [
    "Good.",
    "A film that runs on and on, and yet it never seems long to anyone who watches it.",
    "",
    "Café &amp; crème\nbrûlée",
    "no",
    "I would not say that it is bad; I would say that it is 150 minutes of nothing. " * 3,
    "a a a a a a a a a a a a",
]


@pytest.fixture(scope="module", params=["mlstm", "lstm"])
def model(request) -> ByteLanguageModel:
    return ByteLanguageModel(cell=request.param, hidden=24, embed=8, seed=4)


def naive(model, texts):
    """One text after another, all its bytes in one window."""
    rows = []
    for text in texts:
        bytes_ = torch.tensor(list(preprocess(text)))[:, None]
        with torch.no_grad():
            rows.append(model.hidden_states(bytes_)[1][1][0].numpy())
    return np.stack(rows)


def test_preprocess_is_the_release_s():
    assert preprocess("  it&#39;s\nfine &lt;3 ") == b"\n it's fine <3 "
    assert preprocess("é") == b"\n \xc3\xa9 "
    with pytest.raises(UsageError, match="a text must be a string, not nan"):
        preprocess(float("nan"))


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_features_do_not_depend_on_how_texts_are_batched(model, batch):
    features = transform(model, TEXTS, batch=batch)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, naive(model, TEXTS), rtol=1e-4, atol=1e-6)


def test_features_in_low_precision_are_a_little_rounded(model):
    exact, low = transform(model, TEXTS), transform(model, TEXTS, dtype=torch.bfloat16)
    assert low.dtype == np.float32
    assert not np.array_equal(low, exact)
    assert np.abs(low - exact).max() < 0.02 * np.abs(exact).max()


def test_features_do_not_depend_on_order(model):
    order = np.random.default_rng(0).permutation(40)
    texts = [TEXTS[n % len(TEXTS)][: 3 * n] for n in range(40)]
    shuffled = transform(model, [texts[n] for n in order], batch=7)
    np.testing.assert_allclose(shuffled, transform(model, texts, batch=7)[order], atol=1e-6)


def test_no_texts_and_one_string(model):
    assert transform(model, []).shape == (0, 24)
    with pytest.raises(UsageError, match="not one string"):
        transform(model, "good")


def test_a_trace_ends_in_the_feature(model):
    trace = unit_trace(model, TEXTS[1], unit=5)
    assert trace.shape == (len(preprocess(TEXTS[1])),)
    assert trace[-1] == pytest.approx(transform(model, [TEXTS[1]])[0, 5], abs=1e-6)
    half = unit_trace(model, TEXTS[1][:40], unit=5)
    np.testing.assert_allclose(trace[:42], half[:42], atol=1e-6)
    with pytest.raises(UsageError, match=r"unit 24 is not one of this model's 0\.\.23"):
        unit_trace(model, "good", unit=24)


def test_characters_of_several_bytes_have_one_value(model):
    line, values = character_trace(model, TEXTS[3], unit=0)
    assert line == "Café & crème brûlée"
    assert values.shape == (len(line),)
    trace = unit_trace(model, TEXTS[3], unit=0)
    assert values[3] == trace[2 + 4]  # the second byte of é
    assert values[-1] == trace[-2]


def test_the_sentiment_unit_has_the_largest_weight():
    assert sentiment_unit(np.array([0.1, -3.0, 0.0, 2.0])) == 1
    with pytest.raises(RadfordError, match="all zero"):
        sentiment_unit(np.zeros(4))


@pytest.mark.parametrize("polarity", [1, -1])
def test_a_threshold_separates_what_can_be_separated(polarity):
    values = polarity * np.array([0.1, 0.4, 1.0, 2.0])
    fitted = fit_threshold(values, np.array([0, 0, 1, 1]))
    assert fitted.threshold == pytest.approx(polarity * 0.7)
    assert fitted.polarity == polarity
    assert fitted.train_accuracy == 1.0
    assert fitted.predict(polarity * np.array([0.69, 0.71])).tolist() == [0, 1]
    assert fitted.accuracy(polarity * np.array([0.0, 5.0]), np.array([0, 0])) == 0.5


def test_a_threshold_is_the_best_of_all():
    generator = np.random.default_rng(1)
    for _ in range(30):
        labels = generator.integers(0, 2, 25)
        labels[:2] = [0, 1]
        values = generator.integers(0, 8, 25) + 0.3 * labels  # with ties
        fitted = fit_threshold(values, labels)
        cuts = np.append(np.unique(values) - 0.01, 99)
        best = max(max(a, 1 - a) for a in [((values > cut) == labels).mean() for cut in cuts])
        assert fitted.train_accuracy == pytest.approx(best)
        assert fitted.accuracy(values, labels) == pytest.approx(best)


def test_a_threshold_needs_both_labels():
    with pytest.raises(RadfordError, match="two labels, 0 and 1"):
        fit_threshold(np.arange(3.0), np.ones(3))


def test_the_best_unit_is_found_among_many():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 60)
    features = generator.normal(size=(60, 9)).astype(np.float32)
    features[:, 6] = -2.0 * labels + 0.1 * features[:, 6]
    unit, fitted = best_unit(features, labels)
    assert unit == 6
    assert fitted.polarity == -1
    assert fitted.train_accuracy == fitted.accuracy(features[:, 6], labels) == 1.0
