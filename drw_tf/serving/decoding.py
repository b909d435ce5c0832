"""From what a client sends to what the network was evaluated on: uint8 [B, H, W, Ch].

Everything here is TensorFlow operations, so that it goes into an exported graph. Of files
that training reads, the evaluation looks at the central square; of data sets that come as
arrays it sees the whole picture. The graph does the one or the other.
"""

import dataclasses
import functools

import tensorflow as tf

from drw_tf.data import image_files, other_files
from drw_tf.serving import gif, headers

# A picture being decoded takes several times its size in memory, so only few at once.
_AT_ONCE = 4
MAX_MEGAPIXELS = 500.0
_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as in JPEG and in Pillow


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How pictures become the network's input.

    Attributes:
        image_shape: (H, W, Ch), Ch is 1 (grey) or 3 (RGB).
        central_fraction: side of the central square that is kept, over the shorter side of
            the picture, in (0, 1]; None keeps the whole picture, whatever its proportions.
        max_megapixels: largest height * width / 1e6; a header that claims more is refused
            before memory is taken for it.

    Raises:
        ValueError: a value is out of its range.
    """

    image_shape: tuple[int, int, int]
    central_fraction: float | None = None
    max_megapixels: float = 50.0

    def __post_init__(self):
        shape = tuple(self.image_shape)
        is_whole = all(isinstance(side, int) for side in shape)
        if len(shape) != 3 or not is_whole or min(shape) < 1 or shape[2] not in (1, 3):
            raise ValueError(f"image_shape must be (height, width, 1 or 3), got {shape}.")
        if self.central_fraction is not None:
            if not 0 < self.central_fraction <= 1:
                raise ValueError(
                    f"central_fraction must be in (0, 1], got {self.central_fraction}."
                )
            if shape[0] != shape[1]:
                raise ValueError(f"a central square needs a square image_shape, got {shape}.")
        if not 0 < self.max_megapixels <= MAX_MEGAPIXELS:
            raise ValueError(
                f"max_megapixels must be in (0, {MAX_MEGAPIXELS:g}], got {self.max_megapixels}."
            )

    @property
    def max_pixels(self) -> int:
        """The limit in pixels."""
        return int(self.max_megapixels * 1e6)


def decode_batch(encoded: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """uint8 [B, H, W, Ch], the pictures in these strings, at the network's size.

    Transparent pictures are laid on white; of an animation the first picture counts; the
    orientation that a camera noted in a JPEG is applied.

    Args:
        encoded: string [B], each a whole JPEG, PNG, GIF or BMP file.
        preparation: what the network expects.

    Raises:
        tf.errors.InvalidArgumentError: a string is not such a picture, is truncated, or
            claims too many pixels. The message names its place in the batch, but where the
            decoder finds damage inside.
    """

    def decode(row):
        where = tf.strings.join(["image ", tf.strings.as_string(row[0]), ": "])
        pixels = _decode(row[1], where, preparation)
        return tf.ensure_shape(channels(pixels, preparation), preparation.image_shape)

    return tf.map_fn(
        decode,
        (tf.range(tf.size(encoded)), encoded),
        parallel_iterations=_AT_ONCE,
        fn_output_signature=tf.TensorSpec(preparation.image_shape, tf.uint8),
    )


def check_batch(images: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """The same pictures, uint8 [B, H, W, Ch].

    Args:
        images: uint8, of any sizes.
        preparation: what the network expects.

    Raises:
        tf.errors.InvalidArgumentError: the sizes are not (H, W, Ch).
    """
    height, width, channels = preparation.image_shape
    got = tf.shape(images)[1:]  # of any length: a picture may lack its batch or its channels
    sizes = tf.strings.reduce_join(tf.strings.as_string(got), separator=", ")
    wanted = f"{height}, {width}, {channels}"
    expected = f"images must be uint8 [B, {wanted}], got [B, "
    fits = sizes == wanted
    checked = headers.require(images, fits, expected, sizes, "].")
    # Not `tf.ensure_shape`: TensorFlow Lite has no such operation, and it was just checked.
    checked.set_shape([None, *preparation.image_shape])
    return checked


def _decode(encoded: tf.Tensor, where: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """uint8 [H, W, 3]."""
    readers = (
        ([b"\xff\xd8\xff"], _read_jpeg),
        ([b"\x89PNG\r\n\x1a\n"], _read_png),
        ([b"GIF87a", b"GIF89a"], _read_gif),
        ([b"BM"], _read_bmp),
    )
    arguments = (encoded, where, preparation)
    cases = [
        (_begins_as_one_of(encoded, magics), functools.partial(read, *arguments))
        for magics, read in readers
    ]
    return tf.case(cases, default=functools.partial(_refuse, *arguments))


def _begins_as_one_of(encoded: tf.Tensor, magics: list[bytes]) -> tf.Tensor:
    return tf.reduce_any([tf.strings.substr(encoded, 0, len(one)) == one for one in magics])


def _read_jpeg(encoded, where, preparation) -> tf.Tensor:
    checked = headers.check_jpeg(encoded, where, preparation.max_pixels)
    if preparation.central_fraction is not None:
        # Decodes only what is needed, and at a smaller scale: evaluation's very pixels.
        return image_files.decode_resized(
            checked, preparation.image_shape[0], preparation.central_fraction, pillow=False
        )
    return fit(image_files.decode(checked, pillow=False), preparation)


def _read_png(encoded, where, preparation) -> tf.Tensor:
    checked = headers.check_png(encoded, where, preparation.max_pixels)
    return fit(other_files.decode(checked, pillow=False), preparation)


def _read_gif(encoded, where, preparation) -> tf.Tensor:
    first = gif.first_picture(encoded, where, preparation.max_pixels)
    return fit(tf.io.decode_gif(first)[0], preparation)


def _read_bmp(encoded, where, preparation) -> tf.Tensor:
    pixels = tf.io.decode_bmp(headers.check_bmp(encoded, where, preparation.max_pixels))
    # The fourth byte of an uncompressed BMP's pixel is padding, not alpha.
    color = pixels[:, :, :3]
    return fit(tf.tile(color, [1, 1, 3 // tf.shape(color)[2]]), preparation)


def _refuse(encoded, where, preparation) -> tf.Tensor:
    """Never anything; its type and shape are those of the others."""
    message = "not a JPEG, PNG, GIF or BMP picture."
    refused = headers.require(encoded, tf.constant(False), where, message)
    pixels = tf.zeros([*preparation.image_shape[:2], 3], tf.uint8)
    return pixels + tf.cast(tf.strings.length(refused), tf.uint8)


def fit(pixels: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """uint8 [H, W, 3], a decoded picture at the network's size.

    Args:
        pixels: uint8 [h, w, 3], the whole picture.
        preparation: what the network expects; its number of channels is not looked at.
    """
    if preparation.central_fraction is None:
        return image_files.resized_whole(pixels, preparation.image_shape[:2])
    side, fraction = preparation.image_shape[0], preparation.central_fraction
    return image_files.central_square(pixels, side, fraction)


def channels(pixels: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """uint8 [H, W, Ch], in grey where the network expects that.

    Args:
        pixels: uint8 [H, W, 3].
        preparation: what the network expects.
    """
    if preparation.image_shape[2] == 3:
        return pixels
    grey = tf.tensordot(tf.cast(pixels, tf.float32), _GREY, 1)
    return tf.cast(tf.round(grey), tf.uint8)[:, :, None]
