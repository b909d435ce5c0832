"""Picture files to uint8 pixels, as graph functions for `tf.data`.

Which decoder reads a file is decided by its first bytes, never by its name:

    JPEG                         TensorFlow; grey and CMYK become RGB
    PNG, 24-bit BMP              TensorFlow; 16 bits become 8
    GIF, WebP, other BMP         Pillow, in Python; of a GIF the first picture; WebP at a third of
                                 JPEG's rate, but no row of another kind waits for it

Transparent pixels are laid on white. The orientation that a camera wrote into a JPEG's or
a WebP's EXIF is applied, so a box always means the picture as people see it.

Measured on JPEGs of 500 x 375 and 92 kB, pictures per CPU second: bare `decode_jpeg` 1040 to
1100, one box to 224 pixels 670 to 750, two boxes 490 to 580; of that, dealing with what is not
a plain JPEG costs a fifth. Decoding the smallest rectangle that holds all boxes once and
cutting them from it (790 for two boxes, alone) was never slower than decoding everything (750)
or each box by itself (560). `dct_method` and `fancy_upscaling` made no difference beyond noise.
At 12 megapixels the entropy coding sets the pace: one box takes 32 ms, bare decoding 36 ms,
decoding all and resizing it with antialiasing 46 ms and sixty times the memory.
"""

from collections.abc import Callable

import tensorflow as tf

from drw_tf.data import exif, other_files

EXTENSIONS = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp")

# Mean and standard deviation of ImageNet's pixels, what published weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Central part that evaluation looks at: 224 of 256, as is usual for ImageNet.
CENTRAL_FRACTION = 0.875

# Shrinking by more than this is antialiased, which costs nearly as much as decoding.
_ANTIALIASED = 3

# Equals Pillow's pixels; TensorFlow's default is up to 4 levels off and no faster.
_DCT = "INTEGER_ACCURATE"


def decode(contents: tf.Tensor, pillow: bool = True) -> tf.Tensor:
    """The whole picture, upright.

    Args:
        contents: string [], the bytes of a file.
        pillow: False leaves out the branch that needs this Python process, for graphs
            that are exported; what only Pillow reads is then an error.

    Returns:
        uint8 [h, w, 3].

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no picture, or a broken one.
    """

    def jpeg():
        image = tf.io.decode_jpeg(contents, channels=3, dct_method=_DCT)
        return exif.upright(image, exif.orientation(contents))

    return _colours(
        tf.cond(other_files.is_jpeg(contents), jpeg, lambda: other_files.decode(contents, pillow))
    )


