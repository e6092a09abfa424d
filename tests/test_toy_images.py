"""The toy worlds of images: made by the seed alone, smooth at their edges, true to their truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radford_lib.data import load_images
from radford_lib.data.toy import faces, rooms, things, world
from radford_lib.errors import UsageError


@dataclass(frozen=True)
class World:
    """A world by its functions: a set of images, their latents, the painting of latents."""

    make: Any
    sample: Any
    draw: Any
    splits: tuple[str, ...]


WORLDS = {
    "faces": World(faces.faces, faces.sample_faces, faces.draw_faces, faces.SPLITS),
    "rooms": World(rooms.rooms, rooms.sample_rooms, rooms.draw_rooms, rooms.SPLITS),
    "things": World(things.things, things.sample_things, things.draw_things, things.SPLITS),
}


@pytest.fixture(params=WORLDS)
def toy(request):
    return WORLDS[request.param]


def changed(latents, **values):
    """The latents with some of them set to a value for all images."""
    return latents | {
        key: np.broadcast_to(np.float32(value), latents[key].shape) for key, value in values.items()
    }


def difference(a, b):
    """Largest change of each pixel's three levels, (N, H, W)."""
    return np.abs(a.astype(int) - b.astype(int)).max(-1)


def grown(masks):
    """Masks (N, H, W) with the pixels next to them."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    height, width = masks.shape[1:]
    return np.logical_or.reduce(
        [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    )


# Of all worlds


@pytest.mark.parametrize(("count", "size"), [(250, 16), (130, 33)])
def test_a_longer_set_begins_with_the_shorter(toy, count, size):
    # Of more than one block of latents, and of more than one chunk to paint.
    long, short = toy.make(count, size), toy.make(7, size)
    np.testing.assert_array_equal(long.images[:7], short.images)
    for key, values in short.extra.items():
        np.testing.assert_array_equal(long.extra[key][:7], values)
    for name in ("labels", "attributes"):
        if getattr(short, name) is not None:
            np.testing.assert_array_equal(getattr(long, name)[:7], getattr(short, name))
    assert long.sha256 != short.sha256


def test_an_image_does_not_depend_on_its_neighbours(toy):
    latents = toy.sample(60)
    together = toy.draw(latents, 24)
    for i in (0, 31, 59):
        alone = toy.draw({key: value[i : i + 1] for key, value in latents.items()}, 24)
        np.testing.assert_array_equal(alone[0], together[i])


def test_seeds_and_splits_share_no_image(toy):
    sets = [toy.make(240, 16, seed, split).images for seed in (0, 1) for split in toy.splits]
    images = {image.tobytes() for one in sets for image in one}
    assert len(images) == 240 * len(sets)


@pytest.mark.parametrize("size", [16, 47, 128])
def test_all_sizes_are_drawn(toy, size):
    drawn = toy.make(3, size)
    assert drawn.images.shape == (3, size, size, 3)
    assert drawn.images.dtype == np.uint8
    assert drawn.toy


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"size": 15}, {"size": 129}, {"seed": -1}, {"split": "valid"}]
)
def test_what_cannot_be_made_is_said_in_one_line(toy, wrong):
    with pytest.raises(UsageError) as caught:
        toy.make(**({"n": 4} | wrong))
    assert "\n" not in str(caught.value)


def test_worlds_load_by_name():
    for name, toy in WORLDS.items():
        loaded = load_images(name, toy.splits[1], n=5, size=20, seed=3)
        made = toy.make(5, 20, 3, toy.splits[1])
        np.testing.assert_array_equal(loaded.images, made.images)
        assert (loaded.name, loaded.split, loaded.sha256) == (name, toy.splits[1], made.sha256)


def test_latents_are_finite_and_pictures_use_the_range_of_levels(toy):
    latents = toy.sample(480)
    assert all(value.dtype == np.float32 for value in latents.values())
    assert all(np.isfinite(value).all() for value in latents.values())
    images = toy.draw(latents, 16)
    assert images.min() < 30
    assert images.max() > 225
    # Not one pixel is the same in all pictures, and few are at the end of the range.
    assert images.std(axis=0).min() > 15
    assert np.isin(images, (0, 255)).mean() < 0.03


def test_edges_are_smooth_so_that_a_small_picture_is_the_mean_of_a_large_one(toy):
    latents = toy.sample(60)
    small, large = toy.draw(latents, 32).astype(float), toy.draw(latents, 64).astype(float)
    mean = large.reshape(60, 32, 2, 32, 2, 3).mean((2, 4))
    apart = np.abs(small - mean).mean()
    assert apart < 2.5  # measured: 1.9 (faces), 1.6 (rooms), 0.8 (things), of 255 levels
    # Picked pixels, which is what hard edges would give, are farther from the mean.
    assert apart < 0.5 * np.abs(large[:, ::2, ::2] - mean).mean()


# Faces


def test_smile_glasses_and_sex_are_independent_fair_coins():
    latents = faces.sample_faces(4800)
    coins = np.stack([latents[name] for name in ("smiling", "glasses", "male")])
    np.testing.assert_allclose(coins.mean(axis=1), 0.5, atol=0.03)
    np.testing.assert_allclose(np.corrcoef(coins), np.eye(3), atol=0.05)
    # What shows sex leans on it.
    assert np.corrcoef(latents["male"], latents["long_hair"])[0, 1] < -0.5
    assert (latents["beard"][latents["male"] == 0] == 0).all()


def test_faces_are_smiling_where_their_mouths_curve():
    portraits = faces.faces(240, 16)
    for i, name in enumerate(faces.ATTRIBUTES):
        np.testing.assert_array_equal(portraits.attributes[:, i], portraits.extra[name])
    np.testing.assert_array_equal(portraits.extra["smiling"], portraits.extra["mouth"] > 0.45)


@pytest.mark.parametrize(
    ("before", "after", "bounds", "share"),
    [
        ({"mouth": -0.2, "mouth_open": 0}, {"mouth": 0.9, "mouth_open": 0.8}, (6, 18, 26, 27), 0.9),
        ({"glasses": 0}, {"glasses": 1}, (5, 11, 27, 21), 0.9),
        ({"earring": 0}, {"earring": 1}, (5, 16, 27, 22), 0.2),  # often hidden by hair
    ],
    ids=["smile", "glasses", "earring"],
)
def test_one_cause_changes_a_face_where_it_should_and_nowhere_else(before, after, bounds, share):
    latents = faces.sample_faces(120)
    change = difference(
        *(faces.draw_faces(changed(latents, **values), 32) for values in (before, after))
    )
    left, top, right, bottom = bounds
    seen = change[:, top:bottom, left:right].max((1, 2))
    assert (seen > 40).mean() > share
    change[:, top:bottom, left:right] = 0
    assert change.max() == 0


# Rooms


@pytest.fixture(scope="module")
def bedrooms():
    """Latents, pictures and masks by daylight without sun, in which an object lights nothing."""
    latents = changed(rooms.sample_rooms(240, seed=1), night=0, sunshine=0)
    return latents, *rooms.draw_rooms_and_masks(latents, 32)


@pytest.mark.parametrize("name", rooms.OBJECTS)
def test_a_mask_shows_what_an_object_changes(bedrooms, name):
    latents, images, masks = bedrooms
    there = latents[name] > 0
    without, others = rooms.draw_rooms_and_masks(changed(latents, **{name: 0}), 32)
    mask, change = masks[:, rooms.OBJECTS.index(name)], difference(images, without)
    assert others[:, rooms.OBJECTS.index(name)].max() == 0
    assert (mask[there].max((1, 2)) > 0).all()
    assert mask[~there].max() == 0
    # Its pixels are those that differ without it, ...
    assert (change[mask >= 128] > 4).mean() > 0.98
    # ... and no others, but for soft shadows at the foot of the bed and the wardrobe.
    shadow = 30 if name in ("bed", "wardrobe") else 2
    assert change[~grown(mask > 0)].max() <= shadow
    assert change[~there].max() == 0


def test_nearer_objects_are_cut_out_of_the_masks_of_farther_ones(bedrooms):
    latents, _, masks = bedrooms
    _, without = rooms.draw_rooms_and_masks(changed(latents, bed=0), 32)
    uncovered = without.astype(int) - masks
    bed = rooms.OBJECTS.index("bed")
    behind = [i for i in range(len(rooms.OBJECTS)) if i != bed]
    assert uncovered[:, behind].min() >= 0
    hidden = (uncovered[:, behind] > 1).any(axis=1)
    assert hidden.sum() > 1000
    assert (masks[:, bed][hidden] > 0).all()
    # No pixel shows more than it has room for.
    assert masks.astype(int).sum(axis=1).max() <= 255 + len(rooms.OBJECTS)


def test_boxes_hold_the_masks_and_absent_objects_have_none():
    made = rooms.rooms(120, 32, seed=2)
    masks, boxes = made.extra["masks"], made.extra["boxes"]
    assert (masks.dtype, masks.shape) == (np.uint8, (120, len(rooms.OBJECTS), 32, 32))
    assert (boxes.dtype, boxes.shape) == (np.int16, (120, len(rooms.OBJECTS), 4))
    for i, name in enumerate(rooms.OBJECTS):
        np.testing.assert_array_equal(made.attributes[:, i], made.extra[name])
    assert made.attribute_names == rooms.OBJECTS
    for mask, box in zip(masks.reshape(-1, 32, 32), boxes.reshape(-1, 4), strict=True):
        rows, columns = np.nonzero(mask >= 128)
        if len(rows) == 0:
            assert box.tolist() == [-1] * 4
        else:
            assert box.tolist() == [
                columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            ]  # fmt: skip
    absent = made.attributes == 0
    assert (boxes[absent] == -1).all()
    assert masks[absent].max() == 0
    assert (boxes[~absent] >= 0).mean() > 0.97


def test_what_a_room_holds_is_decided_by_independent_coins():
    latents = rooms.sample_rooms(4800)
    assert (latents["window"] >= latents["second window"]).all()
    one = latents["window"] > 0
    coins = np.stack([latents[name][one] for name in rooms.OBJECTS if name != "window"])
    np.testing.assert_allclose(np.corrcoef(coins), np.eye(len(coins)), atol=0.06)
    assert (coins.mean(axis=1) > 0.25).all()
    rest = [name for name in rooms.OBJECTS if "window" not in name]
    for name in rest:
        assert abs(np.corrcoef(latents["window"], latents[name])[0, 1]) < 0.06


def test_the_sun_falls_on_the_floor_and_the_lamp_shines_at_night_alone():
    latents = changed(rooms.sample_rooms(60), window=1, lamp=1, bed=0, wardrobe=0)
    day = changed(latents, night=0, sunshine=0)
    sun = difference(rooms.draw_rooms(day, 32), rooms.draw_rooms(changed(day, sunshine=1), 32))
    assert sun[:, :16].max() == 0  # the back wall ends below
    assert (sun[:, 18:].max((1, 2)) > 20).mean() > 0.9
    night = changed(latents, night=1, sunshine=0)
    lit, unlit = (
        rooms.draw_rooms(changed(night, lamp=value), 32).mean((1, 2, 3)) for value in (1, 0)
    )
    assert (lit > unlit + 5).all()


def test_mirrored_rooms_are_the_same_rooms_seen_in_a_mirror():
    latents = rooms.sample_rooms(30)
    (images, masks), (flipped, flipped_masks) = (
        rooms.draw_rooms_and_masks(changed(latents, mirrored=value), 24) for value in (0, 1)
    )
    np.testing.assert_array_equal(images[:, :, ::-1], flipped)
    np.testing.assert_array_equal(masks[..., ::-1], flipped_masks)


# Things


def test_no_pair_of_the_probe_is_seen_in_pre_training_but_all_its_parts_are():
    assert not set(things.PROBE) & set(things.PRETRAIN)
    assert {shape for shape, _ in things.PRETRAIN} == set(things.SHAPES)
    assert {texture for _, texture in things.PRETRAIN} == set(things.TEXTURES)
    assert len(things.PRETRAIN) + len(things.PROBE) == len(things.SHAPES) * len(things.TEXTURES)
    # Neither the shape alone nor the texture alone tells the kind.
    for part in zip(*things.PROBE, strict=True):
        assert min(part.count(name) for name in part) >= 2


@pytest.mark.parametrize("split", things.SPLITS)
def test_labels_are_balanced_and_name_shape_and_texture(split):
    made = things.things(2 * world.BLOCK, 16, split=split)
    counts = np.bincount(made.labels, minlength=len(made.classes))
    assert counts.min() == counts.max()
    np.testing.assert_array_equal(made.labels, made.extra["kind"])
    for i in range(0, len(made), 17):
        texture, shape = made.classes[made.labels[i]].split()
        assert things.SHAPES.index(shape) == made.extra["shape"][i]
        assert things.TEXTURES.index(texture) == made.extra["texture"][i]


@pytest.fixture(scope="module")
def probe():
    return [things.things(1200, 32, split=split) for split in ("probe-train", "probe-test")]


def accuracy(probe, features):
    """Of a linear classifier that is given these features of the probe's pictures."""
    fit, test = probe
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1000))
    return model.fit(features(fit), fit.labels).score(features(test), test.labels)


