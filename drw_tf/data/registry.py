"""The data sets by name: `--dataset=` to pictures and a split."""

import dataclasses
import logging
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drw_tf.data import (
    csv_table,
    digits,
    identity,
    image_folder,
    image_scan,
    in_memory,
    long_tail,
    naming,
    own_images,
    splits,
)
from drw_tf.data import dataset as records

_LOG = logging.getLogger("drw_tf")


def load(
    config,
    note_bad: Callable | None = None,
    find_copies: bool = False,
    at_once: bool = True,
) -> tuple[records.Dataset, records.Split]:
    """The data set and split that a configuration names.

    Args:
        config: the run's flags, read as attributes.
        note_bad: told of each unreadable file that is left out, an `image_scan.BadImage`;
            None logs a warning.
        find_copies: whether own pictures in two roles are looked for by content, and a warning
            is logged where there are some; for training, on the chief, and for evaluation.
        at_once: whether pictures that fit into memory are decoded now, as what reads them again
            and again wants them; where damaged ones are left out that is done in any case, as it
            finds them.

    Raises:
        FileNotFoundError: the data are not where they should be; the message says how to
            get them.
        ValueError: pictures are unreadable, or the split asked for cannot be drawn.
    """
    dataset = _load(config)
    if isinstance(dataset.train, records.FileImages):
        dataset = _usable(dataset, config, note_bad or _warn, find_copies, at_once)
    if dataset.given_split is not None:
        if config.pool == "all" and not len(dataset.given_split.unlabeled):
            _LOG.warning(
                "no unlabeled picture is given (--unlabeled_dir, or an empty label) beside those "
                "that are labeled or to test: the %d labeled ones stand for them, as --pool=all "
                "has it.",
                len(dataset.given_split.labeled),
            )
        return dataset, _given_split(dataset, config)
    if config.labeled_fraction is not None:
        return dataset, _fraction_split(dataset, config)
    return dataset, long_tailed_split(dataset, config)


def _load(config) -> records.Dataset:
    name = config.dataset
    if name == "digits":
        return digits.load()
    if name == "folder":
        return image_folder.load(
            config.labeled_dir,
            config.unlabeled_dir,
            config.validation_dir,
            config.test_dir,
            image_size=config.image_size,
            flip=config.flip,
            # Left out and told with all else that cannot be read.
            skip_misspelled=config.on_bad_image == "skip",
            note=_LOG.warning,
        )
    if name == "csv":
        return csv_table.load(
            config.labels_csv,
            image_size=config.image_size,
            allow_outside=config.allow_outside_paths,
            allow_missing=config.on_bad_image == "skip",
            flip=config.flip,
            note=_LOG.warning,
        )
    return _load_benchmark(name, config)


# The loaders below are imported when they are used: TensorFlow Datasets alone takes seconds.
def _load_benchmark(name: str, config) -> records.Dataset:
    import tensorflow_datasets as tfds

    data_dir = config.data_dir or tfds.core.constants.DATA_DIR  # of $TFDS_DATA_DIR, if it is set
    if name == "imagenet127":
        from drw_tf.data import imagenet127

        return imagenet127.load(
            data_dir,
            cache_dir=config.cache_dir,
            val_labels=config.val_labels,
            image_size=config.image_size,
            note=_LOG.warning,
        )
    if name.startswith("small_imagenet127_"):
        from drw_tf.data import small_imagenet127

        size = int(name.rpartition("_")[2])
        return small_imagenet127.load(data_dir, size, cache_dir=config.cache_dir)
    from drw_tf.data import tfds_images

    return tfds_images.load(
        name,
        data_dir,
        image_size=config.image_size,
        download=config.download,
        unlabeled=config.unlabeled_max is None,
        flip=config.flip is not False,  # None where the set itself says it
        note=_LOG.warning,
    )


def _warn(bad) -> None:
    _LOG.warning("left out %s: %s", naming.shown(bad.path), bad.reason)


