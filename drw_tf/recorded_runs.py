"""Records that comparisons and sweeps keep, and the user's pictures that they are of."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from drw_tf import config as configuration
from drw_tf import quiet, standard_error
from drw_tf.report import groups, record_file


def is_finished(record: Mapping, config: configuration.Config) -> bool:
    """Whether a run, by its record, has as many steps as are wanted."""
    return record["steps"] >= config.stop_at_step


def record_of(path: pathlib.Path, config: configuration.Config, advice: str = "") -> dict:
    """The record that a run of this configuration has left.

    Raises:
        ConfigError: it is no record, or was made with other flags or of pictures in another
            place; the line ends with `advice`.
    """
    try:
        found = record_file.read_record(path)
    except (OSError, ValueError) as error:
        raise configuration.ConfigError(str(error)) from None
    earlier = found["configuration"]
    lines = configuration.differences(earlier, config)
    if lines:
        raise configuration.ConfigError(
            f"{path} is of another setting ({'; '.join(lines)}){advice}."
        )
    # Whether pictures elsewhere are the same ones only training could tell.
    moved = [
        f"--{name}: was {earlier.get(name)}, now {config[name]}"
        for name in groups.OWN_PLACES
        if _place(earlier.get(name)) != _place(config[name])
    ]
    if moved:
        raise configuration.ConfigError(f"{path} is of other data ({'; '.join(moved)}){advice}.")
    return found


def refuse_other_pictures(
    kept: Sequence[tuple[pathlib.Path, configuration.Config]], advice: str
) -> None:
    """Refuses to keep records where the user's pictures have changed since, under their names.

    Args:
        kept: path and configuration of each record, all of the same data.
        advice: what the line ends with.

    Raises:
        ConfigError: there are other numbers of them, other files or other classes.
    """
    if not kept or not groups.is_of_own_pictures(kept[0][1]):
        return
    with quiet.startup():
        from drw_tf.data import identity, registry
    try:
        now = identity.facts(*registry.load(kept[0][1], at_once=False))
    except FileNotFoundError as error:
        standard_error.say(f"records are kept, the pictures were not looked at: {error}")
        return
    for path, config in kept:
        recorded = record_of(path, config, advice)["dataset"]
        before = {
            **recorded,
            "training": recorded.get("training_checksum"),
            "split": recorded["split_checksum"],
        }
        changed = (
            identity.class_difference(before["class_names"], now["class_names"])
            or identity.training_difference(before, now)
            or identity.test_difference(before, now["recorded"])
        )
        if changed:
            raise configuration.ConfigError(
                f"{path} is of other pictures than lie there now: {changed}{advice}."
            )


def has_own(split: str, config: configuration.Config) -> bool:
    """Whether a run on own pictures is given some of a split; a table is read for it.

    Args:
        split: "validation" or "test".
        config: of the run.

    Raises:
        OSError, ValueError: see `csv_table.read`.
    """
    if config.dataset != "csv":
        return bool(config[f"{split}_dir"])
    with quiet.startup():
        from drw_tf.data import csv_table
    return csv_table.has_split(
        split,
        config.labels_csv,
        allow_outside=config.allow_outside_paths,
        allow_missing=config.on_bad_image == "skip",
    )


def _place(path: str | None) -> str | None:
    return path and os.path.realpath(os.path.expanduser(path))
