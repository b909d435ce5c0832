import numpy as np
import tensorflow as tf

from drw_tf.augment import crops


def sides_of(boxes):
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def test_boxes_lie_in_the_picture_and_have_the_area_and_aspect_asked_for():
    boxes = crops.draw_crop_boxes(tf.constant([3, 4]), 4000).numpy()
    assert boxes.dtype == np.float32
    assert boxes.shape == (4000, 4)
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    height, width = sides_of(boxes)
    assert (height * width > 0.0799).all()
    assert (width / height > 0.7499).all()
    assert (width / height < 1.3335).all()


def test_area_and_log_aspect_are_uniform_where_every_box_fits(monkeypatch):
    # At most 1/2 * 4/3 of the side squared: no try is ever repeated.
    monkeypatch.setattr(crops, "AREA_RANGE", (0.1, 0.5))
    boxes = crops.draw_crop_boxes(tf.constant([1, 2]), 20000).numpy()
    height, width = sides_of(boxes)
    area, aspect = height * width, np.log(width / height)
    # Mean 0.3 and sd 0.4 / sqrt(12); mean 0 and sd 2 log(4/3) / sqrt(12); 5 standard errors.
    assert abs(area.mean() - 0.3) < 5 * 0.4 / np.sqrt(12 * 20000)
    np.testing.assert_allclose(area.std(), 0.4 / np.sqrt(12), rtol=0.03)
    assert abs(aspect.mean()) < 5 * 0.1661 / np.sqrt(20000)
    np.testing.assert_allclose(aspect.std(), 2 * np.log(4 / 3) / np.sqrt(12), rtol=0.03)
    # The place is uniform: a fraction of the room left with mean 1/2 and sd 1 / sqrt(12).
    place = boxes[:, 0] / (1 - height)
    assert abs(place.mean() - 0.5) < 5 / np.sqrt(12 * 20000)


def test_large_boxes_are_tried_again_rather_than_cut(monkeypatch):
    # Nearly the whole picture with aspects up to 4/3: most tries do not fit.
    monkeypatch.setattr(crops, "AREA_RANGE", (0.85, 0.95))
    boxes = crops.draw_crop_boxes(tf.constant([1, 2]), 2000).numpy()
    height, width = sides_of(boxes)
    assert np.mean(height * width > 0.8499) > 0.99
    assert (np.maximum(height, width) <= 1).all()


def test_a_box_that_never_fits_is_cut_off_at_the_border(monkeypatch):
    monkeypatch.setattr(crops, "AREA_RANGE", (1.0, 1.0))
    monkeypatch.setattr(crops, "ASPECT_RANGE", (4.0, 4.0))
    boxes = crops.draw_crop_boxes(tf.constant([1, 2]), 3).numpy()
    # Twice as wide as the picture and half as high: all of the width, half of the height.
    np.testing.assert_allclose(boxes[:, [1, 3]], [[0, 1]] * 3)
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], [0.5] * 3, rtol=1e-6)


def test_boxes_depend_on_the_seed_alone_also_in_a_map():
    first = crops.draw_crop_boxes(tf.constant([5, 6], tf.int64), 10).numpy()
    seeds = tf.data.Dataset.from_tensors(tf.constant([5, 6], tf.int64))
    again = next(iter(seeds.map(lambda seed: crops.draw_crop_boxes(seed, 10))))
    np.testing.assert_array_equal(again, first)
    assert (crops.draw_crop_boxes(tf.constant([5, 7], tf.int64), 10).numpy() != first).all()


def test_fitted_boxes_keep_area_and_pixel_aspect():
    box = tf.constant([[0.25, 0.1, 0.75, 0.35]])  # 1/2 high, 1/4 wide, place (1/2, 2/15)
    got = crops.fit_boxes(box, tf.constant([4.0])).numpy()[0]
    # In a picture 4 times as wide as high: sides 1/2 * 2 = 1 and 1/4 / 2 = 1/8, which in
    # pixels is 1 to 1/2 as before; the same place in the room left: 2/15 * 7/8.
    np.testing.assert_allclose(got, [0, 0.1166667, 1, 0.2416667], atol=1e-6)


def test_fitted_boxes_of_square_pictures_do_not_change():
    boxes = crops.draw_crop_boxes(tf.constant([1, 2]), 50)
    np.testing.assert_allclose(crops.fit_boxes(boxes, tf.constant(1.0)), boxes, atol=1e-6)


def test_fitted_boxes_are_cut_off_at_the_border():
    boxes = crops.fit_boxes(tf.constant([[0.0, 0.0, 1.0, 1.0]]), tf.constant([4.0])).numpy()[0]
    # Sides 2 and 1/2: all of the height, and half of the width at the left.
    np.testing.assert_allclose(boxes, [0, 0, 1, 0.5])
