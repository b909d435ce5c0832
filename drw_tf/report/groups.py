"""Runs put together: those that differ in the seed alone, and those that may be compared."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from drw_tf import recipes
from drw_tf.report import paper_numbers

# What says which data a run had and how long it was; the method's own flags are the rest.
SETTING_FLAGS = (
    "dataset",
    "labeled_max",
    "unlabeled_max",
    "imbalance_ratio",
    "unlabeled_imbalance_ratio",
    "unlabeled_order",
    "labeled_fraction",
    "validation_per_class",
    "image_size",
    "model",
    "protocol",
    "steps",
)
# The rest of the budget, which a method may have of its own: it is named where it is another one.
BUDGET_FLAGS = ("batch_size", "steps_per_epoch")
# Evaluations whose mean stands beside the paper's numbers.
LAST_EVALUATIONS = 20

# Flags that say where a user's own pictures are; no run on other data has any of them.
OWN_PLACES = ("labeled_dir", "unlabeled_dir", "test_dir", "labels_csv")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Runs that differ in the seed alone.

    Attributes:
        name: the method, with the flags in which it differs from others of that method.
        method: name of the recipe.
        records: one a seed, seeds ascending.
        flags: how many flags are not at their defaults.
    """

    name: str
    method: str
    records: tuple[Mapping, ...]
    flags: int = 0

    @property
    def specialty(self) -> str:
        """The flags in its name, "" where it is the only variant of its method."""
        return self.name.removeprefix(self.method).removeprefix(", ")


@dataclasses.dataclass(frozen=True)
class Setting:
    """Runs on the same data, for the same time.

    Attributes:
        title: for headings, as in "digits, R = 20".
        paper: name of the paper's setting that it is, None if it is none.
        variants: in the order in which they were given.
    """

    title: str
    paper: str | None
    variants: tuple[Variant, ...]

    @property
    def steps(self) -> int:
        """Length of the runs."""
        return self.variants[0].records[0]["steps"]

    @property
    def window(self) -> str:
        """What is reported, see `window_of`."""
        runs = [one for variant in self.variants for one in variant.records]
        return window_of(self.paper, runs)

    def variant(self, method: str) -> Variant | None:
        """The variant that stands for a method, see `find`."""
        return find(self.variants, method)


def find(variants: Sequence[Variant], name: str) -> Variant | None:
    """The variant of this name, or that which stands for this method; None without any.

    That is the one with the fewest flags that are not at their defaults, and of several such
    ones that with the most seeds.
    """
    named = [one for one in variants if one.name == name]
    mine = named or [one for one in variants if one.method == name]
    return min(mine, key=lambda one: (one.flags, -len(one.records)), default=None)


def settings(
    records: Sequence[Mapping], defaults: Mapping[str, object]
) -> tuple[list[Setting], list[str]]:
    """Records by setting and variant, and a line for each that was left out.

    Args:
        records: as `record_file.read_record` returns them, in any order.
        defaults: the flags that change a result, and the value that a run which is older
            than the flag had.
    """
    groups: dict[tuple, list[Mapping]] = {}
    for one in records:
        groups.setdefault(_setting_key(one), []).append(one)
    found, dropped = [], []
    for group in groups.values():
        variants, twice = _variants(group, defaults)
        dropped += twice
        found.append(Setting(_title(group[0]), paper_of(group[0]), tuple(variants)))
    titles = [one.title for one in found]
    return [
        dataclasses.replace(one, title=f"{one.title} ({index + 1})")
        if titles.count(one.title) > 1
        else one
        for index, one in enumerate(found)
    ], dropped


def paper_of(record: Mapping) -> str | None:
    """Name of the paper's setting that a run is of; None for any other, and for a part of one."""
    whole = record["steps"] == record["configuration"].get("steps")
    return paper_numbers.setting_of(record["configuration"]) if whole else None


def window_of(paper: str | None, records: Sequence[Mapping]) -> str:
    """What is reported of runs: "mean_last_20", as the paper does in its settings, or "last".

    The last one, too, where any run has fewer evaluations: one that was judged later as another
    method has a single one, and a mean of one beside means of twenty is another quantity.
    """
    finals = [one["final"]["ema"] for one in records if one["final"].get("ema")]
    counts = [one["balanced_accuracy"]["evaluations"] for one in finals]
    return "mean_last_20" if paper and min(counts, default=0) >= LAST_EVALUATIONS else "last"


