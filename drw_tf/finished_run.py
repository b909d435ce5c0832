"""A run that was trained before: its folder, checked, and all of it, opened.

TensorFlow is imported when a run is opened, not before: a wrong command line is refused at once.
"""

import dataclasses
import json
import logging
import os
import pathlib
import types
from collections.abc import Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import flag_table, help_text
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
    found = {flag.name: changed.get(flag.name) for flag in DATA_FLAGS}
    moved = {name: value for name, value in found.items() if value is not None}
    return _resolve({**values, **moved} if isinstance(values, dict) else values, folder.config)


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


def start_from(config: configuration.Config, class_names: Sequence[str]):
    """The averaged network of the run that `--init_weights` names, for a new run to start from.

    Args:
        config: of the new run.
        class_names: its classes.

    Returns:
        A `warm_start.WarmStart` of the newest sound checkpoint.

    Raises:
        ConfigError: it is no trained run, the new one itself, or one of another network.
        DiskGone: its checkpoints cannot be read now.
    """
    import tensorflow as tf

    from drw_tf.training import checkpoint, warm_start

    named = f"--init_weights={config.init_weights}"
    folder = workdirs.Layout(os.path.realpath(os.path.expanduser(config.init_weights)))
    if not folder.path.is_dir():
        raise configuration.ConfigError(
            f"--init_weights must be {flag_table.BY_NAME['init_weights'].allowed}, there is no "
            f"folder {config.init_weights!r}."
        )
    if folder.path == pathlib.Path(os.path.realpath(config.workdir)):
        raise configuration.ConfigError(f"{named} must be another run than --workdir.")
    earlier = configuration_of(folder.path, flag="init_weights")
    if earlier.model != config.model:
        raise configuration.ConfigError(
            f"{named} is a run of --model={earlier.model}, so that must be given, "
            f"got {config.model}."
        )
    checkpoints = checkpoint.Checkpoints(folder.checkpoints, tf.Module(), 1)
    try:
        step = checkpoints.newest()["step"]
    except checkpoint.CheckpointError:
        raise configuration.ConfigError(f"{named}: all its checkpoints are damaged.") from None
    begun = data_of(folder.path)
    own = "imagenet" if earlier.init_weights == "imagenet" else "none"
    return warm_start.WarmStart(
        str(checkpoints.folder_of(step)),
        takes_heads=begun.get("class_names") == list(class_names),
        built_with=begun.get("start", {}).get("built_with", own),
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


def _require_places(config: configuration.Config, typed: Mapping) -> None:
    """Refuses a place that nobody typed now by what is to be done, not as a mistake in a flag."""
    for name in groups.OWN_PLACES:
        place = config[name]
        if place and not typed.get(name) and not os.path.exists(os.path.expanduser(place)):
            raise configuration.ConfigError(
                f"--{name}={place}, as the run was told, is not there; give --{name}."
            )


def _compare_data(workdir: str | pathlib.Path, data: tuple, now: Mapping, draws: bool) -> bool:
    """Refuses other classes; tells of other training pictures, and whether there are any.

    The network's outputs are numbers: what they are called must not have moved under it.

    Args:
        workdir: folder of the run.
        data: that lie there, as `registry.load` gives them.
        now: `identity.facts` of these.
        draws: whether pictures for validation are drawn from the labeled ones.
    """
    from drw_tf.data import identity

    before = data_of(workdir)
    names = before.get("class_names", now["class_names"])
    changed = identity.class_difference(names, now["class_names"])
    if changed:
        raise configuration.ConfigError(
            f"--workdir={workdir} holds a run on other classes: {changed}; bring the folders or "
            "the table of the data back to what they were."
        )
    changed = identity.training_difference(before, now)
    if changed and not draws and len(data[1].validation):
        changed = _difference_without_validation(before, now, *data)
    if changed:
        line = f"{workdir} was trained on other pictures: {changed}; its own numbers count."
        if now["test_pictures"] > before.get("test_pictures", now["test_pictures"]):
            line += " What is to test now may have been among its unlabeled pictures."
        if draws:
            line += " Which of them it held out is not known now: none is judged as held out."
        logging.getLogger("drw_tf").warning(line)
    return bool(changed)


def _difference_without_validation(before: Mapping, now: Mapping, dataset, split) -> str | None:
    """In what the training pictures differ from those of a run that had none for validation.

    Args:
        before: see `identity.training_difference`.
        now: `identity.facts` of the data that lie there.
        dataset: these, the last training rows of which are those for validation.
        split: that it gives.
    """
    from drw_tf.data import dataset as records
    from drw_tf.data import identity

    rest = dataclasses.replace(split, validation=split.validation[:0])
    # Once they are decoded the names of the files are not known any more.
    training = before.get("training")
    if isinstance(dataset.train, records.FileImages):
        images = records.take(dataset.train, rest.pool(include_labeled=True))
        training = identity.training_checksum(
            dataclasses.replace(dataset, train=images, given_split=rest)
        )
    return identity.training_difference(
        before, {**now, "training": training, "split": rest.checksum()}
    )


def open_run(
    workdir: str | pathlib.Path,
    step: int | None = None,
    places: Mapping = types.MappingProxyType({}),
    find_copies: bool = False,
):
    """The run in a folder, and the state of a checkpoint.

    Nothing is written and no lock is taken, so a run can be looked at while it is trained.

    Args:
        workdir: folder of the run; where it lay when it was trained does not matter.
        step: of the checkpoint; None opens the newest sound one.
        places: see `configuration_of`.
        find_copies: see `registry.load`.

    Returns:
        A `drw_tf.run.Run` whose method has the checkpoint's weights, and the checkpoint's
        state: "step", "stage", "history", "seconds"; "unevaluated", an epoch that was left.

    Raises:
        ConfigError: see `configuration_of`; or own pictures do not lie where the run was told, or
            have other classes now.
        CheckpointError: all checkpoints are damaged, or that of `step` is, or is not there.
        DiskGone: they cannot be read now.
    """
    from drw_tf import run as runs
    from drw_tf.data import identity, registry
    from drw_tf.training import checkpoint, cluster, devices

    config = configuration_of(workdir, places)
    _require_places(config, places)
    several = config.strategy == "multi_worker"
    # One process looks at what several have trained.
    strategy = devices.strategy("mirrored" if several else config.strategy)
    data = registry.load(config, find_copies=find_copies, at_once=False)
    now = identity.facts(*data)
    draws = bool(config.validation_per_class)
    if _compare_data(workdir, data, now, draws) and draws:
        # Drawn anew from other pictures, some would be such as were trained on.
        data = data[0], dataclasses.replace(data[1], validation=data[1].validation[:0])
    # No step is made, so none is compiled, which two GPUs would refuse.
    uncompiled = configuration.Config({**config, "jit_compile": "off"})
    run = runs.Run(uncompiled, cluster.Team(strategy), data, {**now, **data_of(workdir)})
    run.config = config
    checkpoints = checkpoint.Checkpoints(
        workdirs.Layout(workdir).checkpoints, run.method, config.keep_checkpoints
    )

    def load(choose):
        state = choose()
        run.stages.prepare(state["stage"])
        checkpoints.load(state["step"])
        return state

    if step is not None:
        return run, load(lambda: checkpoints.state_of(step))
    before = checkpoints.steps()
    try:
        return run, load(checkpoints.newest)
    except checkpoint.CheckpointError:
        if checkpoints.steps() == before:
            raise
        # A run that is still trained has removed meanwhile what was chosen.
        return run, load(checkpoints.newest)


def record_of(workdir: str | pathlib.Path, run, state: Mapping) -> dict:
    """The record of a run at this state: as it was written, or made where it is not yet.

    Args:
        workdir: folder of the run.
        run: and
        state: of `open_run`.

    Raises:
        ValueError: the file is not a record.
    """
    from drw_tf.data import identity
    from drw_tf.report import record, record_file

    path, step = workdirs.Layout(workdir).record, state["step"]
    written = record_file.read_record(path) if path.is_file() else None
    if written and written["steps"] == step:
        return written
    # What a run that went on after its record is done by, and where, is not known until it ends.
    told = written if written and written["steps"] > step else {}
    makers = [one for one in makers_of(workdir) if one["from_step"] < step]
    return record.build_record(
        command_line=told.get("command_line", []),
        configuration=run.config,
        dataset=told.get("dataset") or _data_of_record(workdir, run, identity),
        history=state["history"],
        steps=step,
        seconds=state["seconds"],
        images_per_second=None,
        makers=makers or [{"from_step": 0, "versions": {}, "git": None}],
        machine=told.get("machine", {}),
        start=data_of(workdir).get("start"),
    )


def _data_of_record(workdir: str | pathlib.Path, run, identity) -> dict:
    """What a record says of the data that a run was begun with, whatever lies there now."""
    before = data_of(workdir)
    now = identity.recorded(run.dataset, run.split)
    # Runs of older versions tell less.
    older = {
        name: before[name] for name in ("labeled_counts", "unlabeled_pictures") if name in before
    }
    return {**now, **older, **before.get("recorded", {})}


def _resolve(values: object, path: pathlib.Path) -> configuration.Config:
    """The configuration with these values; whatever they are, the error is a ConfigError."""
    if not isinstance(values, dict):
        raise configuration.ConfigError(f"{path} must hold the flags of a run.")
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
