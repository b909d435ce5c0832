"""A user's own pictures as a data set, whichever way they were listed (folders, CSV).

The same file is recognised under any name, through links too (by device and inode). A
picture that is labeled, for validation or in the test set is left out of the unlabeled ones; one
that has two of these roles, or two classes, is refused.
"""

import collections
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from drw_tf.data import dataset as records
from drw_tf.data import image_files, image_scan, naming

# What programs and people write for a label that nobody knows; here each is a class.
_UNKNOWN = frozenset(
    (
        "nan",
        "na",
        "n/a",
        "none",
        "null",
        "unlabeled",
        "unlabelled",
        "unknown",
        "?",
        "-",
        "-1",
        "-1.0",
    )
)
_PARTS = frozenset(
    (
        *("train", "training", "val", "valid", "validation", "dev", "test", "testing", "all"),
        *("labeled", "labelled", "unlabeled", "unlabelled"),
    )
)


class LabeledPath(NamedTuple):
    """A picture and the name of its class."""

    path: str
    label: str


class Listed(NamedTuple):
    """Pictures with their classes, and two parts of messages.

    Attributes:
        pictures: in any order.
        named_by: the flag and value that named them.
        unknown: what to do with pictures whose class nobody knows.
    """

    pictures: Sequence[LabeledPath]
    named_by: str
    unknown: str


