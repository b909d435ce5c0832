"""What a split holds, before anything is trained: counts, overlaps, doubtful files; as Markdown."""

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from drw_tf.data import dataset as records
from drw_tf.data import naming
from drw_tf.report import markdown

LABELED, UNLABELED, VALIDATION, TEST = "labeled", "unlabeled", "validation", "test"
_NAMED = 10
_ENDS = 3
_MAX_NAMED = 1000
# More classes than this are shortened where the table is printed.
_MAX_LINES = 40
_SHOWN_LINES = 15


@dataclasses.dataclass(frozen=True)
class Copy:
    """One of several equal pictures.

    Attributes:
        part: "labeled", "unlabeled", "validation" or "test".
        label: its class, "?" where nobody knows it.
        name: its path, or its row.
    """

    part: str
    label: str
    name: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a split holds.

    Attributes:
        dataset: name of the data set.
        class_names: C names.
        image_shape: (H, W, Ch) of what the network sees.
        checksum: of the split.
        counts: part -> int64 [C], pictures of each class; "test" only where there is a test set.
        unknown: unlabeled pictures whose class nobody knows.
        pool: pictures in the unlabeled stream; None for a method without one.
        overlaps: (part, part) -> rows or files in both, for every two parts.
        unreadable: path and reason of each file that was left out.
        copies: groups of pictures that are equal byte for byte; None: not looked for.
    """

    dataset: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    checksum: str
    counts: Mapping[str, np.ndarray]
    unknown: int
    pool: int | None
    overlaps: Mapping[tuple[str, str], int]
    unreadable: tuple[tuple[str, str], ...] = ()
    copies: tuple[tuple[Copy, ...], ...] | None = None

    @property
    def order(self) -> np.ndarray:
        """int64 [C], the classes, most labeled pictures first."""
        return np.argsort(-self.counts[LABELED], kind="stable")


def facts(dataset: records.Dataset, split: records.Split, *, include_labeled: bool | None) -> Facts:
    """What this split holds; files and pixels are not looked at.

    Args:
        dataset: pictures and labels.
        split: which of its training rows are what.
        include_labeled: whether the unlabeled stream draws labeled pictures, too; None where
            there is no such stream.
    """
    rows = {LABELED: split.labeled, UNLABELED: split.unlabeled, VALIDATION: split.validation}
    labels = {part: dataset.train.labels[those] for part, those in rows.items()}
    members = {part: set(those.tolist()) for part, those in rows.items()}
    if dataset.test is not None:
        labels[TEST] = dataset.test.labels
        paths = getattr(dataset.test, "paths", ())
        place = {path: row for row, path in enumerate(getattr(dataset.train, "paths", ()))}
        members[TEST] = {place.get(path, ("test", row)) for row, path in enumerate(paths)}
    return Facts(
        dataset=dataset.name,
        class_names=dataset.class_names,
        image_shape=tuple(dataset.image_shape),
        checksum=split.checksum(),
        counts={
            part: records.class_counts(those, dataset.num_classes) for part, those in labels.items()
        },
        unknown=int(np.sum(labels[UNLABELED] == records.UNKNOWN_LABEL)),
        pool=None if include_labeled is None else len(split.pool(include_labeled)),
        overlaps={
            (first, second): len(members[first] & members[second])
            for first, second in itertools.combinations(members, 2)
        },
    )


def line(dataset: records.Dataset, split: records.Split) -> str:
    """The classes with their labeled pictures, most first, and the sizes of the other parts.

    Of more than ten classes the three largest and the three smallest are named.
    """
    counts = records.class_counts(dataset.train.labels[split.labeled], dataset.num_classes)
    order = np.argsort(-counts, kind="stable")
    named = [f"{naming.shown(dataset.class_names[row])} {counts[row]:,}" for row in order]
    if len(named) > _NAMED:
        named[_ENDS:-_ENDS] = ["..."]
    parts = [f"{', '.join(named)} labeled", f"{len(split.unlabeled):,} unlabeled"]
    if len(split.validation):
        parts.append(f"{len(split.validation):,} held out")
    parts.append("no test pictures" if dataset.test is None else f"{len(dataset.test):,} test")
    classes = naming.counted(dataset.num_classes, "class", "classes")
    return f"data: {classes}: {'; '.join(parts)}"


def imbalance(counts: np.ndarray) -> float:
    """R = largest / smallest count; infinite where a class has no picture, NaN where none has."""
    if not counts.any():
        return math.nan
    return math.inf if counts.min() == 0 else float(counts.max() / counts.min())


def equal_pixels(pictures: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Rows whose pixels are equal: one int64 array of two or more for each such picture.

    Args:
        pictures: uint8 [H, W, Ch] each; none is kept.
    """
    groups: dict[bytes, list[int]] = {}
    for row, pixels in enumerate(pictures):
        digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
        groups.setdefault(digest, []).append(row)
    return [np.array(rows) for rows in groups.values() if len(rows) > 1]


def copies(
    dataset: records.Dataset, rows: np.ndarray, parts: Sequence[str], groups: Sequence[np.ndarray]
) -> tuple[tuple[Copy, ...], ...]:
    """Groups of equal pictures by name.

    Args:
        dataset: pictures and labels.
        rows: int64 [N], training rows that were compared; all test rows were, after them.
        parts: part of each of these training rows.
        groups: positions among `rows` followed by the test rows.
    """

    def look(position):
        is_test = position >= len(rows)
        images = dataset.test if is_test else dataset.train
        row = position - len(rows) if is_test else rows[position]
        label = images.labels[row]
        known = dataset.class_names[label] if label != records.UNKNOWN_LABEL else "?"
        paths = getattr(images, "paths", None)
        name = paths[row] if paths is not None else f"{'test' if is_test else 'training'} row {row}"
        return Copy(TEST if is_test else parts[position], known, str(name))

    return tuple(tuple(look(position) for position in group) for group in groups)


