"""Operations that change pixel values, batched; each image has its own magnitude.

They give Pillow's numbers, whose arithmetic is: enhancement factors blend in float32
and are cut off to whole grey levels (not rounded), tables are made in float64.
"""

import numpy as np
import tensorflow as tf

# ITU-R 601-2 luma in 1/65536, as Pillow has it. All sums stay below 2 ** 24, so float32
# holds them exactly, and a matrix product is the fastest way to form them.
_LUMA = (19595.0, 38470.0, 7471.0)


def _flat(images: tf.Tensor) -> tf.Tensor:
    """[B, H * W * Ch]: so broadcasting per image is over the inner dimension, 4 x faster."""
    height, width, channels = images.shape[1:]
    return tf.reshape(images, [-1, height * width * channels])


def _like(flat: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """`flat` in the shape of `images`."""
    return tf.reshape(flat, [-1, *images.shape[1:]])


def _blend(base: tf.Tensor, values: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """uint8, base + factor * (values - base), kept in [0, 255], cut off to whole levels.

    Args:
        base: float32, broadcasts to `values`.
        values: float32 [B, N].
        factor: float32 [B]; 0 gives `base`, 1 gives `values`, others extrapolate.
    """
    mixed = base + factor[:, None] * (values - base)
    return tf.saturate_cast(mixed, tf.uint8)


def _luma(images: tf.Tensor) -> tf.Tensor:
    """float32 [B, H * W * Ch], luma of each pixel, whole numbers in [0, 255], Ch times."""
    height, width, channels = images.shape[1:]
    if channels == 1:
        return tf.cast(_flat(images), tf.float32)
    pixels = tf.cast(tf.reshape(images, [-1, channels]), tf.float32)
    # To all channels at once: the product with one column takes twice as long.
    weights = tf.tile(tf.constant(_LUMA)[:, None], [1, channels])
    luma = tf.floor((tf.matmul(pixels, weights) + 32768.0) / 65536.0)
    return tf.reshape(luma, [-1, height * width * channels])


def _mean_luma(images: tf.Tensor) -> tf.Tensor:
    """float32 [B, 1], mean luma of each image, rounded half up to a whole grey level."""
    luma = tf.cast(_luma(images), tf.int32)
    total, count = tf.reduce_sum(luma, axis=1, keepdims=True), luma.shape[1]
    return tf.cast((2 * total + count) // (2 * count), tf.float32)


def brightness(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], times `magnitude`, float32 [B]; 0 is black, 1 the image."""
    mixed = _blend(tf.constant(0.0), tf.cast(_flat(images), tf.float32), magnitude)
    return _like(mixed, images)


def contrast(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], away from the mean luma by `magnitude`, float32 [B]; 0 is grey."""
    values = tf.cast(_flat(images), tf.float32)
    return _like(_blend(_mean_luma(images), values, magnitude), images)


def saturation(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], away from each pixel's luma by `magnitude`, float32 [B].

    Called "Color" by RandAugment; 0 is grey, 1 the image. One channel: the image.
    """
    if images.shape[-1] == 1:
        return images
    values = tf.cast(_flat(images), tf.float32)
    return _like(_blend(_luma(images), values, magnitude), images)


def _smooth(values: tf.Tensor, channels: int) -> tf.Tensor:
    """float32 [B, H-2, (W-2) * Ch], rounded mean over 3 x 3 with the centre counted 5 times.

    Args:
        values: float32 [B, H, W * Ch].
        channels: Ch.
    """
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    left, middle, right = slice(None, -2 * channels), slice(channels, -channels), 2 * channels
    total = rows[..., left] + rows[..., middle] + rows[..., right:]
    # 13 is odd: there are no ties, so float32 rounds as exact arithmetic does.
    return tf.floor((total + 4.0 * values[:, 1:-1, middle]) * (1 / 13) + 0.5)


def sharpness(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], away from the smoothed image by `magnitude`, float32 [B].

    0 is smoothed, 1 the image. The outermost pixels do not change.
    """
    height, width, channels = images.shape[1:]
    if height < 3 or width < 3:
        return images
    values = tf.cast(tf.reshape(images, [-1, height, width * channels]), tf.float32)
    inner = [-1, (height - 2) * (width - 2) * channels]
    base = tf.reshape(_smooth(values, channels), inner)
    mixed = _blend(base, tf.reshape(values[:, 1:-1, channels:-channels], inner), magnitude)
    mixed = tf.reshape(mixed, [-1, height - 2, width - 2, channels])
    middle = tf.concat([images[:, 1:-1, :1], mixed, images[:, 1:-1, -1:]], axis=2)
    return tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)


def _keys(images: tf.Tensor) -> tf.Tensor:
    """int32 [B, H, W * Ch], 256 * (image * Ch + channel) + value: one bin for each value."""
    height, width, channels = images.shape[1:]
    values = tf.cast(tf.reshape(images, [-1, height, width * channels]), tf.int32)
    planes = tf.range(tf.shape(images)[0])[:, None] * channels + tf.range(channels)
    return values + 256 * tf.tile(planes, [1, width])[:, None]


def autocontrast(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], each channel stretched to [0, 255]; `magnitude` means nothing.

    A channel of one value does not change.
    """
    del magnitude
    height, width, channels = images.shape[1:]
    pixels = tf.reshape(images, [-1, height * width, channels])
    low = tf.cast(tf.reduce_min(pixels, axis=1), tf.float64)
    high = tf.cast(tf.reduce_max(pixels, axis=1), tf.float64)
    # float64 and this order, or a level that should be whole can end up one below.
    scale = tf.where(high > low, 255.0 / tf.maximum(high - low, 1.0), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    scale, offset = tf.tile(scale, [1, width])[:, None], tf.tile(offset, [1, width])[:, None]
    rows = tf.cast(tf.reshape(images, [-1, height, width * channels]), tf.float64)
    return _like(tf.saturate_cast(rows * scale + offset, tf.uint8), images)


def equalize(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], each channel's histogram flattened; `magnitude` means nothing.

        table[i] = (step // 2 + #{pixels < i}) // step,
        step = #{pixels < the channel's largest value} // 255

    A channel with step 0 does not change: always so for images of at most 255 pixels.
    """
    del magnitude
    keys = _keys(images)
    planes = tf.shape(images)[0] * images.shape[-1]
    histogram = tf.raw_ops.DenseBincount(
        input=tf.reshape(keys, [-1]), size=planes * 256, weights=tf.zeros([0], tf.int32)
    )
    histogram = tf.reshape(histogram, [-1, 256])
    # Running sums as a product with a triangle of ones, 3 times as fast as tf.cumsum. All
    # numbers are whole and below 2 ** 24, for which float32 and its quotients are exact.
    histogram = tf.cast(histogram, tf.float32)
    below = tf.matmul(histogram, np.triu(np.ones([256, 256], np.float32), 1))
    largest = tf.reduce_max(tf.where(histogram > 0, below, 0.0), axis=1, keepdims=True)
    step = tf.floor(largest / 255)
    divisor = tf.maximum(step, 1.0)
    levels = tf.floor((tf.floor(divisor / 2) + below) / divisor)
    levels = tf.where(step > 0, levels, tf.range(256, dtype=tf.float32))
    table = tf.saturate_cast(levels, tf.uint8)
    return _like(tf.gather(tf.reshape(table, [-1]), keys), images)


def _add_invert_mask(
    images: tf.Tensor, addition: tf.Tensor, threshold: tf.Tensor, bits: tf.Tensor
) -> tf.Tensor:
    """uint8 [B, H, W, Ch]: add, invert what is not below the threshold, keep leading bits.

    Args:
        images: uint8 [B, H, W, Ch].
        addition: int32 [B], in [0, 255]; sums above 255 become 255.
        threshold: int32 [B], in [0, 256].
        bits: int32 [B], in [1, 8].
    """
    addition = tf.cast(addition, tf.uint8)[:, None]
    values = tf.minimum(_flat(images), 255 - addition) + addition
    inverted = tf.cast(values >= tf.cast(tf.minimum(threshold, 255), tf.uint8)[:, None], tf.uint8)
    # For threshold 256, which uint8 does not have, nothing is inverted.
    inverted *= tf.where(threshold < 256, tf.constant(255, tf.uint8), 0)[:, None]
    kept = tf.cast(256 - tf.bitwise.left_shift(1, 8 - bits), tf.uint8)[:, None]
    return _like((values ^ inverted) & kept, images)


def posterize(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], the leading max(1, int(`magnitude`)) bits, float32 [B], <= 8."""
    bits = tf.clip_by_value(tf.cast(magnitude, tf.int32), 1, 8)
    zero = tf.zeros_like(bits)
    return _add_invert_mask(images, zero, zero + 256, bits)


def solarize(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], inverted where >= `magnitude`, float32 [B], in [0, 256]."""
    threshold = tf.cast(tf.math.ceil(magnitude), tf.int32)
    zero = tf.zeros_like(threshold)
    return _add_invert_mask(images, zero, threshold, zero + 8)


def invert(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], 255 minus the images; `magnitude` means nothing."""
    del magnitude
    return 255 - images


def solarize_add(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], int(`magnitude`), float32 [B], added, then inverted where >= 128.

    Differs from google-research/crest third_party/augment_ops.py, which adds only below
    128 and inverts nothing. This is what the package that DARP imports does.
    """
    addition = tf.cast(magnitude, tf.int32)
    zero = tf.zeros_like(addition)
    return _add_invert_mask(images, addition, zero + 128, zero + 8)
