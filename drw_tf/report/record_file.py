"""The file of a run's record: written whole, checked when it is read.

Programs that only read records start without TensorFlow, which this module does not need.
"""

import json
import math
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from drw_tf import whole_files

SCHEMA_VERSION = 1

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
_CONFIGURATION_SCHEMA = {"method": str, "seed": int, "steps": int}
FINAL_METRICS = ("balanced_accuracy", "accuracy", "geometric_mean", "many", "medium", "few")
_METRICS_OF_CLASSES = ("recall", "precision")
_METRICS = (*FINAL_METRICS, "loss", "ece", *_METRICS_OF_CLASSES)
_FINAL_KEYS = ("last", "best", "mean_last_20", "median_last_20", "evaluations")


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
    problem = problem_of(record)
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
    problem = problem_of(record)
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


def problem_of(record) -> str | None:
    """What is wrong with the shape of a record, None if nothing."""
    if not isinstance(record, Mapping):
        return f"the top level must be an object, got {type(record).__name__}."
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        return f"schema_version must be {SCHEMA_VERSION}, got {version!r}."
    problem = (
        _mismatch(record, _SCHEMA, "")
        or _mismatch(record["configuration"], _CONFIGURATION_SCHEMA, "configuration.")
        or _mismatch(record["dataset"], _DATASET_SCHEMA, "dataset.")
    )
    if problem:
        return problem
    names = record["dataset"]["class_names"]
    for key in ("labeled_counts", "unlabeled_counts", "test_counts"):
        counts = record["dataset"][key]
        if counts is not None and len(counts) != len(names):
            return f"dataset.{key} must have {len(names)} numbers, got {len(counts)}."
    return _problem_of_results(record, len(names))


def _problem_of_results(record: Mapping, num_classes: int) -> str | None:
    """What is wrong with the history or the final metrics, None if nothing."""
    for index, entry in enumerate(record["history"]):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("step"), int):
            return f"history[{index}] must be an object with a whole number as step."
    for part in ("final", "last_metrics"):
        for network, numbers in record[part].items():
            if not isinstance(numbers, Mapping):
                return f"{part}.{network} must be an object."
    for network, numbers in record["last_metrics"].items():
        missing = [metric for metric in _METRICS if metric not in numbers]
        if missing:
            return f"last_metrics.{network} must have {missing[0]}."
        for metric in _METRICS_OF_CLASSES:
            if not isinstance(numbers[metric], list) or len(numbers[metric]) != num_classes:
                return f"last_metrics.{network}.{metric} must have {num_classes} numbers."
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
