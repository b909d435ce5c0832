import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import cutout


def test_square_boxes_match_the_published_code(recorded):
    for case in recorded["cases"]["CutoutDefault"]:
        inputs, outputs = case["inputs"], case["outputs"]
        center = tf.constant([[inputs["center_row"], inputs["center_col"]]])
        box = cutout.square_boxes(center, inputs["length"], (inputs["size"], inputs["size"]))
        top, left, bottom, right = box.numpy()[0]
        assert [top, bottom] == outputs["zero_rows_from_to_exclusive"]
        assert [left, right] == outputs["zero_cols_from_to_exclusive"]


def test_inclusive_boxes_paint_what_the_published_code_paints(recorded, in_map):
    def paint(image, center, side):
        size = (image.shape[1], image.shape[2])
        return cutout.paint(image, cutout.inclusive_boxes(center, side, size), (125, 123, 114))

    cases = iter(recorded["cases"]["Cutout"])
    for images, magnitudes, expected in recorded["batches"]["Cutout"]:
        inputs = [next(cases)["inputs"] for _ in images]
        centers = np.array([[case["center_y"], case["center_x"]] for case in inputs], np.float32)
        sides = magnitudes * images.shape[2]
        got = paint(*map(tf.constant, (images, centers, sides)))
        np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(in_map(paint, images, centers, sides), expected)


def test_boxes_at_a_corner_are_clipped_or_moved():
    # Squares are cut off at the picture: rows [0, 2), columns [3, 6).
    square = cutout.square_boxes(tf.constant([[0, 5]]), 4, (5, 6))
    np.testing.assert_array_equal(square, [[0, 3, 2, 6]])
    # Pillow's start at 0 and end, inclusively, at 0 + 3; to the right they are cut off.
    inclusive = cutout.inclusive_boxes(tf.constant([[0.2, 5.0]]), tf.constant([3.0]), (5, 6))
    np.testing.assert_array_equal(inclusive, [[0, 3, 4, 6]])


def test_centers_lie_between_one_and_the_side():
    got = cutout.inclusive_centers(tf.constant([[0.0, 0.0], [0.5, 0.75]]), (9, 5))
    # 9 + (1 - 9) / 2 = 5; 5 + (1 - 5) * 3 / 4 = 2.
    np.testing.assert_allclose(got, [[9, 5], [5, 2]])


@pytest.mark.parametrize("channels", [1, 3])
def test_paint_colors_the_box_and_nothing_else(channels):
    images = np.random.default_rng(1).integers(0, 256, (3, 6, 7, channels)).astype(np.uint8)
    boxes = [[1, 2, 4, 5], [0, 0, 6, 7], [3, 3, 3, 6]]
    color = (9, 200, 0)[:channels]
    expected = images.copy()
    for row, (top, left, bottom, right) in enumerate(boxes):
        expected[row, top:bottom, left:right] = color
    np.testing.assert_array_equal(
        cutout.paint(tf.constant(images), tf.constant(boxes), color), expected
    )
