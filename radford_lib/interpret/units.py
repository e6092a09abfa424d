"""Units of a byte language model: texts as features, a unit along a text, a unit as classifier.

The paper's features are the final cell state (section 3.2), which it bounds with tanh; its released
code returns the cell state as it is. This library does as the code does.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from radford_lib.errors import RadfordError, UsageError
from radford_lib.models.language_model import ByteLanguageModel

# A window of reading lasts until one text in eight has ended: fewer windows against idle rows.
_ENDED_PART = 8
_LONGEST_WINDOW = 64


def preprocess(text: str) -> bytes:
    """The release's ``preprocess``: entities decoded, one line, framed by a newline and spaces.

    Raises ``UsageError`` where ``text`` is not a string (a missing cell of a table, say).
    """
    if not isinstance(text, str):
        raise UsageError(f"a text must be a string, not {text!r}")
    line = html.unescape(text).replace("\n", " ").strip()
    return f"\n {line} ".encode("utf-8", errors="replace")


def transform(
    model: ByteLanguageModel,
    texts: Sequence[str],
    batch: int = 64,
    dtype: torch.dtype | None = None,
) -> np.ndarray:
    """Features of N texts: the cell state after each one's last byte, (N, H) float32.

    Each text starts from zero state. ``batch`` texts are read side by side, longest first, and
    where one has ended the next begins, so that none is padded to the longest. The recurrence
    multiplies in ``dtype``, the weights' own unless given: ``torch.bfloat16``, with a large batch,
    is how a GPU reads fast, and its features are a little rounded.
    Raises ``UsageError`` for a single string in place of a sequence, and for what is no string.
    """
    if isinstance(texts, str):
        raise UsageError("transform takes a sequence of texts, not one string: pass [text]")
    encoded = [np.frombuffer(preprocess(text), np.uint8) for text in texts]
    features = np.empty((len(encoded), model.hidden), np.float32)
    waiting = sorted(range(len(encoded)), key=lambda n: len(encoded[n]))  # next: the last
    reading = [waiting.pop() for _ in range(min(batch, len(waiting)))]  # the text in each row
    read = [0] * len(reading)  # bytes of it that have been read
    with torch.inference_mode():
        reader = model.reader(dtype)
        h, c = (s.clone() for s in model.initial_state(len(reading), dtype))
        while reading:
            rest = [encoded[n][at:] for n, at in zip(reading, read, strict=True)]
            window, lengths = _window(rest)
            _, h, c = reader.read(window.to(c.device), h, c, lengths.to(c.device))
            read = [at + taken for at, taken in zip(read, lengths.tolist(), strict=True)]
            going_on = []
            for row, n in enumerate(reading):
                if read[row] == len(encoded[n]):
                    features[n] = c[row].cpu().numpy()
                    if not waiting:
                        continue
                    reading[row], read[row] = waiting.pop(), 0
                    h[row], c[row] = 0, 0
                going_on.append(row)
            if len(going_on) < len(reading):
                reading, read = [reading[r] for r in going_on], [read[r] for r in going_on]
                h, c = h[going_on], c[going_on]
    return features


def _window(rest: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """The next bytes of each text, (T, B) int64, and how many of them are its own, (B,)."""
    left = np.array([len(bytes_) for bytes_ in rest])
    steps = min(int(np.sort(left)[len(left) // _ENDED_PART]), _LONGEST_WINDOW)
    window = np.zeros((steps, len(rest)), np.int64)
    for row, bytes_ in enumerate(rest):
        window[: len(bytes_), row] = bytes_[:steps]
    return torch.from_numpy(window), torch.from_numpy(np.minimum(left, steps))


def unit_trace(model: ByteLanguageModel, text: str, unit: int) -> np.ndarray:
    """Cell state of ``unit`` after each byte of ``preprocess(text)``, (length,) float32.

    Its last value is the text's feature. Raises ``UsageError`` where there is no such unit.
    """
    if not 0 <= unit < model.hidden:
        raise UsageError(f"unit {unit} is not one of this model's 0..{model.hidden - 1}")
    values = []
    with torch.inference_mode():
        reader = model.reader()
        h, c = model.initial_state(1)
        bytes_ = torch.tensor(list(preprocess(text)), device=c.device)
        for byte in bytes_:
            _, h, c = reader.read(byte.view(1, 1), h, c)
            values.append(c[0, unit])
        return torch.stack(values).float().cpu().numpy()


def character_trace(model: ByteLanguageModel, text: str, unit: int) -> tuple[str, np.ndarray]:
    """The line that the model reads and ``unit``'s value after each of its characters.

    As ``unit_trace``, with one value for a character of several bytes and without the frame of
    newline and spaces: for a heat map.
    """
    trace = unit_trace(model, text, unit)
    line = preprocess(text).decode("utf-8")
    ends = np.cumsum([len(character.encode()) for character in line]) - 1
    return line[2:-1], trace[ends][2:-1]


def sentiment_unit(weights: np.ndarray) -> int:
    """The unit with the largest absolute weight (H,) in an L1-regularised probe of sentiment.

    Raises ``RadfordError`` where the probe uses no unit at all.
    """
    if not np.any(weights):
        raise RadfordError("the probe's weights are all zero, so it uses no unit: raise its C")
    return int(np.abs(weights).argmax())


@dataclass(frozen=True)
class UnitThreshold:
    """One unit as a classifier: label 1 where ``polarity * value > polarity * threshold``."""

    threshold: float
    polarity: int  # +1: high values mean label 1; -1: low values do
    train_accuracy: float

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Labels (N,) int64 for a unit's values (N,)."""
        exact = np.asarray(values, np.float64)  # a cut may lie between two float32 neighbours
        return (self.polarity * (exact - self.threshold) > 0).astype(np.int64)

    def accuracy(self, values: np.ndarray, labels: np.ndarray) -> float:
        """Share of the N texts whose label it predicts."""
        return float((self.predict(values) == labels).mean())


