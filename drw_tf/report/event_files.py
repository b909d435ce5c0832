"""TensorBoard's event files: finding them, and cutting off what lies beyond a checkpoint.

TensorFlow's writers can only append. A run that was killed has logged steps that it will
take again, so on resume the files are rewritten without them, before a writer is opened.
"""

import contextlib
import errno
import os
import pathlib
import re
import time
from collections.abc import Iterator

import tensorflow as tf
from tensorboard.backend.event_processing import event_file_loader

from drw_tf import patience

# TensorBoard takes every file with this in its name for an event file.
_MARK = "tfevents"
# Seconds since 1970 at which a file was begun, in its name: the order in which they are read.
_STAMP = re.compile(rf"(?<={_MARK}\.)\d+")
_UNFINISHED = ".rewriting"


def find(logdir: str | os.PathLike) -> list[pathlib.Path]:
    """Event files below a folder, oldest first within each folder; none if it is missing."""
    return sorted(path for path in pathlib.Path(logdir).rglob(f"*{_MARK}*") if path.is_file())


def size(logdir: str | os.PathLike) -> int:
    """Bytes of all event files below a folder."""
    return sum(path.stat().st_size for path in find(logdir))


def refusal(logdir: str | os.PathLike, reason: str) -> OSError:
    """The error of events that a folder did not take, in one line."""
    return OSError(f"{logdir}: TensorBoard's events could not be written: {reason}.")


@contextlib.contextmanager
def writing(logdir: str | os.PathLike) -> Iterator[None]:
    """Context of what writes events: of TensorFlow's errors it makes an OSError of one line."""
    try:
        yield
    except tf.errors.OpError as error:
        raise refusal(logdir, _reason(error)) from None


def _reason(error: tf.errors.OpError) -> str:
    """What an error of a file says, without the file and the operation."""
    first = error.message.strip().splitlines()[0]
    return first.partition(" [Op:")[0].rpartition("; ")[2]


def truncate(
    logdir: str | os.PathLike, last_step: int, dropped_tags: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Drops events, so that none lies beyond a step.

    Each file is written beside and renamed, so being killed here costs nothing: the same
    call goes on. The kept events are copied byte for byte, wall times included. Files
    without a value left are removed. Files of the folder itself that were begun now or later, as
    by a clock that was set back since, get names of before: what is written next is read last.
    No writer may be open on the folder.

    Args:
        logdir: folder with event files, also in folders below it.
        last_step: steps; events with a larger one are dropped. -1 drops all values.
        dropped_tags: how tags begin whose events are dropped at any step.

    Returns:
        Names of files whose tail was not readable; it was cut off.

    Raises:
        OSError: a file cannot be read now, as where a shared disk is gone; or what is kept could
            not be written, as where the disk is full. This file is as it was.
    """
    for leftover in pathlib.Path(logdir).rglob(f"*{_UNFINISHED}"):
        leftover.unlink()
    damaged = []
    for path in find(logdir):
        records = _records(path)
        kept = [record for record in records if _is_kept(record, last_step, dropped_tags)]
        whole = path.stat().st_size == _framed_size(records)
        if not whole:
            damaged.append(path.name)
        if not any(_has_values(record) for record in kept):
            path.unlink()
        elif not whole or len(kept) < len(records):
            _replace(path, kept)
    renamed = _put_before_now(logdir)
    return tuple(renamed.get(name, name) for name in damaged)


def _records(path: pathlib.Path) -> list[bytes]:
    """The events of a file up to the first that is damaged."""

    def read():
        try:
            return list(event_file_loader.RawEventFileLoader(str(path)).Load())
        except tf.errors.OpError as error:
            # TensorFlow's errors have no number: each counts as one of reading, which may pass.
            raise OSError(errno.EIO, _reason(error)) from None

    try:
        return patience.Patience().read(read)
    except OSError as error:
        raise OSError(
            f"{path} cannot be read now ({error.strerror}); give the same command when the disk "
            "is back."
        ) from None


def _put_before_now(logdir: str | os.PathLike) -> dict[str, str]:
    """Renames files of a folder, so that a new one comes after them; their order stays.

    Returns:
        The new name of each that has one, by its old one.
    """
    files = [path for path in find(logdir) if path.parent == pathlib.Path(logdir)]
    stamps = [(path, _STAMP.search(path.name)) for path in files]
    renamed, below = [], int(time.time())
    for path, stamp in reversed([one for one in stamps if one[1]]):
        if int(stamp[0]) < below:
            break
        below -= 1
        renamed.append((path, path.with_name(_STAMP.sub(f"{below:010d}", path.name, count=1))))
    # The first one first: where this is killed their order stays, too.
    for path, name in reversed(renamed):
        path.rename(name)
    return {path.name: name.name for path, name in renamed}


def _is_kept(record: bytes, last_step: int, dropped_tags: tuple[str, ...]) -> bool:
    """Whether an event is of no later step and no dropped tag; the version line has no values."""
    event = tf.compat.v1.Event.FromString(record)
    if event.WhichOneof("what") == "file_version":
        return True
    is_dropped = any(value.tag.startswith(dropped_tags) for value in event.summary.value)
    return event.step <= last_step and not is_dropped


def _framed_size(records: list[bytes]) -> int:
    """Bytes of a file with these records: 8 of length, 4 + 4 of checksums around each."""
    return sum(len(record) + 16 for record in records)


def _has_values(record: bytes) -> bool:
    """Whether an event is more than the line that opens every file."""
    return tf.compat.v1.Event.FromString(record).WhichOneof("what") != "file_version"


def _replace(path: pathlib.Path, records: list[bytes]) -> None:
    """Puts these records in the file's place; a kill leaves the old file or the new one."""
    # The name of the unfinished file must not look like an event file to TensorBoard.
    unfinished = path.with_name(path.name.replace(_MARK, "events") + _UNFINISHED)
    with writing(path.parent), tf.io.TFRecordWriter(str(unfinished)) as writer:
        for record in records:
            writer.write(record)
    with open(unfinished, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(unfinished, path)
