"""Images with what is known of them: the one shape in which every image source is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from radford_lib.errors import RadfordError


@dataclass(frozen=True)
class ImageSet:
    """N images of one size, with labels and attributes where the source has them.

    Shapes: ``images`` (N, H, W, C) uint8 with C 1 or 3; ``labels`` (N,) int64, an index into
    ``classes``; ``attributes`` (N, A) uint8, 0 or 1, named by ``attribute_names``; every array of
    ``extra`` has N as its first dimension. ``sha256`` identifies the pack files, or the toy world's
    name, generator version and arguments. Raises ``RadfordError`` where shapes or types disagree.
    """

    images: np.ndarray
    name: str
    split: str
    toy: bool
    sha256: str
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    attributes: np.ndarray | None = None
    attribute_names: tuple[str, ...] = ()
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise RadfordError(
                f"images of '{self.name}' have shape {self.images.shape}, not (N, H, W, 1 or 3)"
            )
        if self.images.dtype != np.uint8:
            raise RadfordError(f"images of '{self.name}' are {self.images.dtype}, not uint8")
        count = len(self.images)
        for what, array in {
            "labels": self.labels,
            "attributes": self.attributes,
            **self.extra,
        }.items():
            if array is not None and len(array) != count:
                raise RadfordError(f"'{self.name}' has {count} images but {len(array)} {what}")
        if self.attributes is not None and self.attributes.shape[1:] != (
            len(self.attribute_names),
        ):
            raise RadfordError(
                f"'{self.name}' has {self.attributes.shape[1]} attribute columns "
                f"but {len(self.attribute_names)} attribute names"
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray | slice) -> "ImageSet":
        """The images at ``index`` (an index array, a mask or a slice), everything else alike."""
        return ImageSet(
            images=self.images[index],
            name=self.name,
            split=self.split,
            toy=self.toy,
            sha256=self.sha256,
            labels=None if self.labels is None else self.labels[index],
            classes=self.classes,
            attributes=None if self.attributes is None else self.attributes[index],
            attribute_names=self.attribute_names,
            extra={key: value[index] for key, value in self.extra.items()},
        )
