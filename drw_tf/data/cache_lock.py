"""One process at a time fills a cache; the others wait and find it filled."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """Context in which no other process is in the same context.

    Args:
        folder: of the cache, which exists. The lock on it is the kernel's: nothing is
            written, and it ends with its process, however that ends.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger("drw_tf").warning("another process fills %s, waiting", folder)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
