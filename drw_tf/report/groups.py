"""Runs put together: those that differ in the seed alone, and those that may be compared."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

from drw_tf import flag_table, protocols, recipes
from drw_tf.ops import metrics
from drw_tf.report import paper_numbers

# The flags that change a result, and the value that a run which is older than the flag had. How
# many replicas a run has had is no flag, and changes it where batch norm has their shares alone.
DEFAULTS = {
    **{flag.name: flag.default for flag in flag_table.FLAGS if flag.changes_result},
    "replicas": 1,
}

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
_APART = frozenset((*SETTING_FLAGS, "method", "seed"))
# Row files have one value, the defaults another, and either is a run of the paper's setting.
_FREE = ("randaugment_order",)
# Flags that say where a user's own pictures are; no run on other data has any of them.
OWN_PLACES = ("labeled_dir", "unlabeled_dir", "validation_dir", "test_dir", "labels_csv")

# What runs on the same data have in common, and what those on a user's own pictures have, too.
_SAME = ("class_names", "labeled_counts", "unlabeled_counts", "test_counts")
_SAME_FILES = ("split_checksum", "training_checksum", "test_checksum")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Runs that differ in the seed alone.

    Attributes:
        name: the method, with the flags in which it differs from others of that method.
        method: name of the recipe.
        records: one a seed, seeds ascending.
        flags: how many flags are not at their defaults; in a setting of the paper what its row
            files have is none of them.
    """

    name: str
    method: str
    records: tuple[Mapping, ...]
    flags: int = 0

    @property
    def is_judged(self) -> bool:
        """Whether a run was not trained but judged as this method, see `was_judged`."""
        return any(map(was_judged, self.records))

    @property
    def is_staged(self) -> bool:
        """Whether a run's last stage alone has too few evaluations for the mean of the last ones.

        Those before are of another network, or of another head.
        """
        return any(map(_ends_in_a_short_stage, self.records))

    @property
    def reports_last(self) -> bool:
        """Whether its number is the last evaluation whatever is reported of others."""
        return self.is_judged or self.is_staged

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
        return window_of(self.paper, self.variants)

    def variant(self, method: str) -> Variant | None:
        """The variant that stands for a method, see `find`."""
        return find(self.variants, method)


def find(variants: Sequence[Variant], name: str) -> Variant | None:
    """The variant of this name, or that which stands for this method; None without any.

    That is the one with the fewest `Variant.flags`, and of several such ones that with the most
    seeds.
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
        defaults: `DEFAULTS`, or a part of it.
    """
    groups: list[tuple[tuple, list[Mapping]]] = []
    for one in records:
        key = _setting_key(one)
        for other, group in groups:
            if other == key and all(is_of_same_data(one, each) for each in group):
                group.append(one)
                break
        else:
            groups.append((key, [one]))
    titles = _told_apart([_title(group[0]) for _, group in groups], [key for key, _ in groups])
    found, dropped = [], []
    for title, (_, group) in zip(titles, groups, strict=True):
        made, twice = variants(group, defaults)
        dropped += twice
        found.append(Setting(title, paper_of(group[0]), tuple(made)))
    return found, dropped


def paper_of(record: Mapping) -> str | None:
    """Name of the paper's setting that a run is of; None for any other, and for a part of one."""
    whole = record["steps"] == record["configuration"].get("steps")
    return paper_numbers.setting_of(record["configuration"]) if whole else None


def window_of(paper: str | None, variants: Sequence[Variant]) -> str:
    """What is reported of runs: "mean_last_20", as the paper does in its settings, or "last".

    The last one, too, where any run has fewer evaluations, as a mean of few beside means of twenty
    is another quantity. One that was judged later as another method has a single one whatever is
    reported of the others, and of one whose last stage is short the last one counts; tables say of
    which that is so.
    """
    is_tested = any(one["final"].get("ema") for each in variants for one in each.records)
    return "mean_last_20" if paper and is_tested and not short(variants) else "last"


def short(variants: Sequence[Variant]) -> list[str]:
    """Names of those with a training that has too few evaluations for the mean of the last ones."""

    def is_short(record):
        final = None if was_judged(record) else record["final"].get("ema")
        is_few = final and final["balanced_accuracy"]["evaluations"] < metrics.WINDOW
        return is_few and not _ends_in_a_short_stage(record)

    return [each.name for each in variants if any(map(is_short, each.records))]


