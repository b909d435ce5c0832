"""What several seeds say together: means, intervals, agreement of two orders."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

CONFIDENCE = 0.95


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and standard deviation of a sample; the latter nan for one value.

    Args:
        values: at least one.
    """
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def on_common_seeds(found: Mapping[Name, Mapping[int, float]]) -> dict[Name, dict[int, float]]:
    """The values on the seeds that all names have, all values where there is no such seed.

    A seed's draw of the data moves methods more than they differ, so that means over unequal
    seeds are not to be compared.

    Args:
        found: value by seed, by name.
    """
    common = set.intersection(*(set(one) for one in found.values())) if found else set()
    return {
        name: {seed: value for seed, value in one.items() if seed in common or not common}
        for name, one in found.items()
    }


def paired_gain(
    ours: Mapping[int, float], theirs: Mapping[int, float]
) -> tuple[float, float, int] | None:
    """Mean of our value minus theirs over common seeds, half its 95 % interval, number of seeds.

        d_s = ours_s - theirs_s;   mean(d) +- t_{n-1, .975} sd(d) / sqrt(n)

    Args:
        ours: value by seed.
        theirs: value by seed.

    Returns:
        None without a common seed; the half width is nan for one.
    """
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    gains = np.array([ours[seed] - theirs[seed] for seed in common])
    mean, deviation = mean_and_deviation(gains)
    if len(gains) == 1:
        return mean, float("nan"), 1
    from scipy import stats  # takes a second, which a refused command line need not wait

    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1)
    return mean, float(quantile * deviation / np.sqrt(len(gains))), len(gains)


def rank_correlation(
    ours: Mapping[str, float], theirs: Mapping[str, float]
) -> tuple[float, int] | None:
    """Spearman's rank correlation over the common names, in [-1, 1], and their number.

    Ranks of equal values are averaged. None for fewer than three names, or where all values of
    one side are equal.
    """
    common = sorted(ours.keys() & theirs.keys())
    pairs = np.array([[ours[name], theirs[name]] for name in common])
    if len(common) < 3 or (pairs == pairs[0]).all(axis=0).any():
        return None
    from scipy import stats  # as above

    return float(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic), len(common)


def rank_correlation_range(
    ours: Mapping[str, float], theirs: Mapping[str, float]
) -> tuple[float, float] | None:
    """Least and largest rank correlation where each common name is left out once.

    What hangs on one name alone shows in it. None where none of these is defined, as with three
    common names.
    """
    common = ours.keys() & theirs.keys()
    without = [
        rank_correlation({name: ours[name] for name in common - {one}}, theirs) for one in common
    ]
    found = [one[0] for one in without if one]
    return (min(found), max(found)) if found else None
