"""Picture files decoded once, where all of them fit in memory."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf
import tqdm

from drw_tf.data import dataset as records
from drw_tf.data import image_files, parallelism

_BATCH = 64


def decode_once(dataset: records.Dataset, gigabytes: float) -> records.Dataset:
    """The data set with its pictures in memory, or as it is where they do not fit.

    Args:
        dataset: of `FileImages`; the central square of each picture is taken.
        gigabytes: memory for training and test pictures, in 1e9 bytes.
    """
    parts = [part for part in (dataset.train, dataset.test) if part is not None]
    if sum(map(len, parts)) * np.prod(dataset.image_shape) > gigabytes * 1e9:
        return dataset
    train = _decode(dataset.train, dataset.image_shape)
    test = None if dataset.test is None else _decode(dataset.test, dataset.image_shape)
    return dataclasses.replace(dataset, train=train, test=test)


def _decode(images: records.FileImages, image_shape) -> records.ArrayImages:
    pixels = np.empty([len(images), *image_shape], np.uint8)
    batches = squares(images.paths, image_shape, _BATCH)
    # disable=None: no bar where standard error is no terminal.
    with tqdm.tqdm(total=len(images), unit="picture", desc="decoding", disable=None) as bar:
        done = 0
        for batch in batches.as_numpy_iterator():
            pixels[done : done + len(batch)] = batch
            done += len(batch)
            bar.update(len(batch))
    return records.ArrayImages(pixels, images.labels)


# The same graph for every set of files, and making it can take longer than what it does.
@functools.cache
def _square(side: int, channels: int):
    """path -> uint8 [side, side, channels]."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(path):
        pixels = image_files.decode_resized(tf.io.read_file(path), side)
        return pixels if channels == 3 else tf.image.rgb_to_grayscale(pixels)

    return decode


def squares(paths: np.ndarray, image_shape: tuple[int, int, int], batch: int) -> tf.data.Dataset:
    """Central squares of picture files in order: uint8 [<= batch, H, W, Ch]."""
    decode = _square(image_shape[0], image_shape[-1])
    files = tf.data.Dataset.from_tensor_slices(paths)
    pixels = files.map(decode, num_parallel_calls=parallelism.usable_cores())
    return parallelism.untuned(pixels.batch(batch).prefetch(2))
