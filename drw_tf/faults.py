"""What can go wrong while pictures are read, in a step and in an export, told to who can mend it.

Contexts around these parts: TensorFlow's errors name no picture, flag or service.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from drw_tf import config as configuration
from drw_tf.data import data_service, image_scan
from drw_tf.data import dataset as records
from drw_tf.methods import alarm
from drw_tf.serving import folders
from drw_tf.training import checkpoint, cluster, messages, workdir

# What a user can cause; anything else is a bug and keeps its traceback.
USER_ERRORS = (
    configuration.ConfigError,
    workdir.WorkdirError,
    checkpoint.CheckpointError,
    cluster.ClusterError,
    alarm.NonFiniteError,
    folders.ExportError,
    OSError,  # a full disk, a missing file
    ValueError,
)
# What reading or decoding a file raises in a graph.
_READING_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)
# What a network disk that is gone for a while makes of reading, and workers that are gone of
# talking to them: ESTALE, ETIMEDOUT, ENOTCONN and, which TensorFlow gives another name while it
# runs a graph, EHOSTDOWN.
_DISK_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnavailableError,
    tf.errors.InternalError,
)

# As TensorFlow's allocator, XLA's, and some operations by themselves word it; a full disk is the
# same kind of error, whose text has a path in it.
_NO_MEMORY = re.compile(r"\bOOM\b|out of memory|failed to allocate", re.IGNORECASE)
_FULL_DISK = os.strerror(errno.ENOSPC)
# Of programs that read a run.
LEAVE_OUT = (
    "give the same command again, or with --decode_all --on_bad_image=skip, which leaves out what "
    "cannot be decoded"
)


class ServiceLost(RuntimeError):
    """A tf.data service that was there is not there now; the message is the end of a sentence."""


class DiskCameBack(OSError):
    """Pictures could not be read for a while, as where a shared disk was gone."""


@contextlib.contextmanager
def naming_memory(config: configuration.Config, *flags: str) -> Iterator[None]:
    """Context: where memory runs out, what can be made smaller is said.

    Args:
        config: of the run.
        *flags: names of those that say how many pictures there are at once, beside
            `eval_batch_size`.

    Raises:
        ConfigError: memory ran out.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        text = str(error)
        if _FULL_DISK in text or not _NO_MEMORY.search(text):
            raise
        smaller = [
            f"a smaller --{name} than {config[name]}" for name in (*flags, "eval_batch_size")
        ]
        raise configuration.ConfigError(
            f"memory ran out ({messages.one_line(error)}); give {', or '.join(smaller)}."
        ) from None


@contextlib.contextmanager
def naming_service(address: str | None, has_trained: Callable[[], bool]) -> Iterator[None]:
    """Context: a tf.data service that is lost in mid-run is told from one that never was there.

    Args:
        address: of the service; None without one.
        has_trained: whether this run has had batches of it.

    Raises:
        ServiceLost: it was there, and the run can go on when it is again.
        data_service.NoAnswer: it may not be where the flag says.
    """
    try:
        yield
    except data_service.NoAnswer as error:
        if not has_trained():
            raise
        raise ServiceLost(f"a lost data service ({str(error).rstrip('.')})") from None
    except tf.errors.OpError as error:
        text = messages.without_places(error)
        # An error between workers may tell of what ended another one.
        is_of_input = "IteratorGetNext" in str(error) and "collective" not in text.lower()
        if not (address and is_of_input and data_service.is_outage(error)):
            raise
        raise ServiceLost(
            f"a lost data service (--data_service={address}: {messages.one_line(error)})"
        ) from None


@contextlib.contextmanager
def naming_damage(dataset: records.Dataset, way_on: str) -> Iterator[None]:
    """Context: a picture that became unreadable is named, as TensorFlow does not do.

    Args:
        dataset: that is read.
        way_on: what can be done once the picture is mended, the end of a sentence.

    Raises:
        ConfigError: with the name of a picture that cannot be read now, or the disk is gone.
        DiskCameBack: what could not be read can be now.
    """
    try:
        yield
    except (*_READING_ERRORS, *_DISK_ERRORS) as error:
        text = str(error)
        if "IteratorGetNext" not in text:
            raise  # not of the input
        if isinstance(error, _DISK_ERRORS) and not _is_of_a_file(text):
            raise
        parts = (dataset.train, dataset.test)
        files = [part for part in parts if isinstance(part, records.FileImages)]
        paths = [path for part in files for path in part.paths]
        # An error of reading names its file, one of decoding does not.
        named = [path for path in paths if f"{path}; " in text]
        try:
            found = image_scan.first_damaged(named or paths)
        except OSError as gone:
            raise configuration.ConfigError(
                f"{gone.filename}: {gone.strerror}; when the disk is back, {way_on}."
            ) from None
        if found:
            raise configuration.ConfigError(
                f"{found.path}: {found.reason}. At the start its header could be read. Mend it, "
                f"or put a sound picture in its place, of its class if it has one; then {way_on}."
            ) from None
        if not files or isinstance(error, tf.errors.InvalidArgumentError):
            raise  # of the code, not of the disk
        raise DiskCameBack(
            f"a picture that could not be read ({messages.one_line(error)}), though it can be now"
        ) from None


def _is_of_a_file(text: str) -> bool:
    """Whether an error of the input is of reading a picture file, and not between workers."""
    return "ReadFile" in text and "collective" not in text.lower()


@contextlib.contextmanager
def naming_fault(what: str) -> Iterator[None]:
    """Context: what a user gives was checked before, so a plain ValueError is a fault of the code.

    Args:
        what: failed then, a new method's step say.

    Raises:
        RuntimeError: in its place, to be shown with its traceback.
    """
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise RuntimeError(f"{what} failed") from error
