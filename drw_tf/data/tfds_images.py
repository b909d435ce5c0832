"""Image classification sets that TensorFlow Datasets has prepared on this machine.

The "first n pictures of a class" of the long-tail protocol mean the official order, and
TensorFlow Datasets shuffles when it prepares. Where its examples carry a number of their own
(`train_16399` in CIFAR-10 and -100) rows are put back into that order. Elsewhere they
keep the order of its files, which depends on the version of the prepared set alone.
"""

import contextlib
import pathlib
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from drw_tf.data import cache_folder, image_files, mirrored, naming, prepared_sets
from drw_tf.data import dataset as records

PREFIX = "tfds:"

# `--dataset` to the name that TensorFlow Datasets has for it.
NAMES = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "fashion_mnist": "fashion_mnist",
    "svhn": "svhn_cropped",
}

# Mean and standard deviation of each channel of the training pictures; computed elsewhere.
# Differs from DARP, which normalizes CIFAR-100 with the numbers of CIFAR-10.
STATISTICS = {
    # bbuing9/DARP:dataset/fix_cifar10.py
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    # kekmodel/FixMatch-pytorch:dataset/cifar.py
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    # VICO-UoE/DatasetCondensation:utils.py
    "fashion_mnist": ((0.2861,), (0.3530,)),
    "svhn_cropped": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
}

MAX_BYTES = 4 * 2**30

_UNLABELED = ("unlabelled", "unlabeled")
_NAME = re.compile(r"(\w+)(?:/([\w.+-]+))?(?::(\d+\.\d+\.\d+))?")
_NUMBERED = re.compile(rb"(.*?)(\d+)", re.DOTALL)
_BATCH = 512


