"""How programs end: one that was interrupted, and one whose threads are still asleep."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

EXIT_INTERRUPTED = 130  # as of a shell's command that Ctrl-C ended


class AtOnce(SystemExit):
    """Exit of a program of one process with nothing left to do: no thread need be waited for."""


@contextlib.contextmanager
def interruptible(program: str) -> Iterator[None]:
    """Context, or decorator of a `main`, of a program that has nothing to go on from.

    Raises:
        SystemExit: Ctrl-C arrived (130); a line said so on standard error.
    """
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError):
            print(f"{program}: interrupted.", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


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
