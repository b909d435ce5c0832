"""How many pictures of each class a long-tailed set has."""

import math

import numpy as np

SAME, REVERSED, UNIFORM = "same", "reversed", "uniform"
ORDERS = (SAME, REVERSED, UNIFORM)

# The power is rounded at about 1e-16 of itself, so what should be 100 can come out as
# 99.99999999999999. Farther below a whole number than this nothing is rounded up.
_ROUNDING = 1e-12


def class_counts(
    num_classes: int, n_max: int, ratio: float | None, order: str = SAME
) -> np.ndarray:
    """Pictures of each class.

        n_c = floor(n_max * ratio ** (-c / (C - 1))),  c = 0 ... C - 1

    so class 0 is the largest and class C - 1 has n_max / ratio, rounded down.

    Differs from the source where n_c is a whole number for 0 < c < C - 1 (as with C = 3 and
    ratio = 4): there float64 may fall one short, depending on the machine's `pow`. None of
    the published ratios with 10 or 100 classes is such a case.

    Args:
        num_classes: C, >= 1.
        n_max: pictures of the largest class, >= 1.
        ratio: gamma = n_max / n_min, >= 1; 1 where there is one class only. None or 1 where
            the order is "uniform".
        order: "same", "reversed" (class C - 1 is the largest) or "uniform" (`n_max` of each
            class).

    Returns:
        int64 [C], pictures, all >= 1.

    Raises:
        ValueError: an argument is out of range, or a class would be empty.

    Source:
        bbuing9/DARP:common.py make_imb_data.
    """
    _check(num_classes, n_max, ratio, order)
    if order == UNIFORM:
        return np.full(num_classes, int(n_max), np.int64)
    last = max(num_classes - 1, 1)
    exact = [n_max * ratio ** (-c / last) for c in range(num_classes)]
    counts = np.array([math.floor(n * (1 + _ROUNDING)) for n in exact], np.int64)
    if order == REVERSED:
        counts = counts[::-1].copy()
    if not counts.all():
        empty = ", ".join(str(c) for c in np.flatnonzero(counts == 0))
        raise ValueError(
            f"the imbalance ratio must be at most the {n_max:g} pictures of the largest class, "
            f"got {ratio:g}: class {empty} would be empty."
        )
    return counts


def _check(num_classes: int, n_max: int, ratio: float | None, order: str) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
    if not n_max >= 1:
        raise ValueError(f"pictures of the largest class must be at least 1, got {n_max}.")
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order}.")
    if order == UNIFORM:
        if ratio not in (None, 1):
            raise ValueError(f"the imbalance ratio of a uniform set must be 1, got {ratio}.")
        return
    if ratio is None or not 1 <= ratio < math.inf:
        raise ValueError(f"the imbalance ratio must be a number >= 1, got {ratio}.")
    if num_classes == 1 and ratio != 1:
        raise ValueError(f"the imbalance ratio of a single class must be 1, got {ratio:g}.")


def labeled_fraction_counts(counts: np.ndarray, fraction: float) -> np.ndarray:
    """How many pictures of each class are labeled where a fraction of all is.

        max(1, round(fraction * n_c)),  halves to the even neighbour

    Differs from the source where `fraction * n_c` rounds to 0: one is labeled here, none there.

    Args:
        counts: int [C], pictures of each class, >= 1.
        fraction: in (0, 1].

    Returns:
        int64 [C], pictures, in [1, counts].

    Raises:
        ValueError: `fraction` is out of range, or a class has no picture.

    Source:
        YUE-FAN/CoSSL:dataset/fix_small_imagenet127.py.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the labeled fraction must be in (0, 1], got {fraction}.")
    counts = np.asarray(counts, np.int64)
    if (counts < 1).any():
        empty = int(np.flatnonzero(counts < 1)[0])
        raise ValueError(f"every class must have a picture, got none of class {empty}.")
    return np.maximum(1, np.around(counts * fraction).astype(np.int64))
