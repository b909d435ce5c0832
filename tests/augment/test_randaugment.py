import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import presets, randaugment
from tests.augment import pillow_operations

Operation = randaugment.Operation


def one_by_one(policy, images, draws):
    """What Pillow makes of each image, one operation after the other."""
    out = []
    for row, image in enumerate(images):
        picture = pillow_operations.to_pillow(image)
        for slot in range(policy.count):
            which = draws["operation"][row, slot]
            if which == len(policy.operations):
                continue
            place = draws["place"][row, slot] if "place" in draws else None
            picture = pillow_operations.change(
                picture,
                policy.operations[which].name,
                float(draws["magnitude"][row, slot]),
                policy.fill,
                place,
                policy.cutout_color if image.shape[-1] == 3 else policy.paint_color(1)[0],
            )
        out.append(pillow_operations.to_pixels(picture))
    return np.stack(out)


def drawn(policy, rows, seed=(1, 2)):
    uniforms = tf.random.stateless_uniform([rows, policy.num_uniforms], seed)
    return policy.draw(uniforms)


def as_numpy(draws):
    return {name: value.numpy() for name, value in draws.items()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", presets.NAMES)
def test_the_drawn_order_is_that_of_pillow_one_image_at_a_time(name, channels, pictures):
    policy = presets.preset(name)
    images = pictures((32, 32, channels), rows=60)
    draws = drawn(policy, 60)
    expected = one_by_one(policy, images, as_numpy(draws))
    got = policy.apply(tf.constant(images), draws).numpy()
    # One level, or float32 where Pillow takes float64: a pixel in a thousand.
    close = np.abs(got.astype(int) - expected).max(-1) <= 1
    assert close.mean() > 0.999
    assert close.mean((1, 2)).min() > 0.98


def test_operations_are_drawn_equally_often_and_each_slot_by_itself():
    policy = randaugment.RandAugment((Operation("Identity"), Operation("Invert")) * 2, count=2)
    operations = drawn(policy, 20000)["operation"].numpy()
    pairs = np.bincount(operations[:, 0] * 4 + operations[:, 1], minlength=16)
    # Binomial with p = 1/16: sd of sqrt(20000 * 15 / 256) = 34 about 1250; 5 of them.
    assert np.abs(pairs - 1250).max() < 5 * 34


def test_any_level_gives_every_magnitude_of_the_range():
    policy = randaugment.RandAugment((Operation("Rotate", -30, 10),), count=1)
    magnitudes = drawn(policy, 20000)["magnitude"].numpy()
    assert magnitudes.min() >= -30
    assert magnitudes.max() < 10
    assert abs(magnitudes.mean() + 10) < 5 * 40 / np.sqrt(12 * 20000)


def test_only_the_listed_levels_are_drawn():
    policy = randaugment.RandAugment((Operation("Solarize", 256, 0),), count=2, levels=(0.25, 0.5))
    magnitudes = drawn(policy, 500)["magnitude"].numpy()
    np.testing.assert_array_equal(np.unique(magnitudes), [128, 192])
    assert abs(np.mean(magnitudes == 128) - 0.5) < 5 * 0.5 / np.sqrt(1000)


def test_signed_magnitudes_are_negative_half_of_the_time_and_others_never():
    operations = (Operation("ShearX", 0.2, 0.2, signed=True), Operation("Color", 0.2, 0.2))
    draws = as_numpy(drawn(randaugment.RandAugment(operations, count=1), 4000))
    shears = draws["magnitude"][draws["operation"] == 0]
    np.testing.assert_allclose(np.abs(shears), 0.2, rtol=1e-6)
    assert abs(np.mean(shears < 0) - 0.5) < 5 * 0.5 / np.sqrt(len(shears))
    np.testing.assert_allclose(draws["magnitude"][draws["operation"] == 1], 0.2, rtol=1e-6)


def test_slots_are_skipped_with_the_probability_given():
    policy = randaugment.RandAugment((Operation("Invert"),), count=2, probability=0.3)
    done = drawn(policy, 10000)["operation"].numpy() == 0
    assert abs(done.mean() - 0.3) < 5 * np.sqrt(0.21 / 20000)
    assert abs(done.all(1).mean() - 0.09) < 5 * np.sqrt(0.09 * 0.91 / 10000)


def test_a_policy_that_is_never_applied_changes_nothing(pictures):
    policy = dataclasses.replace(presets.preset("fixmatch"), probability=0.0)
    images = tf.constant(pictures((8, 8, 3)))
    np.testing.assert_array_equal(policy.apply(images, drawn(policy, 6)), images)


def test_moving_names_the_images_with_a_geometric_slot():
    policy = randaugment.RandAugment((Operation("Invert"), Operation("Rotate", 5, 5)), count=2)
    assert policy.moves_pixels()
    got = policy.moving(tf.constant([[0, 0], [0, 1], [1, 0], [2, 2], [1, 1]]))
    np.testing.assert_array_equal(got, [False, True, True, False, True])
    assert not randaugment.RandAugment((Operation("Invert"),), count=2).moves_pixels()


def test_a_color_for_one_channel_is_the_mean_of_three():
    policy = presets.preset("usb")
    assert policy.paint_color(3) == (125, 123, 114)
    # (125 + 123 + 114) / 3 = 120.67.
    assert policy.paint_color(1) == (121,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operations": (Operation("Blur"),)}, r"operations must be among Identity, .*\['Blur'\]"),
        ({"operations": ()}, "operations and count must be at least 1, got 0 and 2"),
        ({"count": 0}, "operations and count must be at least 1, got 16 and 0"),
        ({"levels": (0.5, 1.5)}, r"levels must be in \[0, 1\], got \(0.5, 1.5\)"),
        ({"order": "shuffled"}, "order must be composed or drawn, got shuffled"),
        ({"probability": 1.5}, r"probability must be in \[0, 1\], got 1.5"),
        ({"cutout_fraction": -0.5}, r"cutout_fraction must be in \[0, 1\], got -0.5"),
        ({"cutout_fraction": 2.0}, r"cutout_fraction must be in \[0, 1\], got 2.0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(presets.preset("darp_cifar100"), **change)
