"""The one training loop: epochs of `fit`, evaluation, checkpoints, resume, a clean stop."""

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Callable, Sequence

import tensorflow as tf
import tqdm
from tensorflow import keras

from drw_tf.methods import alarm, base
from drw_tf.ops import metrics, rows
from drw_tf.rebalance import base as rebalance
from drw_tf.training import checkpoint, cluster, devices, stop_signals, workdir

# Of 500 entries with eight such lists of 1,000 numbers a checkpoint has 80 MB of text.
_LONGEST_LIST = 1000


@dataclasses.dataclass(frozen=True)
class Plan:
    """Lengths of a run, all in steps.

    Attributes:
        steps: at which training ends, at most all those of the stages; a multiple of
            `steps_per_epoch`.
        steps_per_epoch: period of evaluation and of the pseudo-label histogram.
        checkpoint_steps: period of checkpoints; the last step has one in any case.
        images_read: labeled and unlabeled pictures read in so many first steps, views not counted.
        max_skipped_steps: steps with a loss or gradient that is not finite that may be
            skipped before training gives up; 0 stops at the first.
    """

    steps: int
    steps_per_epoch: int
    checkpoint_steps: int
    images_read: Callable[[int], int]
    max_skipped_steps: int = 0


class Stopped(Exception):
    """Training was asked to stop and has saved its state."""


class _EvaluationCut(Exception):
    """An evaluation was left because training was asked to stop."""


def run(
    method: base.Method,
    stages: Sequence[rebalance.Stage],
    prepare: Callable[[int], None],
    begin: Callable[[int], None],
    batches: Callable[[int, int], devices.Batches],
    evaluate: Callable[[Callable[[], None]], dict],
    checkpoints: checkpoint.Checkpoints,
    plan: Plan,
    listeners: list[Callable[[dict], None]],
    on_resume: Callable[[int, int], None],
    team: cluster.Team,
) -> list[dict]:
    """Trains from the newest checkpoint to the end; the history of all evaluations.

    Args:
        method: its networks built.
        stages: the parts of the run, in order.
        prepare: brings the method into the form of a stage, optimizer included.
        begin: turns the end of the stage before into the start of this one.
        batches: gives the distributed batches of a stage from one of its steps on.
        evaluate: metrics at this moment by set, {"test": {"ema": {...}, "raw": {...}}}; its
            argument is to be called before each batch, and may raise.
        checkpoints: where state is kept.
        plan: lengths.
        listeners: called with each new entry of the history.
        on_resume: called once with the step that training goes on from, and with the last step
            of which listeners need not be told again.
        team: the workers that train together.

    Raises:
        Stopped: SIGTERM or Ctrl-C arrived; a checkpoint of the last step was written.
        checkpoint.CheckpointError: a checkpoint could not be read or written.
        checkpoint.DiskGone: none can be read now.
        workdir.WorkdirError: the folder has become another run's.
    """
    state = checkpoints.newest() or {"step": 0, "stage": 0, "history": [], "seconds": 0.0}
    if state["step"] > plan.steps and state["step"] % plan.steps_per_epoch:
        # What is to be exported was never evaluated, and what was is gone.
        raise checkpoint.CheckpointError(
            f"--stop_at_step must be above step {state['step']}, at which the newest checkpoint "
            f"is, got {plan.steps}."
        )
    stage = state["stage"]
    prepare(stage)
    if state["step"]:
        checkpoints.load(state["step"])
    # An evaluation that was cut off is made, and told, anew.
    is_logged = not (state.get("unevaluated") or state.get("unlogged"))
    on_resume(state["step"], state["step"] - (not is_logged))
    runner = _Runner(method, evaluate, checkpoints, plan, listeners, state, team)
    with stop_signals.handed_to(runner.ask_to_stop), runner.bar:
        if state.get("unevaluated"):
            runner.close_epoch(state["unevaluated"])
        elif state.get("unlogged"):
            runner.log(state["history"][-1])
        while True:
            ends = sum(part.steps for part in stages[: stage + 1])
            runner.stage = stage
            here = min(ends, plan.steps)
            _train_until(runner, here, lambda done, stage=stage: batches(stage, done))
            stage += 1
            if stage == len(stages) or runner.step >= plan.steps:
                break
            begin(stage)
        runner.stop_if_asked()  # while the last checkpoint was written
    return runner.history


