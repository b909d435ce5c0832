"""The trainer in a process of its own, which is asked to stop when this one is, and its record."""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from drw_tf import config as configuration
from drw_tf.report import groups
from drw_tf.report import record as run_record


def train(words: Sequence[str]) -> None:
    """Runs `python -m drw_tf.train` with these flags to its end.

    Raises:
        SystemExit: see `carry_out`.
    """
    carry_out([sys.executable, "-m", "drw_tf.train", *words])


def carry_out(command: Sequence[str]) -> None:
    """Runs a command to its end.

    Raises:
        SystemExit: it failed, or stopped after a signal and has saved its state (75); its exit
            code is passed on.
    """
    code = run(command)
    if code:
        raise SystemExit(code)


def run(command: Sequence[str]) -> int:
    """Exit code of a command that is left time to save what it has when this process is stopped.

    Ctrl-C reaches the command by itself, from the terminal; SIGTERM is handed on. Both leave
    this process waiting for the command's end.
    """
    with subprocess.Popen(command) as process:
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
        }
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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
        found = run_record.read_record(path)
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


def _place(path: str | None) -> str | None:
    return path and os.path.realpath(os.path.expanduser(path))