def _ends_in_a_short_stage(record: Mapping) -> bool:
    final = record["final"].get("ema")
    tested = sum(bool(entry.get("test")) for entry in record["history"])
    return bool(final) and final["balanced_accuracy"]["evaluations"] < metrics.WINDOW <= tested


def was_judged(record: Mapping) -> bool:
    """Whether a run was judged as another method, or by another prior, after its training."""
    words = record["command_line"]
    return "drw_tf.evaluate" in words or any(word.startswith("--as_method") for word in words)


def is_of_own_pictures(configuration: Mapping) -> bool:
    """Whether a run is on a user's own pictures, which may change under their name."""
    return any(configuration.get(flag) for flag in OWN_PLACES)


def is_of_same_data(one: Mapping, other: Mapping) -> bool:
    """Whether two runs are of the same pictures, whatever their seeds.

    Pictures of a user are by their files' names, as far as both records tell: older ones have no
    checksum of these.
    """
    ours, theirs = one["dataset"], other["dataset"]
    if any(ours[key] != theirs[key] for key in _SAME):
        return False
    # Of other data each seed draws a split of its own.
    if not any(is_of_own_pictures(record["configuration"]) for record in (one, other)):
        return True
    pairs = [(ours.get(key), theirs.get(key)) for key in _SAME_FILES]
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def of_other_data(records: Sequence[Mapping]) -> tuple[int, int] | None:
    """Which two of these runs are not of the same pictures; None where all are."""
    pairs = itertools.combinations(range(len(records)), 2)
    return next(
        (pair for pair in pairs if not is_of_same_data(*(records[each] for each in pair))), None
    )


def flags_of(record: Mapping, defaults: Mapping[str, object]) -> dict[str, object]:
    """The flags in which a run may differ from another of its setting, seed apart.

    A flag at its default counts as one that was not known yet, or not read.
    """
    usual = _defaults_of(record["configuration"]["method"], defaults)
    return {
        name: value
        for name, value in _read(record, defaults).items()
        if name not in _APART and value != usual[name]
    }


def _read(record: Mapping, names: Iterable[str]) -> dict[str, object]:
    """The flags among these that a run has read, and their values.

    A method without strong views reads of a preset whether crops are padded with black. Older
    records of it name a preset also where they are not.
    """
    configuration = record["configuration"]
    found = {name: configuration[name] for name in names if configuration.get(name) is not None}
    if "beta" in found:  # older records have it as it was typed
        found["beta"] = flag_table.spelled_beta(found["beta"])
    if "replicas" in names and not configuration.get("sync_batch_norm"):
        last = record["machine"].get("replicas", 1)
        parts = [part.get("replicas", last) for part in record.get("made_by", ())] or [last]
        numbers = [number for number, _ in itertools.groupby(parts)]
        # One that went on with others is no run of either number.
        found["replicas"] = numbers[0] if len(numbers) == 1 else ", then ".join(map(str, numbers))
    recipe = recipes.RECIPES.get(configuration["method"])
    is_padded = flag_table.pads_black(found.get("randaugment"), configuration.get("crop"))
    if recipe and not recipe.has_strong_views and not is_padded:
        found.pop("randaugment", None)
    return found


def _own_defaults(method: str) -> Mapping[str, object]:
    """What a recipe has of its own; a record may name one of another version."""
    return recipes.RECIPES[method].defaults if method in recipes.RECIPES else {}


def _defaults_of(method: str, defaults: Mapping[str, object]) -> dict[str, object]:
    """The defaults, those of the recipe in their place."""
    return {**defaults, **_own_defaults(method)}


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
    # Nothing held out is as good as a flag that was not read when the run was made.
    flags = (configuration.get(name) or None for name in SETTING_FLAGS)
    return (*flags, record["steps"], paper_of(record))


def _title(record: Mapping) -> str:
    """The data set's name, its tails where it was made long-tailed, and the length."""
    paper = paper_of(record)
    if paper:
        return paper_numbers.SETTINGS[paper].title
    configuration = record["configuration"]
    ratio = configuration.get("imbalance_ratio")
    words = [record["dataset"]["name"], *([] if ratio is None else [f"R = {ratio:g}"])]
    return ", ".join([*words, *_unlabeled_tail(configuration), f"{record['steps']} steps"])


def _unlabeled_tail(configuration: Mapping) -> list[str]:
    """How the unlabeled pictures are imbalanced, nothing where they are as the labeled ones."""
    order = configuration.get("unlabeled_order")
    ratio = configuration.get("unlabeled_imbalance_ratio")
    words = [] if order in (None, "same") else [order]
    # A uniform tail has no ratio; older records name one.
    if order != "uniform" and ratio not in (None, configuration.get("imbalance_ratio")):
        words.append(f"R = {ratio:g}")
    return [" ".join(["unlabeled", *words])] if words else []


