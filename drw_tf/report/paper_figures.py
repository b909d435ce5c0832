"""The figures of the DRw paper, from records: 1, 2, 3, 4 and 5."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import figure, ticker

from drw_tf.ops import reweighting
from drw_tf.report import history, palette, panels

BETAS = (0.0, 0.9, 0.99, 0.995, 0.999, 0.9999)
# Right end of figure 3, images of a class.
LARGEST_COUNT = 5000


def unlabeled_losses(
    records: Sequence[Mapping], labels: Sequence[str] | None = None
) -> figure.Figure:
    """Figure 1: unlabeled loss summed over the images that carry each pseudo-label.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None.

    Returns:
        Figure with one axes, in nats.

    Raises:
        ValueError: a run did not record it, or the classes differ.
    """
    labels = history.run_labels(records, labels)
    names, order = history.class_facts(records)
    values = []
    for record, label in zip(records, labels, strict=True):
        _, losses = _recorded(record, label, "unlabeled_loss_by_class")
        values.append(losses.sum(axis=0))
    with palette.style():
        made, axes = panels.class_chart(names, order)
        panels.class_bars(axes, values, labels, names, order)
        axes.set_ylabel("summed unlabeled loss (nats)")
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    return made


def pseudo_dynamics(
    records: Sequence[Mapping], labels: Sequence[str] | None = None
) -> figure.Figure:
    """Figure 2: pseudo numbers of each class, and their imbalance ratio, one row a run.

    Differs from the paper's, where the ratio of the first 50 epochs is left out.

    Args:
        records: runs on the same classes.
        labels: their names; the methods' if None.

    Returns:
        Figure whose first axes are, row by row, the pseudo numbers and the ratio.

    Raises:
        ValueError: a run did not record them, or the classes differ.
    """
    labels = history.run_labels(records, labels)
    names, order = history.class_facts(records)
    with palette.style():
        made, grid = panels.new_figure(2, len(records), sharey="col")
        for (left, right), record, label in zip(grid, records, labels, strict=True):
            steps, numbers = _recorded(record, label, "pseudo_numbers")
            split = history.dynamic_start(record)
            panels.class_lines(left, steps, numbers, order, log=True, split=split)
            left.set(title=label, ylabel="pseudo number (images)")
            steps, ratio = _recorded(record, label, "pseudo_imbalance_ratio")
            panels.curve(right, steps, ratio, split, color=palette.RUN_COLORS[0])
            right.set_yscale("log")
            panels.plain_log_ticks(right.yaxis, ratio)
            right.set_ylabel(r"$\hat{R}^u$: largest / smallest pseudo number")
            panels.step_axis(right)
        panels.class_key(made, grid, names, order)
        panels.smoothing_note(made, len(steps))
    return made


def class_balanced_terms() -> figure.Figure:
    """Figure 3: class-balanced term against the number of images, one line for each of `BETAS`.

        1 / E_c = (1 - beta) / (1 - beta ** N_c)

    Returns:
        Figure with one axes, both directions logarithmic.

    Source:
        Eq. 7; Cui et al., CVPR 2019, Fig. 3 (arXiv:1901.05555).
    """
    counts = np.geomspace(1, LARGEST_COUNT, 200)
    with palette.style():
        made, grid = panels.new_figure(1, width=6.4, height=4.2)
        axes = grid[0, 0]
        for index, beta in enumerate(BETAS):
            terms = 1.0 / np.asarray(reweighting.effective_number(counts, beta))
            style = palette.run_line(index)
            color = palette.run_color(index)
            axes.plot(counts, terms, style, color=color, label=f"β = {beta:g}", linewidth=2)
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("images of the class")
        axes.set_ylabel(r"class-balanced term $(1-\beta)\,/\,(1-\beta^{N_c})$")
        axes.legend(loc="lower left")
    return made


def beta_study(
    results: Mapping[str, Mapping[float, Sequence[float]]], title: str = ""
) -> figure.Figure:
    """Figure 4: balanced accuracy against beta, one line for each imbalance ratio.

    Args:
        results: {name of the line: {beta: balanced accuracies in [0, 1], one a seed}}.
        title: for the data set.

    Returns:
        Figure with one axes: means, with the standard deviation where there are two seeds
        or more. The betas stand at equal distances.
    """
    betas = sorted({beta for line in results.values() for beta in line})
    with palette.style():
        made, grid = panels.new_figure(1, width=6.4, height=4.2)
        axes = grid[0, 0]
        for run, (name, line) in enumerate(results.items()):
            known = [beta for beta in betas if beta in line]
            spread = [np.std(line[b], ddof=1) if len(line[b]) > 1 else 0.0 for b in known]
            axes.errorbar(
                [betas.index(beta) for beta in known],
                [np.mean(line[beta]) for beta in known],
                yerr=spread if any(spread) else None,
                color=palette.run_color(run),
                marker=palette.run_marker(run),
                linestyle=palette.run_line(run),
                markersize=6,
                capsize=3,
                label=name,
            )
        axes.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        axes.set(
            xlabel="β (equal distances, not to scale)",
            ylabel="balanced accuracy on the test set",
            title=title,
        )
        panels.widen(axes)
        panels.percent_axis(axes.yaxis)
        # Below: lines may be anywhere inside.
        made.legend(loc="outside lower left")
    return made


def losses(records: Sequence[Mapping], labels: Sequence[str] | None = None) -> figure.Figure:
    """Figure 5: training losses, test loss and balanced accuracy; start of the weights marked.

    Args:
        records: runs.
        labels: their names; the methods' if None.

    Returns:
        Figure whose three axes are training losses, and test loss and balanced accuracy of
        the averaged network.

    Raises:
        ValueError: not one label for each record.
    """
    labels = history.run_labels(records, labels)
    starts = [history.dynamic_start(record) for record in records]
    with palette.style():
        # A line of a key takes about .2 inch, and there are at most two a run and the mark's.
        made, grid = panels.new_figure(3, height=3.4 + 0.2 * (2 * len(records) + 1))
        training, test, accuracy = grid[0]
        for run, (record, label, start) in enumerate(zip(records, labels, starts, strict=True)):
            color = palette.run_color(run)
            for part, style in (("labeled", "-"), ("unlabeled", "--")):
                steps, values = history.series(record, "train", f"loss_{part}")
                if not len(steps):
                    continue
                name = f"{label}, {part}"
                panels.curve(
                    training, steps, values, start, linestyle=style, color=color, label=name
                )
            for axes, key in ((test, "loss"), (accuracy, "balanced_accuracy")):
                steps, values = history.series(record, "test", "ema", key)
                style = palette.run_line(run)
                panels.curve(axes, steps, values, start, linestyle=style, color=color, label=label)
        training.set_ylabel("training loss (nats)")
        test.set_ylabel("test loss (nats)")
        accuracy.set_ylabel("balanced accuracy on the test set")
        panels.widen(accuracy)
        panels.percent_axis(accuracy.yaxis)
        for axes in grid[0]:
            panels.step_axis(axes)
            _mark_starts(axes, starts)
            # Above: with a few runs there is no place inside that is free of lines.
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.3)
        panels.smoothing_note(made, max(len(record["history"]) for record in records))
    return made


def _recorded(record: Mapping, label: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a quantity.

    Raises:
        ValueError: the run did not record it.
    """
    steps, values = history.series(record, key)
    if not len(steps):
        raise ValueError(f"{label} must have {key} in its history, it has not.")
    return steps, values


def _mark_starts(axes: mpl_axes.Axes, starts: Sequence[int | None]) -> None:
    """A dotted line where dynamic weights start, named once."""
    for index, start in enumerate(sorted({start for start in starts if start is not None})):
        label = "dynamic weights start" if index == 0 else None
        axes.axvline(start, color=palette.MARK, linestyle=":", linewidth=1.8, label=label)
