"""Cutout: a square of every image is painted over."""

import tensorflow as tf


def square_boxes(center: tf.Tensor, side: int, size: tuple[int, int]) -> tf.Tensor:
    """Boxes of `side` pixels about a pixel, clipped to the picture.

        [center - side // 2, center + side // 2)

    Args:
        center: int32 [B, 2], (row, column).
        side: pixels, >= 0.
        size: (H, W), pixels.

    Returns:
        int32 [B, 4]: top, left, bottom, right; the last two are not in the box.

    Source:
        CutoutDefault of ildoonet/pytorch-randaugment, RandAugment/augmentations.py.
    """
    limits = tf.constant([[size[0], size[1]]])
    start = tf.maximum(center - side // 2, 0)
    return tf.concat([start, tf.minimum(center + side // 2, limits)], axis=1)


def inclusive_centers(uniforms: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Random centres for `inclusive_boxes`, uniform between 1 and the side of the picture.

    Not between 0 and the side: the published code calls np.random.uniform(width), of
    which the second bound is 1, so it never cuts quite as far at the top and at the left.

    Args:
        uniforms: float32 [B, 2], in [0, 1).
        size: (H, W), pixels.

    Returns:
        float32 [B, 2], (y, x), pixels.
    """
    sides = tf.constant(size, tf.float32)
    return sides + (1.0 - sides) * uniforms


def inclusive_boxes(center: tf.Tensor, side: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Boxes whose far edge is in them, as Pillow draws a rectangle: a pixel larger.

    At the top and left border the box keeps its size and moves into the picture.

        start = int(max(0, center - side / 2)), end = int(min(limit, start + side))

    Args:
        center: float32 [B, 2], (y, x), pixels.
        side: float32 [B], pixels, >= 0.
        size: (H, W), pixels.

    Returns:
        int32 [B, 4]: top, left, bottom, right; the last two are not in the box.

    Source:
        CutoutAbs of ildoonet/pytorch-randaugment, RandAugment/augmentations.py.
    """
    limits = tf.constant([[size[0], size[1]]], tf.float32)
    start = tf.floor(tf.maximum(center - side[:, None] / 2, 0.0))
    end = tf.minimum(tf.floor(start + side[:, None]) + 1.0, limits)
    return tf.cast(tf.concat([start, end], axis=1), tf.int32)


def paint(images: tf.Tensor, boxes: tf.Tensor, color: tuple[int, ...]) -> tf.Tensor:
    """The images with a box of one colour on each.

    Args:
        images: uint8 [B, H, W, Ch].
        boxes: int32 [B, 4]: top, left, bottom, right; the last two are not in the box.
        color: Ch grey levels in [0, 255].

    Returns:
        uint8 [B, H, W, Ch].
    """
    height, width, channels = images.shape[1:]
    top, left, bottom, right = tf.split(boxes, 4, axis=1)
    columns = tf.repeat(tf.range(width), channels)
    outside = tf.cast((columns < left) | (columns >= right), tf.uint8) * 255
    inside_rows = (tf.range(height) >= top) & (tf.range(height) < bottom)
    # Each row of pixels is masked with one of two rows, all ones or `outside`. Gathering
    # whole rows is 5 times as fast as broadcasting a mask to the pixels.
    masks = tf.reshape(tf.stack([outside | 255, outside], axis=1), [-1, width * channels])
    paints = tf.bitwise.invert(masks) & tf.constant(color * width, tf.uint8)
    which = tf.cast(inside_rows, tf.int32) + 2 * tf.range(tf.shape(images)[0])[:, None]
    rows = tf.reshape(images, [-1, height, width * channels])
    painted = (rows & tf.gather(masks, which)) | tf.gather(paints, which)
    return tf.reshape(painted, [-1, height, width, channels])
