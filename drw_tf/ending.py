"""Ends a program that has saved its work, whatever threads of TensorFlow are still asleep."""

import contextlib
import os
import sys
from collections.abc import Callable


class AtOnce(SystemExit):
    """Exit of a program of one process with nothing left to do: no thread need be waited for."""


def run(main: Callable[[], None]) -> None:
    """Calls a program's `main` where it is the whole process, and obeys `AtOnce`.

    An orderly exit takes TensorFlow's iterators down. A thread that tunes the one that feeds the
    GPUs can then be asleep for up to a minute, and a scheduler's patience ends before.
    """
    try:
        main()
    except AtOnce as exit_:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # its reader has left
                stream.flush()
        os._exit(exit_.code)
