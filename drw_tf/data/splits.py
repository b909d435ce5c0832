"""Which training rows are labeled, unlabeled or held out: functions of labels and a seed."""

from collections.abc import Sequence

import numpy as np

from drw_tf.data import dataset as records
from drw_tf.data import long_tail, naming, seeds


def draw_split(
    labels: np.ndarray,
    num_classes: int,
    *,
    labeled_counts: np.ndarray,
    unlabeled_counts: np.ndarray,
    seed: int,
    validation_per_class: int = 0,
    sorted_within: bool = False,
) -> records.Split:
    """A split with given numbers of pictures of each class.

    The rows of a class, in the order that `seed` gives them, are taken from the front, the
    labeled ones first and the unlabeled ones after them, and from the back for validation. So
    neither of the other numbers moves a labeled row, and holding rows out moves none. Parts
    are ordered by class. Rows whose label nobody knows are in no part.

    Args:
        labels: int [N], class of each training row or `UNKNOWN_LABEL`, in the official order.
        num_classes: C.
        labeled_counts: int [C], rows to label of each class, >= 0.
        unlabeled_counts: int [C], other rows of each class that become unlabeled, >= 0.
        seed: 0 keeps the order of `labels`, as DARP does; any other shuffles each class.
        validation_per_class: rows of each class in neither stream, >= 0.
        sorted_within: rows of a class are sorted by what they show; seed 0 shuffles too.

    Raises:
        ValueError: a class has too few rows, or the counts are not C numbers >= 0.

    Source:
        bbuing9/DARP:dataset/all_cifar10.py train_split (seed 0).
    """
    labeled_counts = _checked("labeled_counts", labeled_counts, num_classes)
    unlabeled_counts = _checked("unlabeled_counts", unlabeled_counts, num_classes)
    if validation_per_class < 0:
        raise ValueError(f"validation_per_class must be >= 0, got {validation_per_class}.")
    parts = []
    for c, rows in enumerate(class_rows(labels, num_classes, seed, sorted_within)):
        labeled, unlabeled = labeled_counts[c], unlabeled_counts[c]
        needed = labeled + unlabeled + validation_per_class
        if needed > len(rows):
            raise ValueError(
                f"class {c} must have {needed} pictures ({labeled} labeled, {unlabeled} "
                f"unlabeled, {validation_per_class} for validation), got {len(rows)}."
            )
        back = len(rows) - validation_per_class
        parts.append((rows[:labeled], rows[labeled : labeled + unlabeled], rows[back:]))
    return _joined(parts)


def fraction_split(
    labels: np.ndarray,
    num_classes: int,
    fraction: float,
    seed: int,
    validation_per_class: int = 0,
    sorted_within: bool = False,
) -> records.Split:
    """A split that labels the same fraction of each class and leaves the rest unlabeled.

    Rows are taken as by `draw_split`; the numbers come from `labeled_fraction_counts` of all
    rows, so holding some out for validation moves no labeled row. Rows whose label nobody
    knows are unlabeled, after all others.

    Args:
        labels: int [N], class of each training row or `UNKNOWN_LABEL`, in the official order.
        num_classes: C.
        fraction: in (0, 1].
        seed: 0 keeps the order of `labels`; any other shuffles each class.
        validation_per_class: rows of each class in neither stream, >= 0.
        sorted_within: see `draw_split`.

    Raises:
        ValueError: `fraction` is out of range, or a class has too few rows.

    Source:
        YUE-FAN/CoSSL:dataset/fix_small_imagenet127.py (seed 0).
    """
    labels = np.asarray(labels)
    counts = records.class_counts(labels, num_classes)
    labeled = long_tail.labeled_fraction_counts(counts, fraction)
    split = draw_split(
        labels,
        num_classes,
        labeled_counts=labeled,
        unlabeled_counts=np.maximum(counts - labeled - validation_per_class, 0),
        seed=seed,
        validation_per_class=validation_per_class,
        sorted_within=sorted_within,
    )
    unknown = np.flatnonzero(labels == records.UNKNOWN_LABEL)
    unlabeled = np.concatenate([split.unlabeled, unknown])
    return records.Split(split.labeled, unlabeled, split.validation)


def hold_out(
    split: records.Split,
    labels: np.ndarray,
    class_names: Sequence[str],
    validation_per_class: int,
) -> records.Split:
    """A split that was given, with as many of its labeled pictures of each class held out.

    They are drawn, and the same for every seed of a run: the rest of the split is, too. A larger
    number holds those of a smaller one out as well.

    Args:
        split: without validation rows.
        labels: int [N], class of each training row or `UNKNOWN_LABEL`.
        class_names: C names.
        validation_per_class: >= 0, below the labeled pictures of every class.

    Raises:
        ValueError: a class would have no labeled picture left.
    """
    of_classes = class_rows(np.asarray(labels)[split.labeled], len(class_names), seed=0)
    rarest = min(range(len(class_names)), key=lambda c: len(of_classes[c]))
    fewest = len(of_classes[rarest])
    if fewest <= validation_per_class:
        raise ValueError(
            "--validation_per_class must leave a labeled picture of every class, at most "
            f"{fewest - 1}, as there are {fewest} of {naming.shown(class_names[rarest])}; "
            f"got {validation_per_class}."
        )
    held = []
    for c, rows in enumerate(of_classes):
        drawn = _shuffled(split.labeled[rows], seeds.seed_for(0, f"validation/{c}"))
        held.append(drawn[:validation_per_class])
    held = np.sort(np.concatenate(held))
    return records.Split(split.labeled[~np.isin(split.labeled, held)], split.unlabeled, held)


def class_rows(
    labels: np.ndarray, num_classes: int, seed: int, sorted_within: bool = False
) -> list[np.ndarray]:
    """C arrays int64 [n_c]: the rows of each class in the order that `seed` gives them.

    Args:
        labels: int [N], class of each row or `UNKNOWN_LABEL`.
        num_classes: C.
        seed: 0 keeps the order; any other shuffles each class by itself.
        sorted_within: see `draw_split`.

    Raises:
        ValueError: a label is neither a class nor `UNKNOWN_LABEL`.
    """
    labels = np.asarray(labels)
    strange = labels[(labels >= num_classes) | ((labels < 0) & (labels != records.UNKNOWN_LABEL))]
    if strange.size:
        raise ValueError(f"labels must be in [0, {num_classes}), got {strange[0]}.")
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(num_classes + 1))
    rows = [order[bounds[c] : bounds[c + 1]] for c in range(num_classes)]
    if seed == 0 and not sorted_within:
        return rows
    return [_shuffled(r, seeds.seed_for(seed, f"split/{c}")) for c, r in enumerate(rows)]


def _shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    # Sorted by raw random numbers: NumPy promises the bits of Philox for all versions and
    # machines, and the results of its `shuffle` and `permutation` for none.
    keys = np.random.Philox(key=seed).random_raw(len(rows))
    return rows[np.argsort(keys, kind="stable")]


def _checked(name: str, counts: np.ndarray, size: int) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.shape != (size,) or not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise ValueError(f"{name} must be {size} whole numbers >= 0, got {counts.tolist()}.")
    return counts


def _joined(parts: list[tuple[np.ndarray, ...]]) -> records.Split:
    labeled, unlabeled, validation = (
        np.concatenate(part).astype(np.int64) for part in zip(*parts, strict=True)
    )
    return records.Split(labeled, unlabeled, validation)
