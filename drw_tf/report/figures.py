"""Pictures of runs: pseudo numbers, weights and recall of each class; saving of any figure.

Each function turns records (`record_file.read_record`) into a figure that belongs to nobody:
no pyplot, no global state. `save` writes it as PNG and SVG. Confusion and calibration are
in `drw_tf.report.evaluation_figures`, the paper's figures in `drw_tf.report.paper_figures`.
"""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure

from drw_tf.report import history, palette, panels


def pseudo_numbers(
    records: Sequence[Mapping], labels: Sequence[str] | None = None
) -> figure.Figure:
    """Pseudo-labels of each class over training, one panel a run, logarithmic.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None.

    Returns:
        Figure whose first axes are the runs', each with one line a class, head class first.

    Raises:
        ValueError: no run has pseudo numbers, or the classes differ.
    """
    return class_curves(
        records, "pseudo_numbers", "pseudo number (images)", log=True, labels=labels
    )


def class_weights(
    records: Sequence[Mapping], labels: Sequence[str] | None = None, kind: str = "unlabeled"
) -> figure.Figure:
    """Loss weight of each class over training, one panel a run.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None.
        kind: "unlabeled" or "labeled", whose weights.

    Returns:
        Figure whose first axes are the runs'.

    Raises:
        ValueError: no run has such weights, or the classes differ.
    """
    return class_curves(
        records, f"{kind}_weights", f"weight of the {kind} loss", log=True, labels=labels
    )


def class_curves(
    records: Sequence[Mapping],
    key: str,
    axis_label: str,
    *,
    log: bool = False,
    fraction: bool = False,
    labels: Sequence[str] | None = None,
) -> figure.Figure:
    """Any quantity of each class over training, one panel a run.

    Args:
        records: runs on the same classes.
        key: its name in the entries of the history, with "/" between levels, as in
            "test/ema/recall".
        axis_label: what it is, with its unit.
        log: whether the vertical axis is logarithmic.
        fraction: whether it is in [0, 1], to be shown as percent.
        labels: names of the runs; the methods' if None.

    Returns:
        Figure whose first axes are the runs', each with one line a class, head class first.

    Raises:
        ValueError: no run has it, or the classes differ.
    """
    labels = history.run_labels(records, labels)
    names, order = history.class_facts(records)
    curves = [history.series(record, *key.split("/")) for record in records]
    if not any(len(steps) for steps, _ in curves):
        raise ValueError(f"records must have {key} in their history, none has.")
    columns = panels.columns_for(len(records))
    rows = math.ceil(len(records) / columns)
    with palette.style():
        made, grid = panels.new_figure(columns, rows, sharey=True)
        for axes, label, record, (steps, values) in zip(
            grid.flat, labels, records, curves, strict=False
        ):
            axes.set_title(label)
            if len(steps):
                split = _last_step_before_change(record, key)
                panels.class_lines(axes, steps, values, order, log=log, split=split)
            else:
                axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center")
                axes.set_xticks([])
        _finish_grid(grid, len(records), axis_label)
        if fraction:
            panels.percent_axis(grid[0, 0].yaxis)
            grid[0, 0].set_ylim(-0.02, 1.02)
        panels.class_key(made, grid, names, order)
        if len(order) <= palette.MAX_NAMED_CLASSES:
            panels.smoothing_note(made, max(len(steps) for steps, _ in curves))
    return made


def recalls(records: Sequence[Mapping], labels: Sequence[str] | None = None) -> figure.Figure:
    """Recall of each class by the averaged network at the end, runs side by side.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None. The means stand beside them.

    Returns:
        Figure with one axes: bars, or points where there are more than 80 of them.

    Raises:
        ValueError: a run was not evaluated, or the classes differ.
    """
    labels = history.run_labels(records, labels)
    names, order = history.class_facts(records)
    values = [
        np.asarray(history.last_metric(record, "ema", "recall"), np.float64) for record in records
    ]
    shown = [
        f"{label}: mean {100 * np.nanmean(value):.1f}%"
        for label, value in zip(labels, values, strict=True)
    ]
    with palette.style():
        made, axes = panels.class_chart(names, order)
        panels.class_bars(axes, values, shown, names, order)
        axes.set_ylabel("recall on the test set")
        axes.set_ylim(0.0, 1.02)
        panels.percent_axis(axes.yaxis)
    return made


def save(made: figure.Figure, path_stem: str | os.PathLike) -> tuple[pathlib.Path, pathlib.Path]:
    """Paths of the PNG and the SVG written; the same figure gives the same bytes.

    Args:
        made: the figure.
        path_stem: path without its ending; its folder is made if it is missing.
    """
    png, svg = (pathlib.Path(f"{os.fspath(path_stem)}.{ending}") for ending in ("png", "svg"))
    png.parent.mkdir(parents=True, exist_ok=True)
    with palette.style():
        made.savefig(png, metadata={"Software": None})
        made.savefig(svg, metadata={"Date": None, "Creator": None})
    return png, svg


def _last_step_before_change(record: Mapping, key: str) -> int | None:
    """Last evaluation that dynamic weights have not touched, None for a run without them.

    The weights themselves change in the evaluation at their start, all else after it.
    """
    start = history.dynamic_start(record)
    return start - 1 if start is not None and key.endswith("_weights") else start


def _finish_grid(grid: np.ndarray, used: int, axis_label: str) -> None:
    """Labels the first column and hides panels without a run."""
    for axes in list(grid.flat)[used:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel(axis_label)
