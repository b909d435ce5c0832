"""Which pictures can be used, found out before training: a look at every file's header.

Sizes are read from headers, nothing is decoded unless a file has not the end of its format
(or `full` is set), so a header that claims 20,000 x 20,000 pixels costs nothing. Measured on
JPEGs of 64 x 64 in the page cache: 40,000 files a second on two cores; a full check runs at
the speed of decoding.
"""

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from drw_tf import patience, whole_files
from drw_tf.data import dataset as records
from drw_tf.data import image_files, image_headers, naming

ON_BAD = ("fail", "skip")
# Files in a task where headers are read; what decodes takes one, so that the bar moves and Ctrl-C
# is heard.
_BLOCK = 256
_THREADS = 8
_WAITING = 512
# That a GPU cannot be used, or that memory is short.
NO_FAULT_OF_A_FILE = (tf.errors.InternalError, tf.errors.ResourceExhaustedError, MemoryError)


@dataclasses.dataclass(frozen=True)
class BadImage:
    """A picture that cannot be used.

    Attributes:
        row: its position among the paths that were scanned.
        path: its file.
        reason: why, in a few words.
    """

    row: int
    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What a scan found.

    Attributes:
        scanned: N, how many pictures were looked at.
        bad: the pictures that cannot be used, in the order of the paths.
    """

    scanned: int
    bad: tuple[BadImage, ...]

    @property
    def usable(self) -> np.ndarray:
        """bool [N], whether each row can be used."""
        out = np.ones(self.scanned, bool)
        out[[bad.row for bad in self.bad]] = False
        return out

    def summary(self) -> str:
        """One line: how many pictures are bad, and the first ten of them."""
        found = f"{len(self.bad)} of {self.scanned} pictures cannot be used"
        return f"{found}: {_named(self.bad)}"


def scan(
    paths: Sequence[str],
    *,
    max_megapixels: float,
    on_bad: str = "fail",
    full: bool = False,
) -> Report:
    """What the headers of picture files say.

    Args:
        paths: str [N].
        max_megapixels: pictures of more pixels than this, in millions, are bad; > 0.
        on_bad: "fail" raises on any bad picture, "skip" only reports them.
        full: also decode every file, which finds damage inside it.

    Raises:
        ValueError: an argument is out of range, or pictures are bad and `on_bad` is "fail".
        OSError: the disk is gone, and not back within seconds; no picture is bad for that.
    """
    if on_bad not in ON_BAD:
        raise ValueError(f"--on_bad_image must be one of {', '.join(ON_BAD)}, got {on_bad!r}.")
    if not max_megapixels > 0:
        raise ValueError(f"--max_megapixels must be above 0, got {max_megapixels}.")

    reasons = list(_looks(paths, max_megapixels, full))
    bad = tuple(
        BadImage(row, str(path), reason)
        for row, (path, reason) in enumerate(zip(paths, reasons, strict=True))
        if reason
    )
    report = Report(len(reasons), bad)
    if bad and on_bad == "fail":
        raise ValueError(f"{report.summary()}; --on_bad_image=skip leaves them out.")
    return report


def faults(paths: Sequence[str]) -> dict[int, str]:
    """Why pictures cannot be decoded, in a few words, by their places in the list.

    Raises:
        OSError: see `scan`.
    """
    looks = _looks(paths, math.inf, full=True, progress=False)
    return {row: reason for row, reason in enumerate(looks) if reason}


def first_damaged(paths: Sequence[str]) -> BadImage | None:
    """The first picture that cannot be read now, if there is one; only to find it all are decoded.

    Args:
        paths: str [N].

    Raises:
        OSError: see `scan`.
    """
    for full in (False, True):
        for row, reason in enumerate(_looks(paths, math.inf, full)):
            if reason:
                return BadImage(row, str(paths[row]), reason)
    return None


def usable_dataset(
    dataset: records.Dataset,
    *,
    max_megapixels: float,
    on_bad: str = "fail",
    note: Callable[[str], None] = logging.info,
    **options,
) -> tuple[records.Dataset, Report]:
    """The data set without pictures that cannot be used, and what was found.

    Args:
        dataset: of `FileImages`; one of `ArrayImages` comes back as it is.
        max_megapixels: see `scan`.
        on_bad: see `scan`.
        note: told, a line for each set, of which classes no picture is left that a network is
            chosen by or tested on.
        **options: further arguments of `scan`.

    Returns:
        The data set, and the report on its training rows followed by its test rows.

    Raises:
        ValueError: pictures are bad and `on_bad` is "fail", or leaving them out leaves a
            class without a labeled picture, or the validation or the test set without any.
    """
    parts = [part for part in (dataset.train, dataset.test) if isinstance(part, records.FileImages)]
    paths = [path for part in parts for path in part.paths]
    report = scan(paths, max_megapixels=max_megapixels, on_bad=on_bad, **options)
    if not report.bad:
        return dataset, report
    keep = report.usable[: len(dataset.train)]
    split = _kept_split(dataset.given_split, keep)
    train = records.take(dataset.train, keep)
    _check_classes(dataset, train, split, report.bad)
    if dataset.given_split is not None:
        _check_judged("validation set", dataset, dataset.given_split.validation, report, note)
    _check_judged("test set", dataset, np.arange(len(keep), len(paths)), report, note)
    test = dataset.test and records.take(dataset.test, report.usable[len(keep) :])
    return dataclasses.replace(dataset, train=train, test=test, given_split=split), report


def duplicates(paths: Sequence[str]) -> list[np.ndarray]:
    """Rows whose files are equal byte for byte.

    Only files of the same length are read.

    Args:
        paths: str [N].

    Returns:
        One int64 array of two or more rows for each content that is there more than once, in
        the order of their first rows.
    """
    waited = patience.Patience()

    def patiently(function):
        return lambda path: waited.read(lambda: function(path))

    sizes = _each(patiently(os.path.getsize), paths, "Listing files")
    sizes = np.array([*sizes], np.int64)
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    candidates = np.flatnonzero(counts[inverse] > 1)
    digests = _each(
        patiently(whole_files.checksum), [paths[row] for row in candidates], "Comparing files"
    )
    groups: dict[str, list[int]] = {}
    for row, digest in zip(candidates, digests, strict=True):
        groups.setdefault(digest, []).append(int(row))
    return [np.array(rows, np.int64) for rows in groups.values() if len(rows) > 1]


def _looks(
    paths: Sequence[str], max_megapixels: float, full: bool, progress: bool = True
) -> Iterator[str]:
    """What `_look` says of each picture, in order."""
    waited = patience.Patience()

    def look(path):
        try:
            return waited.read(lambda: _look(path, max_megapixels, full))
        except OSError as error:
            if error.errno in patience.OF_A_DISK:
                raise OSError(error.errno, error.strerror, path) from None
            return error.strerror or str(error)

    return _each(look, paths, "Looking at pictures", progress, 1 if full else _BLOCK)


def _look(path: str, max_megapixels: float, full: bool) -> str:
    """Why a picture is bad, or ""; raises OSError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return "the file is empty"
            header = image_headers.read(file, size)
            pixels = f"{header.width} x {header.height} pixels"
            if not (header.height and header.width):
                return f"its header says {pixels}"
            if header.height * header.width > max_megapixels * 1e6:
                return f"{pixels} are more than --max_megapixels={max_megapixels:g}"
            if header.complete and not full:
                return ""
            file.seek(0)
            return _decoding_fault(file.read())
    except ValueError as error:
        return str(error)