def _train_until(runner: "_Runner", ends: int, batches) -> None:
    """Fits whole epochs up to step `ends`; one that was cut is finished by a fit of its own."""
    every = runner.plan.steps_per_epoch
    while runner.step < ends:
        rest = every - runner.step % every
        runner.method.fit(
            batches(runner.step - runner.method.stage_start),
            steps_per_epoch=rest,
            epochs=1 if rest < every else (ends - runner.step) // every,
            callbacks=[runner],
            verbose=0,
        )


class _Unhindered:
    """A stream for progress, which stops no training: its disk may be full, its reader gone."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with contextlib.suppress(OSError):
            return self._stream.write(text)

    def flush(self):
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Runner(keras.callbacks.Callback):
    """Counts steps, closes epochs, saves, shows progress."""

    def __init__(self, method, evaluate, checkpoints, plan, listeners, state, team):
        super().__init__()
        self.method = method
        self.evaluate = evaluate
        self.checkpoints = checkpoints
        self.plan = plan
        self.listeners = listeners
        self.step = state["step"]
        self.stage = state["stage"]
        self.history = state["history"]
        self.seconds = state["seconds"]
        self.team = team
        self._skipped_before = method.alarm.read()[0]
        self._signal = self._asked_to_stop = None
        self._clock = time.perf_counter()
        self._epoch_began = (self.seconds, self.step)
        self.bar = tqdm.tqdm(
            total=plan.steps,
            initial=self.step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 15,
            dynamic_ncols=True,
            disable=not team.is_chief,
            file=_Unhindered(sys.stderr),
        )

    # ---- Keras

    def on_train_begin(self, logs=None):
        self._tick()
        self._epoch_began = (self.seconds, self.step)

    def on_train_batch_end(self, batch, logs=None):
        before = self.step
        self.step = self.method.stage_start + int(self.method.optimizer.iterations.numpy())
        self.bar.update(self.step - before)
        self._check_finite()
        if self.step % self.plan.steps_per_epoch == 0:
            return  # saved when the epoch is closed
        self._agree_to_stop()
        every = self.plan.checkpoint_steps
        # Counted, as a run may go on in calls that no longer end at multiples of it.
        if self._asked_to_stop or self.step // every > before // every:
            self._save()
        if self._asked_to_stop:
            raise Stopped(self._asked_to_stop)

    def on_epoch_end(self, epoch, logs=None):
        if self.step % self.plan.steps_per_epoch:
            return
        self._tick()
        self.bar.clear()  # what is logged at the end of an epoch has a line of its own
        seconds, steps = (self.seconds, self.step)
        began_seconds, began_step = self._epoch_began
        entry = {
            "step": self.step,
            "stage": self.stage,
            "epoch": self.step // self.plan.steps_per_epoch,
            "seconds": seconds,
            "images_per_second": (self.plan.images_read(steps) - self.plan.images_read(began_step))
            / max(seconds - began_seconds, 1e-9),
            "learning_rate": float(tf.convert_to_tensor(self.method.optimizer.learning_rate)),
            **self.method.end_epoch(self.step),
        }
        if self.plan.max_skipped_steps:
            entry["skipped_steps"] = self.method.alarm.read()[0]
        self.close_epoch(entry)

    # ---- parts

    def close_epoch(self, entry: dict) -> None:
        """Evaluates, logs and saves; an evaluation that is cut off or fails is made on going on."""
        try:
            entry |= self.evaluate(self._leave_evaluation)
        except _EvaluationCut:
            self._save(unevaluated=entry)
            raise Stopped(self._signal) from None
        except rows.NotFinite as error:
            raise alarm.NonFiniteError(
                f"in the evaluation of step {self.step} {str(error).rstrip('.')}; start over with "
                "--fresh and a lower --learning_rate."
            ) from None
        except Exception:
            # A test picture that is unreadable, or too little memory, costs no training either.
            self._save_if_alone(unevaluated=entry)
            raise
        self._append(entry)
        self.log(entry)
        self._agree_to_stop()
        due = self.step % self.plan.checkpoint_steps == 0 or self.step == self.plan.steps
        if due or self._asked_to_stop:
            self._save()
        self._show(entry)
        if self._asked_to_stop:
            raise Stopped(self._asked_to_stop)
        self._tick()
        self._epoch_began = (self.seconds, self.step)

    def log(self, entry: dict) -> None:
        """Tells all listeners; a log that cannot be written costs no training, and no entry."""
        try:
            for listener in self.listeners:
                listener(entry)
        except Exception:
            self._save_if_alone(unlogged=True)
            raise

    def stop_if_asked(self) -> None:
        """Raises Stopped where a stop was asked for since the last step; all is saved."""
        self._agree_to_stop()
        if self._asked_to_stop:
            raise Stopped(self._asked_to_stop)

    @property
    def _is_of_several(self):
        return self.team.workers > 1

    def _leave_evaluation(self):
        # Several workers judge a part each and agree on a stop after it.
        if self._signal and not self._is_of_several:
            raise _EvaluationCut

    def _tick(self):
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now

    def _check_finite(self):
        skipped, first, rate, names = self.method.alarm.read()
        limit = self.plan.max_skipped_steps
        # Without a limit, what was skipped while there was one is forgiven.
        if skipped > (limit or self._skipped_before):
            last = self.checkpoints.sound_until(self.step)
            more = f"a --max_skipped_steps above {limit}" if limit else "--on_nonfinite=skip"
            raise alarm.NonFiniteError(
                f"{' and '.join(names)} not finite: {skipped} step(s) were not applied, first "
                f"step {first} at learning rate {rate:g}; the last good checkpoint is that of step "
                f"{last[-1] if last else 0}. With {more}, and without --fresh, the same command "
                "goes on from there; or start over with --fresh and a lower --learning_rate."
            )

    def _append(self, entry):
        for earlier in self.history[-1:]:
            _thin(earlier)
        self.history.append(entry)

    def _save(self, **more):
        self._tick()
        # An evaluation between two checkpoints may be better, but its weights are gone.
        kept = {*self.checkpoints.sound_until(self.step), self.step}
        saved = [entry for entry in self.history if entry["step"] in kept and _score(entry)]
        best = max(saved, key=_score, default={"step": None})
        state = {
            "step": self.step,
            "stage": self.stage,
            "history": self.history,
            "seconds": self.seconds,
            **more,
        }
        self.checkpoints.save(self.step, state, best["step"])

    def _save_if_alone(self, **more):
        """Saves before an error ends this process; several workers would have to do it together."""
        if not self._is_of_several:
            with contextlib.suppress(checkpoint.CheckpointError, workdir.WorkdirError):
                self._save(**more)

    def _show(self, entry):
        shown = {}
        if "loss" in entry["train"]:  # not where all steps of the epoch were skipped
            shown["loss"] = f"{entry['train']['loss']:.3f}"
        if "mask_rate" in entry["train"]:
            shown["confident"] = f"{entry['train']['mask_rate']:.0%}"
        if _score(entry):
            shown["bACC"] = f"{100 * _score(entry):.1f}%"
        shown["images/s"] = f"{entry['images_per_second']:.0f}"
        self.bar.set_postfix(shown, refresh=False)

    def ask_to_stop(self, name: str):
        if self._signal and name == signal.SIGINT.name:
            raise KeyboardInterrupt  # the second one: at once
        self._signal = name

    def _agree_to_stop(self):
        """Stops all workers at the same step: the next one would wait for those that left."""
        asked = self._signal
        if self.team.any(asked is not None):
            asked = asked or "a signal to another worker"
        self._asked_to_stop = asked


def _thin(entry: dict) -> None:
    """Takes from an earlier entry what is too large to be kept of each, in every checkpoint.

    Confusion matrices, bins of calibration, and numbers of each class where there are very
    many classes.
    """
    for part in (entry, *entry["test"].values()):
        for name in metrics.LAST_ONLY:
            part.pop(name, None)
        for name, value in list(part.items()):
            if isinstance(value, list) and len(value) > _LONGEST_LIST:
                del part[name]


def _score(entry: dict) -> float:
    """Balanced accuracy of the averaged network, 0 where nothing was evaluated."""
    return entry.get("test", {}).get("ema", {}).get("balanced_accuracy", 0.0)
