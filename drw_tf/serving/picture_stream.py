"""Picture files to batches of a network's input, decoded in parallel and held only briefly.

What an exported model's `serving_bytes` makes of a file is what comes out here, faster: that
graph decodes four pictures of a batch at a time. Formats that TensorFlow does not read
(GIF, WebP, rare BMP) come through Pillow.
"""

import dataclasses
import functools
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


# The same graph for every list of files, and making it can take longer than what it does.
@functools.cache
def _loader(preparation: decoding.Preparation):
    """path -> uint8 [H, W, Ch]."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def load(path):
        return decode(tf.io.read_file(path), preparation)

    return load


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
    load = _loader(preparation)
    files = tf.data.Dataset.from_tensor_slices(tf.constant(paths, tf.string)).enumerate()
    cores = parallelism.usable_cores()
    decoded = files.map(
        lambda row, path: (row, load(path)), num_parallel_calls=cores, deterministic=True
    )
    batches = parallelism.untuned(decoded.ignore_errors().batch(batch).prefetch(2))
    following = 0
    for rows, pixels in batches.as_numpy_iterator():
        end = int(rows[-1]) + 1
        if len(rows) == end - following:
            yield Part(rows, pixels, {})
        else:
            places = _cut(range(following, end), batch)
            yield from (_second_look(rows, pixels, some, paths, preparation) for some in places)
        following = end
    nothing = np.arange(0), np.zeros([0, *preparation.image_shape], np.uint8)
    for some in _cut(range(following, len(paths)), batch):
        yield _second_look(*nothing, some, paths, preparation)


def _cut(places: range, batch: int) -> list[range]:
    return [places[start : start + batch] for start in range(0, len(places), batch)]


def _second_look(
    rows: np.ndarray,
    pixels: np.ndarray,
    places: range,
    paths: Sequence[str],
    preparation: decoding.Preparation,
) -> Part:
    """The part of some `places`, of which those in `rows` were decoded.

    The stream drops a picture for any error, also for one of the disk or of memory that has
    passed since; such a picture is decoded here.
    """
    here = np.isin(rows, places)
    rows, pixels = rows[here], pixels[here]
    missing = np.setdiff1d(places, rows).tolist()
    why = image_scan.faults([paths[place] for place in missing])
    unreadable = {missing[row]: reason for row, reason in why.items()}
    sound = [place for place in missing if place not in unreadable]
    if sound:
        with tf.device("CPU:0"):  # a GPU may have no memory left
            files = [tf.io.read_file(paths[place]) for place in sound]
            later = [decode(file, preparation).numpy() for file in files]
        rows, pixels = np.append(rows, sound), np.concatenate([pixels, later])
        order = np.argsort(rows)
        rows, pixels = rows[order], pixels[order]
    return Part(rows, pixels, unreadable)