def decode_crops(
    contents: tf.Tensor,
    boxes: tf.Tensor,
    size: int,
    pillow: bool = True,
    fit: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """K boxes of one picture, each resized to a square; the picture is decoded once.

    A JPEG is decoded only inside the smallest rectangle that holds all boxes, and at 1/2, 1/4
    or 1/8 of its size where no box needs more. Bilinear, antialiased where a box shrinks to
    less than a third.

    Args:
        contents: string [], the bytes of a file.
        boxes: float32 [K, 4], (ymin, xmin, ymax, xmax) as fractions in [0, 1] of the upright
            picture; K is static. A box of less than a pixel becomes one pixel.
        size: side of the result, pixels.
        pillow: see `decode`.
        fit: changes boxes for the picture's aspect (width over height), or None.

    Returns:
        uint8 [K, size, size, 3].

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no picture, or a broken one.
    """
    boxes = tf.convert_to_tensor(boxes, tf.float32)

    def boxes_of(height, width):
        if fit is None:
            return boxes
        return fit(boxes, tf.cast(width, tf.float32) / tf.cast(height, tf.float32))

    return _crops(contents, boxes_of, boxes.shape[0], size, pillow)


def decode_resized(
    contents: tf.Tensor, size: int, fraction: float = CENTRAL_FRACTION, pillow: bool = True
) -> tf.Tensor:
    """The central square of a picture, for evaluation.

    The same as resizing the shorter side to `size / fraction` and cutting out the centre.

    Args:
        contents: string [], the bytes of a file.
        size: side of the result, pixels.
        fraction: side of the square over the shorter side of the picture, in (0, 1].
        pillow: see `decode`.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ValueError: `fraction` is outside (0, 1].
        tf.errors.InvalidArgumentError: the bytes are no picture, or a broken one.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}.")

    def central(height, width):
        return _central_box(height, width, fraction)

    return _crops(contents, central, 1, size, pillow)[0]


def resized_whole(pixels: tf.Tensor, sides: tuple[int, int]) -> tf.Tensor:
    """A whole picture at another size, whatever its proportions, smoothed where it shrinks.

    Args:
        pixels: uint8 [h, w, Ch].
        sides: (H, W).

    Returns:
        uint8 [H, W, Ch], Pillow's bilinear resizing but for rounding.
    """
    return _rounded(tf.image.resize(pixels, sides, antialias=True))


def central_square(pixels: tf.Tensor, size: int, fraction: float) -> tf.Tensor:
    """uint8 [size, size, Ch], of a decoded picture what `decode_resized` gives of its file.

    Args:
        pixels: uint8 [h, w, Ch].
        size: side of the result.
        fraction: as there.
    """
    shape = tf.shape(pixels)
    box = _central_box(shape[0], shape[1], fraction)
    starts, sides = _windows(box, tf.cast(shape[:2], tf.float32))
    start, side = tf.cast(starts[0], tf.int32), tf.cast(sides[0], tf.int32)
    square = pixels[start[0] : start[0] + side[0], start[1] : start[1] + side[1]]
    is_large = tf.reduce_any(side > _ANTIALIASED * size)
    return tf.cond(
        is_large,
        lambda: resized_whole(square, (size, size)),
        lambda: _rounded(tf.image.resize(square, [size, size])),
    )


def _central_box(height: tf.Tensor, width: tf.Tensor, fraction: float) -> tf.Tensor:
    """float32 [1, 4], the box of the central square, as fractions of the sides."""
    sides = tf.cast(tf.stack([height, width]), tf.float32)
    half = fraction * tf.reduce_min(sides) / sides / 2
    return tf.concat([0.5 - half, 0.5 + half], 0)[None]


def _rounded(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), tf.uint8)


def _crops(
    contents: tf.Tensor, boxes_of: Callable, number: int, size: int, pillow: bool
) -> tf.Tensor:
    """`decode_crops` of the boxes that `boxes_of(height, width)` gives, `number` of them."""

    def other():
        image = _colours(other_files.decode(contents, pillow))
        shape = tf.shape(image)
        starts, sides = _windows(boxes_of(shape[0], shape[1]), tf.cast(shape[:2], tf.float32))
        return image, starts, sides, tf.constant(1)

    # TensorFlow walks through dead branches too: they hold what differs and no more.
    image, starts, sides, orientation = tf.cond(
        other_files.is_jpeg(contents), lambda: _decode_jpeg_region(contents, boxes_of, size), other
    )
    starts = tf.cast(tf.pad(starts, [[0, 0], [0, 1]]), tf.int32)
    sides = tf.cast(tf.pad(sides, [[0, 0], [0, 1]], constant_values=3), tf.int32)
    windows = zip(tf.unstack(starts, num=number), tf.unstack(sides, num=number), strict=True)
    cuts = [_resize(tf.slice(image, start, side)[None], side, size) for start, side in windows]
    pixels = tf.cast(tf.round(tf.concat(cuts, 0)), tf.uint8)
    return tf.ensure_shape(exif.upright(pixels, orientation), [number, size, size, 3])


def _decode_jpeg_region(
    contents: tf.Tensor, boxes_of: Callable, size: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """What of a JPEG the boxes need.

    Returns:
        uint8 [h, w, 3], the region, as stored; float32 [K, 2] and [K, 2], the boxes' first pixels
        in it and their sides; int32 [], the orientation that turns what is cut from it.
    """
    stored = tf.io.extract_jpeg_shape(contents)[:2]
    orientation = exif.orientation(contents)

    def turned():
        shape = exif.upright_shape(stored, orientation)
        return exif.stored_boxes(boxes_of(shape[0], shape[1]), orientation)

    boxes = tf.cond(orientation > 1, turned, lambda: boxes_of(stored[0], stored[1]))
    stored = tf.cast(stored, tf.float32)
    shortest = tf.reduce_min((boxes[:, 2:] - boxes[:, :2]) * stored)
    level = tf.reduce_sum(tf.cast(shortest >= [2.0 * size, 4.0 * size, 8.0 * size], tf.int32))
    starts, sides = _windows(boxes, tf.math.ceil(stored / tf.gather([1.0, 2.0, 4.0, 8.0], level)))
    start = tf.reduce_min(starts, 0)
    end = tf.reduce_max(starts + sides, 0)
    region = tf.cast(tf.concat([start, end - start], 0), tf.int32)

    def at(ratio):
        return lambda: tf.io.decode_and_crop_jpeg(
            contents, region, channels=3, ratio=ratio, dct_method=_DCT
        )

    image = tf.switch_case(level, [at(1), at(2), at(4), at(8)])
    return image, starts - start, sides, orientation


def _resize(image: tf.Tensor, sides: tf.Tensor, size: int) -> tf.Tensor:
    """float32 [1, size, size, 3]; `tf.image.resize` is this and forty operations more."""

    def plain():
        return tf.raw_ops.ResizeBilinear(images=image, size=[size] * 2, half_pixel_centers=True)

    def antialiased():
        return tf.raw_ops.ScaleAndTranslate(
            images=image,
            size=[size] * 2,
            scale=size / tf.cast(sides[:2], tf.float32),
            translation=[0.0, 0.0],
            kernel_type="triangle",
            antialias=True,
        )

    return tf.cond(tf.reduce_max(sides) > _ANTIALIASED * size, antialiased, plain)


def _windows(boxes: tf.Tensor, limits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 [K, 2] first pixels and [K, 2] sides, at least one pixel each way."""
    starts = tf.minimum(tf.round(boxes[:, :2] * limits), limits - 1)
    return starts, tf.maximum(tf.round(boxes[:, 2:] * limits) - starts, 1)


def _colours(image: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(image, [None, None, 3])
