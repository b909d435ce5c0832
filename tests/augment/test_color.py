import functools

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import color
from tests.augment import one_operation, pillow_operations

FUNCTIONS = {
    "AutoContrast": color.autocontrast,
    "Brightness": color.brightness,
    "Color": color.saturation,
    "Contrast": color.contrast,
    "Equalize": color.equalize,
    "Identity": functools.partial(one_operation.apply, "Identity"),
    "Invert": color.invert,
    "Posterize": color.posterize,
    "Sharpness": color.sharpness,
    "Solarize": color.solarize,
    "SolarizeAdd": color.solarize_add,
}
# Magnitudes on both sides of what leaves the image as it is, and the ends of the ranges.
MAGNITUDES = {
    "Posterize": [0, 1, 3.9, 4, 7.99, 8],
    "Solarize": [0, 0.5, 100.3, 128, 255.5, 256],
    "SolarizeAdd": [0, 14.7, 55, 110, 127.9, 200],
}
FACTORS = [0.0, 0.1, 0.34, 0.95, 1.0, 1.87]
SHAPES = [(32, 32, 3), (8, 8, 1), (5, 11, 3), (1, 4, 3), (2, 2, 1), (40, 33, 1)]


def near(got, expected, atol=1):
    # Pillow's own arithmetic; one level is left to processors that fuse multiply and add.
    np.testing.assert_allclose(np.asarray(got, int), expected.astype(int), rtol=0, atol=atol)
    assert np.mean(np.asarray(got) != expected) < 0.01


@pytest.mark.parametrize("name", FUNCTIONS)
def test_recorded_outputs_of_the_published_code_are_reproduced(name, recorded, in_map):
    for images, magnitudes, expected in recorded["batches"][name]:
        got = FUNCTIONS[name](tf.constant(images), tf.constant(magnitudes))
        near(got, expected, recorded["atol"])
        near(in_map(FUNCTIONS[name], images, magnitudes), expected, recorded["atol"])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_image_gets_what_pillow_makes_with_its_magnitude(name, shape, pictures):
    images = pictures(shape)
    magnitudes = np.array(MAGNITUDES.get(name, FACTORS), np.float32)
    got = FUNCTIONS[name](tf.constant(images), tf.constant(magnitudes))
    assert got.dtype == tf.uint8
    for row, magnitude in enumerate(magnitudes):
        picture = pillow_operations.to_pillow(images[row])
        expected = pillow_operations.change(picture, name, float(magnitude))
        near(got[row], pillow_operations.to_pixels(expected))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_images_give_no_images(name):
    got = FUNCTIONS[name](tf.zeros([0, 8, 8, 3], tf.uint8), tf.zeros([0]))
    assert got.shape == (0, 8, 8, 3)


@pytest.mark.parametrize("name", ["Brightness", "Color", "Contrast", "Sharpness"])
def test_an_enhancement_by_one_changes_nothing(name, pictures):
    images = pictures((12, 9, 3))
    np.testing.assert_array_equal(FUNCTIONS[name](tf.constant(images), tf.ones([6])), images)


def test_color_of_a_grey_image_is_the_image(pictures):
    images = tf.constant(pictures((8, 8, 1)))
    np.testing.assert_array_equal(color.saturation(images, tf.zeros([6])), images)


def test_without_color_the_three_channels_are_equal(pictures):
    got = color.saturation(tf.constant(pictures((8, 8, 3))), tf.zeros([6])).numpy()
    np.testing.assert_array_equal(got, np.repeat(got[..., :1], 3, -1))


def test_channels_of_one_value_are_neither_stretched_nor_equalized():
    images = np.zeros([1, 20, 20, 3], np.uint8) + np.array([0, 77, 255], np.uint8)
    for operation in (color.autocontrast, color.equalize):
        np.testing.assert_array_equal(operation(tf.constant(images), tf.zeros([1])), images)


def test_autocontrast_stretches_each_channel_by_itself():
    image = np.array([[10, 0], [20, 100], [30, 255]], np.uint8).reshape(1, 1, 3, 2)
    got = color.autocontrast(tf.constant(image), tf.zeros([1])).numpy()[0, 0]
    # 255 (v - 10) / 20 = 0, 127.5, 255; the second channel is at both ends already.
    np.testing.assert_array_equal(got, [[0, 0], [127, 100], [255, 255]])


def test_equalize_spreads_half_dark_half_bright_over_the_whole_range():
    # 512 pixels of 10 and 512 of 11: step = 512 // 255 = 2, the table is (1 + 0) // 2 = 0 at
    # 10 and (1 + 512) // 2 = 256, kept at 255, at 11.
    image = np.repeat(np.array([10, 11], np.uint8), 512).reshape(1, 32, 32, 1)
    got = color.equalize(tf.constant(image), tf.zeros([1])).numpy()
    np.testing.assert_array_equal(got, np.where(image == 10, 0, 255))


def test_equalize_leaves_images_of_less_than_256_pixels():
    images = np.random.default_rng(0).integers(0, 256, (4, 15, 17, 1)).astype(np.uint8)
    np.testing.assert_array_equal(color.equalize(tf.constant(images), tf.zeros([4])), images)


def test_sharpness_zero_smooths_inside_and_keeps_the_border():
    image = np.zeros([1, 3, 4, 1], np.uint8)
    image[0, 1, 1, 0] = 130
    got = color.sharpness(tf.constant(image), tf.zeros([1])).numpy()[0, :, :, 0]
    # The centre weighs 5 of 13, a neighbour 1 of 13.
    np.testing.assert_array_equal(got, [[0, 0, 0, 0], [0, 50, 10, 0], [0, 0, 0, 0]])