def test_raw_pixels_tell_little_of_the_kind(probe):
    def pixels(made):
        return made.images.reshape(len(made), -1).astype(np.float32)

    assert accuracy(probe, pixels) < 0.21  # measured: 0.16; chance for ten kinds is 0.10


def test_neither_colours_nor_any_other_latent_tell_the_kind(probe):
    def colours(made):
        return np.concatenate([made.images.mean((1, 2)), made.images.std((1, 2))], axis=1)

    def others(made):
        keys = [key for key in made.extra if key not in ("kind", "shape", "texture")]
        return np.concatenate([made.extra[key].reshape(len(made), -1) for key in keys], axis=1)

    assert accuracy(probe, colours) < 0.14  # measured: 0.10
    assert accuracy(probe, others) < 0.14  # measured: 0.10


def test_who_knows_all_but_the_kind_reads_it_from_the_picture():
    latents = things.sample_things(60, seed=5, split="probe-test")
    truth = things.draw_things(latents, 32).astype(int)
    distances = []
    for shape, texture in things.PROBE:
        kind = {"shape": things.SHAPES.index(shape), "texture": things.TEXTURES.index(texture)}
        guess = things.draw_things(changed(latents, **kind), 32)
        distances.append(np.abs(truth - guess).mean((1, 2, 3)))
    ranked = np.sort(distances, axis=0)
    np.testing.assert_array_equal(np.argmin(distances, axis=0), latents["kind"])
    assert (ranked[1] > 1).all()


