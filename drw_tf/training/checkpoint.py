"""Checkpoints: written beside and renamed, checked when read, the newest and best kept.

A checkpoint is a folder `step_<step>` with TensorFlow's files, `state.json` (step, history)
and `checksums.json`. It holds everything that the next step depends on.
"""

import contextlib
import json
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

import tensorflow as tf

from drw_tf import patience, whole_files
from drw_tf.data import image_scan
from drw_tf.training import cluster, messages, workdir

_LOG = logging.getLogger("drw_tf")
_WRITING = ".writing"
_PARTS = {"state.json", "variables.index"}


class CheckpointError(RuntimeError):
    """No usable checkpoint, or none could be written; the message is for the user."""


class DiskGone(OSError):
    """The disk of a checkpoint does not answer now; the message is one line for the user."""

    def __init__(self, path: pathlib.Path, reason: str):
        super().__init__(
            f"{path} cannot be read now ({reason}); give the same command when the disk is back."
        )


def of_folder(folder: pathlib.Path) -> "Checkpoints":
    """Those that lie in a folder, to be found: no model takes their variables."""
    return Checkpoints(folder, tf.Module(), 1)


class Checkpoints:
    """The checkpoints of one run, in a folder that all its workers see.

    Args:
        folder: that they lie in.
        model: whose variables they hold.
        keep: how many of the newest are kept, >= 1.
        team: the workers that train together; None for this process alone.
        require_held: called on the chief before anything is written; raises where the folder has
            become another run's.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        model: tf.Module,
        keep: int,
        team: cluster.Team | None = None,
        require_held: Callable[[], None] = lambda: None,
    ):
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.team = team
        self._require_held = require_held
        # Steps of checkpoints that the one in use was preferred to.
        self._damaged: set[int] = set()
        self._checkpoint = tf.train.Checkpoint(model=model)

    def save(self, step: int, state: dict, best_step: int | None = None) -> None:
        """Writes a checkpoint and removes old ones; all workers call it, the chief writes.

        Args:
            step: steps done.
            state: JSON-serialisable, with "step"; returned by `newest`.
            best_step: step whose checkpoint is kept besides the newest `keep`.

        Raises:
            CheckpointError: it could not be written; earlier checkpoints are untouched.
            Exception: what `require_held` raises; nothing is written.
        """
        if self.team and not self.team.is_chief:
            # Sums over replicas are made while they are written, by all workers together.
            try:
                with tempfile.TemporaryDirectory() as unread:
                    self._checkpoint.write(os.path.join(unread, "variables"))
            except (OSError, tf.errors.OpError) as error:
                what = f"worker {self.team.worker}'s part of {self.folder_of(step)}"
                raise self._refusal(what, step, error) from None
            return
        self._require_held()
        writing = self.folder / _WRITING
        final = self.folder_of(step)
        try:
            shutil.rmtree(writing, ignore_errors=True)
            writing.mkdir(parents=True)
            self._checkpoint.write(str(writing / "variables"))
            (writing / "state.json").write_text(json.dumps(state))
            sums = {path.name: whole_files.checksum(path) for path in sorted(writing.iterdir())}
            (writing / "checksums.json").write_text(json.dumps(sums))
            for path in (*writing.iterdir(), writing):
                whole_files.flush(path)
            replaced = self.folder / workdir.REPLACED
            shutil.rmtree(replaced, ignore_errors=True)
            if final.exists():
                # Renamed, as a kill while it is removed would leave none.
                os.replace(final, replaced)
            os.replace(writing, final)
            whole_files.flush(self.folder)
            shutil.rmtree(replaced, ignore_errors=True)
        except (OSError, tf.errors.OpError) as error:
            self.restore_replaced()
            shutil.rmtree(writing, ignore_errors=True)
            raise self._refusal(f"checkpoint {final}", step, error) from None
        self._damaged.discard(step)
        self._remove_old(step, best_step)

    def _refusal(self, what: str, step: int, error: Exception) -> Exception:
        if self.team and self.team.is_lost(error):
            return error
        last = self.sound_until(step)[-1:]
        kept = f"the last good one is that of step {last[0]}" if last else "there is no other"
        return CheckpointError(f"could not write {what}: {messages.one_line(error)}; {kept}.")

    def restore_replaced(self) -> None:
        """Brings back a checkpoint that was moved away for one that then did not come."""
        replaced = self.folder / workdir.REPLACED
        try:
            final = self.folder_of(json.loads((replaced / "state.json").read_text())["step"])
            if not final.exists():
                os.replace(replaced, final)
        except (OSError, ValueError, KeyError, TypeError):
            return  # nothing was moved away, or it is damaged

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending; they may still be damaged."""
        numbers = [path.name.removeprefix("step_") for path in self.folder.glob("step_*")]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def sound_until(self, step: int) -> list[int]:
        """Those of `steps` that a run which has come to `step` has written, ascending.

        Others, earlier and later ones, are there where they were damaged and it went on from one
        before.
        """
        return [one for one in self.steps() if one <= step and one not in self._damaged]

    def newest(self) -> dict | None:
        """State of the newest sound checkpoint, or None where there is no checkpoint.

        The chief chooses it for all workers.

        Raises:
            CheckpointError: checkpoints are there, all of them damaged; or the chief's is not
                in this worker's folder.
            DiskGone: it is not known whether they are.
        """
        state = self._chosen()
        if state:
            # All of these were looked at before.
            self._damaged = {one for one in self.steps() if one > state["step"]}
        return state

    def _chosen(self) -> dict | None:
        if not self.team or self.team.workers == 1:
            return self._newest()
        found = []

        def choose():
            found.append(self._newest())
            return -1 if found[0] is None else found[0]["step"]

        step = self.team.from_chief(choose)
        if found or step < 0:
            return found[0] if found else None
        try:
            return self._state(step)
        except DiskGone:
            raise
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"worker {self.team.worker} cannot read the chief's checkpoint of step {step} "
                f"({messages.one_line(error)}); --workdir must be a folder that all workers share."
            ) from None

    def _newest(self) -> dict | None:
        steps = self.steps()
        for step in reversed(steps):
            folder = self.folder_of(step)
            problem = damage(folder)
            if not problem:
                return self._state(step)
            _LOG.warning("checkpoint %s is damaged (%s); using the one before.", folder, problem)
        if steps:
            raise CheckpointError(
                f"all checkpoints in {self.folder} are damaged; --fresh starts over."
            )
        return None

    def state_of(self, step: int) -> dict:
        """State of the checkpoint of this step.

        Raises:
            CheckpointError: there is none, or it is damaged.
            DiskGone: it is not known whether it is.
        """
        if step not in self.steps():
            found = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(
                f"{self.folder} has no checkpoint of step {step}, but of {found}."
            )
        folder = self.folder_of(step)
        problem = damage(folder)
        if problem:
            raise CheckpointError(f"checkpoint {folder} is damaged ({problem}).")
        return self._state(step)

    def _state(self, step: int) -> dict:
        return json.loads(_patiently(pathlib.Path.read_text, self.folder_of(step) / "state.json"))

    def load(self, step: int) -> None:
        """Loads the variables of the checkpoint of this step; all of them must be in it.

        Raises:
            CheckpointError: it is of other variables, as another version of this program writes.
            DiskGone: it cannot be read now.
        """
        folder = self.folder_of(step)
        # Not found: one less; an invalid argument: of another type.
        unfit = (tf.errors.NotFoundError, tf.errors.InvalidArgumentError)
        try:
            with _of_64_bits(folder) as prefix:
                self._checkpoint.read(prefix).assert_existing_objects_matched()
        except (AssertionError, ValueError, *unfit) as error:
            raise CheckpointError(
                f"checkpoint {folder} does not fit this run, it may be of another version: "
                f"{messages.one_line(error)}"
            ) from None
        except tf.errors.OpError as error:
            is_lost = self.team and self.team.is_lost(error)
            if is_lost or isinstance(error, image_scan.NO_FAULT_OF_A_FILE):
                raise
            raise DiskGone(folder, messages.one_line(error)) from None

    def folder_of(self, step: int) -> pathlib.Path:
        """Where the checkpoint of this step lies, or would."""
        return self.folder / f"step_{step:09d}"

    def _remove_old(self, step: int, best_step: int | None) -> None:
        damaged = [one for one in self._damaged if one < step]
        old = [one for one in self.sound_until(step)[: -self.keep] if one != best_step]
        for one in (*damaged, *old):
            shutil.rmtree(self.folder_of(one), ignore_errors=True)


