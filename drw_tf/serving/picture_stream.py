"""Picture files to batches of a network's input, decoded in parallel and held only briefly.

What an exported model's `serving_bytes` makes of a file is what comes out here, faster: that
graph decodes four pictures of a batch at a time. Formats that TensorFlow does not read
(WebP, rare BMP) come through Pillow.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

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
        unreadable: places up to the last of `rows` whose files could not be decoded, each with
            the reason in a few words.
    """

    rows: np.ndarray
    pixels: np.ndarray
    unreadable: Mapping[int, str]


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

    Raises:
        OSError: the disk is gone, and not back within seconds.
        tf.errors.ResourceExhaustedError: memory runs out for a picture alone.
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
        yield _second_look(rows, pixels, range(following, end), paths, preparation)
        following = end
    if following < len(paths):
        nothing = np.zeros([0, *preparation.image_shape], np.uint8)
        rest = range(following, len(paths))
        yield _second_look(np.arange(0), nothing, rest, paths, preparation)


def fault(path: str) -> str | None:
    """Why a picture cannot be decoded, in a few words; None where it can be."""
    report = image_scan.scan(
        [path], max_megapixels=math.inf, on_bad="skip", full=True, progress=False
    )
    return report.bad[0].reason if report.bad else None


def _second_look(
    rows: np.ndarray,
    pixels: np.ndarray,
    places: range,
    paths: Sequence[str],
    preparation: decoding.Preparation,
) -> Part:
    """The part of all `places`, of which those in `rows` were decoded.

    The stream drops a picture for any error, also for one of the disk or of memory that has
    passed since; such a picture is decoded here.
    """
    if len(rows) == len(places):
        return Part(rows, pixels, {})
    missing = np.setdiff1d(np.array(places), rows).tolist()
    unreadable = {place: reason for place in missing if (reason := fault(paths[place]))}
    sound = [place for place in missing if place not in unreadable]
    if sound:
        later = [decode(tf.io.read_file(paths[place]), preparation).numpy() for place in sound]
        rows, pixels = np.append(rows, sound), np.concatenate([pixels, later])
        order = np.argsort(rows)
        rows, pixels = rows[order], pixels[order]
    return Part(rows, pixels, unreadable)
