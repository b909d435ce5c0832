"""Writes flags/rows: a flagfile for each row and setting of the paper's Tables 1 to 4.

python scripts/make_row_flagfiles.py            # writes what is missing or differs
python scripts/make_row_flagfiles.py --check    # writes nothing, exits with 1 in that case
"""

import argparse
import pathlib

import repository

from drw_tf import recipes
from drw_tf.report import paper_numbers

ROOT = repository.ROOT
ROWS = pathlib.Path("flags", "rows")

NOTES = {
    2: (
        "The paper calls it accuracy; by its size it is the mean recall of the classes, which is",
        "our balanced accuracy.",
    ),
    4: (
        "The paper's NRw row equals its FixMatch + DARP row digit for digit, so Table 4 may have",
        "been made on FixMatch + DARP: each variant has a flagfile with and without it.",
    ),
}


def method_flags(method: str, setting: str) -> list[str]:
    """Hyper-parameters that belong to this method in this setting, beside the defaults."""
    flags = []
    if "beta" in recipes.RECIPES[method].flags:
        flags.append(f"--beta={paper_numbers.SETTINGS[setting].beta}")
    # DARP's operations come before the crop, which the faster order only approximates.
    if "randaugment_order" in recipes.RECIPES[method].flags and setting != "imagenet127":
        flags.append("--randaugment_order=drawn")
    if method.endswith("_darp") and setting.startswith("cifar100"):
        flags.append("--darp_refresh=100")
    if method.startswith("mixmatch_crest"):
        flags.append("--crest_alpha=2")
    if method == "mixmatch_crest_plus":
        flags.append("--crest_alignment_min=0.8")
    return flags


def protocol(method: str, setting: str) -> str:
    """Name of the flagfile in flags/protocol."""
    if setting == "imagenet127":
        return "imagenet"
    if method == "ldam_drw":
        return "ldam_supervised"
    return "darp" if recipes.RECIPES[method].reads_unlabeled else "darp_supervised"


def text(table: int, row: paper_numbers.Row, setting: str) -> str:
    """The content of one flagfile."""
    stem = f"{row.method}_{setting}"
    command = (
        f"python -m drw_tf.train --flagfile={(ROWS / f'table{table}' / stem).as_posix()}.flags "
        f"--workdir=runs/table{table}/{setting}/{row.method}/seed0"
    )
    notes = list(NOTES.get(table, ()))
    if setting.startswith("cifar100"):
        notes += [
            "The sizes are those of the paper's text. Its baselines quote DARP, whose sizes are "
            "the reverse:",
            f"for those, append --flagfile=flags/data/{setting}_darp_sizes.flags to the command.",
        ]
    if setting == "imagenet127":
        notes += [
            "For the batch of FixMatch's paper, append "
            "--flagfile=flags/protocol/imagenet_batch_1024.flags to the command."
        ]
    number = row.numbers[setting]
    comments = [
        f"Table {table}, {row.title}; {paper_numbers.SETTINGS[setting].title}",
        f"the paper: {number} %" if number.mean else "the paper: not reported",
        "ours: not run",
        *notes,
        command,
    ]
    flags = [
        f"--flagfile=../../data/{setting}.flags",
        f"--flagfile=../../protocol/{protocol(row.method, setting)}.flags",
        f"--method={row.method}",
        *method_flags(row.method, setting),
    ]
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in comments), *flags])


def files() -> dict[pathlib.Path, str]:
    """Content of every flagfile, by its path in the repository."""
    return {
        ROWS / f"table{table}" / f"{row.method}_{setting}.flags": text(table, row, setting)
        for table in paper_numbers.TABLES
        for row in paper_numbers.rows(table)
        for setting in row.numbers
    }


def main() -> None:
    """Writes what differs, removes flagfiles of rows that are no more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    wanted = files()
    stale = {path.relative_to(ROOT) for path in (ROOT / ROWS).rglob("*.flags")} - wanted.keys()
    differing = [
        path
        for path, content in wanted.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != content
    ]
    if given.check:
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
