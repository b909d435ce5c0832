"""The record of a run: one JSON file that says what was run, where, and what came out.

Every reported number comes from such a file. A run's history is a list of dictionaries,
one for each evaluation, with "step", "stage", "epoch", "train" and "test"; "test" has the
metrics of the averaged network ("ema") and of the trained one ("raw"). Where pictures were held
out, "validation" has the same of those.
"""

import math
from collections.abc import Mapping, Sequence

from drw_tf.ops import metrics, summary
from drw_tf.report import environment, record_file
from drw_tf.report import history as run_history


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
    machine: Mapping | None = None,
    start: Mapping | None = None,
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
            `environment.code` says, and "replicas" where it is known; none for the code that
            runs now.
        machine: where it was trained, as `environment.machine` says it, {} where nobody knows;
            None for this one.
        start: what it took over from an earlier run, None where that is nothing.

    Returns:
        Dictionary of plain Python values: NaN and infinities are None, arrays are lists.
        The history keeps confusion matrix and calibration bins of its last entry only, and
        is thinned (`history.thinned`).

    Raises:
        TypeError: a value cannot be written as JSON; its place in the record is named.
        ValueError: a fact of the data set is missing or of another type.
    """
    history = record_file.plain(history, "history")
    makers = record_file.plain(makers, "makers") or [{"from_step": 0, **environment.code()}]
    record = {
        "schema_version": record_file.SCHEMA_VERSION,
        "command_line": list(command_line),
        "configuration": record_file.plain(configuration, "configuration"),
        "versions": makers[-1]["versions"],
        "git": makers[-1]["git"],
        # Of a run that other code began.
        **({"made_by": makers} if len(makers) > 1 or makers[0]["from_step"] else {}),
        "machine": record_file.plain(
            environment.machine() if machine is None else machine, "machine"
        ),
        "dataset": record_file.plain(dataset, "dataset"),
        **({"start": record_file.plain(start, "start")} if start else {}),
        "steps": int(steps),
        "seconds": float(seconds),
        "images_per_second": record_file.plain(images_per_second, "images_per_second"),
        "final": final_metrics(history),
        "last_metrics": _last_test(history),
        "history": run_history.thinned(run_history.without_early_details(history)),
    }
    problem = record_file.problem_of(record)
    if problem:
        raise ValueError(f"not a record: {problem}")
    return record


def at_step(record: Mapping, step: int) -> dict | None:
    """A record as if its run had ended with an evaluation before its end.

    Args:
        record: as `record_file.read_record` returns it.
        step: of the evaluation.

    Returns:
        The record without what came later; None where the run was not evaluated at this step.
    """
    history = [entry for entry in record["history"] if entry["step"] <= step]
    if not history or history[-1]["step"] != step or not history[-1].get("test"):
        return None
    made = {}
    if record.get("made_by"):
        makers = makers_until(record["made_by"], step)
        made = {"made_by": makers, **{name: makers[-1][name] for name in ("versions", "git")}}
    return {
        **record,
        **made,
        "steps": step,
        "seconds": history[-1]["seconds"],
        "final": final_metrics(history),
        "last_metrics": _last_test(history),
        "history": history,
    }


def makers_until(makers: Sequence[Mapping], step: int) -> list[Mapping]:
    """The parts of a run that made what it was at a step; one of unknown code where none did.

    Args:
        makers: all of its parts: "from_step", "versions", "git".
        step: >= 1.
    """
    # A part that begins here or later has not made it.
    found = [part for part in makers if part["from_step"] < step]
    return found or [{"from_step": 0, "versions": {}, "git": None}]


def final_metrics(history: Sequence[Mapping]) -> dict:
    """Each metric of each network at the end of a run, named so that none is confused.

    "last" is the last evaluation's. "best" is the largest value and its step: chosen on the
    test set, so never to be reported as a result. "mean_last_20" and "median_last_20" are
    over the last 20 evaluations, or over all where there are fewer: "evaluations" says how
    many. Those of an earlier stage are not among them: a generation of CReST is another network,
    and what cRT trains first has another head. A value that is undefined makes the mean and the
    median undefined.

    Args:
        history: one dictionary for each evaluation, oldest first.

    Returns:
        {network: {metric: {"last", "best": {"value", "step"}, "mean_last_20",
        "median_last_20", "evaluations"}}}, fractions in [0, 1] or None.
    """
    evaluations = [entry for entry in history if entry.get("test")]
    networks = evaluations[-1]["test"] if evaluations else ()
    return {
        network: {
            metric: _final(evaluations, network, metric) for metric in record_file.FINAL_METRICS
        }
        for network in networks
    }


def _final(evaluations: Sequence[Mapping], network: str, metric: str) -> dict:
    """The summary of one metric of one network."""
    found = [entry["test"].get(network, {}).get(metric) for entry in evaluations]
    values = record_file.plain(found, metric)
    points = list(zip((entry["step"] for entry in evaluations), values, strict=True))
    defined = [point for point in points if point[1] is not None]
    best = max(defined, key=lambda point: point[1], default=(None, None))
    # Entries of older versions do not say their stage.
    stages = [entry.get("stage", 0) for entry in evaluations]
    numbers = [
        math.nan if value is None else value
        for value, stage in zip(values, stages, strict=True)
        if stage == stages[-1]
    ]
    return {
        **record_file.plain(summary.summarize_history(numbers), metric),
        "best": {"value": best[1], "step": best[0]},
        "evaluations": min(metrics.WINDOW, len(numbers)),
    }


def _last_test(history: Sequence[Mapping]) -> dict:
    """All metrics of the last evaluation, {} if there was none."""
    return next((dict(entry["test"]) for entry in reversed(history) if entry.get("test")), {})
