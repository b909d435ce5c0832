"""A folder that is written beside and takes the place of an earlier one when it is complete."""

import contextlib
import fcntl
import os
import pathlib
import shutil
from typing import IO

from drw_tf import whole_files

KERAS_FILE = "ema.keras"
CARD = "MODEL_CARD.md"
# What an export consists of; a folder with anything else in it is not overwritten.
PARTS = frozenset(
    (
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "saved_model.pb",
        "variables",
        KERAS_FILE,
        CARD,
    )
)
# In every export, and in no other program's SavedModel: a folder without it is not either.
MARKER = pathlib.PurePath("assets", "serving.json")


class ExportError(RuntimeError):
    """Nothing was exported; an earlier export is as it was. One line for the user."""


def refuse_others(target: pathlib.Path) -> None:
    """Raises ExportError if a place has something else than an export in it."""
    if target.is_dir():
        found = {path.name for path in target.iterdir()}
        others = sorted(found - PARTS)
        if others:
            raise ExportError(
                f"{target} must be new or an earlier export, it has {others[0]} in it."
            )
        if found and not (target / MARKER).is_file():
            raise ExportError(f"{target} must be new or an earlier export, it has no {MARKER}.")
    elif target.exists():
        raise ExportError(f"{target} must be a folder, it is a file.")


class Replacement:
    """Context: an empty folder that takes the place of `target` if all goes well.

    It is written in a folder beside the target, `.<name>.unfinished`, which has a lock: what a
    killed process has left there has no owner, and the next export settles it.
    """

    def __init__(self, target: str | os.PathLike):
        # Absolute, so that "." has a name and a parent, too; through links, which stay as they are.
        self.target = pathlib.Path(os.path.realpath(target))
        self._aside = self.target.parent / f".{self.target.name}.unfinished"
        self._new, self._old = self._aside / "new", self._aside / "old"
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> pathlib.Path:
        try:
            refuse_others(self.target)
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._claim()
            self._settle()  # what a killed process has left
            self._new.mkdir()
        except OSError as error:
            self._leave()
            raise ExportError(f"{self.target} cannot be written: {error.strerror}.") from None
        except BaseException:
            self._leave()
            raise
        return self._new

    def __exit__(self, kind, error, trace):
        try:
            try:
                if error is None:
                    self._replace()
            finally:  # after a signal, too
                self._settle()
        except OSError as failed:
            error = failed
        finally:
            self._leave()
        import tensorflow as tf  # here: who reads the names above need not wait for it

        if isinstance(error, OSError | tf.errors.OpError):
            text = " ".join(str(error).split())[:300]
            raise ExportError(f"{self.target} was not written: {text}") from error

    def _claim(self) -> IO[bytes]:
        """The lock of the folder beside, which is the kernel's and ends with its process."""
        path = self._aside / "lock"
        while True:
            self._aside.mkdir(exist_ok=True)
            with contextlib.ExitStack() as stack:
                try:
                    lock = stack.enter_context(path.open("ab"))
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    is_there = os.path.samestat(os.fstat(lock.fileno()), path.stat())
                except BlockingIOError:
                    raise ExportError(
                        f"{self.target} is being written by another process; wait for it."
                    ) from None
                except FileNotFoundError:
                    is_there = False
                if is_there:
                    stack.pop_all()
                    return lock
            # Another process was done just now and has removed it: once more.

    def _replace(self) -> None:
        for path in (*self._new.rglob("*"), self._new):
            whole_files.flush(path)
        if self.target.exists():
            os.rename(self.target, self._old)
        os.rename(self._new, self.target)
        # Before the earlier one is removed: a power cut leaves one of them.
        whole_files.flush(self.target.parent)

    def _settle(self) -> None:
        """Puts an earlier export back that nothing has replaced, and removes the rest."""
        if self._old.exists() and not self.target.exists():
            os.rename(self._old, self.target)
        if self._old.is_symlink():  # earlier versions moved the link in place of the folder
            self._old.unlink()
        for path in (self._old, self._new):
            shutil.rmtree(path, ignore_errors=True)

    def _leave(self) -> None:
        if self._lock:
            # Where an earlier export could not be put back, it stays for the next one to do it.
            with contextlib.suppress(OSError):
                (self._aside / "lock").unlink()
                self._aside.rmdir()
            self._lock.close()
            self._lock = None
