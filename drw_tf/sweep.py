"""`python -m drw_tf.sweep`: trains a grid of settings and chooses one on validation pictures.

The test set has no say: the choice and its table are of pictures that were held out of the
training set. A finished run is not run again and an interrupted one goes on where it was, so
the same command may be stopped and repeated at will.
"""

import dataclasses
import itertools
import pathlib
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence

from drw_tf import child, flag_table, help_text, quiet, recipes, recorded_runs, whole_files
from drw_tf import config as configuration
from drw_tf.report import groups, statistics, tables
from drw_tf.training import workdir

_OUTPUT = "sweep"
_TRY = "try_"
# Flags of optimization that may be tried with every method: all but the length of a run, as runs
# of other lengths are not compared.
_OPTIMIZATION = tuple(
    flag.name
    for flag in flag_table.FLAGS
    if flag.group == flag_table.OPTIMIZATION and flag.changes_result and flag.name != "steps"
)
_GRID = (
    *(flag.name for flag in flag_table.FLAGS if flag.name in recipes.method_flags()),
    *_OPTIMIZATION,
)
# Those that `--help` explains.
_COMMON = (
    *("learning_rate", "weight_decay", "batch_size"),
    *("lambda_u", "threshold", "beta", "reweight_start"),
)
_TABLE = (
    *(flag_table.listed(f"{_TRY}{name}", f"values of --{name}", _OUTPUT, []) for name in _GRID),
    flag_table.listed("seeds", "seeds", _OUTPUT, ["0"]),
    flag_table.place("runs", "folder of the runs [runs/sweep/<dataset>/<method>]", _OUTPUT),
)
_ANEW = "give other --runs"
_ELSEWHERE = f"; {_ANEW}"
# Flags of the trainer that those of this program decide.
_SETTERS = {"seed": "seeds", "workdir": "runs", **{name: f"{_TRY}{name}" for name in _GRID}}
METRIC = "balanced_accuracy"


def main(argv: list[str] | None = None) -> None:
    """Runs what is not finished; every flag of the trainer may follow and is handed on."""
    arguments = (sys.argv if argv is None else argv)[1:]
    own, rest = configuration.split_arguments(arguments, _TABLE)
    if help_text.ASKS_FOR_HELP & {*rest}:
        shown = [flag for flag in _TABLE if "--helpfull" in rest or _is_common(flag.name)]
        text = help_text.of_program("drw_tf.sweep", shown, rest)
        others = ", ".join(name for name in _OPTIMIZATION if name not in _COMMON)
        configuration.show(
            f"{text}\n\nEvery flag that the method reads (drw_tf.train --helpmethods) has its "
            f"--{_TRY}, and so have\n{others}.\n\n"
            "Flags of drw_tf.train are handed on to every run."
        )
    try:
        given = configuration.parse(["sweep", *own], _TABLE)
        settings = {flag.name: given.get(flag.name, flag.default) for flag in _TABLE}
        plan = grid(settings, rest)
        finished = [run for run in plan if run.record.exists() and _is_finished(run)]
        with child.stoppable():
            kept = [(run.record, run.config) for run in finished]
            recorded_runs.refuse_other_pictures(kept, _ELSEWHERE)
            for number, run in enumerate(plan):
                if run not in finished:
                    place = f"[{number + 1}/{len(plan)}]"
                    words = shlex.join(run.words)
                    configuration.show_progress(f"{place} python -m drw_tf.train {words}")
                    child.train(run.words, run.config.workdir)
            _finish(plan, _records(plan))
    except (OSError, ValueError) as error:
        configuration.refuse("sweep", error)


