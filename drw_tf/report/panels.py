"""Parts that several figures share: lines and bars of each class, axes, keys."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import cm, colors, figure, lines, ticker

from drw_tf.report import palette

# Above this many bars a chart shows points and their running mean instead.
MAX_BARS = 80
# Up to this many classes are named on an axis; more are shown by rank.
MAX_NAMED_TICKS = 30
# Up to this many names stand side by side above a chart.
MAX_KEY_COLUMNS = 4
# Up to this many evaluations a line has markers.
MAX_MARKERS = 15
# Above this many evaluations a line is pale, with its running mean over it.
MAX_PLAIN_POINTS = 120
_NAME_LENGTH = 22


def new_figure(
    columns: int, rows: int = 1, *, width: float = 4.4, height: float = 3.8, **options
) -> tuple[figure.Figure, np.ndarray]:
    """A figure of this project's look and its axes [rows, columns]; sizes in inches a panel.

    The figure belongs to nobody: no window, no pyplot, it goes when it is let go.
    """
    made = figure.Figure(figsize=(width * columns, height * rows), layout="constrained")
    return made, made.subplots(rows, columns, squeeze=False, **options)


def columns_for(panels: int) -> int:
    """Panels side by side: three at most, and two of four."""
    return 2 if panels == 4 else min(3, panels)


def step_axis(axes: mpl_axes.Axes) -> None:
    """Labels the horizontal axis with training steps, 250000 as 250k."""
    axes.set_xlabel("training step")
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def percent_axis(axis) -> None:
    """Shows fractions as percent on an axis."""
    axis.set_major_formatter(ticker.PercentFormatter(xmax=1.0, decimals=0))


def widen(axes: mpl_axes.Axes) -> None:
    """Gives a vertical axis of shares at least 5 points, so that noise does not fill it."""
    low, high = axes.get_ylim()
    missing = 0.05 - (high - low)
    if missing > 0:
        axes.set_ylim(low - missing / 2, high + missing / 2)


def curve(
    axes: mpl_axes.Axes,
    steps: np.ndarray,
    values: np.ndarray,
    split: int | None = None,
    **style,
) -> None:
    """Draws one line over training steps; a long one is pale, with its running mean over it.

    Args:
        axes: where to draw.
        steps: int [E].
        values: float64 [E].
        split: last step before a change that means must not reach across, if there is one.
        **style: as for `Axes.plot`; the colour is needed.
    """
    window = smoothing(len(steps))
    if window > 1:
        axes.plot(steps, values, color=style["color"], linewidth=0.6, alpha=0.3)
        first = len(steps) if split is None else int(np.sum(steps <= split))
        parts = [part for part in (values[:first], values[first:]) if len(part)]
        values = np.concatenate([running_mean(part, window) for part in parts])
    axes.plot(steps, values, marker="o" if len(steps) <= MAX_MARKERS else None, **style)


def smoothing(points: int) -> int:
    """Odd number of evaluations that `curve` takes the mean of; 1 where it does not."""
    return 1 if points <= MAX_PLAIN_POINTS else 2 * (points // 80) + 1


def smoothing_note(made: figure.Figure, points: int) -> None:
    """Says below a figure what its lines are where `curve` took means."""
    if smoothing(points) > 1:
        note = f"strong lines: mean of {smoothing(points)} evaluations; pale lines: each one"
        made.supxlabel(note, fontsize=8, color=palette.MUTED_INK)


def class_lines(
    axes: mpl_axes.Axes,
    steps: np.ndarray,
    values: np.ndarray,
    order: np.ndarray,
    *,
    log: bool,
    split: int | None = None,
) -> None:
    """Draws one line a class over training steps; the order gives the colours."""
    named = len(order) <= palette.MAX_NAMED_CLASSES
    shades = palette.class_colors(len(order))
    for rank, index in enumerate(order):
        style = palette.line_style(rank, len(order))
        if named:
            curve(axes, steps, values[:, index], split, color=shades[rank], linestyle=style)
        else:
            axes.plot(steps, values[:, index], color=shades[rank], linewidth=0.8)
    if log:
        _log_axis(axes, values)
    step_axis(axes)


def plain_log_ticks(axis, values: np.ndarray) -> None:
    """Writes 20 or 0.5 on a logarithmic axis, not powers of ten."""
    narrow = np.nanmax(values) < 10 * np.nanmin(values)
    axis.set_major_locator(
        ticker.LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if narrow else (1.0, 2.0, 5.0))
    )
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def class_key(
    made: figure.Figure, axes: np.ndarray, names: Sequence[str], order: np.ndarray
) -> None:
    """Explains the colours of `class_lines`: names up to ten classes, above a colour bar."""
    count = len(order)
    if count > palette.MAX_NAMED_CLASSES:
        scale = cm.ScalarMappable(colors.Normalize(1, count), palette.rank_colormap())
        bar = made.colorbar(scale, ax=list(axes.flat), aspect=30, pad=0.02)
        bar.set_label("rank of the class by labeled images (1: most)")
        bar.set_ticks(rank_ticks(count))
        bar.ax.invert_yaxis()
        return
    shades = palette.class_colors(count)
    handles = [
        lines.Line2D([], [], color=shades[rank], linestyle=palette.line_style(rank, count))
        for rank in range(count)
    ]
    shown = [short_name(names[index]) for index in order]
    made.legend(handles, shown, loc="outside right upper", title="class", handlelength=2.6)


def rank_ticks(count: int) -> list[int]:
    """Up to eight ranks to name on an axis of C classes: 1, round numbers, C."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if count / s <= 7)
    inner = [rank for rank in range(step, count, step) if 1 < rank <= count - step / 2]
    return [1, *inner, count] if count > 1 else [1]


