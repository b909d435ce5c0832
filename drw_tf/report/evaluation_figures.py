"""Pictures of one evaluation: confusion matrices, reliability diagrams."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import colors, figure

from drw_tf.ops import calibration, metrics
from drw_tf.report import history, palette, panels

_MAX_NUMBERS_IN_CELLS = 12
_SIDE = 3.8


def confusion_matrices(
    records: Sequence[Mapping], labels: Sequence[str] | None = None
) -> figure.Figure:
    """Where the test images of each class went with the averaged network, one matrix a run.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None.

    Returns:
        Figure whose first axes are the matrices, classes in the order of labeled counts.

    Raises:
        ValueError: a run was not evaluated, or the classes differ.
    """
    labels = history.run_labels(records, labels)
    names, order = history.class_facts(records)
    titles = [
        f"{label}: bACC {100 * history.last_metric(record, 'ema', 'balanced_accuracy'):.1f}%"
        for label, record in zip(labels, records, strict=True)
    ]
    counts = [np.asarray(history.last_metric(record, "ema", "confusion")) for record in records]
    return draw_confusions(counts, titles, names, order)


def draw_confusions(
    counts: Sequence[np.ndarray],
    titles: Sequence[str],
    names: Sequence[str],
    order: Sequence[int] | None = None,
) -> figure.Figure:
    """Confusion matrices side by side, as shares of the true class.

    Args:
        counts: R matrices [C, C], test images by true class (row) and predicted class.
        titles: R titles.
        names: C names of the classes.
        order: int [C], classes from top to bottom; as they are numbered if None.

    Returns:
        Figure whose first R axes are the matrices.
    """
    side = "class number" if order is None else "class, by rank of its labeled images"
    order = np.arange(len(names)) if order is None else np.asarray(order)
    few, named = len(order) <= _MAX_NUMBERS_IN_CELLS, len(order) <= panels.MAX_NAMED_TICKS
    # With many classes most cells are near 0; the square root keeps errors visible.
    norm = colors.Normalize(0, 1) if few else colors.PowerNorm(0.5, 0, 1)
    colormap = matplotlib.colormaps["Blues"].with_extremes(bad=palette.GRID)
    columns = panels.columns_for(len(counts))
    rows = math.ceil(len(counts) / columns)
    with palette.style():
        # Inches: the matrix, the names beside and below it, title and axis label, colour bar.
        room = 0.085 * max(len(panels.short_name(name)) for name in names) if named else 0.3
        made, grid = panels.new_figure(
            columns, rows, width=_SIDE + (room + 1.6) / columns, height=_SIDE + room + 0.8
        )
        made.set_layout_engine("compressed")
        for axes, matrix, title in zip(grid.flat, counts, titles, strict=False):
            shares = _row_shares(np.asarray(matrix, np.float64))[np.ix_(order, order)]
            image = axes.imshow(shares, cmap=colormap, norm=norm, interpolation="nearest")
            axes.set_title(title)
            _confusion_axes(axes, names, order, side, first=axes in grid[:, 0])
            if few:
                _write_cells(axes, shares)
        for axes in list(grid.flat)[len(counts) :]:
            axes.set_visible(False)
        bar = made.colorbar(image, ax=list(grid.flat), shrink=0.8, aspect=30, pad=0.02)
        bar.set_label("share of the true class's test images")
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1] if few else [0, 0.05, 0.2, 0.5, 1])
        panels.percent_axis(bar.ax.yaxis)
    return made


def redraw_confusion(made: figure.Figure, counts: np.ndarray) -> None:
    """Puts other counts into a figure of one matrix: half the work of a new one.

    Args:
        made: from `draw_confusions`, classes as they are numbered, drawn before; its layout stays.
        counts: [C, C], of the same classes.
    """
    made.set_layout_engine("none")
    axes = made.axes[0]
    shares = _row_shares(np.asarray(counts, np.float64))
    axes.images[0].set_data(shares)
    for text in list(axes.texts):
        text.remove()
    if len(shares) <= _MAX_NUMBERS_IN_CELLS:
        with palette.style():
            _write_cells(axes, shares)


def reliability_diagram(bins: Sequence[Mapping], labels: Sequence[str]) -> figure.Figure:
    """Accuracy against confidence, one panel a run, with the share of images below it.

    A title has the expected calibration error (ECE) of its run.

    Args:
        bins: for each run "count", "confidence" and "accuracy" [K]: number of test images
            in each of K equal bins of confidence, their mean confidence and accuracy.
        labels: names of the runs.

    Returns:
        Figure whose axes are, for each row of runs, their accuracies, then their image shares.
    """
    columns = panels.columns_for(len(bins))
    rows = math.ceil(len(bins) / columns)
    most = max(np.max(part["count"]) / np.sum(part["count"]) for part in bins)
    with palette.style():
        made, grid = panels.new_figure(
            columns, 2 * rows, height=2.4, sharex=True, sharey="row", height_ratios=[3, 1] * rows
        )
        for run, (part, label) in enumerate(zip(bins, labels, strict=True)):
            row, column = divmod(run, columns)
            _reliability(grid[2 * row : 2 * row + 2, column], part, label, most)
        for axes in grid[-2:, len(bins) - (rows - 1) * columns :].flat:
            axes.set_visible(False)
        for row, what in enumerate(("accuracy", "images") * rows):
            grid[row, 0].set_ylabel(what)
            panels.percent_axis(grid[row, 0].yaxis)
        # Outside: bars may be anywhere inside.
        handles, words = grid[0, 0].get_legend_handles_labels()
        made.legend(handles, words, loc="outside lower left", ncols=2)
    return made


def _row_shares(counts: np.ndarray) -> np.ndarray:
    """float64 [C, C], rows that sum to 1; NaN for a class without test images."""
    return metrics.shares(counts, counts.sum(axis=1, keepdims=True))


def _confusion_axes(
    axes: mpl_axes.Axes, names: Sequence[str], order: np.ndarray, side: str, first: bool
) -> None:
    """Names of the classes on both sides, or their ranks where there are too many."""
    axes.grid(visible=False)
    if len(order) <= panels.MAX_NAMED_TICKS:
        side = "class"
        positions = list(range(len(order)))
        shown = [panels.short_name(names[index]) for index in order]
    else:
        positions = [rank - 1 for rank in panels.rank_ticks(len(order))]
        # Ranks are counted from 1, class numbers from 0.
        shown = [str(place + (side != "class number")) for place in positions]
    upright = max(map(len, shown)) <= 3
    axes.set_xticks(positions, shown, rotation=0 if upright else 90)
    axes.set_xlabel(f"predicted {side}")
    axes.set_yticks(positions, shown if first else [])
    if first:
        axes.set_ylabel(f"true {side}")


def _write_cells(axes: mpl_axes.Axes, shares: np.ndarray) -> None:
    """Percent into each cell that is not empty."""
    for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= 0.005), strict=True):
        share = shares[row, column]
        ink = "white" if share > 0.55 else palette.INK
        axes.text(
            column,
            row,
            f"{math.floor(100 * share + 0.5)}",
            ha="center",
            va="center",
            color=ink,
            size=8,
        )


def _reliability(column: np.ndarray, part: Mapping, label: str, most: float) -> None:
    """One run's diagram: accuracy above, image share, at most `most` in any run, below."""
    count, confidence, accuracy = (
        np.asarray(part[key], np.float64) for key in ("count", "confidence", "accuracy")
    )
    width = 1.0 / len(count)
    centers = (np.arange(len(count)) + 0.5) * width
    used = count > 0
    error = calibration.calibration_error(part)
    upper, lower = column
    upper.bar(centers[used], accuracy[used], width * 0.92, color=palette.RUN_COLORS[5])
    upper.plot([0, 1], [0, 1], "--", color=palette.MUTED_INK, label="perfectly calibrated")
    points = {"color": palette.RUN_COLORS[0], "clip_on": False, "zorder": 3}
    upper.plot(confidence[used], accuracy[used], "o", label="mean of a bin", **points)
    upper.set_title(f"{label}: ECE {100 * error:.1f}%")
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(centers, count / count.sum(), width * 0.92, color=palette.MUTED_INK)
    lower.set_xlabel("confidence")
    lower.tick_params(labelbottom=True)
    lower.set_ylim(0, 1.05 * most)
    panels.percent_axis(lower.xaxis)
