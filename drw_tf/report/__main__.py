"""`python -m drw_tf.report RUN RUN ... --out=DIR`: tables and pictures of finished runs.

A RUN is the folder of a run, the file of a record, or a folder with records below it. Writes
report.html (one page that needs nothing else), report.md, and figures/ as PNG and SVG.
"""

import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

from drw_tf import config as configuration
from drw_tf import ending, flag_table, help_text, output_folder, quiet
from drw_tf.training import workdir

_MEANING = __doc__.partition("\n\n")[2].strip()
_OUTPUT = "output"
_REFERENCE = "what gains are over: a method, or one line of its variants as the table names it"
_TABLE = (
    flag_table.Flag("out", "string", "folder for the report", _OUTPUT, default="report"),
    flag_table.listed(
        "draw", "methods to draw [fixmatch, drw and the best, four in all]", _OUTPUT, []
    ),
    flag_table.Flag("reference", "string", _REFERENCE, _OUTPUT, default="fixmatch"),
)
_TITLE = "Long-tailed semi-supervised learning: report of runs"
# Up to this many runs are printed one by one.
_MAX_COLUMNS = 6


@ending.interruptible("report")
def main(argv: list[str] | None = None) -> None:
    """Prints a table and writes the report; exits with 2 after bad input, 130 after Ctrl-C."""
    arguments = (sys.argv if argv is None else argv)[1:]
    if help_text.ASKS_FOR_HELP & {*arguments}:
        text = help_text.of_program("drw_tf.report", _TABLE, arguments, "RUN [RUN ...]")
        configuration.show(f"{text}\n\n{_MEANING}")
    try:
        given = configuration.parse(
            ["report", *(word for word in arguments if word.startswith("-"))], _TABLE
        )
        paths = record_paths([word for word in arguments if not word.startswith("-")])
        out = output_folder.check(
            given.get("out", "report"), "report.md", re.escape(f"# {_TITLE}"), ["report.html"]
        )
    except configuration.ConfigError as error:
        configuration.refuse("report", error)
    with quiet.startup():
        from drw_tf.report import groups, record_file, summary
    draw, reference = given.get("draw", []), given.get("reference")
    try:
        records = [record_file.read_record(path) for path in paths]
        settings, notes = groups.settings(records, groups.DEFAULTS)
        out.mkdir(parents=True, exist_ok=True)
        written = summary.write(out, _TITLE, settings, notes, groups.DEFAULTS, draw, reference)
    except (OSError, ValueError) as error:
        configuration.refuse("report", error)
    with configuration.reader_may_leave():
        _print_tables(settings, reference)
        for path in written:
            print(f"wrote {path}")


def record_paths(runs: Sequence[str]) -> list[pathlib.Path]:
    """The files of records that are meant, each once.

    Args:
        runs: folders of runs, files, or folders with records at any depth below them.

    Raises:
        ConfigError: none is given, or one leads to no record.
    """
    if not runs:
        raise configuration.ConfigError("give at least one run: its folder, or its record.")
    found: dict[pathlib.Path, None] = {}
    for run in map(pathlib.Path, runs):
        if run.is_dir():
            own = workdir.Layout(run).record
            paths = [own] if own.is_file() else sorted(_below(run))
            # What --fresh moved aside is not meant by the folder that it lies in.
            paths = [path for path in paths if not _was_moved_aside(path.relative_to(run))]
        else:
            paths = [run] if run.is_file() else []
        if not paths:
            raise configuration.ConfigError(f"{run} is neither a record nor a folder with one.")
        found.update(dict.fromkeys(paths))
    return list(found)


def _below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Those of runs, and files that are kept in folders which are none of a run."""
    names = workdir.Layout(folder)
    runs = {path.parent for path in folder.rglob(names.config.name)}
    for path in folder.rglob("*.json"):
        is_of_run = not runs.isdisjoint(path.parents)
        if path.name == names.record.name or not is_of_run:
            yield path


def _was_moved_aside(path: pathlib.Path) -> bool:
    return any(part.startswith(workdir.MOVED_ASIDE) for part in path.parts[:-1])


def _print_tables(settings, reference) -> None:
    """Few runs of one setting class by class, others by method."""
    from drw_tf.report import tables

    for setting in settings:
        runs = [(one, run) for one in setting.variants for run in one.records]
        tested = [(one, run) for one, run in runs if run["last_metrics"].get("ema")]
        if not tested:
            print(f"{setting.title}: trained without test pictures, nothing to compare")
        elif len(tested) <= _MAX_COLUMNS:
            labels = [f"{one.name} seed {run['configuration']['seed']}" for one, run in tested]
            print(tables.recalls([run for _, run in tested], labels))
        else:
            table = tables.methods(setting.variants, setting.window, reference)
            print(f"{setting.title}\n\n{table.markdown()}\n\n{table.note}")


if __name__ == "__main__":
    main()
