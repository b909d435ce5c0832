"""Operations that move pixels: flip, crop, quarter turns, rotation, shear, translation.

No pixel is interpolated, so every output pixel is an input pixel or the fill. The moves
of an image are composed on a map of source positions, and the pixels are moved once: a
projective transform of the map takes half as long as one of the three colours.

Positions number the pixels of the whole batch from 1, row by row; `OUTSIDE` is no pixel.
"""

import math

import tensorflow as tf

from drw_tf.augment import addons

OUTSIDE = 0
# What a picture is padded with before it is cropped: its mirror image, or one colour.
REFLECT, CONSTANT = "reflect", "constant"
# Positions between two pixels that are told apart.
_STEPS = 65536.0


def _reflect(positions: tf.Tensor, size: int) -> tf.Tensor:
    """Positions outside [0, size) folded back at the border pixel, which is not repeated."""
    return size - 1 - tf.abs(size - 1 - tf.abs(positions))


def _crop_sources(
    flip: tf.Tensor, shift: tf.Tensor, size: tuple[int, int], padding: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Row and column of the picture that each row and column of the crop shows.

    Args:
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        size: (H, W), pixels.
        padding: pixels on each side.

    Returns:
        int32 [B, H] and int32 [B, W]; up to `padding` outside of the picture.
    """
    height, width = size
    rows = tf.range(height) + shift[:, :1] - padding
    forward = tf.range(width)
    columns = tf.where(flip[:, None], forward[::-1], forward) + shift[:, 1:] - padding
    return rows, columns


def crop_map(
    flip: tf.Tensor,
    shift: tf.Tensor,
    size: tuple[int, int],
    padding: int,
    mode: str = REFLECT,
) -> tf.Tensor:
    """Where each pixel comes from after padding, cropping at `shift`, and mirroring.

    Args:
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        size: (H, W), pixels.
        padding: pixels on each side, < min(H, W).
        mode: `REFLECT`, or `CONSTANT`: then the padding is `OUTSIDE`.

    Returns:
        int32 [B, H, W], positions.
    """
    height, width = size
    rows, columns = _crop_sources(flip, shift, size, padding)
    first = 1 + height * width * tf.range(tf.shape(flip)[0])[:, None]
    if mode == REFLECT:
        starts = first + _reflect(rows, height) * width
        return starts[:, :, None] + _reflect(columns, width)[:, None, :]
    far = tf.int32.min // 2
    starts = tf.where((rows >= 0) & (rows < height), first + rows * width, far)
    columns = tf.where((columns >= 0) & (columns < width), columns, far)
    return tf.maximum(starts[:, :, None] + columns[:, None, :], OUTSIDE)


def identity_map(rows: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """int32 [B, H, W], positions of the pixels of images number `rows`, int32 [B]."""
    pixels = size[0] * size[1]
    positions = 1 + pixels * rows[:, None] + tf.range(pixels)
    return tf.reshape(positions, [-1, *size])


def move(images: tf.Tensor, positions: tf.Tensor, fill: int) -> tf.Tensor:
    """The images with every pixel read from where a map says.

    Args:
        images: uint8 [B, H, W, Ch].
        positions: int32 [B, H, W].
        fill: grey level of what is `OUTSIDE`, in [0, 255].

    Returns:
        uint8 [B, H, W, Ch].
    """
    channels = images.shape[-1]
    # The fill is one more pixel, so that one gather does both. Selecting afterwards takes
    # 4 times as long: tf.where on uint8 is not vectorised.
    outside = tf.fill([1, channels], tf.cast(fill, images.dtype))
    return tf.gather(tf.concat([outside, tf.reshape(images, [-1, channels])], axis=0), positions)


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
        images: uint8 [B, H, W, Ch].
        flip: bool [B].
        shift: int32 [B, 2], (down, right), pixels, in [0, 2 * padding].
        padding: pixels on each side, < min(H, W).
        mode: `REFLECT` (the border pixel is not repeated) or `CONSTANT`.
        fill: grey level of constant padding.

    Returns:
        uint8 [B, H, W, Ch].
    """
    size = (images.shape[1], images.shape[2])
    if mode == CONSTANT:
        return move(images, crop_map(flip, shift, size, padding, mode), fill)
    rows, columns = _crop_sources(flip, shift, size, padding)
    # Whole rows first: that costs a tenth of what follows. No padded copy is made, as tf.pad
    # takes 5 times as long as both gathers.
    images = tf.gather(images, _reflect(rows, size[0]), batch_dims=1)
    return tf.gather(images, _reflect(columns, size[1]), batch_dims=1, axis=2)


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
    grid = tf.reshape(tf.range(height * width), [height, width, 1])
    turns = tf.reshape(tf.stack([tf.image.rot90(grid, k) for k in range(4)]), [4, -1])
    sources = tf.gather(turns, tf.math.floormod(quarter_turns, 4))
    pixels = tf.reshape(images, [-1, height * width, channels])
    turned = tf.gather(pixels, sources, batch_dims=1)
    return tf.reshape(turned, [-1, height, width, channels])


def affine(
    size: tuple[int, int],
    rotation: tf.Tensor | float = 0.0,
    shear_x: tf.Tensor | float = 0.0,
    shear_y: tf.Tensor | float = 0.0,
    shift_x: tf.Tensor | float = 0.0,
    shift_y: tf.Tensor | float = 0.0,
) -> tf.Tensor:
    """Matrices from output to input position; one argument of each may be non-zero.

        [x_in, y_in, 1] = M [x_out, y_out, 1], pixel centres at 1/2, 3/2, ...

    Args:
        size: (H, W), pixels.
        rotation: float32 [...], degrees, counter-clockwise about the centre.
        shear_x: float32 [...], x_in = x_out + shear_x * y_out.
        shear_y: float32 [...], y_in = y_out + shear_y * x_out.
        shift_x: float32 [...], pixels; positive moves the picture to the left.
        shift_y: float32 [...], pixels; positive moves the picture up.

    Returns:
        float32 [..., 3, 3].
    """
    shape = tf.shape(rotation + shear_x + shear_y + shift_x + shift_y)
    center_y, center_x = size[0] / 2, size[1] / 2
    radians = tf.convert_to_tensor(rotation, tf.float32) * (math.pi / 180)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    offset_x = center_x * (1 - cosine) + center_y * sine + shift_x
    offset_y = center_y * (1 - cosine) - center_x * sine + shift_y
    entries = [cosine, shear_x - sine, offset_x, shear_y + sine, cosine, offset_y, 0.0, 0.0, 1.0]
    stacked = tf.stack([tf.broadcast_to(entry, shape) for entry in entries], axis=-1)
    return tf.reshape(stacked, tf.concat([shape, [3, 3]], axis=0))


def crop_matrices(
    flip: tf.Tensor, shift: tf.Tensor, size: tuple[int, int], padding: int
) -> tf.Tensor:
    """float32 [B, 3, 3], from a pixel of the crop to its place; arguments of `crop_map`."""
    down, right = tf.unstack(tf.cast(shift - padding, tf.float32), axis=1)
    mirrored = tf.cast(flip, tf.float32)
    zero, one = tf.zeros_like(down), tf.ones_like(down)
    first = tf.stack([1 - 2 * mirrored, zero, size[1] * mirrored + right], axis=1)
    second, third = tf.stack([zero, one, down], axis=1), tf.stack([zero, zero, one], axis=1)
    return tf.stack([first, second, third], axis=1)


def _fixed_point(values: tf.Tensor) -> tf.Tensor:
    """Rounded to 1/65536, as in Pillow: many positions lie half way between two pixels."""
    return tf.floor(values * _STEPS + 0.5) / _STEPS


def warp(images: tf.Tensor, matrices: tf.Tensor, fill: int) -> tf.Tensor:
    """The images (or maps) moved by one matrix each, nearest neighbour.

    Args:
        images: uint8, int32 or float32 [B, H, W, Ch].
        matrices: float32 [B, 3, 3], from output to input position, pixel centres at
            1/2, 3/2, ...; the last row is (0, 0, 1).
        fill: what is read outside of the image.

    Returns:
        The type and shape of `images`.
    """
    linear, offset = matrices[:, :2, :2], matrices[:, :2, 2:]
    offset = _fixed_point(offset + 0.5 * tf.reduce_sum(linear, axis=-1, keepdims=True))
    linear = _fixed_point(linear)
    # The kernel counts pixel centres from 0, 1, ... and rounds half away from zero; half of
    # the smallest step more, and it rounds down whatever the sign, as Pillow does.
    offset += 0.5 / _STEPS - 0.5
    flat = tf.reshape(tf.concat([linear, offset], axis=-1), [-1, 6])
    return addons.transform(images, tf.pad(flat, [[0, 0], [0, 2]]), fill)


def warp_pixels(images: tf.Tensor, matrices: tf.Tensor, fill: int) -> tf.Tensor:
    """As `warp` for uint8 [B, H, W, Ch], by way of a map: faster from three channels on."""
    if images.shape[-1] < 3:
        return warp(images, matrices, fill)
    start = identity_map(tf.range(tf.shape(images)[0]), (images.shape[1], images.shape[2]))
    return move(images, warp(start[..., None], matrices, OUTSIDE)[..., 0], fill)
