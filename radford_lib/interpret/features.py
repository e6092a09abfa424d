"""What a discriminator has learned, as features: every convolution, max-pooled to 4x4."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radford_lib.errors import RadfordError
from radford_lib.models.batch_norm import calibrate, release
from radford_lib.models.dcgan import Discriminator
from radford_lib.training.gan_data import to_tensor

GRID = 4  # section 5.1 of the paper: max-pooled to a 4x4 spatial grid


@torch.no_grad()
def discriminator_features(
    discriminator: nn.Module,
    images: np.ndarray,
    *,
    calibrate_on: np.ndarray,
    batch: int = 128,
    dtype: type = np.float32,
) -> np.ndarray:
    """Features (N, F) of ``images`` (N, H, W, C) uint8: all convolutions at 4x4, concatenated.

    F is 28,672 for the paper's ImageNet-32 net, 7,168 for its SVHN net. Batch norm uses the average
    statistics of ``calibrate_on`` (images of the probe's training set, as in
    svhn/svhn_semisup_analysis.py), so a feature does not depend on batch-mates. Source: section 5.1
    of the paper. Raises ``RadfordError`` for images the net cannot take.
    """
    if not isinstance(discriminator, Discriminator):
        raise RadfordError("features are read from an unconditional discriminator")
    shape = discriminator.shape
    if images.shape[1:] != (shape.size, shape.size, shape.channels):
        raise RadfordError(f"the net reads {shape.size} pixels, the images are {images.shape[1:]}")
    device = next(discriminator.parameters()).device
    batches = full_batches(calibrate_on, batch, shape.channels)
    calibrate(discriminator, (x.to(device) for x in batches))
    found: np.ndarray | None = None
    for start in range(0, len(images), batch):
        x = to_tensor(images[start : start + batch], shape.channels)
        flat = pooled(discriminator.features(x.to(device)))
        if found is None:
            found = np.empty((len(images), flat.shape[1]), dtype)
        found[start : start + len(flat)] = flat.cpu().numpy()
    release(discriminator)
    if found is None:
        raise RadfordError("there are no images to take features of")
    return found


def pooled(maps: list[Tensor]) -> Tensor:
    """Activations (B, C, s, s) of each layer, max-pooled to 4x4 and flattened, (B, sum of 16 C)."""
    return torch.cat([F.max_pool2d(m, m.shape[2] // GRID).flatten(1) for m in maps], 1)


def full_batches(images: np.ndarray, batch: int, channels: int) -> Iterator[Tensor]:
    """``images`` in batches as a net reads them; a remainder is left out unless it is all."""
    size = min(batch, len(images))
    for start in range(0, len(images) - size + 1, max(size, 1)):
        yield to_tensor(images[start : start + size], channels)
