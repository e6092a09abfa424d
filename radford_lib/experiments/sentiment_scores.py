"""How well final states tell sentiment: all units, one unit, by the protocol of the chapter.

Probes are fitted on the processor: the GPU trains meanwhile, by graphs that nothing may disturb.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from radford_lib.data import ByteCorpus, LabelledTexts
from radford_lib.interpret.units import best_unit, fit_threshold, sentiment_unit
from radford_lib.probes.logistic import fit_l1_logistic


def score_first(
    labelled: dict[str, LabelledTexts], features: dict[str, np.ndarray], seed: int
) -> tuple[dict[str, Any], int]:
    """The chapter's protocol on one set: all units, the heaviest, the best found without a probe.

    Everything is fitted or chosen on the training part, the probe's strength on the validation
    part; the test part is scored. Returns the metrics and the heaviest unit.
    """
    train, valid, test = (labelled[part] for part in ("train", "valid", "test"))
    probe = fit_l1_logistic(
        features["train"], train.labels, features["valid"], valid.labels, seed=seed, device="cpu"
    )
    searched, searched_threshold = best_unit(features["train"], train.labels)
    # a model that has learnt nothing may leave the probe without a weight
    unit = sentiment_unit(probe.weights) if np.any(probe.weights) else searched
    alone = fit_threshold(features["train"][:, unit], train.labels)
    values = features["test"][:, unit]
    magnitude = np.sort(np.abs(probe.weights))[::-1]
    groups = [values[test.labels == label] for label in (0, 1)]
    spread = float(np.sqrt(sum(group.var() for group in groups) / 2)) or 1.0
    metrics = {
        "accuracy": probe.accuracy(features["test"], test.labels, "cpu"),
        "unit": unit,
        "unit_accuracy": alone.accuracy(values, test.labels),
        "searched_unit": searched,
        "searched_unit_accuracy": searched_threshold.accuracy(
            features["test"][:, searched], test.labels
        ),
        "c": probe.c,
        "nonzero": probe.n_nonzero,
        "dominance": float(magnitude[0] / max(magnitude[1], 1e-12)),
        "weight_share": float(magnitude[0] / max(magnitude.sum(), 1e-12)),
        "separation": float(abs(groups[1].mean() - groups[0].mean()) / spread),
        "weights": [round(float(w), 5) for w in probe.weights],
    }
    return metrics, unit


def score_second(
    labelled: dict[str, LabelledTexts],
    features: dict[str, np.ndarray],
    unit: int,
    fit_texts: int,
    seed: int,
) -> dict[str, Any]:
    """The same on a set of whole reviews: ``unit`` is given, only its threshold is fitted anew.

    The probe of all units sees ``fit_texts`` of the training texts, a fifth of which chooses C.
    """
    train, test = labelled["train"], labelled["test"]
    order = np.random.default_rng(seed).permutation(len(train))[:fit_texts]
    choosing, fitting = np.split(order, [len(order) // 5])
    x = features["train"]
    probe = fit_l1_logistic(
        x[fitting], train.labels[fitting], x[choosing], train.labels[choosing],
        seed=seed, device="cpu",
    )  # fmt: skip
    alone = fit_threshold(x[:, unit], train.labels)
    return {
        "accuracy": probe.accuracy(features["test"], test.labels, "cpu"),
        "unit_accuracy": alone.accuracy(features["test"][:, unit], test.labels),
        "fit_texts": len(order),
    }


def strongest(weights: Sequence[float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Units (H,) by their weight in the probe, those without one by how far they part the labels.

    x: features (N, H) and y: labels (N,) of training texts.
    """
    apart = np.abs(x[y == 1].mean(0) - x[y == 0].mean(0)) / (x.std(0) + 1e-6)
    return np.lexsort((-apart, -np.abs(np.array(weights))))


def unigram_bits(corpus: ByteCorpus) -> float:
    """Bits per byte that the frequencies of bytes alone would cost."""
    counts = np.zeros(256)
    for shard in corpus.shards:
        counts += np.bincount(shard, minlength=256)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())
