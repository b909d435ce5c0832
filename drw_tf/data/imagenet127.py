"""`--dataset=imagenet127`: ImageNet-1k with its 1000 classes merged into 127.

The superclasses are those of Huh et al. (arXiv:1608.08614), used by CReST: the largest,
`mammal`, has 218 classes and 277,601 of the 1,281,167 training pictures, the smallest,
`butterfly fish`, one class and 969. The numbers of the 127 classes are in no order of size.
The validation set is merged in the same way and stays imbalanced (10,900 to 50 pictures).

Read are a tree as it comes out of the ILSVRC archives,

    train/<wnid>/*.JPEG, val/<wnid>/*.JPEG or val/*.JPEG

(also Kaggle's, below ILSVRC/Data/CLS-LOC), or what TensorFlow Datasets prepared as
imagenet2012, which is extracted into such a tree once. Training rows are sorted by wnid and
file name. Which tenth of each class is labeled is decided in `splits`.
"""

import csv
import functools
import importlib.resources
import os
import re
from collections.abc import Callable

import numpy as np
from absl import logging

from drw_tf.data import dataset as records
from drw_tf.data import ilsvrc_labels, image_files, imagenet_extraction, naming, prepared_sets

IMAGE_SIZE = 224

_KAGGLE = os.path.join("ILSVRC", "Data", "CLS-LOC")
_WNID = re.compile(r"n\d{8}")


