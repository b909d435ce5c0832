"""The record of a run: one JSON file that says what was run, where, and what came out.

Every reported number comes from such a file. A run's history is a list of dictionaries,
one for each evaluation, with "step", "epoch", "train" and "test"; "test" has the metrics of
the averaged network ("ema") and of the trained one ("raw"). Where pictures were held out,
"validation" has the same of those.
"""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from drw_tf import whole_files
from drw_tf.ops import summary
from drw_tf.report import environment
from drw_tf.report import history as run_history

SCHEMA_VERSION = 1
FINAL_METRICS = ("balanced_accuracy", "accuracy", "geometric_mean", "many", "medium", "few")

_SCHEMA = {
    "schema_version": int,
    "command_line": list,
    "configuration": dict,
    "versions": dict,
    "git": (dict, type(None)),
    "machine": dict,
    "dataset": dict,
    "steps": int,
    "seconds": (int, float),
    "images_per_second": (int, float, type(None)),
    "final": dict,
    "last_metrics": dict,
    "history": list,
}
_DATASET_SCHEMA = {
    "name": str,
    "split_checksum": str,
    "class_names": list,
    "labeled_counts": list,
    "unlabeled_counts": (list, type(None)),
    "test_counts": (list, type(None)),
}
_FINAL_KEYS = ("last", "best", "mean_last_20", "median_last_20", "evaluations")


def build_record(
    *,
    command_line: Sequence[str],
    configuration: Mapping,
    dataset: Mapping,
    history: Sequence[Mapping],
    steps: int,
    seconds: float,
    images_per_second: float | None,
    makers: Sequence[Mapping] = (),
) -> dict:
    """The record of a finished or interrupted run, ready to be written.

    Args:
        command_line: words that started the run.
        configuration: every flag and its value.
        dataset: "name", "split_checksum", "class_names" (C), "labeled_counts" (C),
            "unlabeled_counts" and "test_counts" (C, or None where nobody knows), and
            whatever else describes the data.
        history: one dictionary for each evaluation; may be empty.
        steps: training steps done.
        seconds: duration of the training, over all its parts.
        images_per_second: rate over the whole run, None if unknown.
        makers: the code of each part of the training, in order, each with "from_step" and what
            `environment.code` says; none for the code that runs now.

    Returns:
        Dictionary of plain Python values: NaN and infinities are None, arrays are lists.
        The history keeps confusion matrix and calibration bins of its last entry only, and
        is thinned (`history.thinned`).

    Raises:
        TypeError: a value cannot be written as JSON; its place in the record is named.
        ValueError: a fact of the data set is missing or of another type.
    """
    history = plain(history, "history")
    makers = plain(makers, "makers") or [{"from_step": 0, **environment.code()}]
    record = {
        "schema_version": SCHEMA_VERSION,
        "command_line": list(command_line),
        "configuration": plain(configuration, "configuration"),
        "versions": makers[-1]["versions"],
        "git": makers[-1]["git"],
        # Of a run that other code began.
        **({"made_by": makers} if len(makers) > 1 or makers[0]["from_step"] else {}),
        "machine": environment.machine(),
        "dataset": plain(dataset, "dataset"),
        "steps": int(steps),
        "seconds": float(seconds),
        "images_per_second": plain(images_per_second, "images_per_second"),
        "final": final_metrics(history),
        "last_metrics": _last_test(history),
        "history": run_history.thinned(run_history.without_early_details(history)),
    }
    problem = _problem(record)
    if problem:
        raise ValueError(f"not a record: {problem}")
    return record


def final_metrics(history: Sequence[Mapping]) -> dict:
    """Each metric of each network at the end of a run, named so that none is confused.

    "last" is the last evaluation's. "best" is the largest value and its step: chosen on the
    test set, so never to be reported as a result. "mean_last_20" and "median_last_20" are
    over the last 20 evaluations, or over all where there are fewer: "evaluations" says how
    many. A value that is undefined makes the mean and the median undefined.

    Args:
        history: one dictionary for each evaluation, oldest first.

    Returns:
        {network: {metric: {"last", "best": {"value", "step"}, "mean_last_20",
        "median_last_20", "evaluations"}}}, fractions in [0, 1] or None.
    """
    evaluations = [entry for entry in history if entry.get("test")]
    networks = evaluations[-1]["test"] if evaluations else ()
    return {
        network: {metric: _final(evaluations, network, metric) for metric in FINAL_METRICS}
        for network in networks
    }


