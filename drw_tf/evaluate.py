"""`python -m drw_tf.evaluate --workdir=RUN`: the metrics of a run's newest checkpoint, or another.

On the test pictures, and on those that were held out for choosing hyper-parameters. With
`--as_method` those of a method that trains alike and adjusts logits at test time, which may be
that of the run with another prior or strength.
"""

import logging
import pathlib
import sys
import tempfile

from drw_tf import adjusted_run, ending, flag_table, places, quiet, run_folder
from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.data import identity, naming
from drw_tf.report import doubts, groups, record_file, tables
from drw_tf.training import workdir

_TABLE = (
    run_folder.WORKDIR,
    run_folder.STEP,
    flag_table.Flag(
        "as_method", "string", "method that trains as the run did and adjusts logits", "method"
    ),
    *adjusted_run.flags(),
    flag_table.place("out", "file for the record of --as_method", "output", kind="file"),
    *run_folder.DATA_FLAGS,
)
_TITLES = {"ema": "averaged", "ema_unadjusted": "unadjusted", "raw": "raw"}
_ROWS = {name.replace("_", " "): name for name in record_file.FINAL_METRICS}


@ending.interruptible("evaluate")
def main(argv: list[str] | None = None) -> None:
    """Prints the metrics; exits with 2 after bad input, 130 after Ctrl-C."""
    argv = sys.argv if argv is None else argv
    flags = run_folder.from_argv("evaluate", argv, _TABLE)
    try:
        other = _other_method(flags)
        if flags["out"]:
            _refuse_out(pathlib.Path(flags["out"]), flags["workdir"])
    except configuration.ConfigError as error:
        configuration.refuse("evaluate", error)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():
        from drw_tf import faults, finished_run
        from drw_tf import run as runs

    try:
        run, state = finished_run.open_run(flags["workdir"], flags["step"], flags, find_copies=True)
        if flags["out"]:
            now = identity.facts(run.dataset, run.split)
            run_folder.require_same_data(now, flags["workdir"])
        judges = {name: judge for name, judge in run.judges(progress=True).items() if judge}
        if not judges or (flags["out"] and "test" not in judges):
            raise configuration.ConfigError(_without_test_pictures(run, flags))
        config = other or run.config
        with (
            faults.naming_fault("the evaluation"),
            faults.naming_memory(run.config),
            faults.naming_damage(run.dataset, faults.LEAVE_OUT),
        ):
            found = _judged(run, state, judges, other)
        if flags["out"]:
            earlier = finished_run.record_of(flags["workdir"], run, state)
            command = ["python", "-m", "drw_tf.evaluate", *argv[1:]]
            kept = runs.as_recorded(found)
            made = adjusted_run.record_of(earlier, state, config, kept, command)
            record_file.write_record(pathlib.Path(flags["out"]), made)
    except faults.USER_ERRORS as error:
        configuration.refuse("evaluate", error)
    with configuration.reader_may_leave():
        print(f"{config.method} on {run.dataset.name}, seed {config.seed}, step {state['step']}")
        said = "; in percent; averaged: weights averaged over the steps"
        for name, of_set in found.items():
            print(f"{naming.counted(len(judges[name].labels), f'{name} picture')}{said}")
            names = run.dataset.class_names
            counts = {
                "labeled": run.method.facts.labeled_counts,
                name: records.class_counts(judges[name].labels, len(names)),
            }
            print(metrics_table(of_set, names, counts))
            said = ""
        for line in doubts.lines(config, state["history"], names):
            print(f"note: {line}.")


def _without_test_pictures(run, flags: dict) -> str:
    """What is refused where nothing can be judged."""
    if not groups.is_of_own_pictures(run.config):
        return f"{run.dataset.name} has no test pictures."
    found = f"--workdir={flags['workdir']} has no test pictures"
    if flags["out"]:  # of those that come now no record is kept
        return f"{found}, which --out needs."
    place = "rows of the split test in --labels_csv" if run.config.labels_csv else "--test_dir"
    return f"{found}; give {place}."


def _judged(run, state: dict, judges: dict, other: configuration.Config | None) -> dict:
    """Set's name -> network's name -> metrics, as the run's own method or as another one judges."""
    if other is None:
        return {name: run.evaluate(judge) for name, judge in judges.items()}
    adjust = adjusted_run.adjustment(run, state, other)
    network = run.networks()["ema"]
    found = {}
    for name, judge in judges.items():
        logits = judge.logits(network, run.method.evaluated_head)
        found[name] = {
            "ema": judge.metrics(adjust(logits, network)),
            "ema_unadjusted": judge.metrics(logits),
        }
    return found


def _other_method(flags: dict) -> configuration.Config | None:
    """The configuration that `--as_method` asks for."""
    if flags["as_method"] is not None:
        chosen = {name: flags[name] for name in adjusted_run.FLAGS}
        config = run_folder.configuration_of(flags["workdir"])
        return adjusted_run.configuration_as(config, flags["as_method"], chosen)
    for name in ("out", *adjusted_run.FLAGS):
        if flags[name] is not None:
            raise configuration.ConfigError(f"--{name} is read with --as_method only.")
    return None


def _refuse_out(out: pathlib.Path, run: str) -> None:
    """Refuses what cannot be written, parts of the run, and anything but an earlier record of ours.

    Args:
        out: value of --out.
        run: folder of the run.
    """
    for part in workdir.Layout(run).parts:
        if places.lies_in(out, part):
            raise configuration.ConfigError(
                f"--out must be none of the run's own files, got {out}: {part} is one."
            )
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise configuration.ConfigError(
            f"--out={out} cannot be written: {out.parent}: {error.strerror}."
        ) from None
    if out.exists() and not _was_judged(out):
        raise configuration.ConfigError(
            f"--out must be new or an earlier record of --as_method, {out} is something else."
        )


def _was_judged(path: pathlib.Path) -> bool:
    try:
        # A pipe would be waited for.
        return path.is_file() and groups.was_judged(record_file.read_record(path))
    except (OSError, ValueError):
        return False


def metrics_table(found: dict, class_names, counts: dict) -> str:
    """Metrics in percent, then the recall of each class, one column a network.

    Args:
        found: network's name -> its metrics, as `drw_tf.ops.summary.summarize` gives them.
        class_names: C names.
        counts: title -> pictures of each class, [C]: those it learned from, those it is judged on.
    """
    networks = [name for name in _TITLES if name in found]
    first = max(map(len, (*_ROWS, *class_names))) + 2
    heads = (*counts, *(_TITLES[name] for name in networks))
    lines = [" " * first + "".join(f"{head:>12}" for head in heads)]

    def add(title, numbers, values):
        cells = (*numbers, *map(tables.percent, values))
        lines.append(f"{title:<{first}}" + "".join(f"{cell:>12}" for cell in cells))

    for title, key in _ROWS.items():
        add(title, [""] * len(counts), [found[name][key] for name in networks])
    lines.append("recall")
    for index, title in enumerate(class_names):
        recalls = [found[name]["recall"][index] for name in networks]
        add(title, [int(of_class[index]) for of_class in counts.values()], recalls)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
