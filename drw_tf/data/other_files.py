"""Picture files that are no JPEG: whether TensorFlow or Pillow reads one, and their pixels."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

# RE2 reads patterns as UTF-8; \C is any byte, and all bytes named below are under 0x80.
# What TensorFlow reads wrongly or not at all: GIF, of which it makes the transparent colour black
# and reads all pictures of an animation into memory; BMP but the plain 24-bit kind; WebP.
_FOR_PILLOW = (
    r"(?s)GIF8\C*",
    r"(?s)RIFF\C{4}WEBP\C*",
    r"(?s)BM\C*",
)
# Colour types 4 and 6, and transparent colours: a chunk of at most 256 bytes, told by its length
# from the same letters among the pixels. Only they are decoded to four channels: of an opaque
# grey PNG with less than 8 bits TensorFlow would give 1, 3 or 15 for alpha.
_PNG_WITH_ALPHA = r"(?s)\CPNG(?:\C{21}[\x04\x06]|\C*\x00\x00[\x00\x01]\CtRNS)\C*"
_PLAIN_BMP = r"(?s)BM\C{12}\x28\x00\x00\x00\C{10}\x18\x00\x00\x00\x00\x00\C*"


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """bool [], by the first three bytes."""
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


def decode(contents: tf.Tensor, pillow: bool) -> tf.Tensor:
    """uint8 [h, w, 3] of what is not a JPEG."""
    head = tf.strings.substr(contents, 0, 1 << 16)

    def opaque():
        return tf.io.decode_image(contents, channels=3, expand_animations=False)

    def transparent():
        return _on_white(tf.io.decode_png(contents, channels=4))

    def by_tensorflow():
        return tf.cond(tf.strings.regex_full_match(head, _PNG_WITH_ALPHA), transparent, opaque)

    if not pillow:
        return by_tensorflow()

    def by_pillow():
        return tf.numpy_function(_pillow_pixels, [contents], tf.uint8)

    return tf.cond(_needs_pillow(head), by_pillow, by_tensorflow)


def _needs_pillow(head: tf.Tensor) -> tf.Tensor:
    """bool []; `head` is long enough to hold what lies before the pixels of a BMP."""
    hits = [tf.strings.regex_full_match(head, pattern) for pattern in _FOR_PILLOW]
    return tf.reduce_any(hits) & ~tf.strings.regex_full_match(head, _PLAIN_BMP)


def refuse_pillow(contents: tf.Tensor, path: tf.Tensor) -> tf.Tensor:
    """`contents`, string [], of a file that TensorFlow reads alone; in a graph.

    Raises:
        tf.errors.InvalidArgumentError: it needs Pillow; `path`, string [], is named.
    """

    def checked():
        needs = _needs_pillow(tf.strings.substr(contents, 0, 1 << 16))
        said = ["is a GIF or WebP, or a BMP that only Pillow reads:", path]
        with tf.control_dependencies([tf.debugging.Assert(~needs, said)]):
            return tf.identity(contents)

    return tf.cond(is_jpeg(contents), lambda: contents, checked)


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3], c * a + 255 * (1 - a) for uint8 [h, w, 4], rounded."""
    color, alpha = image[..., :3], image[..., 3:]

    def blend():
        # 16 bits hold 255 * 255 + 127, at half the memory of float32.
        weight = tf.cast(alpha, tf.uint16)
        total = tf.cast(color, tf.uint16) * weight + 255 * (255 - weight)
        return tf.cast((total + 127) // 255, tf.uint8)

    return tf.cond(tf.reduce_all(alpha == 255), lambda: color, blend)


# The limit of Pillow itself would refuse what --max_megapixels allows; sizes are looked at in
# headers before.
Image.MAX_IMAGE_PIXELS = None


def _pillow_pixels(contents: bytes | np.ndarray) -> np.ndarray:
    if not isinstance(contents, bytes):
        # Eagerly TensorFlow hands over an object array without dimensions.
        contents = contents.item()
    with Image.open(io.BytesIO(contents), formats=("BMP", "GIF", "WEBP")) as image:
        if image.format == "WEBP":
            image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        elif image.format == "GIF":
            # The first picture may fill a part of the canvas; the rest of it has no colour.
            image = image.crop(image.tile[0][1])
        return np.asarray(image.convert("RGB"))
