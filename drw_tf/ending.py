"""How programs end: one that was interrupted, and one whose threads are still asleep."""

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from drw_tf import standard_error

# As of a shell's command that the signal ended.
EXIT_OF_SIGNAL = 128


class AtOnce(SystemExit):
    """Exit of a program of one process with nothing left to do: no thread need be waited for."""


@contextlib.contextmanager
def interruptible(program: str) -> Iterator[None]:
    """Context, or decorator of a `main`, of a program that has nothing to go on from.

    Both signals leave it the time to remove what it had begun to write.

    Raises:
        SystemExit: Ctrl-C (130) or SIGTERM (143) arrived; a line said so on standard error.
    """
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        standard_error.say(f"{program}: interrupted.")
        raise SystemExit(EXIT_OF_SIGNAL + signal_of(error)) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupt(number, frame):
    """A handler that makes of a signal what Ctrl-C is, with the signal's name."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def signal_of(error: KeyboardInterrupt) -> signal.Signals:
    """The signal that `interrupt` has made this of; Ctrl-C where it is Python's own."""
    return signal.Signals[error.args[0]] if error.args else signal.SIGINT


def run(main: Callable[[], None]) -> None:
    """Calls a program's `main` where it is the whole process, and obeys `AtOnce`.

    An orderly exit takes TensorFlow's iterators down. A thread that tunes the one that feeds the
    GPUs can then be asleep for up to a minute, and a scheduler's patience ends before.
    """
    try:
        main()
    except AtOnce as exit_:
        at_once(exit_.code)


def at_once(code: int) -> NoReturn:
    """Ends this process with a code, whatever its threads are in."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has left, or it is closed
            stream.flush()
    _remove_generated()
    os._exit(code)


def _remove_generated() -> None:
    """Removes the files of TensorFlow's AutoGraph, as an orderly exit does, and their bytecode."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__autograph_generated_file"):
            bytecode = importlib.util.cache_from_source(module.__file__)
            for path in (module.__file__, bytecode):
                with contextlib.suppress(OSError):
                    os.remove(path)
            with contextlib.suppress(OSError):  # the folder is not empty
                os.rmdir(os.path.dirname(bytecode))
