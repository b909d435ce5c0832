"""Where pictures are cut when they are decoded for training: random boxes.

Boxes are float32 (ymin, xmin, ymax, xmax), fractions of the picture in [0, 1].
"""

import math

import tensorflow as tf

AREA_RANGE = (0.08, 1.0)  # of box over picture
ASPECT_RANGE = (3 / 4, 4 / 3)  # of width over height
# 14 of 100 boxes of the ranges above do not fit; of 3 in 10 ** 9 pictures no try does.
_TRIES = 10


def draw_crop_boxes(seed: tf.Tensor, rows: int | tf.Tensor) -> tf.Tensor:
    """Random boxes of square pictures; `fit_boxes` turns them into those of other pictures.

    The area is uniform, the logarithm of width over height is uniform, both are drawn
    again while the box does not fit, and the place is uniform.

    Args:
        seed: int32 or int64 [2].
        rows: pictures.

    Returns:
        float32 [rows, 4].

    Source:
        Szegedy et al., CVPR 2015, Sec. 6 (arXiv:1409.4842), with the ten tries of
        torchvision's RandomResizedCrop.
    """
    uniforms = tf.random.stateless_uniform([rows, _TRIES + 1, 2], seed)
    sides = _sides(uniforms[:, :_TRIES])
    start = uniforms[:, _TRIES] * (1.0 - sides)
    return tf.concat([start, tf.minimum(start + sides, 1.0)], axis=1)


def _sides(tries: tf.Tensor) -> tf.Tensor:
    """float32 [B, 2], (height, width) of the first try that fits; tries float32 [B, T, 2]."""
    area = AREA_RANGE[0] + tries[..., 0] * (AREA_RANGE[1] - AREA_RANGE[0])
    low, high = math.log(ASPECT_RANGE[0]), math.log(ASPECT_RANGE[1])
    root = tf.exp((low + tries[..., 1] * (high - low)) / 2)
    sides = tf.sqrt(area)[..., None] * tf.stack([1 / root, root], axis=-1)
    # Where nothing fits argmax gives the first try, which is then cut off at the border.
    first = tf.argmax(tf.cast(tf.reduce_all(sides <= 1.0, axis=-1), tf.int32), axis=1)
    return tf.minimum(tf.gather(sides, first, batch_dims=1), 1.0)


def fit_boxes(boxes: tf.Tensor, image_aspect: tf.Tensor) -> tf.Tensor:
    """The same boxes on pictures that are not square: same area, aspect in pixels and place.

    A side that would be longer than the picture is cut off, so that long pictures get
    smaller boxes. The place is kept as a fraction of the room that the box has.

    Args:
        boxes: float32 [B, 4], of `draw_crop_boxes`.
        image_aspect: float32 [B] or [], width over height of each picture, > 0.

    Returns:
        float32 [B, 4].
    """
    start, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    root = tf.sqrt(tf.broadcast_to(tf.cast(image_aspect, tf.float32), [tf.shape(boxes)[0]]))
    fitted = tf.minimum(sides * tf.stack([root, 1 / root], axis=-1), 1.0)
    start = tf.math.divide_no_nan(start, 1.0 - sides) * (1.0 - fitted)
    start = tf.clip_by_value(start, 0.0, 1.0 - fitted)
    return tf.concat([start, tf.minimum(start + fitted, 1.0)], axis=1)
