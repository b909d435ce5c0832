"""The folder of a cache: outside the user's data, and filled by one process at a time."""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator

from drw_tf import places

LOCK = ".lock"
_LOG = logging.getLogger("drw_tf")


def make(cache_dir: str, data_dir: str) -> None:
    """Makes the folder; refuses one inside the user's data.

    Raises:
        ValueError: `cache_dir` lies in `data_dir`.
        OSError: it cannot be made.
    """
    if places.lies_in(cache_dir, data_dir):
        raise ValueError(f"--cache_dir must lie outside --data_dir={data_dir}, got {cache_dir}.")
    os.makedirs(cache_dir, exist_ok=True)


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """Context that one process at a time is in; the others wait and find the cache filled.

    Args:
        folder: of the cache, which exists. The lock on an empty file in it is the kernel's:
            it ends with its process, however that ends.
    """
    descriptor = _lock_file(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _LOG.warning("another process fills %s, waiting", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            _LOG.warning("%s cannot be locked: let one process at a time fill it", folder)
        yield
    finally:
        os.close(descriptor)


def _lock_file(folder: str) -> int:
    """Descriptor of what is locked.

    A file that is open for writing: on NFS only such a lock holds between machines. Where none
    can be made, nothing can be filled either.
    """
    try:
        return os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(folder, os.O_RDONLY)