def _is_common(name: str) -> bool:
    return not name.startswith(_TRY) or name.removeprefix(_TRY) in _COMMON


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep: what is tried in it, its configuration and its command line."""

    point: dict[str, str]
    config: configuration.Config
    words: list[str]

    @property
    def record(self) -> pathlib.Path:
        """Where its record is when it is finished."""
        return workdir.Layout(self.config.workdir).record


def grid(settings: Mapping, rest: Sequence[str]) -> list[Run]:
    """The runs of a sweep, seed by seed of each point of the grid.

    Args:
        settings: this program's flags.
        rest: flags of the trainer.

    Raises:
        ConfigError: nothing is to be tried, or what cannot be, no picture is held out, or a flag
            is refused.
    """
    tried = {name: settings[_TRY + name] for name in _GRID if settings[_TRY + name]}
    others = [word for word in rest if word.lstrip("-").startswith(_TRY)]
    words = [word for word in rest if word not in others]
    # With what is tried, as the flags need not be allowed without it.
    words += [f"--{name}={values[0]}" for name, values in tried.items()]
    base = configuration.resolve(configuration.parse(["train", *words]))
    if others or not tried:
        allowed = ", ".join(sorted({*_OPTIMIZATION, *base.recipe.flags}))
        got = others[0].partition("=")[0] if others else "none"
        raise configuration.ConfigError(
            f"give at least one --{_TRY}<flag>, with --method={base.method} of "
            f"{allowed}; got {got}."
        )
    if not _holds_out(base):
        raise configuration.ConfigError(
            "--validation_per_class must be at least 1, or pictures for validation be given: the "
            "choice is made on pictures that are held out of the training set, never on the test "
            "set."
        )
    default = f"runs/sweep/{base.dataset.replace(':', '_')}/{base.method}"
    folder = pathlib.Path(settings["runs"] or default)
    plan = []
    for values in itertools.product(*tried.values()):
        point = dict(zip(tried, values, strict=True))
        for seed in settings["seeds"]:
            place = {"seed": seed, "workdir": folder / _name(point) / f"seed{seed}"}
            words = configuration.hand_on(rest, {**point, **place}, _SETTERS, _ANEW)
            config = configuration.resolve(configuration.parse(["train", *words]))
            plan.append(Run(point, config, words))
    _refuse_repeats(plan)
    return plan


def _refuse_repeats(plan: Sequence[Run]) -> None:
    """Refuses a grid with two equal runs, which would count as two seeds.

    Raises:
        ConfigError: a value is given twice, maybe in two spellings.
    """
    for one, other in itertools.combinations(plan, 2):
        if not configuration.differences(one.config, other.config):
            what = " ".join(f"--{name}={value}" for name, value in other.point.items())
            raise configuration.ConfigError(
                f"{what} with --seed={other.config.seed} is there twice; give each value of "
                f"--seeds and of --{_TRY}<flag> once."
            )


def _holds_out(config: configuration.Config) -> bool:
    """Whether a run will have validation pictures."""
    if config.validation_per_class:
        return True
    return groups.is_of_own_pictures(config) and recorded_runs.has_own("validation", config)


def read(run: Run) -> dict:
    """The record of a finished run.

    Raises:
        ValueError: it is of other flags, or held-out pictures were not evaluated.
    """
    found = recorded_runs.record_of(run.record, run.config, _ELSEWHERE)
    if found["steps"] > run.config.stop_at_step:
        raise ValueError(
            f"{run.record} has {found['steps']} steps, more than --stop_at_step="
            f"{run.config.stop_at_step}, and would be compared with shorter runs; give as many, "
            "or other --runs."
        )
    if not found["history"] or "validation" not in found["history"][-1]:
        raise ValueError(f"{run.record} has no evaluation of held-out pictures; remove the run.")
    return found


def _records(plan: Sequence[Run]) -> list[dict]:
    """The records of all runs.

    Raises:
        ValueError: see `read`; or they are of different pictures.
    """
    found = [read(run) for run in plan]
    unlike = groups.of_other_data(found)
    if unlike:
        one, other = (plan[each].record for each in unlike)
        raise ValueError(f"{one} and {other} are of different pictures{_ELSEWHERE}.")
    return found


def score(record: Mapping) -> float:
    """Balanced accuracy of the averaged network on the held-out pictures, last evaluation."""
    return record["history"][-1]["validation"]["ema"][METRIC]


def summary(points: Sequence[Mapping[str, str]], scores: Sequence[float]) -> str:
    """Markdown: mean validation bACC of each point of the grid, best first, and the choice.

    Args:
        points: flag name -> value, one a run.
        scores: of the runs, in [0, 1].
    """
    found: dict[tuple, list[float]] = {}
    for point, value in zip(points, scores, strict=True):
        found.setdefault(tuple(point.items()), []).append(100 * value)
    best_first = sorted(found.items(), key=lambda pair: -statistics.mean_and_deviation(pair[1])[0])
    rows = [
        (
            *(value for _, value in point),
            tables.mean_cell(dict(enumerate(values))),
            f"{len(values)}",
        )
        for point, values in best_first
    ]
    table = tables.Table((*points[0], "validation bACC %", "seeds"), tuple(rows))
    chosen = " ".join(f"--{name}={value}" for name, value in best_first[0][0])
    return f"{table.markdown()}\n\nchosen on held-out pictures: {chosen}"


def _is_finished(run: Run) -> bool:
    """Whether the trainer has nothing left to do; its record comes before its export."""
    found = read(run)
    is_exported = found["configuration"]["export"] or not run.config.export
    return is_exported and recorded_runs.is_finished(found, run.config)


def _finish(plan: Sequence[Run], records: Sequence[Mapping]) -> None:
    """Prints and writes the choice, and what TensorBoard shows."""
    folder = plan[0].record.parents[2]
    text = summary([run.point for run in plan], [score(found) for found in records])
    with configuration.reader_may_leave():
        print(text)  # first, as what follows may fail
    with whole_files.replaced(folder / "sweep.md") as file:
        file.write(text + "\n")
    print(f"\nwritten: {folder / 'sweep.md'}")
    _log(folder / "hparams", plan, records)
    print(f"python -m tensorboard.main --logdir={folder / 'hparams'}")


def _log(folder: pathlib.Path, plan: Sequence[Run], records: Sequence[Mapping]) -> None:
    """One row a run for TensorBoard's HParams tab: what was tried, and the validation score.

    Raises:
        OSError: it cannot be written.
    """
    with quiet.startup():
        from drw_tf.report import tensorboard

    for run, record in zip(plan, records, strict=True):
        logdir = folder / _name(run.point) / f"seed{run.config.seed}"
        shutil.rmtree(logdir, ignore_errors=True)
        flags = {name: run.config[name] for name in run.point} | {"seed": run.config.seed}
        with tensorboard.TensorBoardLog(logdir, record["dataset"]["class_names"]) as log:
            log.log_hparams(flags, {f"validation_{METRIC}": score(record)}, record["steps"])


def _name(point: Mapping[str, str]) -> str:
    """Folder of a point of the grid."""
    return "_".join(f"{flag}{value}" for flag, value in point.items())


if __name__ == "__main__":
    main()
