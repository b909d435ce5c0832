"""The files of ImageNet at 32 or 64 pixels, as blocks of pictures with their 127 classes.

    Imagenet<size>_train: train_data_batch_1 .. train_data_batch_10
    Imagenet<size>_val:   val_data

Each holds `data`, uint8 [n, 3 * size * size] (a plane a colour), and `labels`, 1..1000. They are
pickles, or the same as .npz; pickles are read by `array_pickle`, which runs nothing.
"""

import contextlib
import functools
import os
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds

from drw_tf.data import array_pickle, imagenet127, pixel_cache

_BATCHES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
_ENDINGS = ("", ".pickle", ".pkl", ".npz")
_BLOCK = 1024


@functools.cache
def classes_of_labels() -> np.ndarray:
    """int64 [1000], class 0..126 of the files' label k + 1."""
    rows = imagenet127.table("downsampled_imagenet_labels.csv")
    return np.array([imagenet127.superclasses()[row["wnid"]] for row in rows], np.int64)


def from_batches(data_dir: str, size: int) -> tuple[pixel_cache.Source, pixel_cache.Source]:
    """The training and the validation pictures of the original files.

    Args:
        data_dir: folder of the files, or of their two folders.
        size: side of the pictures.

    Raises:
        FileNotFoundError: a file is missing.
    """
    train = [_found(data_dir, size, "train", name) for name in _BATCHES]
    return _source(train, size), _source([_found(data_dir, size, "val", "val_data")], size)


def from_tfds(folder: str, split: str, size: int) -> pixel_cache.Source:
    """The pictures of a prepared version of imagenet_resized, in the order of its files.

    Args:
        folder: the version's folder.
        split: "train" or "validation".
        size: side of the pictures.

    Raises:
        ValueError: its classes are not named by wnids, or its pictures have another size.
    """
    builder = tfds.builder_from_directory(folder)
    wnids = builder.info.features["label"].names
    known = imagenet127.superclasses()
    if not set(wnids) <= known.keys():
        raise ValueError(f"{folder} must name its classes by wnids, got {wnids[:3]}.")
    shape = tuple(builder.info.features["image"].shape)
    if shape != (size, size, 3):
        raise ValueError(f"{folder} must have pictures of {(size, size, 3)}, got {shape}.")
    classes = np.array([known[wnid] for wnid in wnids], np.int64)

    def blocks():
        rows = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after another: then it does not matter into how many they were cut.
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        for batch in rows.batch(_BLOCK).prefetch(2).as_numpy_iterator():
            yield batch["image"], classes[batch["label"]]

    number = builder.info.splits[split].num_examples
    title = f"{builder.info.full_name}, {split} of {number}"
    return pixel_cache.Source(title, number, shape, blocks)


def _found(data_dir: str, size: int, part: str, name: str) -> str:
    folders = [data_dir, os.path.join(data_dir, f"Imagenet{size}_{part}")]
    for folder in folders:
        for ending in _ENDINGS:
            path = os.path.join(folder, name + ending)
            if os.path.isfile(path):
                return os.path.abspath(path)
    raise FileNotFoundError(
        f"--data_dir={data_dir} must hold {name} (or .npz), directly or in "
        f"Imagenet{size}_{part}, as unpacked from image-net.org's downsampled images; or "
        f"imagenet_resized/{size}x{size}/<version> as prepared by TensorFlow Datasets."
    )


def _source(paths: Sequence[str], size: int) -> pixel_cache.Source:
    title = f"{paths[0]}, {sum(map(os.path.getsize, paths))} bytes in {len(paths)} files"
    capacity = sum(_capacity(path, size) for path in paths)

    def blocks():
        for path in paths:
            yield from _read(path, size)

    return pixel_cache.Source(title, capacity, (size, size, 3), blocks)


def _capacity(path: str, size: int) -> int:
    """At least the number of rows in a file."""
    if path.endswith(".npz"):
        with _naming(path), _opened(path) as arrays:
            return len(arrays["labels"])
    # A pickle holds the pixels as they are, so it has no more rows than fit in its length.
    return os.path.getsize(path) // (3 * size * size)


def _read(path: str, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    data, labels = _arrays(path)
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * size * size:
        raise ValueError(
            f"{path} must hold data of uint8 and {3 * size * size} columns ({size} x {size}), "
            f"got {data.dtype} {list(data.shape)}."
        )
    if labels.shape != (len(data),) or labels.dtype.kind not in "iu" or not len(labels):
        raise ValueError(f"{path} must hold a label for each of {len(data)} pictures.")
    if labels.min() < 1 or labels.max() > len(classes_of_labels()):
        raise ValueError(f"{path} must hold labels in 1..1000, got {labels.min()}..{labels.max()}.")
    for start in range(0, len(data), _BLOCK):
        planes = data[start : start + _BLOCK].reshape(-1, 3, size, size)
        yield planes.transpose(0, 2, 3, 1), classes_of_labels()[labels[start : start + _BLOCK] - 1]


def _arrays(path: str) -> tuple[np.ndarray, np.ndarray]:
    with _naming(path):
        if path.endswith(".npz"):
            with _opened(path) as arrays:
                return arrays["data"], arrays["labels"]
        with open(path, "rb") as file:
            held = array_pickle.load(file)
        # Python 2's text, its dictionaries' keys too, is read as bytes.
        held = {key.decode() if isinstance(key, bytes) else key: held[key] for key in dict(held)}
        return np.asarray(held["data"]), np.asarray(held["labels"])


@contextlib.contextmanager
def _opened(path: str) -> Iterator[np.lib.npyio.NpzFile]:
    # Opened here because NumPy leaves a broken file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Errors of a file's reader as a ValueError that names the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path} must hold data and labels; it has no {error}.") from error
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
