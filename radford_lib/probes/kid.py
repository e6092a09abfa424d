"""Kernel inception distance, on features that need no download.

KID is an unbiased estimate of the squared maximum mean discrepancy under a cubic kernel (Binkowski
et al. 2018). The usual features are an ImageNet network's; these are a fixed random
convolutional network's, so values compare within this book only, and are called KID(random conv).
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from radford_lib.errors import RadfordError

WIDTHS = (32, 64, 128)
GRID = 2


@dataclass(frozen=True)
class Kid:
    """A distance and the standard error of its mean over blocks."""

    mean: float
    error: float


@torch.no_grad()
def conv_features(images: np.ndarray, *, seed: int = 0, batch: int = 256) -> np.ndarray:
    """Features (N, F) float32 of ``images`` (N, H, W, C) uint8 by a fixed random network.

    Three 3x3 convolutions with stride 2 and LeakyReLU, weights normal, drawn from ``seed``; of
    every layer each map's means over a 2x2 grid and its mean square.
    """
    generator = torch.Generator().manual_seed(seed)
    channels, filters = images.shape[3], []
    for width in WIDTHS:
        weight = torch.randn(width, channels, 3, 3, generator=generator)
        filters.append(weight / (9 * channels) ** 0.5)
        channels = width
    found = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(np.ascontiguousarray(images[start : start + batch])).float()
        x = (x / 127.5 - 1).permute(0, 3, 1, 2)
        parts = []
        for weight in filters:
            x = F.leaky_relu(F.conv2d(x, weight, stride=2, padding=1), 0.2)
            parts += [F.adaptive_avg_pool2d(x, GRID).flatten(1), x.square().mean((2, 3))]
        found.append(torch.cat(parts, 1))
    return torch.cat(found).numpy()


def kid(a: np.ndarray, b: np.ndarray, *, blocks: int = 10, seed: int = 0) -> Kid:
    """KID between features (N, F) and (M, F): mean over ``blocks`` random halves of each.

    Features are scaled by the standard deviations of ``b``. Unbiased: two samples of one
    distribution give zero on average. Raises ``RadfordError`` for fewer than four rows a side.
    """
    if min(len(a), len(b)) < 4:
        raise RadfordError(f"KID needs at least 4 images a side, not {len(a)} and {len(b)}")
    centre, scale = b.mean(0), b.std(0) + 1e-6
    left, right = ((side - centre).astype(np.float64) / scale for side in (a, b))
    size = min(len(a), len(b)) // 2
    rng = np.random.default_rng(seed)
    values = [
        squared_mmd(
            left[rng.choice(len(left), size, replace=False)],
            right[rng.choice(len(right), size, replace=False)],
        )
        for _ in range(blocks)
    ]
    error = float(np.std(values, ddof=1) / np.sqrt(blocks)) if blocks > 1 else 0.0
    return Kid(float(np.mean(values)), error)


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD of (n, F) and (m, F) under the kernel (x.y / F + 1)^3."""

    def kernel(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return (p @ q.T / p.shape[1] + 1) ** 3

    def off_diagonal_mean(k: np.ndarray) -> float:
        return float((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)))

    across = float(kernel(x, y).mean())
    return off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2 * across