@contextlib.contextmanager
def _of_64_bits(folder: pathlib.Path) -> Iterator[str]:
    """Context: where a checkpoint's variables are, int32 ones as int64.

    Earlier versions had some of int32, which a GPU cannot hold.
    """
    prefix = str(folder / "variables")
    reader = tf.train.load_checkpoint(prefix)
    if tf.int32 not in reader.get_variable_to_dtype_map().values():
        yield prefix
        return
    names = sorted(reader.get_variable_to_dtype_map())
    values = [tf.constant(reader.get_tensor(name)) for name in names]
    values = [tf.cast(one, tf.int64) if one.dtype == tf.int32 else one for one in values]
    with tempfile.TemporaryDirectory() as aside:
        copy = os.path.join(aside, "variables")
        tf.raw_ops.SaveV2(
            prefix=copy, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
        )
        yield copy


def damage(folder: pathlib.Path) -> str | None:
    """What is wrong with a checkpoint's files, or None.

    Raises:
        DiskGone: it is not known.
    """
    try:
        sums = json.loads(_patiently(pathlib.Path.read_text, folder / "checksums.json"))
    except DiskGone:
        raise
    except (OSError, ValueError) as error:
        return f"checksums.json: {messages.one_line(error)}"
    if not isinstance(sums, dict) or not sums.keys() >= _PARTS:
        return f"checksums.json must name {', '.join(sorted(_PARTS))}"
    for name, expected in sums.items():
        if name != pathlib.PurePath(name).name:
            return f"checksums.json names {name!r}, which is not a file in it"
        try:
            if _patiently(whole_files.checksum, folder / name) != expected:
                return f"{name}: checksum differs"
        except DiskGone:
            raise
        except OSError as error:
            return f"{name}: {messages.one_line(error)}"
    return None


def _patiently(function: Callable[[pathlib.Path], str], path: pathlib.Path) -> str:
    """What a function of a file gives, which is called again where its error may pass.

    Raises:
        DiskGone: no file of the disk can be read now.
        OSError: this one cannot be read.
    """
    try:
        return patience.Patience().read(lambda: function(path))
    except OSError as error:
        if error.errno in patience.OF_A_DISK:
            raise DiskGone(path, error.strerror) from None
        raise
