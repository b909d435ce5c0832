"""Writes flags/rows: a flagfile for each row and setting of the paper's Tables 1 to 4.

python scripts/make_row_flagfiles.py            # writes what is missing or differs
python scripts/make_row_flagfiles.py --check    # writes nothing, exits with 1 in that case
"""

import dataclasses
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
ROWS = pathlib.Path("flags", "rows")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A column of a table: its title, the beta of Fig. 4, and whether it has 100 classes."""

    title: str
    beta: str
    cifar100: bool = False


CIFAR10 = {
    "cifar10_r50": Setting("CIFAR-10, R = 50", "0.999"),
    "cifar10_r100": Setting("CIFAR-10, R = 100", "0.995"),
    "cifar10_r150": Setting("CIFAR-10, R = 150", "0.995"),
}
CIFAR100 = {
    "cifar100_r10": Setting("CIFAR-100, R = 10", "0.999", cifar100=True),
    "cifar100_r20": Setting("CIFAR-100, R = 20", "0.999", cifar100=True),
}
CIFAR = {**CIFAR10, **CIFAR100}
IMAGENET127 = {"imagenet127": Setting("ImageNet127", "0.999")}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: as in the paper.
        method: name of our recipe.
        numbers: the paper's, one a setting, "-" where it has none.
        notes: comment lines of every setting.
    """

    title: str
    method: str
    numbers: str
    notes: tuple[str, ...] = ()


TABLE1 = (
    Row("Vanilla", "supervised", "65.2±0.05 58.8±0.13 55.6±0.43 55.9±0.12 49.5±0.03"),
    Row("Re-sampling", "resampling", "64.3±0.48 55.8±0.47 52.2±0.05 54.6±0.05 48.1±0.17"),
    Row("LDAM-DRW", "ldam_drw", "68.9±0.07 62.8±0.17 57.9±0.20 55.7±0.75 50.4±0.32"),
    Row("cRT", "crt", "67.8±0.13 63.2±0.45 59.3±0.10 56.2±0.36 50.7±0.11"),
    Row("VAT", "vat", "70.6±0.29 62.6±0.40 57.9±0.42 54.6±0.06 48.5±0.16"),
    Row("Mean-Teacher", "mean_teacher", "68.8±1.05 60.9±0.33 54.5±0.22 54.1±0.13 48.2±0.13"),
    Row("MixMatch", "mixmatch", "73.2±0.56 64.8±0.28 62.5±0.31 60.1±0.39 53.4±0.04"),
    Row("MixMatch + DARP", "mixmatch_darp", "75.2±0.47 67.9±0.14 65.8±0.52 60.9±0.24 54.8±0.27"),
    Row("MixMatch + CReST", "mixmatch_crest", "78.4±0.36 70.0±0.49 64.7±0.96 - -"),
    Row("MixMatch + CReST+", "mixmatch_crest_plus", "79.0±0.26 71.9±0.33 68.3±0.57 - -"),
    Row("ReMixMatch", "remixmatch", "81.5±0.26 73.8±0.38 69.9±0.47 59.2±0.03 53.5±0.03"),
    Row(
        "ReMixMatch + DARP", "remixmatch_darp", "82.1±0.14 75.8±0.09 71.0±0.27 59.8±0.20 54.4±0.07"
    ),
    Row("FixMatch", "fixmatch", "79.2±0.33 71.5±0.72 68.4±0.15 60.1±0.05 54.0±0.04"),
    Row("FixMatch + DARP", "fixmatch_darp", "81.8±0.24 75.5±0.05 70.4±0.25 61.1±0.23 54.9±0.05"),
    Row("FixMatch + CReST", "fixmatch_crest", "83.0±0.39 75.7±0.38 70.8±0.25 - -"),
    Row("FixMatch + CReST+", "fixmatch_crest_plus", "83.9±0.14 77.4±0.36 72.8±0.58 - -"),
    Row("FixMatch + CReST+ LA", "fixmatch_crest_plus_la", "85.6±0.36 81.2±0.70 76.5±0.40 - -"),
    Row("DRw", "drw", "84.7±0.41 79.3±0.27 74.1±0.54 61.8±0.29 57.1±0.33"),
    Row("DRw + LA", "drw_la", "86.5±0.56 82.4±0.16 77.8±0.48 62.7±0.37 58.4±0.19"),
)

RECALL = (
    "The paper calls it accuracy; by its size it is the mean recall of the classes, which is",
    "our balanced accuracy.",
)
TABLE2 = (
    Row("FixMatch", "fixmatch", "65.8", RECALL),
    Row("CReST+", "fixmatch_crest_plus", "73.3", RECALL),
    Row("DRw", "drw", "75.2", RECALL),
)

TABLE3 = (
    Row("Focal loss, gamma = 1", "focal1", "80.1 73.6 68.8"),
    Row("Focal loss, gamma = 2", "focal2", "78.0 71.2 66.0"),
    Row("DRw", "drw", "84.7 79.3 74.1"),
)

