"""Distances and probes of representations that the DCGAN chapters rest on."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from radford_lib.errors import RadfordError
from radford_lib.probes.kid import conv_features, kid, squared_mmd
from radford_lib.probes.neighbours import nearest
from radford_lib.probes.transfer import Part, balanced_draw, band, label_efficiency, probe


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1.0, (3, 8))

    def part(n):
        y = np.arange(n) % 3
        return Part((centres[y] + rng.normal(0, 0.6, (n, 8))).astype(np.float32), y)

    return part(120), part(60), part(90)


def test_a_probe_reads_what_is_there_and_nothing_from_noise(parts):
    found = probe(*parts, c_grid=(1e-3, 1e-1))
    assert found.test_accuracy > 0.8
    assert found.c in (1e-3, 1e-1)
    rng = np.random.default_rng(1)
    noise = [Part(rng.normal(size=p.x.shape).astype(np.float32), p.y) for p in parts]
    assert probe(*noise, c_grid=(1e-2,)).test_accuracy < 0.55


def test_more_labels_read_more_and_draws_are_repeatable(parts):
    options = {"per_class": [2, 30], "draws": 4, "seed": 3, "c_grid": (1e-2, 1e-1)}
    found = label_efficiency(*parts, **options)
    assert found[30].mean() > found[2].mean()
    again = label_efficiency(*parts, **options)
    assert all((found[count] == again[count]).all() for count in found)
    mean, low, high = band(found)
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_draws_are_balanced_and_too_many_are_refused():
    labels = np.array([0] * 5 + [1] * 3)
    chosen = balanced_draw(labels, 3, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [3, 3]
    assert len(set(chosen)) == 6
    with pytest.raises(RadfordError, match="class 1 has 3 examples"):
        balanced_draw(labels, 4, np.random.default_rng(0))


def test_neighbours_are_scikit_learns():
    rng = np.random.default_rng(0)
    base, query = rng.normal(size=(300, 20)), rng.normal(size=(70, 20))
    base, query = base.astype(np.float32), query.astype(np.float32)
    index, distance = nearest(query, base, block=32)
    wanted = NearestNeighbors(n_neighbors=1).fit(base).kneighbors(query)
    assert (index == wanted[1][:, 0]).all()
    np.testing.assert_allclose(distance, wanted[0][:, 0], rtol=1e-4)
    own, _ = nearest(base, base)
    assert (own == np.arange(300)).all()
    other, far = nearest(base, base, leave_one_out=True)
    assert (other != np.arange(300)).all()
    assert (far > 0).all()
    with pytest.raises(RadfordError, match="no neighbours"):
        nearest(query[:, :5], base)


def test_squared_mmd_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(0.5, 1, size=(4, 3))

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    def pairs(z):
        return np.mean([k(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])

    across = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(pairs(x) + pairs(y) - 2 * across)


def test_kid_is_near_zero_for_one_distribution_and_grows_with_a_shift():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 6))
    same, shifted = kid(a, b), kid(a + 0.7, b)
    assert abs(same.mean) < 0.2
    assert shifted.mean > 5 * abs(same.mean)
    assert kid(a, b) == same
    with pytest.raises(RadfordError, match="at least 4"):
        kid(a[:2], b)


def test_image_features_follow_the_seed_and_not_the_batch():
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    features = conv_features(images, seed=0)
    np.testing.assert_allclose(conv_features(images, seed=0, batch=3), features, rtol=1e-4)
    assert not np.allclose(conv_features(images, seed=1), features)
    assert conv_features(images[..., :1]).shape == features.shape
