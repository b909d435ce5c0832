"""A program's last lines, on a standard error that may be full or gone."""

import contextlib
import sys


def say(line: str) -> None:
    """Prints a line on standard error; where that cannot be written nothing happens.

    What the line explains, an exit code, must not become another one.
    """
    # A ValueError: it is closed.
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
