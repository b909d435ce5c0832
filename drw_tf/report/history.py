"""Histories: what records keep of them, and what figures read from them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from drw_tf.ops import metrics

# Shares of each class that a picture shows over time; TensorBoard has all of them.
THINNED = (
    "pseudo_precision",
    "pseudo_recall",
    "confident_precision",
    "confident_recall",
    "confident_rate",
)
MAX_THINNED = 10_000


def run_labels(records: Sequence[Mapping], labels: Sequence[str] | None) -> list[str]:
    """One name for each run: as given, or its method, with the seed where that is not enough.

    Raises:
        ValueError: no record, or not one label for each.
    """
    if not records:
        raise ValueError("records must be at least one, got none.")
    if labels is not None:
        if len(labels) != len(records):
            raise ValueError(f"labels must be {len(records)}, one a record, got {len(labels)}.")
        return list(labels)
    settings = [record["configuration"] for record in records]
    names = [str(setting.get("method", "run")) for setting in settings]
    if len(set(names)) < len(names):
        names = [
            f"{name}, seed {setting.get('seed')}"
            for name, setting in zip(names, settings, strict=True)
        ]
    if len(set(names)) < len(names):
        names = [f"{name} ({index + 1})" for index, name in enumerate(names)]
    return names


def class_facts(records: Sequence[Mapping]) -> tuple[list[str], np.ndarray]:
    """Names of the classes, and their numbers in the order of the labeled counts, head first.

    Raises:
        ValueError: the records are not of the same classes.
    """
    names = records[0]["dataset"]["class_names"]
    for other in records[1:]:
        if other["dataset"]["class_names"] != names:
            raise ValueError("records must have the same class_names to be drawn together.")
    counts = np.asarray(records[0]["dataset"]["labeled_counts"])
    return list(names), np.argsort(-counts, kind="stable")


def series(record: Mapping, *keys: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one quantity of a history, without the entries that lack it.

    Args:
        record: as `record_file.read_record` returns it.
        *keys: the way to the quantity in an entry, as in "test", "ema", "loss".

    Returns:
        int64 [E] steps; float64 [E] or [E, C] values, NaN where undefined.
    """
    steps, values = [], []
    for entry in record["history"]:
        value = entry
        for key in keys:
            value = (value or {}).get(key)
        if value is not None:
            steps.append(entry["step"])
            values.append(np.asarray(value, np.float64))
    return np.asarray(steps, np.int64), np.asarray(values)


def last_metric(record: Mapping, network: str, key: str):
    """One metric of the last evaluation.

    Raises:
        ValueError: there is none.
    """
    value = record["last_metrics"].get(network, {}).get(key)
    if value is None:
        raise ValueError(f"records must have {key} of the {network} network, one has not.")
    return value


def dynamic_start(record: Mapping) -> int | None:
    """First step that may have dynamic unlabeled weights, None for a run without them.

    It is `reweight_start`, a fraction of all steps, of a run whose recorded unlabeled
    weights changed with time.
    """
    _, weights = series(record, "unlabeled_weights")
    fraction = record["configuration"].get("reweight_start")
    if fraction is None or len(weights) < 2 or (weights == weights[0]).all():
        return None
    return round(fraction * record["configuration"]["steps"])


def thinned(history: Sequence[Mapping]) -> list[dict]:
    """The history with `THINNED` lists in as many evaluations as `MAX_THINNED` allows.

    They stay in every k-th entry, the last one among them, for the smallest k.
    """
    classes = max((len(entry.get(name, ())) for entry in history for name in THINNED), default=0)
    period = math.ceil(len(history) * classes / MAX_THINNED) or 1
    last = len(history) - 1
    return [
        {key: item for key, item in entry.items() if key not in THINNED}
        if (last - index) % period
        else dict(entry)
        for index, entry in enumerate(history)
    ]


def without_early_details(history: Sequence[Mapping]) -> list[dict]:
    """The history with confusion matrix (C² numbers) and bins in its last entry only."""
    return [
        {
            **entry,
            "test": {
                network: {
                    key: item for key, item in numbers.items() if key not in metrics.LAST_ONLY
                }
                for network, numbers in entry["test"].items()
            },
        }
        if entry.get("test") and index < len(history) - 1
        else dict(entry)
        for index, entry in enumerate(history)
    ]