def write_record(path: str | os.PathLike, record: Mapping) -> None:
    """Writes a record so that a reader sees the old file or the whole new one.

    Args:
        path: where to write it; its folder must exist.
        record: as `build_record` returns it.

    Raises:
        ValueError: it is not a record, or it has a NaN or an infinity in it.
        OSError: the folder is missing, read-only or full; nothing is left behind.
    """
    path = pathlib.Path(path)
    problem = _problem(record)
    if problem:
        raise ValueError(f"{path} not written: {problem}")
    text = _json(record)
    with whole_files.replaced(path) as file:
        file.write(text)


def read_record(path: str | os.PathLike) -> dict:
    """The record in a file.

    Args:
        path: a file that `write_record` wrote.

    Returns:
        Dictionary as `build_record` returned it; undefined values are None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a record of this version; the message names file and reason.
    """
    try:
        record = json.loads(
            pathlib.Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant
        )
    except ValueError as error:
        raise ValueError(f"{path} is not a record: {error}") from error
    problem = _problem(record)
    if problem:
        raise ValueError(f"{path} is not a record: {problem}")
    return record


def plain(value, place: str = "value"):
    """The same value in plain Python: arrays as lists, NaN and infinities as None.

    Raises:
        TypeError: there is no JSON for it; the message names its place.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "numpy"):
        return plain(np.asarray(value).tolist(), place)
    if isinstance(value, list | tuple):
        return [plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{place} must be something JSON can hold, got {type(value).__name__}.")


def _final(evaluations: Sequence[Mapping], network: str, metric: str) -> dict:
    """The summary of one metric of one network."""
    values = [plain(entry["test"].get(network, {}).get(metric), metric) for entry in evaluations]
    points = list(zip((entry["step"] for entry in evaluations), values, strict=True))
    defined = [point for point in points if point[1] is not None]
    best = max(defined, key=lambda point: point[1], default=(None, None))
    numbers = [math.nan if value is None else value for value in values]
    return {
        **plain(summary.summarize_history(numbers), metric),
        "best": {"value": best[1], "step": best[0]},
        "evaluations": min(summary.WINDOW, len(values)),
    }


def _last_test(history: Sequence[Mapping]) -> dict:
    """All metrics of the last evaluation, {} if there was none."""
    return next((dict(entry["test"]) for entry in reversed(history) if entry.get("test")), {})


def _json(record: Mapping) -> str:
    """One line for each entry, and for each evaluation of the history."""
    lines = []
    for key, value in record.items():
        if key == "history" and value:
            rows = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in value)
            lines.append(f' "history": [\n{rows}\n ]')
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _refuse_constant(name: str) -> None:
    """Nothing: NaN and Infinity are not JSON."""
    raise ValueError(f"{name} is not JSON")


def _problem(record) -> str | None:
    """What is wrong with the shape of a record, None if nothing."""
    if not isinstance(record, Mapping):
        return f"the top level must be an object, got {type(record).__name__}."
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        return f"schema_version must be {SCHEMA_VERSION}, got {version!r}."
    problem = _mismatch(record, _SCHEMA, "") or _mismatch(
        record["dataset"], _DATASET_SCHEMA, "dataset."
    )
    if problem:
        return problem
    names = record["dataset"]["class_names"]
    for key in ("labeled_counts", "unlabeled_counts", "test_counts"):
        counts = record["dataset"][key]
        if counts is not None and len(counts) != len(names):
            return f"dataset.{key} must have {len(names)} numbers, got {len(counts)}."
    return _problem_of_results(record)


def _problem_of_results(record: Mapping) -> str | None:
    """What is wrong with the history or the final metrics, None if nothing."""
    for index, entry in enumerate(record["history"]):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("step"), int):
            return f"history[{index}] must be an object with a whole number as step."
    for part in ("final", "last_metrics"):
        for network, numbers in record[part].items():
            if not isinstance(numbers, Mapping):
                return f"{part}.{network} must be an object."
    for network, numbers in record["final"].items():
        for metric, value in numbers.items():
            if not isinstance(value, Mapping):
                return f"final.{network}.{metric} must be an object."
            missing = [key for key in _FINAL_KEYS if key not in value]
            if missing:
                return f"final.{network}.{metric} must have {missing[0]}."
    return None


def _mismatch(part: Mapping, schema: Mapping, prefix: str) -> str | None:
    """The first key that is missing or of another type than the schema's, None if none."""
    for key, kind in schema.items():
        if key not in part:
            return f"{prefix}{key} is missing."
        if not isinstance(part[key], kind) or isinstance(part[key], bool):
            return f"{prefix}{key} must not be {type(part[key]).__name__}."
    return None