# ---- Markdown


def text(found: Facts, settings: Sequence[str], notes: Sequence[str], *, whole: bool) -> str:
    """The report.

    Args:
        found: of `facts`.
        settings: flags that decided the split.
        notes: what the loader had to say.
        whole: every class and file; else shortened, for a terminal.
    """
    height, width, channels = found.image_shape
    sections = [
        f"# {found.dataset}: {len(found.class_names)} classes, {height} x {width} x {channels}",
        f"`{' '.join(settings)}`  \nsplit {found.checksum}",
        _totals(found),
        _class_table(found, whole),
        _overlaps(found),
        _unreadable(found, whole),
        _copies(found, whole),
    ]
    if notes:
        sections.append("## Notes of the loader\n\n" + "\n".join(f"- {note}" for note in notes))
    return "\n\n".join(sections) + "\n"


def _totals(found: Facts) -> str:
    lines = []
    for part, counts in found.counts.items():
        total = int(counts.sum()) + (found.unknown if part == UNLABELED else 0)
        if not total and part == VALIDATION:
            continue
        lines.append(f"- {part}: {naming.counted(total, 'picture')}{_spread(found, part)}")
    if TEST not in found.counts:
        is_scored = found.counts[VALIDATION].any()
        lines.append(f"- test: none{'' if is_scored else ', so no score will be measured'}")
    if found.pool is not None:
        unlabeled = int(found.counts[UNLABELED].sum()) + found.unknown
        included = ", the labeled ones included" if found.pool > unlabeled else ""
        pool = naming.counted(found.pool, "picture")
        lines.append(f"- pool of the unlabeled stream: {pool}{included}")
    return "\n".join(lines)


def _spread(found: Facts, part: str) -> str:
    """ ", R = ..." of a part."""
    counts = found.counts[part]
    if not counts.sum():
        return ", classes unknown" if part == UNLABELED and found.unknown else ""
    ratio = imbalance(counts)
    if math.isinf(ratio):
        empty = [found.class_names[row] for row in np.flatnonzero(counts == 0)]
        return f", none of {naming.some(empty)}"
    return f", R = {ratio:.4g} ({counts.max():,} to {counts.min():,})"


def _class_table(found: Facts, whole: bool) -> str:
    parts = [part for part, counts in found.counts.items() if counts.sum()]
    rows = [
        [_name(found.class_names[row]), *(f"{found.counts[part][row]:,}" for part in parts)]
        for row in found.order
    ]
    if not whole and len(rows) > _MAX_LINES:
        rest = len(rows) - 2 * _SHOWN_LINES
        gap = [f"... {rest} more", *("..." for _ in parts)]
        rows = [*rows[:_SHOWN_LINES], gap, *rows[-_SHOWN_LINES:]]
    return markdown.table(["class", *parts], rows, aligned=True)


def _overlaps(found: Facts) -> str:
    shared = [f"- {a} and {b}: {number:,}" for (a, b), number in found.overlaps.items() if number]
    return "## In two parts\n\n" + ("\n".join(shared) or "No file is in two parts.")


def _unreadable(found: Facts, whole: bool) -> str:
    number = naming.counted(len(found.unreadable), "file")
    lines = [
        f"{number}. Training refuses them, and leaves them out with --on_bad_image=skip. Damage "
        "behind a sound header it finds at the start where it decodes all pictures: with "
        "--decode_all, or below 96 pixels where they fit into memory."
    ]
    if not found.unreadable:
        lines = ["None."]
    lines += _limited([f"- {_name(path)}: {reason}" for path, reason in found.unreadable], whole)
    return "## Unreadable files\n\n" + "\n".join(lines)


def _copies(found: Facts, whole: bool) -> str:
    title = "## Equal pictures\n\n"
    if found.copies is None:
        return title + "Not looked for (--find_copies=false)."
    if not found.copies:
        return title + "None."
    leaks = sum(_is_leak(group) for group in found.copies)
    torn = sum(_is_torn(group) for group in found.copies)
    both = sum({LABELED, UNLABELED} <= {one.part for one in group} for group in found.copies)
    sets = naming.sets(bool(found.counts[VALIDATION].any()))
    lines = [
        f"There more than once: {naming.counted(len(found.copies), 'picture')}, {leaks:,} of "
        f"them in {sets}, {torn:,} as two classes, {both:,} labeled and unlabeled.",
    ]
    groups = sorted(found.copies, key=lambda group: -2 * _is_leak(group) - _is_torn(group))
    described = [
        "- " + " = ".join(f"{_name(one.name)} ({one.part}, {_name(one.label)})" for one in group)
        for group in groups
    ]
    return title + "\n".join([*lines, *_limited(described, whole)])


def _is_leak(group: Sequence[Copy]) -> bool:
    """Whether what the network is trained on, chosen by and tested on is not apart."""
    return len({one.part if one.part in (VALIDATION, TEST) else LABELED for one in group}) > 1


def _is_torn(group: Sequence[Copy]) -> bool:
    return len({one.label for one in group} - {"?"}) > 1


def _name(name: str) -> str:
    """A file's or class's name, which may be anybody's, within one line of the report."""
    return markdown.cell(naming.shown(name))


def _limited(lines: Sequence[str], whole: bool) -> list[str]:
    limit = _MAX_NAMED if whole else _NAMED
    more = len(lines) - limit
    return [*lines[:limit], *([f"- and {more:,} more"] if more > 0 else [])]
