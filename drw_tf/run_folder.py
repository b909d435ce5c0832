"""What the files in a run's folder say of it: its flags, its data, the code that made it.

No TensorFlow: a wrong command line is refused at once.
"""

import dataclasses
import json
import pathlib
import types
from collections.abc import Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import flag_table, help_text
from drw_tf.data import identity
from drw_tf.report import groups
from drw_tf.training import workdir as workdirs

WORKDIR = flag_table.Flag("workdir", "string", "folder of a trained run", "run")
STEP = flag_table.Flag(
    "step",
    "int",
    "which of the run's checkpoints, by its step [the newest]",
    "run",
    allowed="at least 1",
    check=lambda value: value >= 1,
)


def again(name: str) -> flag_table.Flag:
    """A flag of the trainer whose value can be another one now; None keeps the run's."""
    flag = flag_table.BY_NAME[name]
    return dataclasses.replace(flag, default=None, help=f"{flag.help} [as the run was told]")


# Where the data lie, and how they are read: that they were moved since, that a file came to them
# which is no picture, or that this machine has less memory, changes nothing.
_READING = ("on_bad_image", "decode_all", "eval_batch_size")
DATA_FLAGS = tuple(
    map(again, ("data_dir", "cache_dir", "val_labels", *groups.OWN_PLACES, *_READING))
)


def from_argv(program: str, argv: Sequence[str], table: Sequence[flag_table.Flag]) -> dict:
    """Every flag of a program that reads a run: name -> value; may print help and exit.

    Args:
        program: name of the module below `drw_tf`.
        argv: program name and arguments.
        table: its flags, `WORKDIR` among them.

    Raises:
        SystemExit: 0 after help was printed, 2 after a refusal was printed.
    """
    if help_text.ASKS_FOR_HELP & set(argv[1:]):
        # All of it: that a flag is the trainer's as well does not make it known here.
        words = [*argv[1:], "--helpfull"]
        configuration.show(help_text.of_program(f"drw_tf.{program}", table, words, "--workdir=RUN"))
    try:
        given = configuration.parse(argv, table)
        configuration_of(given.get("workdir"))
    except configuration.ConfigError as error:
        configuration.refuse(program, error)
    return {flag.name: given.get(flag.name, flag.default) for flag in table}


def configuration_of(
    workdir: str | pathlib.Path | None,
    changed: Mapping = types.MappingProxyType({}),
    flag: str = "workdir",
) -> configuration.Config:
    """The configuration of the run in a folder, checked: the file may be anybody's.

    Args:
        workdir: folder of a run that has a checkpoint.
        changed: flag -> value; those of `DATA_FLAGS` that have one are taken in place of the run's.
        flag: that named the folder.

    Raises:
        ConfigError: it is not; or config.json is of another version, or holds something that
            could not have been typed; or a changed flag is not read by the run.
    """
    if not workdir:
        raise configuration.ConfigError(f"--{flag} must be given: the folder of a trained run.")
    folder = workdirs.Layout(workdir)
    if not folder.config.is_file():
        raise configuration.ConfigError(
            f"--{flag} must be the folder of a trained run, {folder.path} has no "
            f"{folder.config.name}."
        )
    if not folder.has_checkpoints:
        raise configuration.ConfigError(
            f"--{flag}={folder.path} has no checkpoint yet; train first."
        )
    values = _read_json(folder.config)
    if not isinstance(values, dict):
        raise configuration.ConfigError(f"{folder.config} must hold the flags of a run.")
    found = {flag.name: changed.get(flag.name) for flag in DATA_FLAGS}
    moved = {name: value for name, value in found.items() if value is not None}
    return _resolve({**values, **moved}, folder.config)


def data_of(workdir: str | pathlib.Path) -> dict:
    """What `identity.facts` said of the data that the run in a folder was begun with.

    Runs of older versions have no such file: {}.

    Raises:
        ConfigError: the file is damaged.
    """
    path = workdirs.Layout(workdir).data
    found = _read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise configuration.ConfigError(f"{path} must hold what tells data from others.")
    return found


def require_same_data(now: Mapping, workdir: str | pathlib.Path) -> None:
    """Raises ConfigError where the run in a folder was begun with other data than these `facts`."""
    changed = identity.difference(data_of(workdir), now)
    if changed:
        raise configuration.ConfigError(
            f"--workdir={workdir} holds a run on other data: {changed}; bring the data back "
            "to what they were, or give another --workdir, or --fresh to start over."
        )


def makers_of(workdir: str | pathlib.Path) -> list[dict]:
    """The code of each part of the run in a folder: "from_step", "versions", "git", "replicas".

    Runs of older versions have no such file: [].

    Raises:
        ConfigError: the file is damaged.
    """
    path = workdirs.Layout(workdir).makers
    found = _read_json(path) if path.is_file() else []
    if not isinstance(found, list) or not all(
        isinstance(one, dict)
        and one.keys() >= {"from_step", "versions", "git"}
        and isinstance(one["from_step"], int)
        for one in found
    ):
        raise configuration.ConfigError(f"{path} must hold the code of each part of the run.")
    return found


def _read_json(path: pathlib.Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise configuration.ConfigError(f"{path} cannot be read: {error}.") from None


def _resolve(values: dict, path: pathlib.Path) -> configuration.Config:
    """The configuration with these values; whatever they are, the error is a ConfigError."""
    unknown = sorted(set(values) - set(flag_table.BY_NAME))
    if unknown:
        raise _other_version(path, f"has the unknown --{unknown[0]}")
    try:
        config = configuration.resolve(
            {name: value for name, value in values.items() if value is not None}
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise configuration.ConfigError(f"{path}: {error}") from None
    is_reflected = "randaugment" in values and values["randaugment"] is None
    if is_reflected and not config.recipe.has_strong_views:
        # The preset of the data set, which comes in place of none, may pad crops with black.
        config = configuration.Config({**config, "randaugment": None})
    for name in sorted(set(flag_table.BY_NAME) - set(values)):
        # A flag that is younger than the run: the run did what is now its default.
        flag = flag_table.BY_NAME[name]
        if flag.changes_result and config[name] not in (None, flag.default):
            raise _other_version(path, f"lacks --{name}")
    return config


def _other_version(path: pathlib.Path, what: str) -> configuration.ConfigError:
    return configuration.ConfigError(f"{path} is of another version of drw_tf: it {what}.")
