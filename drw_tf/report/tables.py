"""Tables of many runs: one of all methods in a setting, the paper's Tables 1 to 4, agreement."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from drw_tf.ops import metrics
from drw_tf.report import groups, history, paper_numbers, statistics

REFERENCE = "fixmatch"
METRICS = (
    ("bACC", "balanced_accuracy"),
    ("GM", "geometric_mean"),
    ("Many", "many"),
    ("Medium", "medium"),
    ("Few", "few"),
)
NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to be shown: titles of the columns, rows of text, and what its numbers are."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """The table in Markdown, without its note."""
        lines = ["| " + " | ".join(self.head) + " |", "| --- " * len(self.head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)


def values(
    variant: groups.Variant, metric: str, window: str, network: str = "ema"
) -> dict[int, float]:
    """A metric by seed, in percent, of the runs that were tested.

    Args:
        variant: runs.
        metric: a name in `record.FINAL_METRICS`.
        window: "last" or "mean_last_20".
        network: "ema", the averaged one, or "ema_unadjusted", the same one judged without the
            adjustment that its method makes.
    """
    found = {
        one["configuration"]["seed"]: one["final"].get(network, {}).get(metric, {}).get(window)
        for one in variant.records
    }
    return {seed: 100 * value for seed, value in found.items() if value is not None}


def methods(
    variants: Sequence[groups.Variant], window: str = "last", reference: str | None = None
) -> Table:
    """Mean and standard deviation over seeds of each method, best balanced accuracy first.

    Where seeds are unequal, the order is that of the gain over the reference on common seeds.
    Where the paper used the same data its numbers stand beside ours, with its number of steps
    if that is another one.

    Args:
        variants: runs of one setting.
        window: "last" (short runs) or "mean_last_20" (beside the paper's tables).
        reference: what gains are over: name of a variant, or of a method of which the variant
            with the most seeds is taken, FixMatch by default; without such runs no gain is
            shown.
    """
    base = groups.find(variants, reference or REFERENCE)
    has_gain = base is not None and len(variants) > 1
    configuration = variants[0].records[0]["configuration"] if variants else {}
    paper = paper_numbers.data_of(configuration)
    printed = paper_numbers.of_methods(paper) if paper else {}
    head = ["method", *(f"{title} %" for title, _ in METRICS)]
    head += [f"gain over {base.name} [95 %]"] if has_gain else []
    bare = {one.name: values(one, METRICS[0][1], window, "ema_unadjusted") for one in variants}
    has_bare = any(bare.values())
    head += ["without adjustment, bACC %"] if has_bare else []
    if paper and groups.paper_of(variants[0].records[0]):
        head += ["the paper, bACC %"]
    elif paper:
        head += [f"the paper, {paper_numbers.SETTINGS[paper].flags['steps']:,} steps, bACC %"]
    head += ["seeds", "minutes a run"]
    theirs = values(base, METRICS[0][1], window) if base else {}
    lines = []
    for one in variants:
        found = values(one, METRICS[0][1], window)
        if not found:
            continue
        row = [one.name, *(mean_cell(values(one, metric, window)) for _, metric in METRICS)]
        if has_gain:
            row.append("" if one is base else gain_cell(found, theirs))
        row += [mean_cell(bare[one.name])] if has_bare else []
        row += [str(printed.get(one.method, "-"))] if paper else []
        seconds = [record["seconds"] for record in one.records]
        minutes = statistics.mean_and_deviation(seconds)[0] / 60
        row += [str(len(found)), f"{minutes:.1f}"]
        lines.append((_standing(found, theirs), tuple(row)))
    rows = tuple(row for _, row in sorted(lines, key=lambda line: -line[0]))
    return Table(tuple(head), rows, _note(window, has_gain))


def _standing(found: Mapping[int, float], base: Mapping[int, float]) -> float:
    """What a method's mean would be on the reference's seeds, by its gain where both were run."""
    gain = statistics.paired_gain(found, base)
    mean = statistics.mean_and_deviation
    return mean([*base.values()])[0] + gain[0] if gain else mean([*found.values()])[0]


def paper_table(table: int, settings: Sequence[groups.Setting]) -> Table:
    """One of the paper's tables in its layout: its number and ours for each setting.

    Runs of ImageNet127 may be of two lengths; then each has a column of ours.

    Args:
        table: 1 to 4.
        settings: all runs there are; those outside of the paper's settings are not looked at.
    """
    columns = paper_numbers.columns(table)
    ours = {name: [one for one in settings if one.paper == name] or [None] for name in columns}
    head = ["method"]
    for name in columns:
        title = paper_numbers.SETTINGS[name].title
        head += [f"{title}: paper", *(f"{title}: {side}" for side in _sides(ours[name]))]
    rows = []
    for row in paper_numbers.rows(table):
        cells = [row.title]
        for name in columns:
            cells += [str(row.numbers[name])]
            cells += [_our_cell(one, row.method) for one in ours[name]]
        rows.append(tuple(cells))
    note = (
        "Balanced accuracy of the averaged network in percent, mean ± standard deviation over "
        "seeds; ours: mean of the last 20 evaluations of a run"
    )
    short = [one.title for found in ours.values() for one in found if one and one.window == "last"]
    if short:
        note += f" (of {', '.join(short)} the last one, as some runs there have fewer)"
    return Table(tuple(head), tuple(rows), f"{note}.")


def agreement(settings: Sequence[groups.Setting]) -> Table:
    """How far our order of the methods is the paper's: Spearman's rank correlation.

    A setting of the paper is compared with itself, any other one with each of the paper's.
    Methods that were run with unequal seeds are compared on those that all have.
    """
    rows = []
    for one in settings:
        ours = {}
        for variant in one.variants:
            found = values(variant, "balanced_accuracy", one.window)
            if found and one.variant(variant.method) is variant:
                ours[variant.method] = found
        for name in [one.paper] if one.paper else paper_numbers.SETTINGS:
            printed = paper_numbers.of_methods(name).items()
            theirs = {method: float(number.mean) for method, number in printed}
            equal = statistics.on_common_seeds({key: ours[key] for key in ours if key in theirs})
            means = {
                method: statistics.mean_and_deviation([*by_seed.values()])[0]
                for method, by_seed in equal.items()
            }
            found = statistics.rank_correlation(means, theirs)
            title = paper_numbers.SETTINGS[name].title
            if found:
                seeds = {", ".join(map(str, sorted(by_seed))) for by_seed in equal.values()}
                which = seeds.pop() if len(seeds) == 1 else "unequal"
                rows.append((one.title, title, f"{found[0]:+.2f}", str(found[1]), which))
    head = ("our runs", "the paper", "rank correlation", "common methods", "seeds")
    return Table(
        head, tuple(rows), "+1: the same order by balanced accuracy; 0: unrelated; -1: reversed."
    )


def calibration(setting: groups.Setting) -> Table:
    """Expected calibration error of the last evaluation, least first; over seeds."""
    rows = []
    for one in setting.variants:
        errors = {
            record["configuration"]["seed"]: 100 * record["last_metrics"]["ema"]["ece"]
            for record in one.records
            if record["last_metrics"].get("ema", {}).get("ece") is not None
        }
        if errors:
            mean = statistics.mean_and_deviation([*errors.values()])[0]
            rows.append((mean, (one.name, mean_cell(errors), str(len(errors)))))
    rows = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    note = "Averaged network, last evaluation, 15 bins; 0: as often right as it is confident."
    return Table(("method", "expected calibration error %", "seeds"), rows, note)


def pseudo_labels(setting: groups.Setting) -> Table:
    """Pseudo-labels of the last epoch, over seeds: how many are right; the least long-tailed first.

    A run that was judged as another method has the pseudo-labels of the run itself and no row.
    """
    groups_of_classes = ("Many", "Medium", "Few")
    shares = {"recall": "pseudo_recall", "precision": "pseudo_precision"}
    rows = []
    for one in setting.variants:
        ratios, cells = {}, {(share, group): {} for share in shares for group in groups_of_classes}
        for record in one.records:
            ratio = history.series(record, "pseudo_imbalance_ratio")[1]
            if len(ratio) < 2:
                continue
            seed = record["configuration"]["seed"]
            ratios[seed] = float(ratio[-1])
            for share, key in shares.items():
                of_class = history.series(record, key)[1]
                if not len(of_class):
                    continue
                counts = np.asarray(record["dataset"]["labeled_counts"])
                found = metrics.many_medium_few(of_class[-1], counts)
                for group, value in zip(groups_of_classes, found, strict=True):
                    cells[share, group] |= {} if math.isnan(value) else {seed: 100 * value}
        if ratios:
            row = [one.name, mean_cell(ratios, 0), *map(mean_cell, cells.values())]
            mean = statistics.mean_and_deviation([*ratios.values()])[0]
            rows.append((mean, (*row, str(len(ratios)))))
    rows = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    head = ["method", "largest / smallest"]
    head += [f"{share} {group} %" for share in shares for group in groups_of_classes]
    note = (
        "Last epoch: pseudo-labels of the most frequent class for one of the rarest; their recall "
        "and precision over the unlabeled pictures, confident or not."
    )
    return Table((*head, "seeds"), rows, note)


def recalls(records: Sequence[Mapping], labels: Sequence[str]) -> str:
    """Recall of each class in percent, one column a run, means below; plain text.

    Args:
        records: tested runs on the same classes.
        labels: their names.
    """
    dataset = records[0]["dataset"]
    names = dataset["class_names"]
    width = max(len(label) for label in labels) + 2
    first = max(len("labeled pictures"), *(len(name) for name in names)) + 2
    lines = ["recall in percent, averaged network, last evaluation"]
    lines.append(" " * first + "labeled" + "".join(label.rjust(width) for label in labels))
    last = [one["last_metrics"]["ema"] for one in records]

    def add(title, count, found):
        cells = "".join(f"{percent(value):>{width}}" for value in found)
        lines.append(f"{title:<{first}}{count:>7}{cells}")

    for index, name in enumerate(names):
        add(name, dataset["labeled_counts"][index], [one["recall"][index] for one in last])
    for title, key in (("bACC", "balanced_accuracy"), ("GM", "geometric_mean")):
        add(title, "", [one[key] for one in last])
    return "\n".join(lines)


def percent(value: float | None) -> str:
    """A share in percent, "-" where it is undefined: None, or nan."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def mean_cell(found: Mapping[int, float], digits: int = 1) -> str:
    """Mean ± standard deviation over seeds, one value alone as it is, "-" for none."""
    if not found:
        return "-"
    shown = statistics.mean_and_deviation([*found.values()])
    return " ± ".join(f"{value:,.{digits}f}" for value in shown if not math.isnan(value))


def gain_cell(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """Gain in points with its interval where there are two common seeds or more."""
    found = statistics.paired_gain(ours, theirs)
    if found is None:
        return "-"
    mean, half, _ = found
    return (
        f"{mean:+.1f}"
        if math.isnan(half)
        else f"{mean:+.1f} [{mean - half:.1f}, {mean + half:.1f}]"
    )


def _sides(settings: Sequence[groups.Setting | None]) -> list[str]:
    """Titles of our columns beside one of the paper's."""
    if len(settings) == 1:
        return ["ours"]
    return [f"ours, {one.steps:,} steps" for one in settings]


def _our_cell(setting: groups.Setting | None, method: str) -> str:
    variant = setting.variant(method) if setting else None
    found = values(variant, "balanced_accuracy", setting.window) if variant else {}
    which = f"; {variant.specialty}" if variant and variant.specialty else ""
    return f"{mean_cell(found)} ({len(found)}{which})" if found else NOT_RUN


def _note(window: str, has_gain: bool) -> str:
    which = "mean of the last 20 evaluations" if window == "mean_last_20" else "last evaluation"
    gain = "; rows by gain, in points of bACC, paired over seeds" if has_gain else ""
    return f"Averaged network, {which}, mean ± standard deviation over seeds{gain}."
