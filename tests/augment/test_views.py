import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import presets, randaugment, views

SEED = tf.constant([3, 7], tf.int64)
ORDERS = (randaugment.COMPOSED, randaugment.DRAWN)


def maker(name="fixmatch", shape=(32, 32, 3), order=randaugment.COMPOSED, **kwargs):
    settings = {"flip": True, "crop_padding": shape[0] // 8, "strong": presets.preset(name, order)}
    return views.Views(shape, **(settings | kwargs))


def only(*operations, **kwargs):
    """A policy of these operations, all of them always applied in the order of slots."""
    return randaugment.RandAugment(operations, count=len(operations), **kwargs)


def in_order(made, rows, name="strong"):
    """Draws in which slot k has operation k."""
    draws = made.draw(name, SEED, rows)
    count = made.strong.count
    draws["operation"] = tf.tile(tf.range(count)[None], [rows, 1])
    low = [operation.low for operation in made.strong.operations]
    draws["magnitude"] = tf.tile(tf.constant([low], tf.float32), [rows, 1])
    return draws


def cropped(images, draws, padding, **pad):
    height, width = images.shape[1:3]
    out = []
    for row, image in enumerate(images):
        down, right = draws["shift"].numpy()[row]
        padded = np.pad(image, [(padding, padding)] * 2 + [(0, 0)], **pad)
        cut = padded[down : down + height, right : right + width]
        out.append(cut[:, ::-1] if draws["flip"].numpy()[row] else cut)
    return np.stack(out)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1)], ids=str)
def test_the_weak_view_is_a_flip_and_a_crop_of_the_reflected_image(shape, pictures):
    images, made = pictures(shape, rows=40), maker(shape=shape)
    draws = made.draw("weak", SEED, 40)
    expected = cropped(images, draws, shape[0] // 8, mode="reflect")
    np.testing.assert_array_equal(made.apply("weak", images, draws), expected)


def test_policies_that_come_before_the_crop_pad_with_black(pictures):
    images, made = pictures((32, 32, 3), rows=40), maker("darp_cifar10")
    draws = made.draw("weak", SEED, 40)
    expected = cropped(images, draws, 4, mode="constant")
    np.testing.assert_array_equal(made.apply("weak", images, draws), expected)


def test_flips_and_shifts_are_uniform():
    draws = maker().draw("weak", SEED, 20000)
    assert abs(np.mean(draws["flip"]) - 0.5) < 5 * 0.5 / np.sqrt(20000)
    for axis in (0, 1):
        counts = np.bincount(draws["shift"].numpy()[:, axis], minlength=9)
        # Binomial with p = 1/9: sd of sqrt(20000 * 8 / 81) = 44.4 about 2222.
        assert len(counts) == 9
        assert np.abs(counts - 20000 / 9).max() < 5 * 44.4


def test_without_flip_and_padding_the_weak_view_is_the_image(pictures):
    images = pictures((8, 8, 1))
    made = maker("digits", (8, 8, 1), flip=False, crop_padding=0)
    got = made.apply("weak", images, made.draw("weak", SEED, 6))
    np.testing.assert_array_equal(got, images)


def test_cropped_at_decoding_only_the_flip_remains(pictures):
    images = pictures((12, 12, 3))
    made = maker(shape=(12, 12, 3), geometry=views.RESIZED_CROP)
    draws = made.draw("weak", SEED, 6)
    assert set(draws) == {"flip"}
    expected = [
        image[:, ::-1] if flip else image for image, flip in zip(images, draws["flip"], strict=True)
    ]
    np.testing.assert_array_equal(made.apply("weak", images, draws), expected)
    assert "shift" not in made.draw("strong", SEED, 6)
    assert made.apply("strong", images, made.draw("strong", SEED, 6)).shape == images.shape


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", presets.NAMES)
def test_each_row_depends_on_its_own_draws_alone(name, order, pictures):
    shape = (8, 8, 1) if name == "digits" else (32, 32, 3)
    images, made = pictures(shape, rows=24), maker(name, shape, order)
    draws = made.draw("strong", SEED, 24)
    whole = made.apply("strong", tf.constant(images), draws).numpy()
    assert whole.dtype == np.uint8
    part = {key: value[5:11] for key, value in draws.items()}
    np.testing.assert_array_equal(made.apply("strong", images[5:11], part), whole[5:11])
    none = {key: value[:0] for key, value in draws.items()}
    assert made.apply("strong", images[:0], none).shape == (0, *shape)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", [pytest.param("darp_cifar100", marks=pytest.mark.slow), "digits"])
def test_views_are_the_same_inside_a_map(name, order, pictures, in_map):
    shape = (8, 8, 1) if name == "digits" else (32, 32, 3)
    images, made = pictures(shape, rows=24), maker(name, shape, order)

    def strong(batch):
        return made.apply("strong", batch, made.draw("strong", SEED, tf.shape(batch)[0]))

    np.testing.assert_array_equal(in_map(strong, images), strong(tf.constant(images)))


def test_draws_depend_on_the_seed_and_on_nothing_else():
    first, again = (maker().draw("strong", SEED, 50) for _ in range(2))
    other = maker().draw("strong", tf.constant([3, 8], tf.int64), 50)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        assert (value.numpy() != other[name].numpy()).any()


@pytest.mark.parametrize("before_crop", [False, True])
def test_one_move_in_one_step_equals_crop_and_move_one_after_the_other(before_crop, pictures):
    images = tf.constant(pictures((32, 32, 3), rows=30))
    operation = randaugment.Operation("ShearX", 0.217, 0.217)
    policy = only(operation, before_crop=before_crop, fill=40)
    composed = maker(strong=policy)
    draws = in_order(composed, 30)
    drawn = dataclasses.replace(
        composed, strong=dataclasses.replace(policy, order=randaugment.DRAWN)
    )
    got, expected = (made.apply("strong", images, draws) for made in (composed, drawn))
    # Rounding of positions may decide a tie between two pixels otherwise.
    assert np.mean(got != expected) < 0.002


@pytest.mark.parametrize("before_crop", [False, True])
def test_whole_pixel_moves_in_one_step_follow_the_drawn_order(before_crop, pictures):
    images = pictures((32, 32, 3), rows=30)
    policy = only(
        randaugment.Operation("TranslateXPixels", -3),
        randaugment.Operation("Rotate", 90),
        before_crop=before_crop,
        fill=40,
        cutout_fraction=0.0,
    )
    made = maker(strong=policy)
    draws = in_order(made, 30)

    def moved(batch):
        batch = np.pad(batch, [(0, 0), (0, 0), (3, 0), (0, 0)], constant_values=40)[:, :, :32]
        return np.rot90(batch, axes=(1, 2))

    if before_crop:
        expected = cropped(moved(images), draws, 4, mode="constant", constant_values=40)
    else:
        expected = moved(cropped(images, draws, 4, mode="reflect"))
    np.testing.assert_array_equal(made.apply("strong", images, draws), expected)


def test_without_moves_both_orders_are_the_same(pictures):
    images = tf.constant(pictures((32, 32, 3), rows=30))
    colors = (randaugment.Operation("Equalize"), randaugment.Operation("Contrast", 0.3, 1.7))
    orders = [maker(strong=only(*colors, order=order)) for order in ORDERS]
    draws = orders[0].draw("strong", SEED, 30)
    first, second = (made.apply("strong", images, draws) for made in orders)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "color"), [("darp_cifar10", (125, 123, 114)), ("fixmatch", (128,) * 3)]
)
def test_cutout_paints_half_of_the_side_at_most(name, color, pictures):
    images = pictures((32, 32, 3), rows=50)
    policy = dataclasses.replace(presets.preset(name), probability=0.0)
    made = maker(strong=policy)
    draws = made.draw("strong", SEED, 50)
    without = made.apply("weak", images, draws).numpy()
    got = made.apply("strong", images, draws).numpy()
    changed = (got != without).any(-1)
    assert (got[changed] == color).all()
    for row, (top, left, bottom, right) in enumerate(draws["box"].numpy()):
        assert (got[row, top:bottom, left:right] == color).all()
        assert bottom - top <= 16
        assert right - left <= 16
    # A centre at least 8 pixels from every side leaves the square whole: 17 of 32 rows.
    areas = np.prod(draws["box"].numpy()[:, 2:] - draws["box"].numpy()[:, :2], axis=1)
    assert (areas == 256).any()
    assert changed.sum((1, 2)).max() <= 256


