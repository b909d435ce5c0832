"""The numbers of the DRw paper's Tables 1 to 4, and which runs have their settings.

They lie in `paper_numbers.csv`: balanced accuracy in percent, mean and standard deviation as
printed, empty where the paper has none. The paper calls that of Table 2 accuracy; by its size
it is the mean recall of the classes.
"""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Number:
    """One cell of a table, percent as printed: mean "79.3", deviation "0.27", "" for none."""

    mean: str
    deviation: str

    def __str__(self):
        return f"{self.mean} ± {self.deviation}" if self.deviation else self.mean or "-"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: as in the paper, or that with " on FixMatch + DARP".
        method: name of our recipe.
        numbers: by the setting's name.
    """

    title: str
    method: str
    numbers: Mapping[str, Number]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A column of a table.

    Attributes:
        title: for its head.
        flags: what a run in it has.
        beta: that of its row files, which is what "auto" gives there.
        in_place: what it may have in place of some of these, all of it together.
    """

    title: str
    flags: Mapping[str, object]
    beta: str
    in_place: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def is_as_printed(self, configuration: Mapping) -> bool:
        """Whether a run has its flags, none of them replaced."""
        return _has(configuration, self.flags)

    def is_of(self, configuration: Mapping) -> bool:
        """Whether a run is in it."""
        return self.is_as_printed(configuration) or (
            bool(self.in_place) and _has(configuration, {**self.flags, **self.in_place})
        )


def _has(configuration: Mapping, flags: Mapping[str, object]) -> bool:
    return all(configuration.get(flag) == value for flag, value in flags.items())


def _long_tail(classes: int, ratio: int, labeled_max: int, unlabeled_max: int) -> Setting:
    flags = {
        "dataset": f"cifar{classes}",
        "labeled_max": labeled_max,
        "unlabeled_max": unlabeled_max,
        "imbalance_ratio": ratio,
        "unlabeled_imbalance_ratio": ratio,
        "unlabeled_order": "same",
        "image_size": None,  # as it comes
        "validation_per_class": 0,
        "model": "wide_resnet_28_2",
        "protocol": "darp",
        "steps": 250_000,
    }
    beta = "0.999" if ratio <= 50 else "0.995"
    return Setting(f"CIFAR-{classes}, R = {ratio}", flags, beta)


SETTINGS = {
    **{f"cifar10_r{ratio}": _long_tail(10, ratio, 1500, 3000) for ratio in (50, 100, 150)},
    **{f"cifar100_r{ratio}": _long_tail(100, ratio, 150, 300) for ratio in (10, 20)},
    "imagenet127": Setting(
        "ImageNet127",
        {
            "dataset": "imagenet127",
            "labeled_fraction": 0.1,
            "image_size": 224,
            "validation_per_class": 0,
            "model": "resnet50",
            "protocol": "imagenet",
            "steps": 500_000,
        },
        "0.999",
        # flags/protocol/imagenet_batch_1024.flags: as many pictures as FixMatch's paper has.
        {"batch_size": 1024, "steps": 375_000},
    ),
}
_BUDGET = ("model", "protocol", "steps")
# What each table shows, for its heading.
TABLES = {
    1: "balanced accuracy on long-tailed CIFAR",
    2: "mean recall of the classes on ImageNet127",
    3: "against focal loss",
    4: "ablation of the weights",
}
ABLATION = 4
# The paper's NRw row equals its FixMatch + DARP row digit for digit, so Table 4 may have been
# made on FixMatch + DARP: each variant stands here with and without it.
ON_DARP = " on FixMatch + DARP"
# Rows of Table 4 that Table 1 has: NRw as FixMatch + DARP, DRw under its own name.
_PRINTED_BEFORE = ("nrw_darp", "drw_darp")


@functools.cache
def _printed() -> tuple[Mapping, ...]:
    text = importlib.resources.files("drw_tf.report").joinpath("paper_numbers.csv")
    return tuple(csv.DictReader(text.read_text(encoding="utf-8").splitlines()))


def rows(table: int) -> list[Row]:
    """The rows of a table in the paper's order; those of Table 4 twice, see `ON_DARP`.

    Args:
        table: 1 to 4.
    """
    found: dict[tuple[str, str], dict[str, Number]] = {}
    for line in _printed():
        if line["table"] == str(table):
            number = Number(line["mean"], line["deviation"])
            found.setdefault((line["title"], line["method"]), {})[line["setting"]] = number
    suffixes = (("", ""), (ON_DARP, "_darp")) if table == ABLATION else (("", ""),)
    return [
        Row(title + suffix, method + ending, numbers)
        for suffix, ending in suffixes
        for (title, method), numbers in found.items()
    ]


def columns(table: int) -> list[str]:
    """Names of a table's settings, in the paper's order."""
    return list(rows(table)[0].numbers)


def setting_of(configuration: Mapping) -> str | None:
    """Name of the paper's setting that a run has, None for any other.

    Args:
        configuration: flag name -> value; data set, sizes, ratios, network, protocol and length
            count.
    """
    for name, setting in SETTINGS.items():
        if setting.is_of(configuration):
            return name
    return None


def data_of(configuration: Mapping) -> str | None:
    """Name of the paper's setting with the data that a run has, however it trained; or None."""
    for name, setting in SETTINGS.items():
        data = {flag: value for flag, value in setting.flags.items() if flag not in _BUDGET}
        if _has(configuration, data):
            return name
    return None


def of_methods(setting: str) -> dict[str, Number]:
    """The paper's number for each of our methods in a setting, where it has one.

    Those of Table 4's fixed weights are of our variants on DARP, as its row without weights is.
    Each printed number stands once: DRw's, which the paper calls an extension of FixMatch, is of
    plain DRw alone.

    Args:
        setting: a name in `SETTINGS`.
    """
    found: dict[str, Number] = {}
    for table in TABLES:
        for row in rows(table):
            number = row.numbers.get(setting)
            is_of_base = table != ABLATION or ON_DARP in row.title
            if number and number.mean and is_of_base and row.method not in _PRINTED_BEFORE:
                found.setdefault(row.method, number)
    return found
