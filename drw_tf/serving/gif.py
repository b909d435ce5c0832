"""The first picture of a GIF, cut out of it before anything is decoded.

TensorFlow decodes all pictures of an animation, each with a size of its own: a file of a
megabyte can claim gigabytes although its header claims little. It also paints transparent
pixels black, and what a picture leaves of its canvas. A GIF of only the first picture, its
transparent color made white, avoids the former; the latter is white only of a transparent GIF,
which is refused.
"""

import tensorflow as tf

from drw_tf.serving import headers

_EXTENSION, _PICTURE, _TRANSPARENCY = 0x21, 0x2C, 0xF9
_NO_COLOR = -1
_TOO_MANY = "the GIF is in more and smaller blocks than any writer makes."
# Lengths in bytes.
_HEADER, _DESCRIPTOR = 13, 10
# Blocks that any file may have, beside one in 32 bytes.
_MIN_BLOCKS = 1024


def first_picture(encoded: tf.Tensor, where: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """string scalar, a GIF of one picture without extensions.

    Args:
        encoded: string scalar that begins as a GIF does.
        where: string that begins the message of a refusal.
        max_pixels: largest height * width, of the canvas and of the picture.
    """
    raw = tf.cast(tf.io.decode_raw(encoded, tf.uint8), tf.int32)
    raw = _require_length(raw, _HEADER, where)
    encoded = _within_limit(encoded, raw, 6, where, max_pixels)
    body = _HEADER + _palette_bytes(raw[10])
    start, transparent, left = _find_picture(_require_length(raw, body, where), body)
    raw = headers.require(raw, left > 0, where, _TOO_MANY)
    raw = _require_length(raw, start + _DESCRIPTOR + 1, where)
    raw = headers.require(raw, raw[start] == _PICTURE, where, "the GIF has no picture in it.")
    encoded = _within_limit(encoded, raw, start + 5, where, max_pixels)
    # Where only a part of the canvas is painted, the rest would have to be white, too.
    is_whole = tf.reduce_all(raw[start + 5 : start + 9] == raw[6:10])
    encoded = headers.require(
        encoded,
        is_whole | (transparent == _NO_COLOR),
        where,
        "the GIF is transparent and its first picture smaller than its canvas.",
    )
    palette = start + _DESCRIPTOR
    palette_bytes = _palette_bytes(raw[palette - 1])
    end, left = _skip_blocks(raw, palette + palette_bytes + 1, left)
    encoded = headers.require(encoded, left > 0, where, _TOO_MANY)
    encoded = _require_length(encoded, end, where)
    is_local = palette_bytes > 0
    used = tf.where(is_local, palette, _HEADER)
    used_end = tf.where(is_local, palette + palette_bytes, body)
    encoded = _whiten(encoded, used, used_end, transparent)
    # Alone it begins where its canvas does: TensorFlow pastes it onto one of the picture's size.
    parts = (encoded, 0, body), (encoded, start, 1), (encoded, start + 5, end - start - 5)
    before, mark, picture = (tf.strings.substr(*part) for part in parts)
    return tf.strings.join([before, mark, bytes(4), picture, b";"])


def _whiten(encoded, palette, palette_end, color) -> tf.Tensor:
    """The same bytes, where entry `color` of the palette, if there is one, is white."""
    place = palette + 3 * color
    exists = (color != _NO_COLOR) & (place < palette_end)
    place = tf.where(exists, place, 0)
    before = tf.strings.substr(encoded, 0, place)
    after = tf.strings.substr(encoded, place + 3, tf.strings.length(encoded))
    return tf.where(exists, tf.strings.join([before, b"\xff\xff\xff", after]), encoded)


def _palette_bytes(packed: tf.Tensor) -> tf.Tensor:
    """int32 scalar, length of the palette that a descriptor's flags announce."""
    return tf.where(packed >= 128, 3 * tf.bitwise.left_shift(2, packed % 8), 0)


def _find_picture(raw: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the first block that is not an extension begins, the transparent color, and how many
    blocks may still follow.

    Blocks hold up to 255 bytes, and writers fill them: a file of tiny ones would take minutes.
    """
    size = tf.size(raw)

    def is_extension(position, transparent, left):
        return (left > 0) & (position + 7 < size) & (_at(raw, position) == _EXTENSION)

    def step(position, transparent, left):
        announces = (raw[position + 1] == _TRANSPARENCY) & (raw[position + 3] % 2 == 1)
        transparent = tf.where(announces, raw[position + 6], transparent)
        end, left = _skip_blocks(raw, position + 2, left - 1)
        return end, transparent, left

    return tf.while_loop(
        is_extension, step, (start, tf.constant(_NO_COLOR), size // 32 + _MIN_BLOCKS)
    )


def _skip_blocks(raw: tf.Tensor, start: tf.Tensor, left: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Position after a chain of blocks (length, bytes) that an empty block ends, and what it
    leaves of the blocks that may be read."""

    def is_block(position, left):
        return (left > 0) & (position < tf.size(raw)) & (_at(raw, position) > 0)

    def step(position, left):
        return position + _at(raw, position) + 1, left - 1

    last, left = tf.while_loop(is_block, step, (start, left))
    return last + 1, left


def _at(raw: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """The byte there; the last one where the position is beyond, as both sides of & are run."""
    return raw[tf.minimum(position, tf.size(raw) - 1)]


def _within_limit(encoded, raw, start, where, max_pixels) -> tf.Tensor:
    width, height = (tf.cast(raw[at] + 256 * raw[at + 1], tf.int64) for at in (start, start + 2))
    return headers.within_limit(encoded, height, width, where, max_pixels)


def _require_length(value: tf.Tensor, length: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """`value`, the bytes as numbers or as one string, if it is long enough."""
    size = tf.strings.length(value) if value.dtype == tf.string else tf.size(value)
    return headers.require(
        value, size >= length, where, "the GIF is truncated, bytes are missing at the end."
    )
