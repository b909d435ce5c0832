"""What a picture's first bytes claim, checked before anything is decoded.

Everything here is TensorFlow operations, so that it goes into an exported graph. A refusal
is an INVALID_ARGUMENT whose text names the picture and the cause. Bytes come as uint8 [n].
"""

import tensorflow as tf

_TRUNCATED = "truncated, bytes are missing at the end."


def require(value: tf.Tensor, condition: tf.Tensor, *words: str | tf.Tensor) -> tf.Tensor:
    """`value`, computed on only where `condition` holds; else the words are the error.

    Args:
        value: what the condition protects; use the returned tensor instead of it.
        condition: bool scalar.
        words: strings and tensors that are joined to one message.

    Returns:
        `value`, unchanged.
    """
    words = [
        word if isinstance(word, str) or word.dtype == tf.string else tf.strings.as_string(word)
        for word in words
    ]
    with tf.control_dependencies([tf.debugging.Assert(condition, [tf.strings.join(words)])]):
        return tf.identity(value)


def within_limit(
    value: tf.Tensor, height: tf.Tensor, width: tf.Tensor, where: tf.Tensor, max_pixels: int
) -> tf.Tensor:
    """`value`, where a header's claim is at least one pixel and at most `max_pixels`.

    Args:
        value: the encoded picture.
        height: int64 scalar, pixels.
        width: int64 scalar, pixels.
        where: string that begins the message.
        max_pixels: largest height * width.
    """
    claim = (where, "its header claims ", height, " x ", width, " pixels, ")
    value = require(value, (height >= 1) & (width >= 1), *claim, "at least 1 x 1 is needed.")
    allowed = f"at most {max_pixels / 1e6:g} megapixels are decoded."
    # Divided, not multiplied: PNG may claim 2**31 x 2**31, which overflows int64 with a factor.
    return require(value, height <= max_pixels // tf.maximum(width, 1), *claim, allowed)


def check_jpeg(encoded: tf.Tensor, where: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The same JPEG, if it has an end and its size is within the limit."""
    raw = tf.io.decode_raw(encoded, tf.uint8)
    encoded = require(encoded, _contains(raw, b"\xff\xd9"), where, "the JPEG is ", _TRUNCATED)
    shape = tf.cast(tf.io.extract_jpeg_shape(encoded), tf.int64)
    return within_limit(encoded, shape[0], shape[1], where, max_pixels)


def check_png(encoded: tf.Tensor, where: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The same PNG, if it has an end and its size is within the limit."""
    raw = tf.io.decode_raw(encoded, tf.uint8)
    complete = (tf.size(raw) >= 33) & _contains(raw, b"IEND")
    raw = require(raw, complete, where, "the PNG is ", _TRUNCATED)
    width, height = _big_endian(raw, 16), _big_endian(raw, 20)
    return within_limit(encoded, height, width, where, max_pixels)


def check_bmp(encoded: tf.Tensor, where: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """The same BMP, if it is of a kind that TensorFlow reads right, whole and small enough.

    That is 24 or 32 bits a pixel, or 8 with a palette of greys in order, uncompressed.
    """
    raw = tf.io.decode_raw(encoded, tf.uint8)
    raw = require(raw, tf.size(raw) >= 54, where, "the BMP is ", _TRUNCATED)
    width, height = _little_endian(raw, 18, 4), _little_endian(raw, 22, 4)
    # Both are signed; a negative height means that rows are stored from the top.
    signed = 2**32 * tf.cast(tf.stack([width, height]) >= 2**31, tf.int64)
    width, height = width - signed[0], tf.abs(height - signed[1])
    bits = _little_endian(raw, 28, 2)
    header = _little_endian(raw, 14, 4)
    plain = (header >= 40) & (header <= 124) & (_little_endian(raw, 30, 4) == 0)
    readable = plain & tf.reduce_any(bits == [8, 24, 32])
    raw = require(
        raw, readable, where, "the BMP must be uncompressed with 8, 24 or 32 bits a pixel."
    )
    encoded = within_limit(encoded, height, width, where, max_pixels)
    row_bytes = (bits * width + 31) // 32 * 4
    end = _little_endian(raw, 10, 4) + row_bytes * height
    encoded = require(encoded, tf.size(raw, tf.int64) >= end, where, "the BMP is ", _TRUNCATED)
    palette = tf.cast(raw[14 + tf.cast(header, tf.int32) :][:1024], tf.int32)
    is_grey = (bits != 8) | _is_grey_ramp(palette)
    return require(encoded, is_grey, where, "the BMP has a palette of colors, save it as RGB.")


def _is_grey_ramp(palette: tf.Tensor) -> tf.Tensor:
    """Whether entry i of a BMP's palette (blue, green, red, unused) is the grey of value i."""
    whole = tf.pad(palette, [[0, 1024 - tf.size(palette)]])
    entries = tf.reshape(whole, [256, 4])[:, :3]
    return tf.reduce_all(entries == tf.range(256)[:, None])


def _contains(raw: tf.Tensor, marker: bytes) -> tf.Tensor:
    """Whether the bytes of `marker` are somewhere in `raw`, which is not shorter."""
    starts = tf.size(raw) - len(marker) + 1
    found = tf.fill([starts], True)
    for offset, byte in enumerate(marker):
        found &= raw[offset : starts + offset] == byte
    return tf.reduce_any(found)


def _big_endian(raw: tf.Tensor, start: int) -> tf.Tensor:
    """int64 scalar, the unsigned number in 4 bytes."""
    return tf.reduce_sum(tf.cast(raw[start : start + 4], tf.int64) * [2**24, 2**16, 2**8, 1])


def _little_endian(raw: tf.Tensor, start: int, length: int) -> tf.Tensor:
    """int64 scalar, the unsigned number in `length` bytes."""
    part = tf.cast(raw[start : start + length], tf.int64)
    return tf.reduce_sum(part * [2 ** (8 * place) for place in range(length)])