def test_all_shapes_cover_the_same_area():
    bare = changed(
        things.sample_things(60),
        **{"colour": 1, "ink": 1, "ground": 0, "ground_far": 0, "in_front": 0, "x": 0.5, "y": 0.5},
        **{"radius": 0.28, "behind_colour": 0, "beside_colour": 0},
    )
    areas = [
        (things.draw_things(changed(bare, shape=shape), 64) > 90).mean()
        for shape in range(len(things.SHAPES))
    ]
    assert max(areas) / min(areas) < 1.06


def test_a_texture_changes_the_thing_and_a_front_thing_only_what_it_covers():
    latents = things.sample_things(60)
    plain, striped = (
        things.draw_things(changed(latents, texture=things.TEXTURES.index(name)), 32)
        for name in ("plain", "striped")
    )
    change = difference(plain, striped)
    rows = (np.arange(32) + 0.5) / 32
    away = np.hypot(
        rows[None, None, :] - latents["x"][:, None, None],
        rows[None, :, None] - latents["y"][:, None, None],
    )
    assert change[away > 1.4 * 0.34 + 0.05].max() == 0
    assert (change.max((1, 2)) > 60).all()
    covered, free = (things.draw_things(changed(latents, in_front=value), 32) for value in (1, 0))
    assert (difference(covered, free) > 0).mean() < 0.1
