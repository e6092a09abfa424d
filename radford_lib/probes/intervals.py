"""How sure a measured share is."""

import math
from statistics import NormalDist

from radford_lib.errors import RadfordError


def accuracy_interval(accuracy: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share measured on ``n`` independent cases, at ``level``.

    Unlike the normal approximation it stays within 0 and 1 and has width at both ends.
    Raises ``RadfordError`` unless n is at least 1 and the share is one.
    """
    if n < 1 or not 0 <= accuracy <= 1:
        raise RadfordError(f"no interval for a share of {accuracy} in {n} cases")
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    centre = (accuracy + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * accuracy * (1 - accuracy) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    return centre - half, centre + half
