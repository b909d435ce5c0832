"""Picture files to batches of a network's input, decoded in parallel and held only briefly.

What an exported model's `serving_bytes` makes of a file is what comes out here, faster: that
graph decodes four pictures of a batch at a time. Formats that TensorFlow does not read
(WebP, rare BMP) come through Pillow.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from drw_tf.data import image_files, image_scan, parallelism
from drw_tf.serving import decoding


@dataclasses.dataclass(frozen=True)
class Part:
    """The next pictures of a list of files.

    Attributes:
        rows: int64 [b], their places in the list, ascending.
        pixels: uint8 [b, H, W, Ch].
        unreadable: places up to the last of `rows` whose files could not be decoded.
    """

    rows: np.ndarray
    pixels: np.ndarray
    unreadable: tuple[int, ...]


def decode(contents: tf.Tensor, preparation: decoding.Preparation) -> tf.Tensor:
    """uint8 [H, W, Ch], one picture as the network was evaluated on it.

    Args:
        contents: string [], the bytes of a file.
        preparation: what the network expects.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no picture, or a broken one.
    """
    side, fraction = preparation.image_shape[0], preparation.central_fraction
    if fraction is None:
        pixels = decoding.fit(image_files.decode(contents), preparation)
    else:
        pixels = image_files.decode_resized(contents, side, fraction)
    return tf.ensure_shape(decoding.channels(pixels, preparation), preparation.image_shape)


def parts(paths: Sequence[str], preparation: decoding.Preparation, batch: int) -> Iterator[Part]:
    """All pictures in order; a file that cannot be decoded is left out and its place told.

    Memory does not grow with the number of files but for their paths.

    Args:
        paths: str [N], N >= 1. Their headers were looked at before (`image_scan.scan`).
        preparation: what the network expects.
        batch: pictures in a part, >= 1; the last part may have fewer, or none.
    """

    def load(row, path):
        return row, decode(tf.io.read_file(path), preparation)

    files = tf.data.Dataset.from_tensor_slices(tf.constant(paths, tf.string)).enumerate()
    cores = parallelism.usable_cores()
    decoded = files.map(load, num_parallel_calls=cores, deterministic=True)
    batches = parallelism.untuned(decoded.ignore_errors().batch(batch).prefetch(2))
    following = 0
    for rows, pixels in batches.as_numpy_iterator():
        end = int(rows[-1]) + 1
        yield Part(rows, pixels, _gaps(following, end, rows))
        following = end
    if following < len(paths):
        nothing = np.zeros([0, *preparation.image_shape], np.uint8)
        yield Part(np.arange(0), nothing, tuple(range(following, len(paths))))


def fault(path: str, max_megapixels: float) -> str:
    """Why a picture could not be decoded, in a few words."""
    report = image_scan.scan(
        [path], max_megapixels=max_megapixels, on_bad="skip", full=True, progress=False
    )
    return report.bad[0].reason if report.bad else "it could not be read"


def _gaps(start: int, end: int, rows: np.ndarray) -> tuple[int, ...]:
    """The places in [start, end) that `rows` leaves out."""
    if len(rows) == end - start:
        return ()
    return tuple(np.setdiff1d(np.arange(start, end), rows).tolist())