VARIANTS = (
    ("NRw", "nrw", "81.8 75.5 70.4 61.1 54.9"),
    ("FRwL", "frwl", "82.8 76.2 71.5 60.6 55.2"),
    ("FRwU", "frwu", "81.5 75.8 71.3 60.8 54.9"),
    ("FRwLU", "frwlu", "82.1 77.0 70.7 61.3 54.8"),
    ("DRw", "drw", "84.7 79.3 74.1 61.8 57.1"),
)
SAME_AS_DARP = (
    "The paper's NRw row equals its FixMatch + DARP row digit for digit, so Table 4 may have",
    "been made on FixMatch + DARP: each variant has a flagfile with and without it.",
)
TABLE4 = tuple(
    Row(title + suffix, method + ending, numbers, SAME_AS_DARP)
    for suffix, ending in (("", ""), (" on FixMatch + DARP", "_darp"))
    for title, method, numbers in VARIANTS
)

TABLES = {
    "table1": (TABLE1, CIFAR),
    "table2": (TABLE2, IMAGENET127),
    "table3": (TABLE3, CIFAR10),
    "table4": (TABLE4, CIFAR),
}

SUPERVISED = {"supervised", "resampling", "ldam_drw", "crt"}
WEIGHTED = {"drw", "drw_la", "drw_darp"} | {
    method + ending for method in ("frwl", "frwu", "frwlu") for ending in ("", "_darp")
}


def method_flags(method: str, setting: Setting) -> list[str]:
    """Hyper-parameters that belong to this method in this setting, beside the defaults."""
    flags = []
    if method in WEIGHTED:
        flags.append(f"--beta={setting.beta}")
    if method.endswith("_darp") and setting.cifar100:
        flags.append("--darp_refresh=100")
    if method.startswith("mixmatch_crest"):
        flags.append("--crest_alpha=2")
    if method == "mixmatch_crest_plus":
        flags.append("--crest_alignment_min=0.8")
    return flags


def protocol(method: str, setting_name: str) -> str:
    """Name of the flagfile in flags/protocol."""
    if setting_name == "imagenet127":
        return "imagenet"
    return "darp_supervised" if method in SUPERVISED else "darp"


def shown(number: str) -> str:
    """The paper's number with its unit."""
    if number == "-":
        return "not reported"
    mean, _, deviation = number.partition("±")
    return f"{mean} ± {deviation} %" if deviation else f"{mean} %"


def text(table: str, row: Row, name: str, setting: Setting, number: str) -> str:
    """The content of one flagfile."""
    stem = f"{row.method}_{name}"
    command = (
        f"python -m drw_tf.train --flagfile={(ROWS / table / stem).as_posix()}.flags "
        f"--workdir=runs/{table}/{stem}/seed0"
    )
    notes = list(row.notes)
    if setting.cifar100:
        notes += [
            "The sizes are those of the paper's text. Its baselines quote DARP, whose sizes are "
            "the reverse:",
            f"for those, append --flagfile=flags/data/{name}_darp_sizes.flags to the command.",
        ]
    if name == "imagenet127":
        notes += [
            "For the batch of FixMatch's paper, append "
            "--flagfile=flags/protocol/imagenet_batch_1024.flags to the command."
        ]
    comments = [
        f"Table {table[-1]}, {row.title}; {setting.title}",
        f"the paper: {shown(number)}",
        "ours: not run",
        *notes,
        command,
    ]
    flags = [
        f"--flagfile=../../data/{name}.flags",
        f"--flagfile=../../protocol/{protocol(row.method, name)}.flags",
        f"--method={row.method}",
        *method_flags(row.method, setting),
    ]
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in comments), *flags])


def files() -> dict[pathlib.Path, str]:
    """Content of every flagfile, by its path in the repository."""
    found = {}
    for table, (rows, settings) in TABLES.items():
        for row in rows:
            for (name, setting), number in zip(settings.items(), row.numbers.split(), strict=True):
                path = ROWS / table / f"{row.method}_{name}.flags"
                found[path] = text(table, row, name, setting, number)
    return found


def main() -> None:
    """Writes what differs, removes flagfiles of rows that are no more."""
    wanted = files()
    stale = {path.relative_to(ROOT) for path in (ROOT / ROWS).rglob("*.flags")} - wanted.keys()
    differing = [
        path
        for path, content in wanted.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != content
    ]
    if "--check" in sys.argv[1:]:
        for path in (*differing, *sorted(stale)):
            print(f"{path} is not what {pathlib.Path(__file__).name} writes")
        raise SystemExit(bool(differing or stale))
    for path in differing:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(wanted[path], encoding="utf-8")
    for path in stale:
        (ROOT / path).unlink()
    print(f"{len(wanted)} flagfiles, {len(differing)} written, {len(stale)} removed")


if __name__ == "__main__":
    main()