def _decoding_fault(contents: bytes) -> str:
    try:
        with tf.device("CPU:0"):  # a GPU may have no memory left
            image_files.decode(tf.constant(contents))
    except NO_FAULT_OF_A_FILE:
        raise
    except Exception:  # Pillow's readers raise many kinds, SyntaxError among them.
        return "it cannot be decoded: damaged, cut off, or of a rare kind"
    return ""


def _each(
    function: Callable,
    items: Sequence,
    title: str,
    progress: bool = True,
    block: int = _BLOCK,
) -> Iterator:
    """`function` of every item, in order; a block of items is one task.

    Few tasks wait at a time: of millions the pool would keep a list, and do all of them though
    nobody asks for more.
    """
    blocks = [items[start : start + block] for start in range(0, len(items), block)]
    # disable=None: no bar where standard error is no terminal.
    bar = tqdm.tqdm(total=len(items), desc=title, disable=None if progress else True)
    with bar, concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        waiting = max(2 * _THREADS, _WAITING // block)
        for begin in range(0, len(blocks), waiting):
            tasks = blocks[begin : begin + waiting]
            for results in pool.map(lambda block: [function(item) for item in block], tasks):
                yield from results
                bar.update(len(results))


def _kept_split(split: records.Split | None, keep: np.ndarray) -> records.Split | None:
    if split is None:
        return None
    position = np.cumsum(keep) - 1
    return records.Split(
        *(
            position[rows[keep[rows]]].astype(np.int64)
            for rows in (split.labeled, split.unlabeled, split.validation)
        )
    )


def _named(bad: Sequence[BadImage]) -> str:
    return naming.some([f"{one.path}: {one.reason}" for one in bad], "; ")


def _check_judged(
    what: str,
    dataset: records.Dataset,
    rows: np.ndarray,
    report: Report,
    note: Callable[[str], None],
) -> None:
    """Refuses a set of which nothing is left, and notes the classes of which nothing is.

    Args:
        what: "validation set" or "test set".
        dataset: before pictures are left out.
        rows: int64 [N], the set's, of the training rows followed by the test rows; may be empty.
        report: of all these rows.
        note: see `usable_dataset`.
    """
    left = rows[report.usable[rows]]
    if len(rows) and not len(left):
        theirs = set(rows.tolist())
        raise ValueError(
            f"no picture of the {what} is left, as these cannot be used: "
            f"{_named([bad for bad in report.bad if bad.row in theirs])}."
        )
    parts = [part.labels for part in (dataset.train, dataset.test) if part is not None]
    labels = np.concatenate(parts)
    had, has = (records.class_counts(labels[some], dataset.num_classes) for some in (rows, left))
    lost = [dataset.class_names[row] for row in np.flatnonzero((had > 0) & (has == 0))]
    if lost:
        note(f"the {what} has no picture left of {naming.some(lost)}: none of them can be used.")


def _check_classes(
    dataset: records.Dataset,
    train: records.FileImages,
    split: records.Split | None,
    bad: Sequence[BadImage],
) -> None:
    labels = train.labels if split is None else train.labels[split.labeled]
    counts = records.class_counts(labels, dataset.num_classes)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        labels = dataset.train.labels
        theirs = [one for one in bad if one.row < len(labels) and labels[one.row] in empty]
        others = [one for one in bad if one not in theirs]
        also = f"; and these: {_named(others)}" if others else ""
        raise ValueError(
            f"no labeled picture of {naming.some([dataset.class_names[row] for row in empty])} is "
            f"left, as these cannot be used: {_named(theirs)}{also}."
        )