def load(
    data_dir: str,
    *,
    cache_dir: str | None = None,
    val_labels: str | None = None,
    image_size: int = IMAGE_SIZE,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """ImageNet-127 from whichever form lies in a folder.

    Args:
        data_dir: folder of a tree, or of TensorFlow Datasets' prepared sets.
        cache_dir: where pictures of TensorFlow Datasets are extracted to; outside `data_dir`.
        val_labels: see `load_tree`.
        image_size: side that pictures are brought to, pixels.
        note: told, a line at a time, what was found.

    Raises:
        FileNotFoundError: neither form is there.
        ValueError: as in `load_tree` and `load_tfds`, or `cache_dir` or `val_labels` is not
            needed.
    """
    data_dir = os.path.expanduser(data_dir)
    if _root(data_dir) is not None:
        if cache_dir is not None:
            raise ValueError(
                "--cache_dir is for what TensorFlow Datasets prepared; the pictures of "
                f"--data_dir={data_dir} are files already, got {cache_dir}."
            )
        return load_tree(data_dir, val_labels=val_labels, image_size=image_size, note=note)
    if prepared_sets.newest(data_dir, "imagenet2012") is not None:
        if val_labels is not None:
            raise ValueError("--val_labels is for a flat folder, imagenet2012 has its own labels.")
        return load_tfds(data_dir, cache_dir, image_size=image_size, note=note)
    raise FileNotFoundError(
        f"--data_dir={data_dir} must hold train/<wnid>/*.JPEG and val/, as unpacked from "
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar (one account at image-net.org), "
        "or imagenet2012/<version> as prepared by TensorFlow Datasets; "
        f"it holds {_held(data_dir)}."
    )


def load_tree(
    data_dir: str,
    *,
    val_labels: str | None = None,
    image_size: int = IMAGE_SIZE,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """ImageNet-127 from an ILSVRC tree; parts of ImageNet will do if all 127 classes are there.

    Args:
        data_dir: folder that holds `train` and `val`.
        val_labels: file with the classes of a flat `val`, for pictures under other names than
            the official ones; see `ilsvrc_labels` for its forms.
        image_size: side that pictures are brought to, pixels.
        note: told, a line at a time, what was found.

    Raises:
        FileNotFoundError: `train` or `val` is not there.
        ValueError: a folder is no class of ImageNet-1k, a class has no pictures, the classes
            of `val` cannot be told, or the tree is an unfinished extraction.
    """
    root = _root(os.path.expanduser(data_dir))
    if root is None:
        raise FileNotFoundError(f"--data_dir={data_dir} has no folder train with wnid folders.")
    imagenet_extraction.check_complete(root)
    train = _listed(os.path.join(root, "train"))
    val = _validation(os.path.join(root, "val"), val_labels, note)
    dataset = records.Dataset(
        name="imagenet127",
        class_names=class_names(),
        image_shape=(image_size, image_size, 3),
        train=_file_images(train),
        test=_file_images(val),
        flip=True,
        mean=image_files.IMAGENET_MEAN,
        std=image_files.IMAGENET_STD,
        central_fraction=image_files.CENTRAL_FRACTION,
    )
    empty = np.flatnonzero(records.class_counts(dataset.train.labels, dataset.num_classes) == 0)
    if len(empty):
        names = naming.some([dataset.class_names[c] for c in empty])
        raise ValueError(
            f"{root}/train must have a picture of each of the 127 classes; "
            f"{len(empty)} have none: {names}."
        )
    note(f"{root}: {len(train)} training and {len(val)} validation pictures.")
    return dataset


def load_tfds(
    data_dir: str,
    cache_dir: str | None,
    *,
    image_size: int = IMAGE_SIZE,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """ImageNet-127 from TensorFlow Datasets' imagenet2012, extracted into a tree once.

    Records cannot be reached by row and do not fit in memory, files can be and need not. The
    JPEG bytes are copied as they are; interrupted, the extraction goes on where it stopped.

    Args:
        data_dir: folder of TensorFlow Datasets' prepared sets.
        cache_dir: folder for the tree, empty, missing, or begun by this function.
        image_size: side that pictures are brought to, pixels.
        note: told, a line at a time, what was found.

    Raises:
        FileNotFoundError: imagenet2012 is not prepared there.
        ValueError: `cache_dir` is missing, inside `data_dir` or in use, or the disk is full.
    """
    data_dir = os.path.expanduser(data_dir)
    folder = prepared_sets.newest(data_dir, "imagenet2012")
    if folder is None:
        raise FileNotFoundError(
            f"imagenet2012 is not prepared in --data_dir={data_dir}; put "
            f"ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into {data_dir}/downloads/manual "
            'and run: python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('imagenet2012', data_dir='{data_dir}').download_and_prepare()\""
        )
    if not cache_dir:
        raise ValueError(
            "--cache_dir must name a folder for imagenet2012's pictures (about 155 GB), because "
            "the records that TensorFlow Datasets prepared cannot be read by row."
        )
    cache_dir = os.path.expanduser(cache_dir)
    imagenet_extraction.extract(folder, cache_dir, protected=data_dir)
    return load_tree(cache_dir, image_size=image_size, note=note)


@functools.cache
def superclasses() -> dict[str, int]:
    """Class 0..126 of each of the 1000 wnids, in the order of the wnids."""
    return {row["wnid"]: int(row["class_index"]) for row in table("imagenet127.csv")}


@functools.cache
def class_names() -> tuple[str, ...]:
    """Names of the 127 classes."""
    return tuple(row["class_name"] for row in table("imagenet127_classes.csv"))


def table(name: str) -> list[dict[str, str]]:
    """Rows of a CSV file that the package carries."""
    path = importlib.resources.files("drw_tf.data") / "tables" / name
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _root(data_dir: str) -> str | None:
    """The folder that holds `train`, absolute."""
    for folder in (data_dir, os.path.join(data_dir, _KAGGLE)):
        train = os.path.join(folder, "train")
        if os.path.isdir(train) and any(_WNID.fullmatch(name) for name in _folders(train)):
            return os.path.abspath(folder)
    return None


def _validation(
    folder: str, val_labels: str | None, note: Callable[[str], None]
) -> list[tuple[str, str]]:
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} is missing: it must hold the validation pictures.")
    if _folders(folder):
        if val_labels is not None:
            raise ValueError(f"--val_labels is for a flat folder; {folder} has folders of classes.")
        return _listed(folder)
    names = _pictures(folder)
    if not names:
        raise ValueError(f"{folder} has neither wnid folders nor pictures.")
    wnids = ilsvrc_labels.read(names, val_labels, tuple(superclasses()), folder, note)
    return [(os.path.join(folder, name), wnid) for name, wnid in zip(names, wnids, strict=True)]


def _listed(folder: str) -> list[tuple[str, str]]:
    """(path, wnid) of each picture in wnid folders, sorted."""
    wnids = _folders(folder)
    unknown = [wnid for wnid in wnids if wnid not in superclasses()]
    if unknown:
        raise ValueError(
            f"{folder} must have folders named by the wnids of ImageNet-1k, as n01440764; "
            f"got {naming.some(unknown)}."
        )
    return [
        (os.path.join(folder, wnid, name), wnid)
        for wnid in wnids
        for name in _pictures(os.path.join(folder, wnid))
    ]


def _folders(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def _pictures(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in image_files.EXTENSIONS
        )


def _file_images(rows: list[tuple[str, str]]) -> records.FileImages:
    # object: a fixed-width array would give every path the length of the longest, times four.
    paths = np.array([path for path, _ in rows], object)
    labels = np.array([superclasses()[wnid] for _, wnid in rows], np.int64)
    return records.FileImages(paths, labels)


def _held(folder: str) -> str:
    if not os.path.isdir(folder):
        return "nothing, as it is no folder"
    names = sorted(os.listdir(folder))
    return naming.some(names) or "nothing"