def short_name(name: str) -> str:
    """A class name for a figure, at most 22 characters of it: its beginning and its end.

    A dollar is escaped, since Matplotlib reads what is between two as a formula.
    """
    half = (_NAME_LENGTH - 1) // 2
    shown = name if len(name) <= _NAME_LENGTH else f"{name[: half + 1]}…{name[-half:]}"
    return shown.replace("$", r"\$")


def class_chart(names: Sequence[str], order: np.ndarray) -> tuple[figure.Figure, mpl_axes.Axes]:
    """A figure with one axes that is wide and high enough for `class_bars` and its names."""
    width = max(7.0, min(11.0, 0.55 * len(order) + 2))
    longest = max(len(short_name(name)) for name in names) if len(order) <= MAX_NAMED_TICKS else 0
    made, grid = new_figure(1, width=width, height=3.6 + 0.055 * longest)
    return made, grid[0, 0]


def class_bars(
    axes: mpl_axes.Axes,
    values: Sequence[np.ndarray],
    labels: Sequence[str],
    names: Sequence[str],
    order: np.ndarray,
) -> None:
    """Draws values of each class for several runs: bars, or points and running means.

    Args:
        axes: where to draw.
        values: R arrays, float64 [C].
        labels: R names of the runs, for the legend.
        names: C names of the classes.
        order: int [C], classes from left to right.
    """
    ranks = np.arange(1, len(order) + 1)
    many = len(order) * len(values) > MAX_BARS
    for run, (value, label) in enumerate(zip(values, labels, strict=True)):
        if many:
            _points(axes, ranks, value[order], label, run)
        else:
            _bars(axes, ranks, value[order], label, run, len(values))
    axes.grid(visible=False, axis="x")
    class_axis(axes, names, order)
    # Above the chart: inside it would lie on the bars. A letter takes about .09 inch.
    fitting = axes.figure.get_figwidth() / (0.09 * max(map(len, labels)) + 0.8)
    lines_of_key = math.ceil(len(values) / max(1, min(MAX_KEY_COLUMNS, int(fitting))))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=math.ceil(len(values) / lines_of_key),
        borderaxespad=0.3,
        handlelength=1.6,
    )


def class_axis(axes: mpl_axes.Axes, names: Sequence[str], order: np.ndarray) -> None:
    """Names the classes on the horizontal axis, or their ranks where there are too many."""
    count = len(order)
    axes.set_xlim(0.4, count + 0.6)
    if count > MAX_NAMED_TICKS:
        axes.set_xticks(rank_ticks(count))
        axes.set_xlabel("class, by rank of its labeled images (1: most)")
        return
    shown = [short_name(names[index]) for index in order]
    # One letter takes about .09 inch at size 10.
    room = axes.get_figure().get_figwidth() * 0.85 / count
    upright = max(len(name) for name in shown) * 0.09 < room
    axes.set_xticks(range(1, count + 1), shown)
    if not upright:
        axes.tick_params(axis="x", labelrotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_xlabel("class, most labeled images first")


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """float64 [C], mean over the `window` nearest ranks, of fewer at both ends."""
    # Of fewer values than that numpy would give as many as the window has.
    kernel = np.ones(min(window, 2 * ((len(values) - 1) // 2) + 1))
    defined = np.isfinite(values)
    total = np.convolve(np.where(defined, values, 0.0), kernel, mode="same")
    number = np.convolve(defined.astype(np.float64), kernel, mode="same")
    return np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)


def _log_axis(axes, values) -> None:
    """A logarithmic vertical axis; what is 0 leaves the chart at the bottom."""
    axes.set_yscale("log", nonpositive="clip")
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return
    if (values == 0).any():
        axes.set_ylim(bottom=positive.min() / 1.5)
    if positive.max() < 1000 * positive.min():
        plain_log_ticks(axes.yaxis, positive)


def _bars(axes, ranks, values, label, run, runs) -> None:
    """One run's bars, beside those of the others."""
    width = 0.8 / runs
    axes.bar(
        ranks + (run - (runs - 1) / 2) * width,
        values,
        width,
        label=label,
        color=palette.run_color(run),
        hatch=palette.RUN_HATCHES[run % len(palette.RUN_HATCHES)],
        edgecolor="white",
        linewidth=0.4,
    )


def _points(axes, ranks, values, label, run) -> None:
    """One run's points, with the running mean that shows the trend from head to tail."""
    color = palette.run_color(run)
    marker = palette.run_marker(run)
    axes.plot(ranks, values, marker, color=color, alpha=0.45, markersize=3.5)
    window = 2 * math.ceil(len(ranks) / 24) + 1
    axes.plot(
        ranks,
        running_mean(values, window),
        color=color,
        linestyle=palette.run_line(run),
        linewidth=2.2,
        label=f"{label} (line: mean of {window} neighbours)" if run == 0 else label,
    )
