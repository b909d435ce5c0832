"""`python -m drw_tf.report RUN RUN ... --out=DIR`: tables and pictures of finished runs.

A RUN is the folder of a run, the file of a record, or a folder with records below it. Writes
report.html (one page that needs nothing else), report.md, and figures/ as PNG and SVG.
"""

import collections
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import ending, flag_table, help_text, output_folder, quiet
from drw_tf.data import naming
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
    flag_table.Flag(
        "step", "int", "evaluation that is reported, in place of each run's last", _OUTPUT
    ),
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
        records, early = at_step([record_file.read_record(one) for one in paths], given.get("step"))
        settings, notes = groups.settings(records, groups.DEFAULTS)
        out.mkdir(parents=True, exist_ok=True)
        notes = [*early, *notes]
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


def at_step(records: Sequence[Mapping], step: int | None) -> tuple[list[Mapping], list[str]]:
    """Records of runs as they were at a step, and a line for what is not as in a usual report.

    Raises:
        ValueError: no run was evaluated there.
    """
    from drw_tf.report import record

    if step is None:
        return list(records), []
    pairs = [(one, record.at_step(one, step)) for one in records]
    found = [cut for _, cut in pairs if cut is not None]
    if not found:
        steps = {entry["step"] for one in records for entry in one["history"] if entry.get("test")}
        allowed = naming.some([str(one) for one in sorted(steps)]) or "none was"
        raise ValueError(f"--step must be one at which a run was evaluated, {allowed}, got {step}.")
    lines = [f"Every run is reported as it was at step {step:,}, in the middle of its schedule."]
    left_out = collections.Counter(
        one["configuration"]["method"] for one, cut in pairs if cut is None
    )
    if left_out:
        named = naming.some([f"{name} ({number})" for name, number in left_out.items()])
        lines.append(f"Left out, as they were not evaluated there, runs of {named}.")
    return found, lines


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