def _usable(
    dataset: records.Dataset, config, note_bad: Callable, find_copies: bool, at_once: bool
) -> records.Dataset:
    """The data set without unreadable files; in memory where that is asked and possible."""
    dataset = _readable(dataset, config, note_bad, config.decode_all)
    if find_copies and dataset.given_split is not None:
        split = _given_split(dataset, config)
        if config.pool is None:  # nothing leaks out of pictures that the method does not read
            split = dataclasses.replace(split, unlabeled=split.unlabeled[:0])
        own_images.note_copies(dataset, split, _LOG.warning)
    is_left_out = config.on_bad_image == "skip" and not config.decode_all
    return _in_memory(dataset, config, note_bad) if at_once or is_left_out else dataset


def _in_memory(dataset: records.Dataset, config, note_bad: Callable) -> records.Dataset:
    """The data set decoded, where that is possible."""
    # Views that only shift are all of the same square, so it is decoded once for all.
    if config.crop != "shift" or config.in_memory_gigabytes is None:
        return dataset
    try:
        return in_memory.decode_once(dataset, config.in_memory_gigabytes)
    except tf.errors.OpError:
        # A header tells nothing of damage behind it, and TensorFlow not which file it is in.
        dataset = _readable(dataset, config, note_bad, full=True)
        return in_memory.decode_once(dataset, config.in_memory_gigabytes)


def _readable(dataset: records.Dataset, config, note_bad: Callable, full: bool) -> records.Dataset:
    dataset, report = image_scan.usable_dataset(
        dataset,
        max_megapixels=config.max_megapixels,
        on_bad=config.on_bad_image,
        note=_LOG.warning,
        full=full,
    )
    for bad in report.bad:
        note_bad(bad)
    return dataclasses.replace(
        dataset,
        files_checksum=identity.files_checksum(dataset),
        training_checksum=identity.training_checksum(dataset),
        test_checksum=identity.test_checksum(dataset),
    )


def _given_split(dataset: records.Dataset, config) -> records.Split:
    split, held_out = dataset.given_split, config.validation_per_class
    if not held_out:
        return split
    if len(split.validation):
        raise ValueError(
            "--validation_per_class must be 0 where pictures for validation are given "
            f"({naming.counted(len(split.validation), 'picture')}), got {held_out}."
        )
    return splits.hold_out(split, dataset.train.labels, dataset.class_names, held_out)


def _fraction_split(dataset: records.Dataset, config) -> records.Split:
    try:
        return splits.fraction_split(
            dataset.train.labels,
            dataset.num_classes,
            config.labeled_fraction,
            config.seed,
            config.validation_per_class,
            # A tree of folders goes from one of ImageNet's own classes to the next: the first
            # tenth of one of the 127 would be a few of its kinds alone.
            sorted_within=isinstance(dataset.train, records.FileImages),
        )
    except ValueError as error:
        raise ValueError(f"{error} Change --labeled_fraction or --validation_per_class.") from None


def long_tailed_split(dataset: records.Dataset, config) -> records.Split:
    """The split of the long-tail protocol for N1, M1 and both ratios.

    Without M1 the rows whose label nobody knows are unlabeled, all of them and no others.
    """
    labeled = long_tail.class_counts(
        dataset.num_classes, config.labeled_max, config.imbalance_ratio
    )
    by_class = config.unlabeled_max is not None
    unlabeled = np.zeros_like(labeled)
    if by_class:
        unlabeled = long_tail.class_counts(
            dataset.num_classes,
            config.unlabeled_max,
            config.unlabeled_imbalance_ratio,
            config.unlabeled_order,
        )
    try:
        split = splits.draw_split(
            dataset.train.labels,
            dataset.num_classes,
            labeled_counts=labeled,
            unlabeled_counts=unlabeled,
            seed=config.seed,
            validation_per_class=config.validation_per_class,
        )
    except ValueError as error:
        lower = "--labeled_max, --unlabeled_max" if by_class else "--labeled_max"
        raise ValueError(f"{error} Lower {lower} or --validation_per_class.") from None
    if by_class:
        return split
    unknown = np.flatnonzero(dataset.train.labels == records.UNKNOWN_LABEL)
    return records.Split(split.labeled, unknown, split.validation)