def is_of_own_pictures(configuration: Mapping) -> bool:
    """Whether a run is on a user's own pictures, which may change under their name."""
    return any(configuration.get(flag) for flag in OWN_PLACES)


def data_of(record: Mapping) -> tuple:
    """What is equal where runs are of the same pictures, whatever their seeds."""
    dataset = record["dataset"]
    keys = ("class_names", "labeled_counts", "unlabeled_counts", "test_counts")
    return (
        *(None if dataset[key] is None else tuple(dataset[key]) for key in keys),
        # Of other data each seed draws a split of its own.
        dataset["split_checksum"] if is_of_own_pictures(record["configuration"]) else None,
    )


def by_method(records: Sequence[Mapping]) -> list[Variant]:
    """Variants of records that are known to differ in method and seed only."""
    methods: dict[str, list[Mapping]] = {}
    for one in records:
        methods.setdefault(one["configuration"]["method"], []).append(one)
    return [Variant(method, method, tuple(mine)) for method, mine in methods.items()]


def flags_of(record: Mapping, defaults: Mapping[str, object]) -> dict[str, object]:
    """The flags in which a run may differ from another of its setting, seed apart.

    A flag at its default counts as one that was not known yet, or not read.
    """
    configuration = record["configuration"]
    apart = {*SETTING_FLAGS, "seed"}
    usual = _defaults_of(configuration["method"], defaults)
    return {
        name: configuration[name]
        for name in defaults
        if name not in apart and configuration.get(name) not in (None, usual[name])
    }


def _defaults_of(method: str, defaults: Mapping[str, object]) -> dict[str, object]:
    """The defaults, those of the recipe in their place."""
    recipe = recipes.RECIPES.get(method)  # a record may name one of another version
    return {**defaults, **(recipe.defaults if recipe else {})}


def spelled(flags: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Flags as text, sorted by name: equal where they are."""
    return tuple(sorted((name, str(value)) for name, value in flags.items()))


def name_of(
    method: str,
    flags: Mapping[str, str],
    rivals: Sequence[Mapping[str, str]],
    defaults: Mapping[str, object],
) -> str:
    """The method, and its values of the flags in which its rivals, itself among them, differ.

    A default that depends on the data set or the protocol is called "default".
    """
    names = dict.fromkeys(name for rival in rivals for name in rival)
    differing = [name for name in names if len({rival.get(name) for rival in rivals}) > 1]
    usual = _defaults_of(method, defaults)
    known = {name: value for name, value in usual.items() if value is not None} | dict(flags)
    return ", ".join([method, *(f"{name} {known.get(name, 'default')}" for name in differing)])


def _setting_key(record: Mapping) -> tuple:
    configuration = record["configuration"]
    flags = (configuration.get(name) for name in SETTING_FLAGS)
    return (*flags, record["steps"], paper_of(record), data_of(record))


def _title(record: Mapping) -> str:
    """The data set's name, and its ratio where it was made long-tailed."""
    paper = paper_of(record)
    if paper:
        return paper_numbers.SETTINGS[paper].title
    ratio = record["configuration"].get("imbalance_ratio")
    name = record["dataset"]["name"]
    steps = f"{record['steps']} steps"
    return f"{name}, {steps}" if ratio is None else f"{name}, R = {ratio:g}, {steps}"


def _variants(
    records: Sequence[Mapping], defaults: Mapping[str, object]
) -> tuple[list[Variant], list[str]]:
    """Variants of one setting, and a line for each record of a seed that was there before."""
    members: dict[tuple, dict[int, Mapping]] = {}
    dropped = []
    for one in records:
        flags = flags_of(one, defaults)
        key = (one["configuration"]["method"], *spelled(flags))
        seed = one["configuration"]["seed"]
        if members.setdefault(key, {}).setdefault(seed, one) is not one:
            dropped.append(f"{key[0]}, seed {seed}: given more than once, the first is used")
    usual = {
        flag: statistics.mode(one["configuration"].get(flag) for one in records)
        for flag in BUDGET_FLAGS
    }
    made = []
    for key, seeds in members.items():
        rivals = [dict(other[1:]) for other in members if other[0] == key[0]]
        mine = [seeds[seed] for seed in sorted(seeds)]
        name = name_of(key[0], dict(key[1:]), rivals, defaults)
        for flag, value in usual.items():
            own = mine[0]["configuration"].get(flag)
            if own != value and f", {flag} " not in name:
                name += f", {flag} {own}"
        made.append(Variant(name, key[0], tuple(mine), len(key) - 1))
    return made, dropped
