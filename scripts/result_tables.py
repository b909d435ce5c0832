"""Writes the pages' tables of results anew, each from the records that its command reads.

    python scripts/result_tables.py            # after new records
    python scripts/result_tables.py --check    # says what differs, writes nothing; code 1 if so

A table belongs to the last `drw_tf.report` command above it. Nothing is trained or drawn. Decimal
numbers in the text of such a section must stand in a table of one of its commands, shown on the
page or not; one that does not is named, code 1.
"""

import argparse
import contextlib
import functools
import re
import shlex
import sys
from collections.abc import Iterator

import repository

from drw_tf import config as configuration
from drw_tf import quiet
from drw_tf.report import __main__ as report

with quiet.startup():
    import drw_tf.report.record  # noqa: F401  which `at_step` reads, and which brings TensorFlow
    from drw_tf.report import groups, paper_numbers, record_file, tables

PAGES = (repository.ROOT / "README.md", repository.ROOT / "docs" / "results.md")
_COMMAND = re.compile(r"python -m drw_tf\.report [^\n`]*")
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
# Not a part of a version or a longer number. A sign counts where it is one.
_NUMBER = re.compile(r"(?<![\w.,])(?:(?<![\w.)])[+-])?\d+\.\d+(?!\.?\w|,\d)")


# Many commands read the same ones.
_record = functools.cache(record_file.read_record)


@functools.cache
def tables_of(command: str) -> list[tables.Table]:
    """What a `drw_tf.report` command makes of methods, their labels, agreement and the paper.

    Raises:
        ConfigError: a folder is not there.
    """
    words = shlex.split(command)[3:]
    flags = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    folders = [path for word in words if not word.startswith("--") for path in _expanded(word)]
    records = [_record(path) for path in report.record_paths(folders)]
    step = flags.get("step")
    records, _ = report.at_step(records, step if step is None else int(step))
    settings, _ = groups.settings(records, groups.DEFAULTS)
    made = [tables.agreement(settings)]
    made += [tables.paper_table(number, settings) for number in paper_numbers.TABLES]
    for one in settings:
        made.append(tables.methods(one.variants, one.window, flags.get("reference")))
        made += [tables.pseudo_labels(one), tables.confident_labels(one)]
    return made


def rewritten(text: str) -> str:
    """The text with every table of results as the records have it now.

    Raises:
        ValueError: a command makes two tables, or none, that could be the one below it.
    """

    def new(match):
        head = _cells(match[0].splitlines()[0])
        above = [found[0] for found in _COMMAND.finditer(text, 0, match.start())]
        if tuple(head[:2]) not in _KINDS or not above:
            return match[0]
        fitting = [one for one in tables_of(above[-1]) if list(one.head[:2]) == head[:2]]
        if len(fitting) != 1:
            raise ValueError(f"{above[-1]!r} makes {len(fitting)} tables of {head[:2]}.")
        return fitting[0].markdown() + "\n"

    return _TABLE.sub(new, text)


def untold_numbers(text: str) -> Iterator[str]:
    """Decimal numbers of sections with results that no table of the section's commands has."""
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        known = set()
        for command in _COMMAND.findall(section):
            # Records that a reader is to make are nobody's source.
            there = []
            with contextlib.suppress(configuration.ConfigError):
                there = tables_of(command)
            for table in there:
                known |= {number for row in table.rows for number in _NUMBER.findall(" ".join(row))}
            known |= {number.lstrip("+-") for number in known}
        prose = re.sub(r"```.*?```|`[^`]*`", "", _TABLE.sub("", section), flags=re.DOTALL)
        for line in prose.splitlines() if known else ():
            for found in _NUMBER.finditer(line):
                if found[0] not in known:
                    yield f"{found[0]} in: ...{line[max(0, found.start() - 50) : found.end() + 20]}"


_KINDS = {
    ("method", "bACC %"),
    ("method", "largest / smallest"),
    ("method", "confident %"),
    ("our runs", "the paper"),
}


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _expanded(word: str) -> list[str]:
    """A folder, or those that a pattern means, as a shell would say."""
    return [str(path) for path in sorted(repository.ROOT.glob(word)) or [repository.ROOT / word]]


def main() -> None:
    """Writes, or compares; exits with 1 where something is not as the records say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    problems = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = rewritten(text)
        problems += [f"{page.name}: in no table: {number}" for number in untold_numbers(new)]
        if new != text and given.check:
            problems.append(
                f"{page.name}: a table is not what the records say: run scripts/result_tables.py."
            )
        elif new != text:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {page.name}")
    for line in problems:
        print(line, file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