def load(
    name: str,
    data_dir: str,
    *,
    image_size: int | None = None,
    download: bool = False,
    unlabeled: bool = False,
    flip: bool = True,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """A data set with all its pictures in memory.

    Labels are those of the set; class 0 is the head of a long tail. The test set is the split
    "test", or "validation" where "test" is missing or has no labels.

    Args:
        name: "cifar10", "cifar100", "fashion_mnist", "svhn", or
            "tfds:<name>[/<config>][:<version>]" of any set with a split "train", 8-bit
            pictures `image` and classes `label`. Without a version it is the newest one.
        data_dir: folder with the prepared sets.
        image_size: side in pixels that pictures are resized to (bilinear, antialiased, the
            whole picture squeezed into the square); None keeps them, which they must then
            all be of one size for.
        download: whether to fetch and prepare what is missing. The network is used for
            nothing else.
        unlabeled: whether the split "unlabelled" or "unlabeled" is read as well: training rows
            of unknown label, after those of "train".
        flip: whether a mirrored picture is still of its class; in `mirrored.NOT_MIRRORED` none is.
        note: told of such a split that is not read.

    Raises:
        FileNotFoundError: the set is not prepared; the message has the command to do it.
        ValueError: an unknown name, no unlabeled split where one is asked for, pictures that
            cannot be used, or files that are broken.
    """
    full_name = _full_name(name)
    folder = _folder(full_name, pathlib.Path(data_dir), download)
    with _quietly(folder):
        builder = tfds.builder_from_directory(folder)
        _check_features(name, builder)
        parts = ["train", *_unlabeled_split(name, builder, unlabeled, note)]
        shape, size = _shape(name, builder, parts, image_size)
        train = _read(builder, parts, shape, size)
        train.labels[builder.info.splits["train"].num_examples :] = records.UNKNOWN_LABEL
        test = _read_test(builder, shape, size)
    names = [builder.name, getattr(builder.builder_config, "name", None)]
    mean, std = STATISTICS.get(builder.name, (None, None))
    if mean is None or size is not None:
        mean, std = channel_statistics(train.pixels)
    return records.Dataset(
        name=name,
        class_names=tuple(builder.info.features["label"].names),
        image_shape=shape,
        train=train,
        test=test,
        flip=flip and mirrored.NOT_MIRRORED.isdisjoint(names),
        mean=mean,
        std=std,
    )


def channel_statistics(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1].

    Args:
        pixels: uint8 [N, H, W, Ch], N >= 1.

    Returns:
        Ch floats and Ch floats. The deviation of a channel that never changes is given as 1,
        as it is divided by.
    """
    histogram = np.zeros((pixels.shape[-1], 256), np.int64)
    for start in range(0, len(pixels), _BATCH):
        for channel, row in enumerate(histogram):
            row += np.bincount(pixels[start : start + _BATCH, ..., channel].ravel(), minlength=256)
    levels = np.arange(256) / 255
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, np.newaxis]) ** 2).sum(axis=1))
    std[(histogram > 0).sum(axis=1) == 1] = 1
    return tuple(mean.tolist()), tuple(std.tolist())


# Where the files are.


def _full_name(name: str) -> str:
    """`name/config:version` as TensorFlow Datasets writes it."""
    full_name = NAMES.get(name) or (name[len(PREFIX) :] if name.startswith(PREFIX) else "")
    if not _NAME.fullmatch(full_name):
        known = ", ".join([*NAMES, f"{PREFIX}<name>", f"{PREFIX}<name>/<config>:<version>"])
        raise ValueError(f"--dataset must be one of {known}, got {name}.")
    return full_name


def _folder(full_name: str, data_dir: pathlib.Path, download: bool) -> pathlib.Path:
    """The folder of a prepared version."""
    data_dir = data_dir.expanduser()
    folder = _prepared(full_name, data_dir)
    if folder is None and download:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            # Of two that prepare a set at once the second one finds its place taken.
            with cache_folder.alone(str(data_dir)):
                if _prepared(full_name, data_dir) is None:
                    tfds.builder(full_name, data_dir=data_dir).download_and_prepare()
        except Exception as error:  # Its readers, checks and the network raise many kinds.
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ValueError(f"--download of {full_name} to {data_dir} failed: {what}") from error
        folder = _prepared(full_name, data_dir)
    if folder is None:
        prepare = f"tfds.builder({full_name!r}, data_dir={str(data_dir)!r}).download_and_prepare()"
        raise FileNotFoundError(
            f"{full_name} is not prepared in {data_dir.absolute()}; get it with --download or: "
            f'python -c "import tensorflow_datasets as tfds; {prepare}"'
        )
    return folder


def _prepared(full_name: str, data_dir: pathlib.Path) -> pathlib.Path | None:
    name, config, version = _NAME.fullmatch(full_name).groups()
    folder = data_dir / name / (config or "")
    versions = prepared_sets.versions(folder)
    if not versions and not config:
        configs = {f.name: prepared_sets.versions(f) for f in sorted(folder.glob("*"))}
        configs = {config: found for config, found in configs.items() if found}
        if len(configs) > 1:
            raise ValueError(
                f"--dataset must name the config of {name}, as "
                f"{PREFIX}{name}/{next(iter(configs))}; prepared are {', '.join(configs)}."
            )
        versions = next(iter(configs.values()), {})
    return versions.get(version or next(reversed(versions), None))


# What the files hold.


def _check_features(name: str, builder: tfds.core.DatasetBuilder) -> None:
    features, splits = builder.info.features, builder.info.splits
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    held = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    if any(not isinstance(held.get(key), kind) for key, kind in kinds.items()):
        found = ", ".join(f"{k} ({type(f).__name__})" for k, f in held.items()) or "others"
        raise ValueError(
            f"--dataset must have the features image (Image) and label (ClassLabel); {name} has "
            f"{found}."
        )
    if features["image"].np_dtype != np.uint8 or features["image"].shape[-1] not in (1, 3):
        raise ValueError(
            f"pictures must be uint8 with 1 or 3 channels; {name} has {features['image']}."
        )
    if "train" not in splits or not splits["train"].num_examples:
        raise ValueError(f"--dataset must have a split train; {name} has {', '.join(splits)}.")


def _unlabeled_split(
    name: str,
    builder: tfds.core.DatasetBuilder,
    is_read: bool,
    note: Callable[[str], None],
) -> list[str]:
    """The split of unlabeled pictures in a list; an empty one where it is not to be read."""
    splits = builder.info.splits
    found = [one for one in _UNLABELED if one in splits and splits[one].num_examples]
    if is_read and not found:
        raise ValueError(
            f"{name} must have a split {' or '.join(_UNLABELED)}; it has {', '.join(splits)}."
        )
    if found and not is_read:
        pictures = naming.counted(splits[found[0]].num_examples, "picture")
        note(
            f"{name}: the split {found[0]} ({pictures}) is not read; pictures of train are taken "
            "as unlabeled ones."
        )
    return found[:1] if is_read else []


def _shape(
    name: str, builder: tfds.core.DatasetBuilder, parts: Sequence[str], image_size: int | None
) -> tuple[tuple[int, int, int], int | None]:
    """(H, W, Ch) of the pictures in memory, and the side to resize to or None."""
    shape = tuple(builder.info.features["image"].shape)
    if image_size is None and None in shape:
        raise ValueError(f"--image_size must be given, as the pictures of {name} vary in size.")
    if image_size is not None and shape[:2] != (image_size, image_size):
        shape = (image_size, image_size, shape[-1])
    else:
        image_size = None
    rows = sum(builder.info.splits[part].num_examples for part in parts)
    needed = rows * int(np.prod(shape, dtype=np.int64))
    if needed > MAX_BYTES:
        raise ValueError(
            f"the training pictures of {name} must fit in {MAX_BYTES / 2**30:g} GiB of memory, "
            f"got {needed / 2**30:.1f} GiB at {shape[0]} x {shape[1]} pixels; choose a smaller "
            "--image_size."
        )
    return shape, image_size


def _read_test(
    builder: tfds.core.DatasetBuilder, shape: tuple[int, int, int], size: int | None
) -> records.ArrayImages | None:
    splits = builder.info.splits
    for split in ("test", "validation"):
        if split in splits and splits[split].num_examples:
            images = _read(builder, [split], shape, size)
            if (images.labels != records.UNKNOWN_LABEL).all():
                return images
    return None


def _read(
    builder: tfds.core.DatasetBuilder,
    parts: Sequence[str],
    shape: tuple[int, int, int],
    size: int | None,
) -> records.ArrayImages:
    """The rows of these splits, one after the other."""
    rows = [builder.info.splits[part].num_examples for part in parts]
    pixels = np.empty((sum(rows), *shape), np.uint8)
    labels = np.empty(sum(rows), np.int64)
    begin = 0
    for part, number in zip(parts, rows, strict=True):
        end = begin + number
        _fill(builder, part, size, pixels[begin:end], labels[begin:end])
        begin = end
    return records.ArrayImages(pixels, labels)


def _fill(
    builder: tfds.core.DatasetBuilder,
    split: str,
    size: int | None,
    pixels: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Writes the pictures and labels of a split into these rows."""
    ids, start = [], 0
    for batch in _batches(builder, split, size):
        end = start + len(batch["label"])
        pixels[start:end], labels[start:end] = batch["image"], batch["label"]
        ids.extend(batch.get("id", ()))
        start = end
    order = official_order(ids)
    if order is not None:
        pixels[:], labels[:] = pixels[order], labels[order]


def _batches(builder: tfds.core.DatasetBuilder, split: str, size: int | None):
    """Dictionaries of arrays, in the order of the files."""
    wanted = {"image": True, "label": True}
    if isinstance(dict(builder.info.features).get("id"), tfds.features.Text):
        wanted["id"] = True
    rows = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(wanted),
        # One file after another: then it does not matter into how many they were cut.
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    if size is not None:

        def resize(row):
            return {**row, "image": image_files.resized_whole(row["image"], (size, size))}

        rows = rows.map(resize, tf.data.AUTOTUNE, deterministic=True)
    return rows.batch(_BATCH, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


def official_order(ids: list[bytes]) -> np.ndarray | None:
    """int64 [N], the rows by the numbers that their ids end in, or None where they have none.

    Args:
        ids: of each row, as b"train_16399". They count only if all start alike and no
            number comes twice.
    """
    matches = [_NUMBERED.fullmatch(i) for i in ids]
    if not all(matches) or len({m[1] for m in matches}) != 1:
        return None
    numbers = np.array([int(m[2]) for m in matches])
    if len(np.unique(numbers)) != len(numbers):
        return None
    return np.argsort(numbers)


@contextlib.contextmanager
def _quietly(folder: pathlib.Path):
    """Without notices; what breaks while files are read becomes an error that names them."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.ERROR))
    try:
        yield
    except tf.errors.OpError as error:
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message, flags=re.DOTALL).strip()
        raise ValueError(f"{folder} cannot be read: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
