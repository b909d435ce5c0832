import functools

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import geometry
from tests.augment import one_operation, pillow_operations

NAMES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
FUNCTIONS = {name: functools.partial(one_operation.apply, name) for name in NAMES}
MAGNITUDES = {"Rotate": [-30, -12.3, 4, 7, 90, 171]}
# Sheared by 0.04, 0.1, 0.2, whole rows are half way between two pixels.
FRACTIONS = [-0.3, -0.11, 0.04, 0.1, 0.2, 0.3]


def differing(got, expected):
    """Fraction of pixels that are not equal."""
    return np.mean((np.asarray(got) != expected).any(-1))


def cropped(images, flip, shift, padding, **pad):
    """Padding, crop and flip with numpy, one image at a time."""
    height, width = images.shape[1:3]
    out = []
    for image, mirrored, (down, right) in zip(images, flip, shift, strict=True):
        padded = np.pad(image, [(padding, padding)] * 2 + [(0, 0)], **pad)
        cut = padded[down : down + height, right : right + width]
        out.append(cut[:, ::-1] if mirrored else cut)
    return np.stack(out)


@pytest.fixture
def moves():
    flip = np.array([False, True, False, True, True, False])
    shift = np.array([[0, 0], [8, 8], [4, 4], [3, 7], [0, 5], [6, 1]], np.int32)
    return flip, shift


@pytest.mark.parametrize("name", FUNCTIONS)
def test_recorded_outputs_of_the_published_code_are_reproduced(name, recorded, in_map):
    for images, magnitudes, expected in recorded["batches"][name]:
        # What is left is for ties between two nearest pixels.
        got = FUNCTIONS[name](tf.constant(images), tf.constant(magnitudes))
        assert differing(got, expected) <= 0.01
        assert differing(in_map(FUNCTIONS[name], images, magnitudes), expected) <= 0.01


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (9, 14, 3)], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_image_is_moved_as_pillow_does_with_its_magnitude(name, shape, pictures):
    images = pictures(shape)
    magnitudes = np.array(MAGNITUDES.get(name, FRACTIONS), np.float32)
    got = FUNCTIONS[name](tf.constant(images), tf.constant(magnitudes), fill=77)
    for row, magnitude in enumerate(magnitudes):
        picture = pillow_operations.to_pillow(images[row])
        expected = pillow_operations.change(picture, name, float(magnitude), fill=77)
        assert differing(got[row], pillow_operations.to_pixels(expected)) <= 0.01


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_magnitude_of_zero_moves_nothing(name, pictures):
    images = pictures((9, 14, 3))
    np.testing.assert_array_equal(FUNCTIONS[name](tf.constant(images), tf.zeros([6])), images)


def test_a_positive_translation_moves_the_picture_left_and_up():
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    left = one_operation.apply("TranslateX", image, [1 / 3], fill=9)[0, :, :, 0]
    np.testing.assert_array_equal(left, [[1, 2, 9], [4, 5, 9]])
    up = one_operation.apply("TranslateY", image, [0.5], fill=9)[0, :, :, 0]
    np.testing.assert_array_equal(up, [[3, 4, 5], [9, 9, 9]])


def test_crop_and_flip_equals_numpy_with_reflection(pictures, moves, in_map):
    images = pictures((12, 9, 3))
    expected = cropped(images, *moves, 4, mode="reflect")
    np.testing.assert_array_equal(geometry.crop_and_flip(images, *moves, 4), expected)
    got = in_map(lambda *arguments: geometry.crop_and_flip(*arguments, 4), images, *moves)
    np.testing.assert_array_equal(got, expected)


def test_crop_and_flip_equals_numpy_with_a_constant(pictures, moves):
    images = pictures((12, 9, 1))
    expected = cropped(images, *moves, 4, mode="constant", constant_values=50)
    got = geometry.crop_and_flip(images, *moves, 4, geometry.CONSTANT, 50)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", [geometry.REFLECT, geometry.CONSTANT])
def test_moving_by_the_map_of_a_crop_is_the_crop(mode, pictures, moves):
    images = tf.constant(pictures((12, 9, 3)))
    positions = geometry.crop_map(*moves, (12, 9), 4, mode)
    np.testing.assert_array_equal(
        geometry.move(images, positions, 50),
        geometry.crop_and_flip(images, *moves, 4, mode, 50),
    )


def test_moving_by_the_identity_map_picks_images_by_their_numbers(pictures):
    images = pictures((5, 4, 3))
    positions = geometry.identity_map(tf.constant([4, 0]), (5, 4))
    np.testing.assert_array_equal(geometry.move(images, positions, 0), images[[4, 0]])


def test_the_matrix_of_a_crop_leads_to_the_same_pixels_as_its_map(pictures, moves):
    images = tf.constant(pictures((12, 9, 3)))
    matrices = geometry.crop_matrices(*map(tf.constant, moves), (12, 9), 4)
    np.testing.assert_array_equal(
        geometry.warp(images, matrices, 50),
        geometry.crop_and_flip(images, *moves, 4, geometry.CONSTANT, 50),
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_warping_by_way_of_a_map_gives_the_same_pixels(channels, pictures):
    images = tf.constant(pictures((10, 13, channels)))
    matrices = geometry.affine((10, 13), rotation=tf.linspace(-40.0, 40.0, 6))
    np.testing.assert_array_equal(
        geometry.warp_pixels(images, matrices, 3), geometry.warp(images, matrices, 3)
    )


def test_the_product_of_two_matrices_does_one_move_after_the_other(pictures):
    images = tf.constant(pictures((9, 9, 3)))
    right = geometry.affine((9, 9), shift_x=tf.fill([6], -2.0))
    turn = geometry.affine((9, 9), rotation=tf.fill([6], 90.0))
    one_by_one = geometry.warp(geometry.warp(images, right, 7), turn, 7)
    np.testing.assert_array_equal(geometry.warp(images, tf.matmul(right, turn), 7), one_by_one)


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
def test_quarter_turns_equal_those_of_numpy(dtype, pictures, in_map):
    images = pictures((5, 5, 3), rows=6)
    turns = np.array([0, 1, 2, 3, 4, -1], np.int32)
    expected = np.stack([np.rot90(image, k) for image, k in zip(images, turns, strict=True)])
    got = geometry.rotate90(tf.cast(images, dtype), tf.constant(turns))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(in_map(geometry.rotate90, images, turns), expected)


def test_images_that_are_not_square_cannot_be_turned():
    with pytest.raises(ValueError, match="rotate90 needs square images, got 4 x 5"):
        geometry.rotate90(tf.zeros([1, 4, 5, 3], tf.uint8), tf.constant([1]))