def _told_apart(titles: Sequence[str], keys: Sequence[tuple]) -> list[str]:
    """Titles of which none is there twice: with the flags that differ, or a number if none does.

    Args:
        titles: of settings.
        keys: `_setting_key` of each.
    """
    named = []
    for title, key in zip(titles, keys, strict=True):
        rivals = [other for one, other in zip(titles, keys, strict=True) if one == title]
        # A key goes on with what is no flag.
        of_flags = zip(SETTING_FLAGS, key, *rivals, strict=False)
        differing = [
            f"{flag} {'default' if value is None else value}"
            for flag, value, *theirs in of_flags
            if len({*theirs}) > 1
        ]
        named.append(", ".join([title, *differing]))
    return [
        f"{name} ({index + 1})" if named.count(name) > 1 else name
        for index, name in enumerate(named)
    ]


def variants(
    records: Sequence[Mapping], defaults: Mapping[str, object]
) -> tuple[list[Variant], list[str]]:
    """Variants of one setting, and a line for each record of a seed that was there before.

    Args:
        records: at least one.
        defaults: see `settings`.
    """
    members: dict[tuple, dict[int, Mapping]] = {}
    dropped = []
    for one in records:
        flags = flags_of(one, defaults)
        key = (one["configuration"]["method"], *spelled(flags))
        seed = one["configuration"]["seed"]
        if members.setdefault(key, {}).setdefault(seed, one) is not one:
            dropped.append(f"{key[0]}, seed {seed}: given more than once, the first is used")
    unsaid = _unsaid(records, defaults)
    paper = paper_numbers.SETTINGS.get(paper_of(records[0]))
    made = []
    for key, seeds in members.items():
        rivals = [dict(other[1:]) for other in members if other[0] == key[0]]
        mine = [seeds[seed] for seed in sorted(seeds)]
        name = name_of(key[0], dict(key[1:]), rivals, defaults)
        own = {flag: [value] for flag, value in _own_defaults(key[0]).items()}
        for flag, value in _read(mine[0], unsaid).items():
            if value not in own.get(flag, unsaid[flag]) and f", {flag} " not in name:
                name += f", {flag} {value}"
        deviating = [flag for flag in key[1:] if paper is None or not _is_of_rows(paper, *flag)]
        made.append(Variant(name, key[0], tuple(mine), len(deviating)))
    return made, dropped


def _is_of_rows(paper: paper_numbers.Setting, flag: str, value: str) -> bool:
    """Whether a run with this value is as much one of the paper's setting as with the default."""
    return flag in _FREE or (flag, value) == ("beta", paper.beta)


def _unsaid(records: Sequence[Mapping], defaults: Mapping[str, object]) -> dict[str, list[object]]:
    """The values of each flag that go without saying in a setting, unless a recipe has its own.

    In one of the paper those of its protocol, so that no other one stands beside the paper's
    numbers without a word. Elsewhere the most common one, and if others are as common that of
    the protocol.
    """
    configuration = records[0]["configuration"]
    usual = {**defaults, **_of_protocol(configuration)}
    paper = paper_numbers.SETTINGS.get(paper_of(records[0]))
    is_printed = paper is not None and paper.is_as_printed(configuration)
    found = {}
    for flag in (name for name in defaults if name not in _APART):
        if is_printed and usual[flag] is not None and flag not in _FREE:
            found[flag] = [usual[flag], *([paper.beta] if flag == "beta" else [])]
            continue
        counts = collections.Counter(
            value
            for one in records
            if flag not in _own_defaults(one["configuration"]["method"])
            for value in _read(one, [flag]).values()
        )
        most = max(counts, key=lambda value: (counts[value], value == usual[flag]), default=None)
        found[flag] = [most]
    return found


def _of_protocol(configuration: Mapping) -> dict[str, object]:
    """What a run of this data set and protocol has where neither user nor recipe says more."""
    data = protocols.dataset(configuration.get("dataset", "")) or {}
    protocol = configuration.get("protocol")
    layers = [protocols.PROTOCOLS.get(protocol, {}), data]
    # A protocol that is not the data set's own goes before it.
    if protocol != data.get("protocol"):
        layers.reverse()
    return {**layers[0], **layers[1]}
