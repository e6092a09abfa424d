"""What counting words, or runs of bytes, says of a text's label: the control for learnt features.

TF-IDF counts and L2-regularised logistic regression, the linear baselines that the sentiment
neuron paper compares with (its figure 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from radford_lib.errors import UsageError

C_GRID = tuple(2.0**power for power in range(-2, 9, 2))
WORD = r"(?u)\b\w[\w']*\b"  # keeps "I", "a" and "don't" whole


@dataclass(frozen=True)
class BagClassifier:
    """A fitted counter and its logistic regression."""

    vectorizer: TfidfVectorizer
    regression: LogisticRegression
    c: float
    valid_accuracy: float

    @property
    def features(self) -> int:
        """How many different words or runs of bytes it counts."""
        return len(self.vectorizer.vocabulary_)

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Labels (N,) of N texts."""
        return self.regression.predict(self.vectorizer.transform(texts))


def fit_bag_of_words(
    train_texts: Sequence[str],
    train_labels: np.ndarray,
    valid_texts: Sequence[str],
    valid_labels: np.ndarray,
    *,
    of: str = "words",
    longest: int = 1,
    c_grid: Sequence[float] = C_GRID,
    seed: int = 0,
) -> BagClassifier:
    """Fit on the training texts, with C from ``c_grid`` by accuracy on the validation texts.

    ``of`` is "words" or "bytes"; runs of one to ``longest`` of them are counted, those that
    occur in a single training text left out. Raises ``UsageError`` for another ``of``.
    """
    if of not in ("words", "bytes"):
        raise UsageError(f"a bag is of 'words' or of 'bytes', not of {of!r}")
    vectorizer = TfidfVectorizer(
        analyzer="word" if of == "words" else "char",
        preprocessor=None if of == "words" else _bytes_as_characters,
        token_pattern=WORD if of == "words" else None,
        ngram_range=(1, longest),
        sublinear_tf=True,
        min_df=2,
    )
    train = vectorizer.fit_transform(train_texts)
    valid = vectorizer.transform(valid_texts)
    best: tuple[float, float, LogisticRegression] | None = None
    for c in c_grid:
        regression = LogisticRegression(C=c, solver="liblinear", random_state=seed)
        regression.fit(train, train_labels)
        accuracy = float(regression.score(valid, valid_labels))
        if best is None or accuracy > best[0]:
            best = (accuracy, c, regression)
    if best is None:
        raise UsageError("c_grid is empty: give at least one C")
    accuracy, c, regression = best
    return BagClassifier(vectorizer, regression, c, accuracy)


def _bytes_as_characters(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("latin-1")
