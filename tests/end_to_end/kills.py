"""Killing trainings and starting them again, and what must be equal afterwards."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys

import numpy as np
import tensorflow as tf

from drw_tf import recipes
from drw_tf.report import event_files
from tests import ended_runs, event_values

ROOT = pathlib.Path(__file__).parents[2]
STEPS, EPOCH, CHECKPOINT = 12, 4, 2
# Every step is a call, so that a kill can come between any two.
SHAPE = (
    *(f"--steps={STEPS}", f"--steps_per_epoch={EPOCH}", f"--checkpoint_steps={CHECKPOINT}"),
    *("--steps_per_execution=1", "--batch_size=4", "--strategy=one_device"),
    *("--deterministic", "--workdir=run"),
)
# All of a recipe's parts act within these few steps.
EARLY = {
    "threshold": 0.2,
    "reweight_start": 0.3,
    "deferred_start": 0.3,
    "darp_start": 0.2,
    "darp_refresh": 3,
    "cdmad_start": 0.2,
    "crest_generations": 2,
    "crt_head_fraction": 0.4,
    "ramp_fraction": 0.5,
}
# How often an undisturbed run comes by each moment; a checkpoint has three files and checksums.
CALLS = {
    "between steps": STEPS,
    "after a step's end": STEPS,
    "first file of a checkpoint": 3 * STEPS // CHECKPOINT,
    "files of a checkpoint": 5 * STEPS // CHECKPOINT,
    "checkpoint renamed": STEPS // CHECKPOINT,
    "old checkpoints removed": STEPS // CHECKPOINT,
    "end of an epoch": STEPS // EPOCH,
    "evaluation": STEPS // EPOCH,
    "metrics": 2 * STEPS // EPOCH,
    "curves written": STEPS // EPOCH,
    "curves cut off": 1,
    "flags written": 1,
}
# Where there is a second stage; the first optimizer is made at the start of the process.
STAGE_CALLS = {
    "stage ended": 1,
    "weights of a stage": 1,
    "optimizer of a stage": 2,
    "stage begun": 1,
}
KILLS = 3


def arguments_of(recipe: str, *more: str) -> tuple[str, ...]:
    """The command line of a tiny run in which every part of the recipe acts."""
    found = recipes.RECIPES[recipe]
    wanted = set(found.flags) - set(found.defaults)
    early = [f"--{name}={value}" for name, value in EARLY.items() if name in wanted]
    return (f"--method={recipe}", *SHAPE, *early, *more)


class Trainer:
    """Starts trainings in processes of their own, one at a time; see `mortal_training`."""

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.mortal_training"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def run(self, folder: pathlib.Path, arguments, moment: dict | None = None) -> int:
        """The exit code of one process; minus nine where it was killed."""
        folder.mkdir(parents=True, exist_ok=True)
        request = {"folder": str(folder), "arguments": list(arguments), "moment": moment}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def draw(generator: random.Random, staged: bool) -> list[dict]:
    """Moments for the kills of one run, the first one in the change of stages if there is one.

    Each comes within a share of the run, so that there is something left for the others.
    """
    moments = []
    for _ in range(KILLS):
        name = generator.choice([*CALLS, "any time"])
        if staged and not moments:
            name = generator.choice([*STAGE_CALLS])
            moments.append({"at": name, "number": STAGE_CALLS[name]})
        elif name == "any time":
            moments.append({"after": round(generator.uniform(0.0, 0.3), 3)})
        else:
            number = generator.randint(1, max(1, CALLS[name] // KILLS))
            moments.append({"at": name, "number": number})
    return moments


def killed_run(trainer: Trainer, folder: pathlib.Path, arguments, moments) -> list[dict]:
    """Runs a command again and again, killed at one moment after another, then to its end.

    Returns:
        The moments that came; a run that was over before is not killed.
    """
    came = []
    for moment in moments:
        code = trainer.run(folder, arguments, moment)
        if code == 0:
            break
        assert code == -signal.SIGKILL, (folder / "output.txt").read_text()
        came.append(moment)
        check_little_is_lost(folder)
    code = trainer.run(folder, arguments)
    assert code == 0, (folder / "output.txt").read_text()
    return came


def check_little_is_lost(folder: pathlib.Path) -> None:
    """Of the steps that were done, no more than `--checkpoint_steps` are to be done again."""
    step = int((folder / "killed_at_step").read_text())
    saved = [int(path.name[5:]) for path in (folder / "run" / "checkpoints").glob("step_*")]
    assert step - max(saved, default=0) <= CHECKPOINT


def curves_of(folder: pathlib.Path) -> tuple[dict, collections.Counter]:
    """Value of each (tag, step) of TensorBoard's log; how often a scalar or picture is there."""
    logdir = folder / "run" / "tensorboard"
    clock = {f"train/{key}" for key in ended_runs.CLOCK}
    values = {
        key: repr(np.asarray(value).tolist())  # NaN, where a metric is undefined, equals itself
        for key, value in event_values.read(logdir).items()
        if key[0] not in clock and not key[0].startswith("_hparams_")
    }
    events = (
        tf.compat.v1.Event.FromString(record.numpy())
        for path in event_files.find(logdir)
        for record in tf.data.TFRecordDataset(str(path))
    )
    times = collections.Counter(
        (value.tag, event.step)
        for event in events
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name in ("scalars", "images")
    )
    return values, times


def assert_same(whole: pathlib.Path, cut: pathlib.Path) -> None:
    """Two runs ended alike, bit for bit."""
    ended_runs.assert_same(whole / "run", cut / "run")
    assert len(ended_runs.history_of(cut / "run")) == STEPS // EPOCH
    (values, times), (whole_values, whole_times) = curves_of(cut), curves_of(whole)
    assert values.keys() == whole_values.keys()
    for key, value in whole_values.items():
        assert values[key] == value, key
    assert times == whole_times
    assert ("train/loss", STEPS) in times