def fit_threshold(values: np.ndarray, labels: np.ndarray) -> UnitThreshold:
    """The threshold and polarity that classify best the texts it is given: training texts only.

    values: (N,) float, one unit; labels: (N,) in {0, 1}. Thresholds stand midway between values.
    Raises ``RadfordError`` unless both labels occur.
    """
    labels = np.asarray(labels)
    if set(np.unique(labels)) != {0, 1}:
        raise RadfordError(f"two labels, 0 and 1, are needed, not {np.unique(labels).tolist()}")
    distinct, place = np.unique(np.asarray(values, np.float64), return_inverse=True)
    ones = np.bincount(place, labels, len(distinct))
    zeros = np.bincount(place, 1 - labels, len(distinct))
    # correct with label 1 above the cut after the k lowest values, k = 0 .. all
    above = np.concatenate([[0], np.cumsum(zeros)]) + ones.sum()
    above -= np.concatenate([[0], np.cumsum(ones)])
    best_above, best_below = int(above.argmax()), int(above.argmin())
    polarity = 1 if above[best_above] >= len(labels) - above[best_below] else -1
    cut = best_above if polarity == 1 else best_below
    edges = np.concatenate([[distinct[0] - 1], distinct, [distinct[-1] + 1]])
    correct = above[cut] if polarity == 1 else len(labels) - above[cut]
    return UnitThreshold(
        threshold=float(edges[cut : cut + 2].mean()),
        polarity=polarity,
        train_accuracy=float(correct / len(labels)),
    )


def best_unit(features: np.ndarray, labels: np.ndarray) -> tuple[int, UnitThreshold]:
    """The unit whose own best threshold classifies these training texts best, and that threshold.

    features: (N, H); labels: (N,) in {0, 1}. A search that knows nothing of other units: where it
    finds the probe's unit, the probe's choice does not rest on how weights share the work.
    """
    fitted = [fit_threshold(values, labels) for values in features.T]
    unit = int(np.argmax([threshold.train_accuracy for threshold in fitted]))
    return unit, fitted[unit]