def test_the_choices_for_an_image_are_independent_of_one_another():
    slots = (randaugment.Operation("Rotate", 0, 1), randaugment.Operation("ShearX", 0, 1))
    draws = maker(strong=only(*slots)).draw("strong", SEED, 20000)
    names = ("flip", "shift", "operation", "magnitude", "box")
    columns = [draws[name].numpy().reshape(20000, -1)[:, :2].astype(float) for name in names]
    correlations = np.corrcoef(np.concatenate(columns, axis=1), rowvar=False)
    assert correlations.shape == (9, 9)
    assert np.abs(correlations - np.eye(9)).max() < 5 / np.sqrt(20000)


def test_random_cutout_draws_its_side():
    boxes = maker("usb").draw("strong", SEED, 4000)["box"].numpy()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides.max() <= 17
    assert sides.min() >= 1
    # Boxes that start in [1, 16) are never cut off, whatever their side: int(side) + 1 pixels
    # with the side uniform in [0, 16), so half of them have more than 8.
    heights = sides[(boxes[:, 0] >= 1) & (boxes[:, 0] < 16), 0]
    assert abs(np.mean(heights > 8) - 0.5) < 5 * 0.5 / np.sqrt(len(heights))
    # Their side tells nothing of their place.
    both = boxes[((boxes[:, :2] >= 1) & (boxes[:, :2] < 16)).all(1)]
    places = np.corrcoef([both[:, 2] - both[:, 0], both[:, 0], both[:, 1]])[0, 1:]
    assert np.abs(places).max() < 5 / np.sqrt(len(both))


def test_cutout_can_be_turned_off_and_resized(pictures):
    images = pictures((32, 32, 3), rows=20)
    policy = dataclasses.replace(presets.preset("fixmatch"), probability=0.0, cutout_fraction=0.0)
    made = maker(strong=policy)
    draws = made.draw("strong", SEED, 20)
    assert "box" not in draws
    np.testing.assert_array_equal(
        made.apply("strong", images, draws), made.apply("weak", images, draws)
    )
    assert maker(strong=dataclasses.replace(policy, cutout_fraction=0.2)).side == 6
    # A quarter of 8.
    assert maker("digits", (8, 8, 1)).side == 2


def test_an_unknown_kind_names_the_known_ones(pictures):
    made = maker()
    with pytest.raises(KeyError, match="kind must be one of weak, strong, got medium"):
        made.draw("medium", SEED, 2)
    with pytest.raises(KeyError, match="kind must be one of weak, strong, got medium"):
        made.apply("medium", pictures((32, 32, 3)), {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_padding": 32}, r"crop_padding must be in \[0, 32\), got 32"),
        ({"crop_padding": -1}, r"crop_padding must be in \[0, 32\), got -1"),
        ({"geometry": "zoom"}, "geometry must be crop or resized_crop, got zoom"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        maker(**settings)
