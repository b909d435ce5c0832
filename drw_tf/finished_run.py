"""A run that was trained before, opened again with all that belongs to it."""

import dataclasses
import logging
import os
import pathlib
import types
from collections.abc import Mapping

from drw_tf import config as configuration
from drw_tf import run as runs
from drw_tf import run_folder
from drw_tf.data import dataset as records
from drw_tf.data import identity, registry
from drw_tf.report import groups, record, record_file
from drw_tf.training import checkpoint, cluster, devices
from drw_tf.training import workdir as workdirs


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
    before = run_folder.data_of(workdir)
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
        places: see `run_folder.configuration_of`.
        find_copies: see `registry.load`.

    Returns:
        A `drw_tf.run.Run` whose method has the checkpoint's weights, and the checkpoint's
        state: "step", "stage", "history", "seconds"; "unevaluated", an epoch that was left.

    Raises:
        ConfigError: see `run_folder.configuration_of`; or own pictures do not lie where the run was
            told, or have other classes now.
        CheckpointError: all checkpoints are damaged, or that of `step` is, or is not there.
        DiskGone: they cannot be read now.
    """
    config = run_folder.configuration_of(workdir, places)
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
    run = runs.Run(uncompiled, cluster.Team(strategy), data, {**now, **run_folder.data_of(workdir)})
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
    path, step = workdirs.Layout(workdir).record, state["step"]
    written = record_file.read_record(path) if path.is_file() else None
    if written and written["steps"] == step:
        return written
    # What a run that went on after its record is done by, and where, is not known until it ends.
    told = written if written and written["steps"] > step else {}
    return record.build_record(
        command_line=told.get("command_line", []),
        configuration=run.config,
        dataset=told.get("dataset") or _data_of_record(workdir, run),
        history=state["history"],
        steps=step,
        seconds=state["seconds"],
        images_per_second=None,
        makers=record.makers_until(run_folder.makers_of(workdir), step),
        machine=told.get("machine", {}),
        start=run_folder.data_of(workdir).get("start"),
    )


def _data_of_record(workdir: str | pathlib.Path, run) -> dict:
    """What a record says of the data that a run was begun with, whatever lies there now."""
    before = run_folder.data_of(workdir)
    now = identity.recorded(run.dataset, run.split)
    # Runs of older versions tell less.
    older = {
        name: before[name] for name in ("labeled_counts", "unlabeled_pictures") if name in before
    }
    return {**now, **older, **before.get("recorded", {})}
