"""A user's own pictures as a data set, whichever way they were listed (folders, CSV).

The same file is recognised under any name, through links too (by device and inode). A
picture that is labeled or in the test set is left out of the unlabeled ones; one that is both
labeled and in the test set, or labeled as two classes, is refused.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from drw_tf.data import dataset as records
from drw_tf.data import image_files, image_scan, naming


class LabeledPath(NamedTuple):
    """A picture and the name of its class."""

    path: str
    label: str


def build(
    name: str,
    labeled: Sequence[LabeledPath],
    unlabeled: Sequence[str],
    test: Sequence[LabeledPath],
    *,
    labeled_in: str,
    test_in: str,
    image_size: int,
    flip: bool = True,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """The data set of listed pictures, with the split that the list itself gives.

    Classes are numbered in the order of their names (Unicode NFC, by code point). Training rows
    are the labeled pictures, then the unlabeled ones, both in the order given.

    Args:
        name: the value of `--dataset`.
        labeled: training pictures with their classes.
        unlabeled: paths of training pictures whose class nobody knows; may be empty.
        test: evaluation pictures with their classes; empty means that there is no test set.
        labeled_in: the flag and value that named the labeled pictures, for messages.
        test_in: the same of the evaluation pictures.
        image_size: side that pictures are brought to, pixels.
        flip: whether a mirrored picture is still of its class.
        note: told, a line at a time, what was left out.

    Raises:
        ValueError: classes are too few or alike, a test label is unknown in training, or one
            file has two roles that exclude each other.
    """
    if image_size < 1:
        raise ValueError(f"--image_size must be at least 1, got {image_size}.")
    labeled, unlabeled, test = _distinct(labeled, unlabeled, test, labeled_in, test_in, note)
    class_names = _class_names((row.label for row in labeled), labeled_in)
    number = {label: row for row, label in enumerate(class_names)}
    _check_test(test, class_names, test_in, note)
    labels = [number[row.label] for row in labeled]
    train = _file_images(
        [row.path for row in labeled] + list(unlabeled),
        labels + [records.UNKNOWN_LABEL] * len(unlabeled),
    )
    rows = np.arange(len(train), dtype=np.int64)
    tests = _file_images([row.path for row in test], [number[row.label] for row in test])
    return records.Dataset(
        name=name,
        class_names=class_names,
        image_shape=(image_size, image_size, 3),
        train=train,
        test=tests if test else None,
        flip=flip,
        mean=image_files.IMAGENET_MEAN,
        std=image_files.IMAGENET_STD,
        given_split=records.Split(rows[: len(labels)], rows[len(labels) :], rows[:0]),
        central_fraction=image_files.CENTRAL_FRACTION,
    )


def file_identity(path: str) -> tuple:
    """What a file is recognised by under any name and through links; its path if missing."""
    try:
        status = os.stat(path)
    except OSError:
        return (path,)
    # Some network file systems give no inode.
    return (status.st_dev, status.st_ino) if status.st_ino else (os.path.realpath(path),)


def note_copies(dataset: records.Dataset, note: Callable[[str], None]) -> None:
    """Notes files that are equal byte for byte and yet in training and test, or of two classes.

    Args:
        dataset: of `build`; every labeled and test file exists.
        note: told one line, if there are any.

    Raises:
        OSError: a file cannot be read.
    """
    parts = [records.take(dataset.train, dataset.given_split.labeled)]
    parts += [] if dataset.test is None else [dataset.test]
    paths = np.concatenate([part.paths for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    is_test = np.arange(len(paths)) >= len(parts[0])

    def differ(values, rows):
        return len(set(values[rows].tolist())) > 1

    # At most one reading of these files, 20,000 small ones a second from memory; of large ones few
    # are of the same length. The unlabeled ones, which are far more, are left to data_report.
    groups = [
        rows
        for rows in image_scan.duplicates(paths)
        if differ(is_test, rows) or differ(labels, rows)
    ]
    if groups:
        leaks = sum(differ(is_test, rows) for rows in groups)
        torn = sum(differ(labels, rows) for rows in groups)
        named = [naming.some(list(paths[rows]), " = ") for rows in groups]
        note(
            f"there more than once: {naming.counted(len(groups), 'picture')}, {leaks:,} in "
            f"training and test, {torn:,} as two classes: {naming.some(named, '; ')}."
        )


def _class_names(labels: Iterable[str], labeled_in: str) -> tuple[str, ...]:
    names = sorted(set(labels))
    if len(names) < 2:
        raise ValueError(
            f"{labeled_in} must have labeled training pictures of at least two classes, "
            f"got: {naming.some(names) or 'none'}."
        )
    for name in names:
        if not naming.is_one_line(name):  # as an export's list of them needs
            raise ValueError(f"{labeled_in}: class names must be one line each, got {name!r}.")
    seen: dict[str, str] = {}
    for label in names:
        key = unicodedata.normalize("NFKC", label).casefold().strip()
        if key in seen:
            raise ValueError(
                f"{labeled_in}: class names must differ in more than case or spaces, "
                f"got {seen[key]!r} and {label!r}."
            )
        seen[key] = label
    return tuple(names)


def _check_test(
    test: Sequence[LabeledPath],
    class_names: Sequence[str],
    test_in: str,
    note: Callable[[str], None],
) -> None:
    names = {row.label for row in test}
    unknown = sorted(names - set(class_names))
    if unknown:
        raise ValueError(
            f"{test_in}: the test set has classes without a labeled training picture: "
            f"{naming.some(unknown)}; training knows: {naming.some(class_names)}."
        )
    missing = sorted(set(class_names) - names)
    if test and missing:
        note(
            f"{test_in}: the test set has no picture of "
            f"{naming.counted(len(missing), 'class', 'classes')}: {naming.some(missing)}."
        )


def _distinct(
    labeled: Sequence[LabeledPath],
    unlabeled: Sequence[str],
    test: Sequence[LabeledPath],
    labeled_in: str,
    test_in: str,
    note: Callable[[str], None],
) -> tuple[list[LabeledPath], list[str], list[LabeledPath]]:
    labels = _by_file(labeled, labeled_in, note)
    tests = _by_file(test, test_in, note)
    both = [row.path for key, row in tests.items() if key in labels]
    if both:
        raise ValueError(
            f"{test_in}: {naming.counted(len(both), 'test picture')} also among the labeled "
            f"training pictures: {naming.some(both)}."
        )
    others: dict[tuple, str] = {}
    known = labels.keys() | tests.keys()
    again = repeated = 0
    for path in unlabeled:
        key = file_identity(path)
        again += key in known
        repeated += key in others
        if key not in known:
            others.setdefault(key, path)
    if again:
        left_out = naming.counted(again, "unlabeled picture")
        note(f"left out {left_out}, labeled or in the test set as well.")
    if repeated:
        left_out = naming.counted(repeated, "unlabeled picture")
        note(f"left out {left_out}, listed twice (links).")
    return list(labels.values()), list(others.values()), list(tests.values())


def _by_file(rows: Sequence[LabeledPath], named: str, note: Callable[[str], None]) -> dict:
    """Rows by their file, the first of each."""
    out: dict[tuple, LabeledPath] = {}
    for row in rows:
        first = out.setdefault(file_identity(row.path), row)
        if first.label != row.label:
            raise ValueError(
                f"{named}: one picture has two classes: {first.path} is {first.label!r}, "
                f"{row.path} is {row.label!r}."
            )
    if len(out) < len(rows):
        left_out = naming.counted(len(rows) - len(out), "picture")
        note(f"{named}: left out {left_out}, listed twice in one class.")
    return out


def _file_images(paths: Sequence[str], labels: Sequence[int]) -> records.FileImages:
    # object: a fixed-width array would give every path the length of the longest, times four.
    return records.FileImages(np.array(paths, object), np.array(labels, np.int64))
