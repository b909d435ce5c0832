"""Tables of many runs: one of all methods in a setting, the paper's Tables 1 to 4, agreement."""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np

from drw_tf.ops import metrics
from drw_tf.report import groups, history, markdown, paper_numbers, statistics

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
        return markdown.table(self.head, self.rows)


def values(
    variant: groups.Variant, metric: str, window: str, network: str = "ema"
) -> dict[int, float]:
    """A metric by seed, in percent, of the runs that were tested.

    Args:
        variant: runs.
        metric: a name in `record_file.FINAL_METRICS`.
        window: "last" or "mean_last_20"; see `groups.Variant.reports_last` for those of which it
            is "last" in any case.
        network: "ema", the averaged one, or "ema_unadjusted", the same one judged without the
            adjustment that its method makes.
    """
    window = "last" if variant.reports_last else window
    found = {
        one["configuration"]["seed"]: one["final"].get(network, {}).get(metric, {}).get(window)
        for one in variant.records
    }
    return {seed: 100 * value for seed, value in found.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a variant stands in the table of methods.

    Attributes:
        variant: runs, tested.
        seeds: those that its numbers are over.
        group: those that it is compared on, with all variants of the same ones.
        leaves_out: whether it has more seeds.
    """

    variant: groups.Variant
    seeds: frozenset[int]
    group: frozenset[int]
    leaves_out: bool


def standings(
    variants: Sequence[groups.Variant], window: str, reference: str | None = None
) -> list[Standing]:
    """The tested variants by their gain over the reference, those of the most seeds first.

    A seed's draw of the data moves methods more than they differ, so that only variants of the
    same seeds are put into one order. They are compared on the seeds that the reference has too;
    where that is one set for most of them, and two seeds or more, also those are that have
    further ones, which are then left out. Without a reference they stand by their mean.

    Args:
        variants: runs of one setting.
        window: and
        reference: see `methods`.
    """
    base = groups.find(variants, reference or REFERENCE)
    theirs = values(base, METRICS[0][1], window) if base else {}
    tested = [(one, values(one, METRICS[0][1], window)) for one in variants]
    tested = [(one, found) for one, found in tested if found]
    common = [frozenset(found.keys() & theirs.keys() if theirs else found) for _, found in tested]
    counts = collections.Counter(seeds for seeds in common if len(seeds) > 1)
    usual = max(
        counts,
        key=lambda seeds: (counts[seeds], sum(seeds <= one for one in common)),
        default=None,
    )
    made = []
    for (one, found), group in zip(tested, common, strict=True):
        is_usual = usual is not None and usual <= group
        seeds = usual if is_usual else frozenset(found)
        group = usual if is_usual else group
        ours, of_base = _paired(one, base, window)
        gain = statistics.paired_gain(_of(group, ours), of_base)
        rank = gain[0] if gain else statistics.mean_and_deviation([*found.values()])[0]
        place = (-len(group), sorted(group), -rank)
        made.append((place, Standing(one, seeds, group, len(seeds) < len(found))))
    return [one for _, one in sorted(made, key=lambda pair: pair[0])]


def methods(
    variants: Sequence[groups.Variant], window: str = "last", reference: str | None = None
) -> Table:
    """Mean and standard deviation over seeds of each method, in the order of `standings`.

    Where the paper used the same data its numbers stand beside ours, with what it trained if
    that is another protocol, network or length.

    Args:
        variants: runs of one setting, at least one.
        window: "last" (short runs) or "mean_last_20" (beside the paper's tables).
        reference: what gains are over: name of a variant, or of a method, for which
            `groups.find` says which variant stands; FixMatch by default. Without such runs no
            gain is shown.
    """
    base = groups.find(variants, reference or REFERENCE)
    has_gain = base is not None and len(variants) > 1
    first = variants[0].records[0]
    paper = paper_numbers.data_of(first["configuration"])
    printed = paper_numbers.of_methods(paper) if paper else {}
    head = ["method", *(f"{title} %" for title, _ in METRICS)]
    head += [f"gain over {base.name} [95 %]"] if has_gain else []
    bare = {one.name: values(one, METRICS[0][1], window, "ema_unadjusted") for one in variants}
    has_bare = any(bare.values())
    head += ["without adjustment, bACC %"] if has_bare else []
    if groups.paper_of(first):
        head += ["the paper, bACC %"]
    elif paper:
        head += [_paper_head(paper_numbers.SETTINGS[paper].flags, first["configuration"])]
    head += ["seeds", "minutes a run"]
    rows, order = [], standings(variants, window, reference)
    for one in order:
        variant = one.variant
        shares = [_of(one.seeds, values(variant, metric, window)) for _, metric in METRICS]
        row = [variant.name, *map(mean_cell, shares)]
        if has_gain:
            row.append("" if variant is base else _gain(*_paired(variant, base, window), one))
        row += [mean_cell(_of(one.seeds, bare[variant.name]))] if has_bare else []
        # The paper has one variant of a method.
        stands = groups.find(variants, variant.method) is variant
        row += [str(printed.get(variant.method, "-")) if stands else "-"] if paper else []
        seconds = [record["seconds"] for record in variant.records]
        minutes = statistics.mean_and_deviation(seconds)[0] / 60
        rows.append((*row, str(len(one.seeds)), f"{minutes:.1f}"))
    return Table(tuple(head), tuple(rows), _note(variants, window, order, has_gain))


def _paper_head(flags: Mapping[str, object], configuration: Mapping) -> str:
    """Heading of the paper's column beside runs that are not of its setting: what it trained.

    Args:
        flags: of the paper's setting.
        configuration: of the runs.
    """
    other = [
        f"{name} {flags[name]}"
        for name in ("protocol", "model")
        if configuration.get(name) != flags[name]
    ]
    return ", ".join(["the paper", *other, f"{flags['steps']:,} steps", "bACC %"])


def _paired(
    one: groups.Variant, base: groups.Variant | None, window: str
) -> tuple[dict[int, float], dict[int, float]]:
    """bACC of a variant and of the reference, if any, by seed: both of the same evaluations."""
    if base is None:
        return values(one, METRICS[0][1], window), {}
    window = "last" if one.reports_last or base.reports_last else window
    return values(one, METRICS[0][1], window), values(base, METRICS[0][1], window)


def _of(seeds: Set[int], found: Mapping[int, float]) -> dict[int, float]:
    """The values of these seeds."""
    return {seed: value for seed, value in found.items() if seed in seeds}


def _gain(found: Mapping[int, float], theirs: Mapping[int, float], standing: Standing) -> str:
    """Gain on the seeds of the comparison, and on all common ones where those are more."""
    cell = gain_cell(_of(standing.group, found), theirs)
    common = found.keys() & theirs.keys()
    if len(common) > len(standing.group):
        cell += f" ({len(common)} seeds: {gain_cell(found, theirs)})"
    return cell


def _note(
    variants: Sequence[groups.Variant], window: str, order: Sequence[Standing], has_gain: bool
) -> str:
    """What the numbers of `methods` are, and which rows are in one order."""
    lines = [f"Averaged network, {_evaluations(variants, window)}, mean ± standard deviation"]
    lines[0] += " over seeds."
    if has_gain:
        lines.append(
            "Gain: mean of the differences in bACC on the same seeds, in points, and Student's "
            "95 % interval of it."
        )
    apart = collections.defaultdict(list)
    for one in _exceptions(variants, window):
        apart[_why_last(one)].append(one.name)
    said = [f"of {'; '.join(names)} {why}" for why, names in apart.items()]
    if said:
        gains = ", gains over the last one of the reference" if has_gain else ""
        text = "; ".join(said)
        lines.append(f"{text[0].upper()}{text[1:]}{gains}.")
    sizes = collections.Counter(one.group for one in order)
    if len(sizes) > 1:
        parts = [
            f"{_listed(seeds)} ({size} row{'s' * (size > 1)})" for seeds, size in sizes.items()
        ]
        lines.append(f"Rows of the same seeds are in one order: first {', then '.join(parts)}.")
    cut = [one.variant.name for one in order if one.leaves_out]
    if cut:
        but = ", but for a gain in parentheses" if has_gain else ""
        lines.append(f"Further seeds of {'; '.join(cut)} are left out{but}.")
    return " ".join(lines)


def _listed(seeds: Set[int]) -> str:
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, sorted(seeds))) or 'of their own'}"


def _exceptions(variants: Sequence[groups.Variant], window: str) -> list[groups.Variant]:
    """Those of which the last evaluation is shown where others have a mean of several."""
    return [] if window == "last" else [one for one in variants if one.reports_last]


def _why_last(variant: groups.Variant) -> str:
    """What is shown of one of `_exceptions`, and why."""
    if all(map(groups.was_judged, variant.records)):
        return "the one evaluation there is"
    if variant.is_judged:
        return "the last evaluation, as some seeds were judged and have no other"
    return "the last evaluation, as fewer are of the last stage alone"


def _evaluations(variants: Sequence[groups.Variant], window: str) -> str:
    """Which evaluations the numbers are of; in a setting of the paper also why not the last 20."""
    if window != "last":
        return f"mean of the last {metrics.WINDOW} evaluations"
    few = groups.short(variants) if groups.paper_of(variants[0].records[0]) else []
    why = f" (not the mean of the last 20, as fewer are of {'; '.join(few)})" if few else ""
    return f"last evaluation{why}"


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
    there = [one for found in ours.values() for one in found if one]
    few = {one.title: "; ".join(groups.short(one.variants)) for one in there}
    why = [f"{title}, as fewer are of {names}" for title, names in few.items() if names]
    note += f" (the last one at {', and at '.join(why)})" if why else ""
    has_others = any(_exceptions(one.variants, one.window) for one in there)
    note += ", where not said otherwise." if has_others else "."
    if table == paper_numbers.ABLATION:
        note += (
            " The paper's row without weights has its numbers of FixMatch + DARP: its weights are "
            "taken to be on that too, and beside plain FixMatch its numbers are on another base."
        )
    return Table(tuple(head), tuple(rows), note)


def agreement(settings: Sequence[groups.Setting]) -> Table:
    """How far our order of the methods is the paper's: Spearman's rank correlation.

    A setting of the paper is compared with itself, any other one with each of the paper's.
    Methods that were run with unequal seeds are compared on those that all have. A range says
    how far the correlation hangs on one method.
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
                bounds = statistics.rank_correlation_range(means, theirs)
                apart = " to ".join(f"{bound:+.2f}" for bound in bounds) if bounds else "-"
                seeds = {", ".join(map(str, sorted(by_seed))) for by_seed in equal.values()}
                which = seeds.pop() if len(seeds) == 1 else "unequal"
                numbers = (f"{found[0]:+.2f}", str(found[1]), apart)
                rows.append((one.title, title, *numbers, which))
    head = ("our runs", "the paper", "rank correlation", "common methods")
    note = (
        "+1: the same order by balanced accuracy; 0: unrelated; -1: reversed. One left out: least "
        "and largest correlation where each method is left out once, of three methods or more."
    )
    return Table((*head, "one left out", "seeds"), tuple(rows), note)


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
    """Pseudo-labels of the last epoch, over seeds: how many are right.

    Rows of as many seeds stand together, the least long-tailed first. A run that was judged as
    another method has the pseudo-labels of the run itself and no row.
    """

    def ratio(variant):
        found, least = {}, ""
        for seed, record in _trained(variant).items():
            # A class that nobody was given counts as one picture.
            numbers = history.series(record, "pseudo_numbers")[1]
            least = "≥ " if len(numbers) and np.min(numbers[-1]) <= 1 else least
            found |= _last(record, seed, "pseudo_imbalance_ratio")
        return found, least + mean_cell(found, 0)

    note = (
        "Last epoch. Largest / smallest: pseudo-labels of the most frequent class for one of the "
        "rarest, over the whole pool, labeled pictures included where they are in it. Recall and "
        "precision of the pseudo-labels: over its unlabeled pictures alone, confident or not; -: a "
        "class of the group has none. Rows of the most seeds come first."
    )
    return _of_groups(setting, "largest / smallest", ratio, "pseudo", note)


def confident_labels(setting: groups.Setting) -> Table:
    """Those of the pseudo-labels of the last epoch that are above the threshold, over seeds.

    Rows of as many seeds stand together, the fewest such labels first.
    """

    def rate(variant):
        found = {}
        for seed, record in _trained(variant).items():
            if len(history.series(record, "confident_rate")[1]):
                found |= _last(record, seed, "train", "mask_rate")
        found = {seed: 100 * value for seed, value in found.items()}
        return found, mean_cell(found)

    note = (
        "Last epoch. Confident: pseudo-labels above the threshold among all of the pool. Recall: "
        "pictures of a class that are labeled so and confidently, of all its unlabeled ones; "
        "precision: of the labels that are confident; -: a class of the group has none."
    )
    return _of_groups(setting, "confident %", rate, "confident", note)


def _of_groups(
    setting: groups.Setting,
    title: str,
    first: Callable[[groups.Variant], tuple[dict[int, float], str]],
    which: str,
    note: str,
) -> Table:
    """A column of its own, then recall and precision of labels in three groups of classes."""
    names = ("Many", "Medium", "Few")
    shares = ("recall", "precision")
    rows = []
    for one in setting.variants:
        found, cell = first(one)
        if not found:
            continue
        cells = {(share, group): {} for share in shares for group in names}
        for seed, record in _trained(one).items():
            counts = np.asarray(record["dataset"]["labeled_counts"])
            for share in shares:
                of_class = history.series(record, f"{which}_{share}")[1]
                if seed in found and len(of_class):
                    means = metrics.many_medium_few(of_class[-1], counts, whole=True)
                    for group, value in zip(names, means, strict=True):
                        cells[share, group] |= {} if math.isnan(value) else {seed: 100 * value}
        of_all = [mean_cell(by) if len(by) == len(found) else "-" for by in cells.values()]
        mean = statistics.mean_and_deviation([*found.values()])[0]
        rows.append((-len(found), mean, (one.name, cell, *of_all, str(len(found)))))
    head = ["method", title, *(f"{share} {group} %" for share in shares for group in names)]
    return Table((*head, "seeds"), tuple(row for _, _, row in sorted(rows)), note)


def _trained(variant: groups.Variant) -> dict[int, Mapping]:
    """Records by seed of a variant's runs; those that were judged as it have none of its epochs."""
    of_two_epochs = (
        one for one in variant.records if len(history.series(one, "pseudo_imbalance_ratio")[1]) > 1
    )
    return {one["configuration"]["seed"]: one for one in of_two_epochs}


def _last(record: Mapping, seed: int, *keys: str) -> dict[int, float]:
    """The last value of a history's quantity under its seed; {} where there is none."""
    found = history.series(record, *keys)[1]
    return {seed: float(found[-1])} if len(found) else {}


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
    which += "; last evaluation" if variant and _exceptions([variant], setting.window) else ""
    return f"{mean_cell(found)} ({len(found)}{which})" if found else NOT_RUN