def build(
    name: str,
    labeled: Listed,
    unlabeled: Sequence[str],
    validation: Listed,
    test: Listed,
    *,
    image_size: int,
    flip: bool = True,
    note: Callable[[str], None] = logging.info,
) -> records.Dataset:
    """The data set of listed pictures, with the split that the list itself gives.

    Classes are numbered in the order of their names (Unicode NFC, by code point). Training rows
    are the labeled pictures, then the unlabeled ones, then those for validation, in the order
    given.

    Args:
        name: the value of `--dataset`.
        labeled: training pictures.
        unlabeled: paths of training pictures whose class nobody knows; may be empty.
        validation: pictures to choose hyper-parameters by; may be empty.
        test: evaluation pictures; empty means that there is no test set.
        image_size: side that pictures are brought to, pixels.
        flip: whether a mirrored picture is still of its class.
        note: told, a line at a time, what was left out, and of classes that look like none.

    Raises:
        ValueError: classes are too few or alike, a label is unknown in training, or one file
            has two roles that exclude each other.
    """
    if image_size < 1:
        raise ValueError(f"--image_size must be at least 1, got {image_size}.")
    labeled, unlabeled, validation, test = _distinct(labeled, unlabeled, validation, test, note)
    class_names = _class_names((row.label for row in labeled.pictures), labeled.named_by)
    _note_doubtful_classes(labeled, note)
    number = {label: row for row, label in enumerate(class_names)}
    _check_classes("validation set", validation, class_names, note)
    _check_classes("test set", test, class_names, note)
    known, held_out, tests = (
        [(row.path, number[row.label]) for row in listed.pictures]
        for listed in (labeled, validation, test)
    )
    unknown = [(path, records.UNKNOWN_LABEL) for path in unlabeled]
    rows = np.arange(len(known) + len(unknown) + len(held_out), dtype=np.int64)
    ends = len(known), len(known) + len(unknown)
    return records.Dataset(
        name=name,
        class_names=class_names,
        image_shape=(image_size, image_size, 3),
        train=_file_images([*known, *unknown, *held_out]),
        test=_file_images(tests) if tests else None,
        flip=flip,
        mean=image_files.IMAGENET_MEAN,
        std=image_files.IMAGENET_STD,
        given_split=records.Split(*np.split(rows, ends)),
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


def note_copies(
    dataset: records.Dataset, split: records.Split, note: Callable[[str], None]
) -> None:
    """Notes files that are equal byte for byte and yet have two roles, or two classes.

    Unlabeled files are compared with the others, not with one another; that one is labeled, too,
    is not noted.

    Args:
        dataset: of `build`; every file exists.
        split: that it gives, or one that holds some of its labeled pictures out, or without
            the unlabeled ones.
        note: told one line, if there are any.

    Raises:
        OSError: a file cannot be read.
    """
    parts = [records.take(dataset.train, rows) for rows in (split.labeled, split.validation)]
    parts += [] if dataset.test is None else [dataset.test]
    # Of the pool, which may be far larger, only files of a length that one of these has.
    lengths = {os.path.getsize(path) for part in parts for path in part.paths}
    pool = records.take(dataset.train, split.unlabeled)
    alike = [row for row, path in enumerate(pool.paths) if os.path.getsize(path) in lengths]
    parts.append(records.take(pool, np.array(alike, np.int64)))
    paths = np.concatenate([part.paths for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    roles = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    unlabeled = len(parts) - 1

    def is_leak(rows):
        """Whether what is trained on, unlabeled or not, is chosen by or tested on."""
        return len(set(np.where(roles[rows] == unlabeled, 0, roles[rows]).tolist())) > 1

    def is_torn(rows):
        return len(set(labels[rows].tolist()) - {records.UNKNOWN_LABEL}) > 1

    # At most one reading of these files, 20,000 small ones a second from memory; of large ones few
    # are of the same length.
    groups = [rows for rows in image_scan.duplicates(paths) if is_leak(rows) or is_torn(rows)]
    if groups:
        leaks, torn = (sum(map(kind, groups)) for kind in (is_leak, is_torn))
        named = [naming.some(list(paths[rows]), " = ") for rows in groups]
        sets = naming.sets(len(split.validation) > 0)
        note(
            f"there more than once: {naming.counted(len(groups), 'picture')}, {leaks:,} in "
            f"{sets}, {torn:,} as two classes: {naming.some(named, '; ')}."
        )


def _note_doubtful_classes(labeled: Listed, note: Callable[[str], None]) -> None:
    counts = collections.Counter(row.label for row in labeled.pictures)
    doubtful = {label: n for label, n in counts.items() if label.strip().lower() in _UNKNOWN}
    if doubtful:
        named = [f"{label!r} ({naming.counted(n, 'picture')})" for label, n in doubtful.items()]
        note(
            f"{labeled.named_by}: took as a class {', '.join(named)}; where nobody knows the "
            f"class, {labeled.unknown}."
        )
    if all(label.strip().lower() in _PARTS for label in counts):
        note(
            f"{labeled.named_by}: took as classes {naming.some(sorted(counts))}, which look like "
            "the parts of a data set; its classes may be one folder below."
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


def _check_classes(
    what: str, listed: Listed, class_names: Sequence[str], note: Callable[[str], None]
) -> None:
    names = {row.label for row in listed.pictures}
    unknown = sorted(names - set(class_names))
    if unknown:
        raise ValueError(
            f"{listed.named_by}: the {what} has classes without a labeled training picture: "
            f"{naming.some(unknown)}; training knows: {naming.some(class_names)}."
        )
    missing = sorted(set(class_names) - names)
    if names and missing:
        note(
            f"{listed.named_by}: the {what} has no picture of "
            f"{naming.counted(len(missing), 'class', 'classes')}: {naming.some(missing)}."
        )


def _distinct(
    labeled: Listed,
    unlabeled: Sequence[str],
    validation: Listed,
    test: Listed,
    note: Callable[[str], None],
) -> tuple[Listed, list[str], Listed, Listed]:
    labels, held, tests = (_by_file(listed, note) for listed in (labeled, validation, test))
    for kind, rows, listed, others, known in (
        ("validation picture", held, validation, "labeled training pictures", labels),
        ("test picture", tests, test, "labeled training pictures", labels),
        ("test picture", tests, test, "pictures for validation", held),
    ):
        both = [row.path for key, row in rows.items() if key in known]
        if both:
            raise ValueError(
                f"{listed.named_by}: {naming.counted(len(both), kind)} also among the {others}: "
                f"{naming.some(both)}."
            )
    others: dict[tuple, str] = {}
    known = labels.keys() | held.keys() | tests.keys()
    again = repeated = 0
    for path in unlabeled:
        key = file_identity(path)
        again += key in known
        repeated += key in others
        if key not in known:
            others.setdefault(key, path)
    if again:
        left_out = naming.counted(again, "unlabeled picture")
        roles = "labeled, for validation" if held else "labeled"
        note(f"left out {left_out}, {roles} or in the test set as well.")
    if repeated:
        left_out = naming.counted(repeated, "unlabeled picture")
        note(f"left out {left_out}, listed twice (links).")
    return (
        labeled._replace(pictures=list(labels.values())),
        list(others.values()),
        validation._replace(pictures=list(held.values())),
        test._replace(pictures=list(tests.values())),
    )


def _by_file(listed: Listed, note: Callable[[str], None]) -> dict:
    """Rows by their file, the first of each."""
    rows, named = listed.pictures, listed.named_by
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


def _file_images(rows: Sequence[tuple[str, int]]) -> records.FileImages:
    # object: a fixed-width array would give every path the length of the longest, times four.
    paths = np.array([path for path, _ in rows], object)
    return records.FileImages(paths, np.array([label for _, label in rows], np.int64))
