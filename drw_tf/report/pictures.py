"""Which pictures a report of many runs has, drawn from the runs that can give them."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

from matplotlib import figure

from drw_tf.report import (
    betas,
    evaluation_figures,
    figures,
    groups,
    history,
    paper_figures,
    tables,
)

MAX_DRAWN = 4
_FIRST = (tables.REFERENCE, "drw")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a report, or why there is none.

    Attributes:
        title: heading.
        caption: what it shows.
        stem: path of its files without the ending, below the report; None where it is missing.
        missing: what would be needed; None where it was drawn.
    """

    title: str
    caption: str
    stem: pathlib.PurePosixPath | None = None
    missing: str | None = None


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A picture of one setting: its file, texts, what a run must have, how it is drawn."""

    name: str
    title: str
    caption: str
    needs: str
    draw: Callable[[Sequence[Mapping], Sequence[str]], figure.Figure]


def _has(key: str) -> Callable[[Mapping], bool]:
    """More than one point: of a run judged as another method only the last one is known."""
    return lambda record: len(history.series(record, *key.split("/"))[0]) > 1


def _tested(key: str) -> Callable[[Mapping], bool]:
    return lambda record: record["last_metrics"].get("ema", {}).get(key) is not None


def _shares(key: str, what: str):
    return lambda runs, labels: figures.class_curves(runs, key, what, fraction=True, labels=labels)


def _reliability(runs, labels):
    bins = [history.last_metric(run, "ema", "reliability") for run in runs]
    return evaluation_figures.reliability_diagram(bins, labels)


# What each run must have for a picture, and what is said where none has it.
_NEEDS: dict[str, Callable[[Mapping], bool]] = {
    "pseudo-labels": _has("pseudo_numbers"),
    "more than one evaluation on test pictures": _has("test/ema/balanced_accuracy"),
    "unlabeled losses by class": _has("unlabeled_loss_by_class"),
    "unlabeled weights": _has("unlabeled_weights"),
    "labeled weights": _has("labeled_weights"),
    "an evaluation on test pictures": _tested("confusion"),
    "calibration bins in their record": _tested("reliability"),
    "pseudo-labels of pictures whose class is known": _has("pseudo_recall"),
    "a threshold, and the count of what passed it": _has("confident_rate"),
}
_PLANS = (
    _Plan(
        "figure1_unlabeled_loss",
        "Figure 1: unlabeled loss of each class",
        "Unlabeled loss of the whole run, summed over the pictures that carry each pseudo-label. "
        "Of methods with weights on it, as FRwU and DRw, that is the weighted loss, beside "
        "FixMatch's without weights.",
        "unlabeled losses by class",
        paper_figures.unlabeled_losses,
    ),
    _Plan(
        "figure2_pseudo_numbers",
        "Figure 2: pseudo numbers and their imbalance ratio",
        "Pseudo-labels of each class, scaled to the pool, and the largest by the smallest of them.",
        "pseudo-labels",
        paper_figures.pseudo_dynamics,
    ),
    _Plan(
        "figure5_losses",
        "Figure 5: losses and accuracy",
        "Training losses, test loss and balanced accuracy; a dotted line where dynamic weights "
        "start.",
        "more than one evaluation on test pictures",
        paper_figures.losses,
    ),
    _Plan(
        "recall",
        "Recall of each class",
        "Averaged network, last evaluation; classes with the most labeled pictures first.",
        "an evaluation on test pictures",
        figures.recalls,
    ),
    _Plan(
        "pseudo_precision",
        "Precision of the pseudo-labels",
        "Share of the pseudo-labels of each class that are right, confident or not. Counted "
        "over unlabeled pictures; their classes are known here and never used in training.",
        "pseudo-labels of pictures whose class is known",
        _shares("pseudo_precision", "precision of the pseudo-labels"),
    ),
    _Plan(
        "pseudo_recall",
        "Recall of the pseudo-labels",
        "Share of the unlabeled pictures of each class whose pseudo-label is right, confident "
        "or not.",
        "pseudo-labels of pictures whose class is known",
        _shares("pseudo_recall", "recall of the pseudo-labels"),
    ),
    _Plan(
        "confident_rate",
        "Mask rate of each class",
        "Share of the pseudo-labels of each class that pass the threshold.",
        "a threshold, and the count of what passed it",
        _shares("confident_rate", "confident pseudo-labels"),
    ),
    _Plan(
        "unlabeled_weights",
        "Weights of the unlabeled loss",
        "Weight of each class over training; 1 until dynamic or fixed weights start.",
        "unlabeled weights",
        lambda runs, labels: figures.class_weights(runs, labels, "unlabeled"),
    ),
    _Plan(
        "labeled_weights",
        "Weights of the labeled loss",
        "Weight of each class over training.",
        "labeled weights",
        lambda runs, labels: figures.class_weights(runs, labels, "labeled"),
    ),
    _Plan(
        "confusion",
        "Confusion matrices",
        "Averaged network, last evaluation.",
        "an evaluation on test pictures",
        evaluation_figures.confusion_matrices,
    ),
    _Plan(
        "reliability",
        "Reliability diagrams",
        "Accuracy of the test pictures against the confidence in them, and how many there are; "
        "ECE: expected calibration error.",
        "calibration bins in their record",
        _reliability,
    ),
)


def chosen(setting: groups.Setting, wanted: Sequence[str] = ()) -> list[groups.Variant]:
    """The variants that are drawn.

    Args:
        setting: runs.
        wanted: names of methods, in this order; without any FixMatch, DRw and then the best
            as `tables.standings` has them, those of which the training is known first, `MAX_DRAWN`
            in all.
    """
    if wanted:
        named = [one for one in setting.variants if one.method in wanted]
        return sorted(named, key=lambda one: wanted.index(one.method))
    order = [one.variant.name for one in tables.standings(setting.variants, setting.window)]

    def rank(variant):
        place = order.index(variant.name) if variant.name in order else len(order)
        is_first = variant.method in _FIRST and setting.variant(variant.method) is variant
        favourite = _FIRST.index(variant.method) if is_first else len(_FIRST)
        return favourite, len(variant.records[0]["history"]) < 2, place

    return sorted(setting.variants, key=rank)[:MAX_DRAWN]


def draw_setting(
    setting: groups.Setting, out: pathlib.Path, wanted: Sequence[str] = ()
) -> list[Picture]:
    """Every picture of one setting, written as PNG and SVG; each of one run a variant.

    Args:
        setting: runs; of each variant the one with the lowest seed is drawn.
        out: folder of the report.
        wanted: see `chosen`.
    """
    folder = pathlib.PurePosixPath("figures", slug(setting.title))
    runs = [(one.records[0], one.name) for one in chosen(setting, wanted)]
    made = []
    for plan in _PLANS:
        fit = [run for run in runs if _NEEDS[plan.needs](run[0])]
        if not fit:
            text = f"no run here has {plan.needs}."
            made.append(Picture(plan.title, plan.caption, missing=text))
            continue
        drawn = plan.draw([record for record, _ in fit], [label for _, label in fit])
        caption = f"{plan.caption} {_which(fit, runs, plan.needs)}"
        made.append(_saved(drawn, out, folder / plan.name, plan.title, caption))
    return made


def draw_betas(
    settings: Sequence[groups.Setting], defaults: Mapping[str, object], out: pathlib.Path
) -> list[Picture]:
    """Figure 4 for each data set: balanced accuracy against beta, one line a ratio.

    Args:
        settings: all runs.
        defaults: see `groups.settings`.
        out: folder of the report.
    """
    title = "Figure 4: balanced accuracy against beta"
    made = []
    for name, lines in betas.lines(settings, defaults).items():
        caption = (
            f"Test pictures of {name}; mean and standard deviation over the seeds that all betas "
            "of a line have, over all seeds where there is none."
        )
        stem = pathlib.PurePosixPath("figures", f"figure4_beta_{slug(name)}")
        made.append(_saved(paper_figures.beta_study(lines, name), out, stem, title, caption))
    text = "no method was run with two values of --beta or more in one setting."
    return made or [Picture(title, "", missing=text)]


def draw_terms(out: pathlib.Path) -> Picture:
    """Figure 3, which needs no run."""
    return _saved(
        paper_figures.class_balanced_terms(),
        out,
        pathlib.PurePosixPath("figures", "figure3_class_balanced_term"),
        "Figure 3: class-balanced term",
        "Class-balanced term against the number of pictures of a class, for several beta.",
    )


def slug(title: str) -> str:
    """A name for files: lower-case letters, digits and underlines."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def _which(fit, runs, needs: str) -> str:
    """Which runs a picture is of."""
    seeds = sorted({record["configuration"]["seed"] for record, _ in fit})
    text = f"Seed {', '.join(map(str, seeds))}."
    left = [label for _, label in runs if label not in [label for _, label in fit]]
    return f"{text} Without {needs}: {'; '.join(left)}." if left else text


def _saved(
    drawn: figure.Figure,
    out: pathlib.Path,
    stem: pathlib.PurePosixPath,
    title: str,
    caption: str,
) -> Picture:
    figures.save(drawn, os.fspath(out / stem))
    return Picture(title, caption, stem)
