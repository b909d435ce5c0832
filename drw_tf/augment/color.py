"""Operations that change pixel values, batched; each image has its own magnitude.

They give Pillow's numbers, whose arithmetic is: enhancement factors blend in float32
and are cut off to whole grey levels (not rounded), tables are made in float64.
"""

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
    return tf.cast(tf.clip_by_value(mixed, 0.0, 255.0), tf.uint8)


def _luma(images: tf.Tensor, copies: int) -> tf.Tensor:
    """float32 [B * H * W, copies], luma of every pixel, whole numbers in [0, 255]."""
    pixels = tf.cast(tf.reshape(images, [-1, images.shape[-1]]), tf.float32)
    if images.shape[-1] == 1:
        return tf.tile(pixels, [1, copies])
    weights = tf.tile(tf.constant(_LUMA)[:, None], [1, copies])
    return tf.floor((tf.matmul(pixels, weights) + 32768.0) / 65536.0)


def _mean_luma(images: tf.Tensor) -> tf.Tensor:
    """float32 [B, 1], mean luma of each image, rounded half up to a whole grey level."""
    count = images.shape[1] * images.shape[2]
    luma = tf.cast(tf.reshape(_luma(images, 1), [-1, count]), tf.int32)
    total = tf.reduce_sum(luma, axis=1, keepdims=True)
    return tf.cast((2 * total + count) // (2 * count), tf.float32)


def identity(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], the images; `magnitude` means nothing."""
    del magnitude
    return images


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
    base = tf.reshape(_luma(images, images.shape[-1]), tf.shape(_flat(images)))
    return _like(_blend(base, tf.cast(_flat(images), tf.float32), magnitude), images)


def _smooth(values: tf.Tensor) -> tf.Tensor:
    """float32 [B, H-2, W-2, Ch], rounded mean over 3 x 3 with the centre counted 5 times."""
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    # 13 is odd: there are no ties, so float32 rounds as exact arithmetic does.
    return tf.floor((total + 4.0 * values[:, 1:-1, 1:-1]) * (1 / 13) + 0.5)


def sharpness(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], away from the smoothed image by `magnitude`, float32 [B].

    0 is smoothed, 1 the image. The outermost pixels do not change.
    """
    height, width, channels = images.shape[1:]
    if height < 3 or width < 3:
        return images
    inner = images[:, 1:-1, 1:-1]
    base = tf.reshape(_smooth(tf.cast(images, tf.float32)), tf.shape(_flat(inner)))
    mixed = _blend(base, tf.cast(_flat(inner), tf.float32), magnitude)
    mixed = tf.reshape(mixed, [-1, height - 2, width - 2, channels])
    middle = tf.concat([images[:, 1:-1, :1], mixed, images[:, 1:-1, -1:]], axis=2)
    return tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)


def _channels_first(images: tf.Tensor) -> tf.Tensor:
    """int32 [B * Ch, H * W]."""
    height, width = images.shape[1:3]
    planes = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width])
    return tf.cast(planes, tf.int32)


def _look_up(tables: tf.Tensor, planes: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], `planes` replaced by what their table has for them.

    Args:
        tables: uint8 [B * Ch, 256].
        planes: int32 [B * Ch, H * W].
        images: uint8 [B, H, W, Ch], gives the shape.
    """
    height, width, channels = images.shape[1:]
    mapped = tf.gather(tables, planes, batch_dims=1)
    return tf.transpose(tf.reshape(mapped, [-1, channels, height, width]), [0, 2, 3, 1])


def autocontrast(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], each channel stretched to [0, 255]; `magnitude` means nothing.

    A channel of one value does not change.
    """
    del magnitude
    planes = _channels_first(images)
    low = tf.cast(tf.reduce_min(planes, axis=1, keepdims=True), tf.float64)
    high = tf.cast(tf.reduce_max(planes, axis=1, keepdims=True), tf.float64)
    scale = tf.where(high > low, 255.0 / tf.maximum(high - low, 1.0), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    levels = tf.range(256, dtype=tf.float64) * scale + offset
    tables = tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)
    return _look_up(tables, planes, images)


def equalize(images: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, Ch], each channel's histogram flattened; `magnitude` means nothing.

        table[i] = (step // 2 + #{pixels < i}) // step,
        step = #{pixels < the channel's largest value} // 255

    A channel with step 0 does not change: always so for images of at most 255 pixels.
    """
    del magnitude
    planes = _channels_first(images)
    histogram = tf.raw_ops.DenseBincount(
        input=planes, size=256, weights=tf.zeros([0], tf.int32), binary_output=False
    )
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    largest = tf.reduce_max(planes, axis=1, keepdims=True)
    step = tf.gather(below, largest, batch_dims=1) // 255
    divisor = tf.maximum(step, 1)
    levels = tf.where(step > 0, (divisor // 2 + below) // divisor, tf.range(256))
    return _look_up(tf.cast(tf.minimum(levels, 255), tf.uint8), planes, images)


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
