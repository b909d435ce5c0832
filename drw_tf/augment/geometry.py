"""Operations that move pixels: flip, crop, quarter turns, rotation, shear, translation.

No pixel is interpolated, so every output pixel is an input pixel or the fill. The moves
of one image are composed on a map of source positions, and the pixels are moved once.
"""

import math

import tensorflow as tf

from drw_tf.augment import addons

# What a map holds where there is no source pixel.
OUTSIDE = -1
REFLECT = "reflect"
CONSTANT = "constant"


def crop_sources(
    flip: tf.Tensor, shift: tf.Tensor, size: tuple[int, int], padding: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and column that each output row and column is read from, before reflection.

    The picture is padded on all sides, cut at `shift`, then mirrored where `flip`.

    Args:
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        size: (H, W), pixels.
        padding: pixels on each side.

    Returns:
        int32 [B, H] and int32 [B, W]; may lie outside of the picture by `padding`.
    """
    height, width = size
    rows = tf.range(height) + shift[:, :1] - padding
    forward = tf.range(width)
    columns = tf.where(flip[:, None], forward[::-1], forward) + shift[:, 1:] - padding
    return rows, columns


def reflect(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Positions outside [0, size) folded back at the border pixel, which is not repeated.

    Args:
        positions: int32, any shape, in (-size, 2 * size - 1).
        size: pixels, >= 1.

    Returns:
        int32, the shape of `positions`, in [0, size).
    """
    return size - 1 - tf.abs(size - 1 - tf.abs(positions))


def crop_map(
    flip: tf.Tensor, shift: tf.Tensor, size: tuple[int, int], padding: int, mode: str = REFLECT
) -> tf.Tensor:
    """Map of source positions of the crop after padding, then of the flip.

    Args:
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        size: (H, W), pixels.
        padding: pixels on each side, < min(H, W).
        mode: "reflect", or "constant": outside of the picture is `OUTSIDE`.

    Returns:
        int32 [B, H, W], row * W + column, or `OUTSIDE`.
    """
    height, width = size
    rows, columns = crop_sources(flip, shift, size, padding)
    if mode == REFLECT:
        rows, columns = reflect(rows, height), reflect(columns, width)
        return rows[:, :, None] * width + columns[:, None, :]
    far = -2 * height * width
    rows = tf.where((rows >= 0) & (rows < height), rows * width, far)
    columns = tf.where((columns >= 0) & (columns < width), columns, far)
    return tf.maximum(rows[:, :, None] + columns[:, None, :], OUTSIDE)


def identity_map(rows: tf.Tensor | int, size: tuple[int, int]) -> tf.Tensor:
    """int32 [rows, H, W], the map that moves nothing: row * W + column."""
    height, width = size
    grid = tf.reshape(tf.range(height * width), [1, height, width])
    return tf.tile(grid, [rows, 1, 1])


def move(images: tf.Tensor, positions: tf.Tensor, fill: int) -> tf.Tensor:
    """The images with every pixel read from where a map says.

    Args:
        images: uint8 [B, H, W, Ch].
        positions: int32 [B, H, W], row * W + column of the source, or `OUTSIDE`.
        fill: grey level of pixels that have no source, in [0, 255].

    Returns:
        uint8 [B, H, W, Ch].
    """
    height, width, channels = images.shape[1:]
    rows = tf.shape(images)[0]
    background = tf.fill([rows, 1, channels], tf.cast(fill, images.dtype))
    # The fill is one more pixel of each image, so that one gather does both. Selecting
    # afterwards takes 4 times as long: tf.where on uint8 is not vectorised.
    pixels = tf.concat([background, tf.reshape(images, [rows, height * width, channels])], 1)
    flat = tf.reshape(positions, [rows, height * width]) + 1
    moved = tf.gather(pixels, flat, batch_dims=1)
    return tf.reshape(moved, [rows, height, width, channels])


def crop_and_flip(
    images: tf.Tensor,
    flip: tf.Tensor,
    shift: tf.Tensor,
    padding: int,
    mode: str = REFLECT,
    fill: int = 0,
) -> tf.Tensor:
    """The images padded, cut back to their size, and mirrored; exact pixels.

    Args:
        images: any type [B, H, W, Ch].
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        padding: pixels on each side, < min(H, W).
        mode: "reflect" (the border pixel is not repeated) or "constant".
        fill: grey level of the padding if it is "constant".

    Returns:
        The type and shape of `images`.
    """
    size = (images.shape[1], images.shape[2])
    if mode == CONSTANT:
        return move(images, crop_map(flip, shift, size, padding, mode), fill)
    rows, columns = crop_sources(flip, shift, size, padding)
    images = tf.gather(images, reflect(rows, size[0]), batch_dims=1)
    return tf.gather(images, reflect(columns, size[1]), batch_dims=1, axis=2)


def rotate90(images: tf.Tensor, quarter_turns: tf.Tensor) -> tf.Tensor:
    """The images turned counter-clockwise by quarter turns; exact pixels.

    Args:
        images: any type [B, H, H, Ch].
        quarter_turns: int32 [B]; only its value modulo 4 matters.

    Returns:
        The type and shape of `images`.

    Raises:
        ValueError: the images are not square.
    """
    height, width, channels = images.shape[1:]
    if height != width:
        raise ValueError(f"rotate90 needs square images, got {height} x {width}.")
    grid = tf.reshape(tf.range(height * width), [height, width])
    turns = tf.stack([tf.image.rot90(grid[..., None], k) for k in range(4)])
    flat = tf.gather(tf.reshape(turns, [4, height * width]), tf.math.floormod(quarter_turns, 4))
    pixels = tf.reshape(images, [-1, height * width, channels])
    return tf.reshape(tf.gather(pixels, flat, batch_dims=1), tf.shape(images))


def affine(
    size: tuple[int, int],
    rotation: tf.Tensor,
    shear_x: tf.Tensor,
    shear_y: tf.Tensor,
    shift_x: tf.Tensor,
    shift_y: tf.Tensor,
) -> tf.Tensor:
    """Matrices from output to input position; of the five arguments one may be non-zero.

        [x_in, y_in, 1] = M [x_out, y_out, 1], pixel centres at 1/2, 3/2, ...

    The arguments may have any common shape [...].

    Args:
        size: (H, W), pixels.
        rotation: float32, degrees, counter-clockwise about the centre.
        shear_x: float32, x_in = x_out + shear_x * y_out.
        shear_y: float32, y_in = y_out + shear_y * x_out.
        shift_x: float32, pixels; positive moves the picture to the left.
        shift_y: float32, pixels; positive moves the picture up.

    Returns:
        float32 [..., 3, 3].
    """
    center_y, center_x = size[0] / 2, size[1] / 2
    radians = rotation * (math.pi / 180)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    offset_x = center_x * (1 - cosine) + center_y * sine + shift_x
    offset_y = center_y * (1 - cosine) - center_x * sine + shift_y
    zero, one = tf.zeros_like(cosine), tf.ones_like(cosine)
    entries = [cosine, shear_x - sine, offset_x, shear_y + sine, cosine, offset_y, zero, zero, one]
    return tf.reshape(tf.stack(entries, -1), tf.concat([tf.shape(cosine), [3, 3]], 0))


def warp(images: tf.Tensor, matrices: tf.Tensor, fill: int) -> tf.Tensor:
    """The images (or maps) moved by one matrix each, nearest neighbour.

    Args:
        images: uint8, int32 or float32 [B, H, W, Ch].
        matrices: float32 [B, 3, 3], from `affine`; the last row is (0, 0, 1).
        fill: what is read outside of the image.

    Returns:
        The type and shape of `images`.
    """
    linear, offset = matrices[:, :2, :2], matrices[:, :2, 2:]
    # The kernel counts pixels from 0, 1, ..., not from 1/2, 3/2, ...
    offset += 0.5 * tf.reduce_sum(linear, axis=-1, keepdims=True) - 0.5
    flat = tf.reshape(tf.concat([linear, offset], axis=-1), [-1, 6])
    return addons.transform(images, tf.pad(flat, [[0, 0], [0, 2]]), fill)


def rotate(images: tf.Tensor, magnitude: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """uint8 [B, H, W, Ch], turned counter-clockwise by `magnitude`, float32 [B], degrees."""
    zero = tf.zeros_like(magnitude)
    size = (images.shape[1], images.shape[2])
    return warp(images, affine(size, magnitude, zero, zero, zero, zero), fill)


def shear_x(images: tf.Tensor, magnitude: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """uint8 [B, H, W, Ch], rows shifted left by `magnitude`, float32 [B], times their y."""
    zero = tf.zeros_like(magnitude)
    size = (images.shape[1], images.shape[2])
    return warp(images, affine(size, zero, magnitude, zero, zero, zero), fill)


def shear_y(images: tf.Tensor, magnitude: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """uint8 [B, H, W, Ch], columns shifted up by `magnitude`, float32 [B], times their x."""
    zero = tf.zeros_like(magnitude)
    size = (images.shape[1], images.shape[2])
    return warp(images, affine(size, zero, zero, magnitude, zero, zero), fill)


def translate_x(images: tf.Tensor, magnitude: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """uint8 [B, H, W, Ch], moved left by `magnitude`, float32 [B], of the width."""
    zero = tf.zeros_like(magnitude)
    size = (images.shape[1], images.shape[2])
    return warp(images, affine(size, zero, zero, zero, magnitude * size[1], zero), fill)


def translate_y(images: tf.Tensor, magnitude: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """uint8 [B, H, W, Ch], moved up by `magnitude`, float32 [B], of the height."""
    zero = tf.zeros_like(magnitude)
    size = (images.shape[1], images.shape[2])
    return warp(images, affine(size, zero, zero, zero, zero, magnitude * size[0]), fill)
