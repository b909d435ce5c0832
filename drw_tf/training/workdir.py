"""The folder of a run: who may write to it, and whether it is the same run."""

import fcntl
import logging
import os
import pathlib
import platform
import time
from typing import IO

from drw_tf import patience, whole_files

# What the names of folders with an earlier run's files, moved aside, begin with.
MOVED_ASIDE = "before_"
# A checkpoint that was moved away for another one of its step; alone where that did not come.
REPLACED = ".replaced"
_RETRY_SECONDS = 0.5


class WorkdirError(RuntimeError):
    """The folder cannot be used; the message is one line for the user."""


class Layout:
    """Where things lie in a run's folder; nothing is written or locked."""

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)

    def release(self) -> None:
        """Gives up what is locked, which is nothing."""

    def require_held(self) -> None:
        """Nothing: whoever has no lock can lose none."""

    @property
    def checkpoints(self) -> pathlib.Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def config(self) -> pathlib.Path:
        """File with the flags that the run was started with."""
        return self.path / "config.json"

    @property
    def data(self) -> pathlib.Path:
        """File that tells the data that the run was begun with from others."""
        return self.path / "data.json"

    @property
    def makers(self) -> pathlib.Path:
        """File that says which code trained from which step on, on how many replicas."""
        return self.path / "made_by.json"

    @property
    def tensorboard(self) -> pathlib.Path:
        """Folder of the event files."""
        return self.path / "tensorboard"

    @property
    def record(self) -> pathlib.Path:
        """File with the run's result."""
        return self.path / "record.json"

    @property
    def export(self) -> pathlib.Path:
        """Folder of the SavedModel."""
        return self.path / "export"

    @property
    def parts(self) -> tuple[pathlib.Path, ...]:
        """All that a run writes, in an order in which it can be written anew."""
        state = self.config, self.data, self.makers, self.checkpoints
        return *state, self.tensorboard, self.record, self.export

    @property
    def is_begun(self) -> bool:
        """Whether there are results of training, be they damaged."""
        parts = (self.record, self.checkpoints / REPLACED)
        return any(part.exists() for part in parts) or self.has_checkpoints

    @property
    def has_checkpoints(self) -> bool:
        """Whether there are checkpoints, be they damaged."""
        return any(self.checkpoints.glob("step_*"))

    def write_config(self, text: str) -> None:
        """Writes `config`; a kill leaves the old file or the new one."""
        self._write(self.config, text)

    def write_data(self, text: str) -> None:
        """Writes `data`; a kill leaves the old file or the new one."""
        self._write(self.data, text)

    def write_makers(self, text: str) -> None:
        """Writes `makers`; a kill leaves the old file or the new one."""
        self._write(self.makers, text)

    def _write(self, path: pathlib.Path, text: str) -> None:
        self.require_held()
        _replace(path, text)


class Workdir(Layout):
    """A run's folder, locked as long as this object lives.

    The lock is the kernel's, so that it ends with its process, however that ends: a lock
    file that nobody holds is stale and is taken over.

    Args:
        path: of the folder.
        wait_seconds: how long to wait for another process to give it up. A shared folder's server
            keeps a lock for a while after its machine has died.
    """

    def __init__(self, path: str | pathlib.Path, wait_seconds: float = 0):
        super().__init__(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / "lock", "a+b", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._unusable("written", error) from None
        try:
            self._take_lock(time.monotonic() + wait_seconds)
        except BaseException:
            self.release()
            raise

    def _take_lock(self, deadline: float) -> None:
        is_told = False
        while (holder := self._other_holder()) is not None:
            in_use = f"--workdir={self.path} is in use by process {holder}"
            if time.monotonic() >= deadline:
                raise WorkdirError(f"{in_use}; wait for it or choose another folder.")
            if not is_told:
                logging.getLogger("drw_tf").warning("%s; waiting for it.", in_use)
                is_told = True
            time.sleep(_RETRY_SECONDS)
        # Of a folder that several machines share, the process may be another one's. A container's
        # replacement has its number, 1, and often its host name, but takes the lock later.
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        self._holder = f"{os.getpid()} on {platform.node()} since {since}"
        try:
            self._lock.truncate(0)
            self._lock.write(self._holder.encode())
        except OSError as error:
            raise self._unusable("written", error) from None

    def _other_holder(self) -> str | None:
        """Who has the lock; None where it is this process now."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            self._lock.seek(0)
            return _name_in(self._lock)
        except OSError as error:
            raise self._unusable("locked", error) from None

    def _unusable(self, what: str, error: OSError) -> WorkdirError:
        return WorkdirError(f"--workdir={self.path} cannot be {what}: {error.strerror}.")

    def release(self) -> None:
        """Gives the folder up."""
        self._lock.close()

    def require_held(self) -> None:
        """Nothing; a folder that has become another one's is refused before it is written to.

        The lock is on a file, and what is written goes by its path, where another run may be by
        now. A network disk also gives the lock of a machine that it has not heard of to others.

        Raises:
            WorkdirError: the folder or its lock was moved or removed, another process has taken
                the lock, or nobody can say now.
        """

        def look():
            # Opened anew: what a network disk tells of a file that is open may be old.
            with open(self.path / "lock", "rb") as lock:
                same = os.path.samestat(os.fstat(self._lock.fileno()), os.fstat(lock.fileno()))
                return same, _name_in(lock)

        try:
            is_there, holder = patience.Patience().read(look)
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        except OSError as error:
            raise self._unusable("read", error) from None
        if not is_there:
            raise WorkdirError(
                f"--workdir={self.path} or its lock was moved or removed while this run trained, "
                "and is written to no more; to go on from its last checkpoint, give the folder's "
                "new place as --workdir."
            )
        if holder != self._holder:
            raise WorkdirError(
                f"--workdir={self.path} was taken over by process {holder} while this run "
                "trained, and is written to no more; wait for it or choose another folder."
            )

    def set_aside(self) -> pathlib.Path | None:
        """Moves an earlier run's files into a folder of their own; nothing is deleted.

        Whatever else lies in the folder stays, other runs below it too.

        Raises:
            WorkdirError: see `require_held`.
        """
        self.require_held()
        earlier = [path for path in self.parts if path.exists()]
        if not earlier:
            return None
        aside = self.path / time.strftime(f"{MOVED_ASIDE}%Y%m%d_%H%M%S")
        while aside.exists():
            aside = aside.with_name(aside.name + "x")
        aside.mkdir()
        # The flags go last, and before them what tells the data: after a kill between two moves,
        # other ones are still refused.
        for path in reversed(earlier):
            path.rename(aside / path.name)
        return aside


def _name_in(lock: IO[bytes]) -> str:
    """Who has written himself into a lock; "unknown" where nobody has."""
    return lock.read().decode(errors="replace").strip() or "unknown"


def _replace(path: pathlib.Path, text: str) -> None:
    """Writes beside and renames; what is the same already stays as it is."""
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return
        with whole_files.replaced(path) as file:
            file.write(text)
    except OSError as error:
        raise WorkdirError(f"{path} cannot be written: {error.strerror}.") from None
