"""`python -m drw_tf.compare`: runs methods x seeds on one data set and prints one table.

A run that has its record is not run again, and one that was interrupted goes on where it
was, so the same command may be stopped and repeated at will.
"""

import json
import pathlib
import shlex
import sys
from collections.abc import Mapping, Sequence

from drw_tf import child, flag_table, help_text, recorded_runs, standard_error, whole_files
from drw_tf import config as configuration
from drw_tf.report import groups, record_file, tables
from drw_tf.training import workdir

_OUTPUT = "comparison"
_TABLE = (
    flag_table.listed("methods", "methods", _OUTPUT, ["fixmatch", "drw"]),
    flag_table.listed("seeds", "seeds", _OUTPUT, ["0", "1", "2"]),
    flag_table.place("runs", "folder of the runs [runs/compare/<dataset>]", _OUTPUT),
    flag_table.place("results", "folder of the records that are kept [results/<dataset>]", _OUTPUT),
    flag_table.Flag(
        "dry_run", "bool", "print the table of the records there are, run nothing", _OUTPUT, False
    ),
)
_ANEW = "give other --runs and --results"
_ELSEWHERE = "; give other --results and --runs"
# Flags of the trainer that those of this program decide.
_SETTERS = {"method": "methods", "seed": "seeds", "workdir": "runs"}


def main(argv: list[str] | None = None) -> None:
    """Runs what has no record yet; every flag of the trainer may follow and is handed on."""
    arguments = (sys.argv if argv is None else argv)[1:]
    own, rest = configuration.split_arguments(arguments, _TABLE)
    if help_text.ASKS_FOR_HELP & set(rest):
        text = help_text.of_program("drw_tf.compare", _TABLE, rest)
        configuration.show(f"{text}\n\nFlags of drw_tf.train are handed on to every run.")
    try:
        given = configuration.parse(["compare", *own], _TABLE)
        settings = {flag.name: given.get(flag.name, flag.default) for flag in _TABLE}
        typed = configuration.parse(["train", *rest])
        name = typed.get("dataset", flag_table.BY_NAME["dataset"].default).replace(":", "_")
        runs = pathlib.Path(settings["runs"] or f"runs/compare/{name}")
        plan = [
            _planned(rest, method, seed, runs)
            for method in settings["methods"]
            for seed in settings["seeds"]
        ]
    except configuration.ConfigError as error:
        configuration.refuse("compare", error)
    results = pathlib.Path(settings["results"] or f"results/{name}")
    if not settings["dry_run"]:
        try:
            results.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            configuration.refuse("compare", f"--results={results}: {error.strerror}.")
        try:
            kept = [(path_of(results, row), row) for row, _ in plan]
            kept = [each for each in kept if each[0].exists()]
            with child.stoppable():
                recorded_runs.refuse_other_pictures(kept, _ELSEWHERE)
                if len(kept) < len(plan) and not _is_tested(plan[0][0]):
                    standard_error.say(
                        "compare: there are no test pictures (--test_dir, or rows of the split "
                        "test in --labels_csv), so that there will be nothing to compare."
                    )
                for number, (row, words) in enumerate(plan):
                    _run(row, words, results, f"[{number + 1}/{len(plan)}]")
        except (OSError, ValueError) as error:
            configuration.refuse("compare", error)
    try:
        there = [row for row, _ in plan if path_of(results, row).exists()]
        text = table(comparable([(row, read(results, row)) for row in there]))
    except (OSError, ValueError) as error:
        configuration.refuse("compare", error)
    with configuration.reader_may_leave():
        print(text)


def _planned(
    rest: Sequence[str], method: str, seed: str, runs: pathlib.Path
) -> tuple[configuration.Config, list[str]]:
    """The configuration and the arguments of one run.

    Raises:
        ConfigError: a flag is refused, or typed though it is set here.
    """
    added = {"method": method, "seed": seed, "workdir": runs / method / f"seed{seed}"}
    words = configuration.hand_on(rest, added, _SETTERS, _ANEW)
    return configuration.resolve(configuration.parse(["train", *words])), words


def _is_tested(row: configuration.Config) -> bool:
    """Whether a run will have test pictures, as every set but own pictures has."""
    return not groups.is_of_own_pictures(row) or recorded_runs.has_own("test", row)


def path_of(results: pathlib.Path, row: configuration.Config) -> pathlib.Path:
    """Where the record of a run is kept."""
    return results / f"{row.method}_seed{row.seed}.json"


def read(results: pathlib.Path, row: configuration.Config) -> dict:
    """A kept record.

    Raises:
        ConfigError: it is none, or was made with other flags.
    """
    return recorded_runs.record_of(path_of(results, row), row, _ELSEWHERE)


def _run(
    row: configuration.Config, words: Sequence[str], results: pathlib.Path, place: str
) -> None:
    """One run of the trainer in a process of its own, and its record kept."""
    if path_of(results, row).exists() and recorded_runs.is_finished(read(results, row), row):
        return
    configuration.show_progress(f"{place} python -m drw_tf.train {shlex.join(words)}")
    child.train(words, row.workdir)
    found = record_file.read_record(workdir.Layout(row.workdir).record)
    # Flags stay as they were typed, since the next command compares them.
    record = {**shorten(found), "configuration": found["configuration"]}
    with whole_files.replaced(path_of(results, row)) as file:
        file.write(json.dumps(record, separators=(",", ":")) + "\n")


def comparable(found: Sequence[tuple[configuration.Config, Mapping]]) -> list[Mapping]:
    """The records that are as long as was asked for; others are named on standard error.

    Args:
        found: what was asked for, and the record of it.

    Raises:
        ConfigError: they are of different pictures.
    """
    kept = []
    for row, record in found:
        if record["steps"] == row.stop_at_step:
            kept.append((row, record))
        else:
            standard_error.say(
                f"compare: left out {row.method}, seed {row.seed}: it has {record['steps']} steps, "
                f"asked for were {row.stop_at_step}"
            )
    unlike = groups.of_other_data([record for _, record in kept])
    if unlike:
        first, row = (kept[each][0] for each in unlike)
        raise configuration.ConfigError(
            f"the records of {first.method}, seed {first.seed}, and {row.method}, seed "
            f"{row.seed}, are of different pictures{_ELSEWHERE}."
        )
    return [record for _, record in kept]


def shorten(value):
    """The same record with floats of six digits."""
    if isinstance(value, dict):
        return {key: shorten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shorten(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def table(records: Sequence[Mapping]) -> str:
    """Markdown: methods by balanced accuracy, beside the paper's numbers in a setting of its own.

    Below it what the numbers are.

    Args:
        records: of runs on the same data, for the same time.
    """
    if not records:
        return "no record yet"
    if not any(record["final"].get("ema") for record in records):
        return "trained without test pictures, nothing to compare"
    variants, _ = groups.variants(records, groups.DEFAULTS)
    window = groups.window_of(groups.paper_of(records[0]), variants)
    made = tables.methods(variants, window)
    return f"{made.markdown()}\n\n{made.note}"


if __name__ == "__main__":
    main()
