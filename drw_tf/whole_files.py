"""Files that are there whole or not at all, whatever stops the process or the machine."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import IO

_BLOCK = 1 << 20  # bytes


@contextlib.contextmanager
def replaced(path: str | os.PathLike) -> Iterator[IO[str]]:
    """Context: a UTF-8 text file that takes the place of `path` if all goes well.

    A reader sees the earlier file or the whole new one. Line ends are written as they are.

    Raises:
        OSError: the folder is missing, read-only or full, with the name of `path`; nothing is
            left behind.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        # A full disk has no name, and that of the unfinished file means nothing to a user.
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished(folder: str | os.PathLike) -> list[str]:
    """Names of files in a folder that a kill has left where `replaced` was at work."""
    return [path.name for path in pathlib.Path(folder).glob(".*.unfinished")]


def flush(path: str | os.PathLike) -> None:
    """Returns when a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file in hexadecimal, read block by block: it may be larger than the memory.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
