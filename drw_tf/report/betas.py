"""Runs of one method that differ in beta: what Figure 4 is drawn from."""

from collections.abc import Mapping, Sequence

import numpy as np

from drw_tf.rebalance import class_weights
from drw_tf.report import groups, statistics, tables


def lines(
    settings: Sequence[groups.Setting], defaults: Mapping[str, object]
) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Balanced accuracies in [0, 1] for each beta, by data set and name of the line.

    A line is of one method in one setting, its other flags equal, with two betas or more; of
    seeds that all its betas have, if there are any.

    Args:
        settings: all runs.
        defaults: see `groups.settings`.
    """
    found: dict[str, dict[tuple, dict[float, dict[int, float]]]] = {}
    for setting in settings:
        for variant in setting.variants:
            beta = _beta(variant.records[0])
            percent = tables.values(variant, "balanced_accuracy", setting.window)
            if beta is None or not percent:
                continue
            others = groups.flags_of(variant.records[0], defaults)
            others.pop("beta", None)
            key = (setting.title, variant.method, *groups.spelled(others))
            dataset = variant.records[0]["dataset"]["name"]
            line = found.setdefault(dataset, {}).setdefault(key, {})
            line.setdefault(beta, {}).update(percent)
    return {
        dataset: {
            name: _values(line) for name, line in _named(group, defaults).items() if len(line) > 1
        }
        for dataset, group in found.items()
        if any(len(line) > 1 for line in group.values())
    }


def _values(line: Mapping[float, Mapping[int, float]]) -> dict[float, list[float]]:
    """Of percent by seed for each beta, shares of the seeds that all have."""
    return {
        beta: [percent / 100 for percent in one.values()]
        for beta, one in statistics.on_common_seeds(line).items()
    }


def _named(group: Mapping[tuple, dict], defaults: Mapping) -> dict[str, dict]:
    """Lines by a name that tells them apart: method, flags that differ, setting."""
    named = {}
    for key, line in group.items():
        title, method = key[:2]
        rivals = [dict(other[2:]) for other in group if other[:2] == key[:2]]
        named[f"{groups.name_of(method, dict(key[2:]), rivals, defaults)}, {title}"] = line
    return named


def _beta(record: Mapping) -> float | None:
    """The number that a run's beta is, None where it has none or one for each class."""
    beta = record["configuration"].get("beta")
    if beta == "auto":
        counts = np.asarray(record["dataset"]["labeled_counts"])
        return class_weights.beta_for_imbalance(counts)
    try:
        return float(beta)
    except (TypeError, ValueError):
        return None
