"""Wilson's interval against published values and by its coverage."""

import numpy as np
import pytest

from radford_lib.errors import RadfordError
from radford_lib.probes.intervals import accuracy_interval


def test_known_values():
    # Newcombe (1998), table I, method 3: 81 of 263 and 0 of 20
    assert accuracy_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert accuracy_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_it_covers_as_often_as_it_says():
    shares = np.random.default_rng(0).binomial(200, 0.9, 4000) / 200
    bounds = [accuracy_interval(share, 200) for share in shares]
    covered = np.mean([low <= 0.9 <= high for low, high in bounds])
    assert 0.93 < covered < 0.97


def test_what_is_no_share_is_refused():
    for accuracy, n in ((0.5, 0), (1.2, 10), (float("nan"), 10)):
        with pytest.raises(RadfordError, match="no interval"):
            accuracy_interval(accuracy, n)
