"""Labelled texts: what a representation of text is scored on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from radford_lib.errors import RadfordError


@dataclass(frozen=True)
class LabelledTexts:
    """N texts (or pairs of texts) with a label or a score each.

    Shapes: ``labels`` (N,) int64, or float64 for scores; every array of ``latents`` (N, ...): what
    a toy world knows of the text beyond its label. Raises ``RadfordError`` where lengths disagree.
    """

    texts: tuple[str, ...]
    labels: np.ndarray
    name: str
    split: str
    toy: bool
    sha256: str
    pairs: tuple[str, ...] | None = None
    latents: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.texts)
        others = {"labels": self.labels, "second texts": self.pairs, **self.latents}
        for what, values in others.items():
            if values is not None and len(values) != count:
                raise RadfordError(f"'{self.name}' has {count} texts but {len(values)} {what}")

    def __len__(self) -> int:
        return len(self.texts)
