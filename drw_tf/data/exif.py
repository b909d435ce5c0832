"""Which way up a photograph is: the orientation in a JPEG's EXIF, as graph functions.

The upright picture is the stored one flipped down, flipped across, then transposed, each
or not:

    value       1  2  3  4  5  6  7  8
    down              x  x     x  x
    across         x  x           x  x
    transposed              x  x  x  x
"""

import tensorflow as tf

# Bytes among which EXIF begins, behind comments and colour profiles, and those it is read in.
_SEARCHED = 1 << 14
_READ = 1 << 12
# RE2 reads patterns as UTF-8; \C is any byte, and all bytes named here are under 0x80.
_EXIF = r"(?s)\C*Exif\x00\x00\C*"
_BEFORE = r"(?s)\A\C*?Exif\x00\x00"
# The tag's number 0x0112, its type 3, its count 1, its value: big-endian or little-endian.
_TAG = (
    r"(?s)\C*?(?:\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])"
    r"|\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00)\C*"
)


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """What a JPEG's EXIF says of its orientation.

    The tag is looked for by its bytes in the first 4 kB of the EXIF: cameras write it into the
    first directory there.

    Args:
        contents: string [], the bytes of a JPEG.

    Returns:
        int32 [], 1 to 8 as EXIF counts; 1 where the file says nothing.
    """

    def found():
        head = tf.strings.substr(contents, 0, _SEARCHED + _READ)
        inside = tf.strings.regex_replace(head, _BEFORE, "", replace_global=False)
        value = tf.strings.regex_replace(
            tf.strings.substr(inside, 0, _READ), _TAG, r"\1\2", replace_global=False
        )
        given = tf.strings.length(value) == 1
        byte = tf.io.decode_raw(tf.where(given, value, b"\x01"), tf.uint8)
        return tf.cast(byte[0], tf.int32)

    return tf.cond(is_there(contents), found, lambda: tf.constant(1))


def is_there(contents: tf.Tensor) -> tf.Tensor:
    """bool [], whether a JPEG, string [], has EXIF in its first 16 kB."""
    return tf.strings.regex_full_match(tf.strings.substr(contents, 0, _SEARCHED), _EXIF)


def upright(images: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Stored pictures flipped and transposed as their orientation asks.

    Args:
        images: [..., h, w, Ch].
        value: int32 [], orientation in 1..8.

    Returns:
        The same dtype, [..., h, w, Ch] or [..., w, h, Ch].
    """
    down, across, transposed = _flips(value)
    rank = images.shape.rank
    order = [*range(rank - 3), rank - 2, rank - 3, rank - 1]

    def turned():
        out = tf.cond(down, lambda: tf.reverse(images, [rank - 3]), lambda: images)
        out = tf.cond(across, lambda: tf.reverse(out, [rank - 2]), lambda: out)
        return tf.cond(transposed, lambda: tf.transpose(out, order), lambda: out)

    return tf.cond(value > 1, turned, lambda: images)


def upright_shape(shape: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """int32 [2], height and width of the upright picture, from those of the stored one."""
    return tf.where(_flips(value)[2], tf.reverse(shape, [0]), shape)


def stored_boxes(boxes: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Boxes of the upright picture as boxes of the stored one.

    Args:
        boxes: float32 [K, 4], (ymin, xmin, ymax, xmax) in [0, 1].
        value: int32 [], orientation in 1..8.

    Returns:
        float32 [K, 4].
    """
    down, across, transposed = _flips(value)
    boxes = tf.where(transposed, tf.gather(boxes, [1, 0, 3, 2], axis=1), boxes)
    mirrored = 1 - tf.gather(boxes, [2, 3, 0, 1], axis=1)
    return tf.where(tf.stack([down, across, down, across]), mirrored, boxes)


def _flips(value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    down = tf.reduce_any(tf.equal(value, [3, 4, 6, 7]))
    across = tf.reduce_any(tf.equal(value, [2, 3, 7, 8]))
    return down, across, value >= 5
