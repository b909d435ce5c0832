"""SIGTERM, as schedulers send it before they take a machine away, and Ctrl-C."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

# What Python is given to come to its own handlers, after a second Ctrl-C.
_PATIENCE_SECONDS = 2.0


@contextlib.contextmanager
def handed_to(ask_to_stop: Callable[[str], None]) -> Iterator[None]:
    """Context in which both signals call a function, with the signal's name, and do no more.

    What this process ignores, as Ctrl-C in the background of a script, it goes on ignoring.
    """
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {
        number: signal.signal(number, lambda came, frame: ask_to_stop(signal.Signals(came).name))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ended_by_a_second_ctrl_c(end: Callable[[], None]) -> Iterator[None]:
    """Context of a main thread that a second Ctrl-C ends also where it is not heard there.

    Python comes to its handlers when the call that it is in returns: one into TensorFlow may take
    minutes, or wait for data that do not come.

    Args:
        end: called in a thread of its own where two seconds after the second Ctrl-C the context is
            still there; ends the process.
    """
    read, written = os.pipe()
    os.set_blocking(written, False)
    is_left = threading.Event()

    def watch():
        came = 0
        while came < 2 and not is_left.is_set():
            came += os.read(read, 64).count(signal.SIGINT)
        if not is_left.wait(_PATIENCE_SECONDS):
            end()

    watcher = threading.Thread(target=watch, daemon=True)
    # C writes the signal's number there at once, whatever Python is in.
    before = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        is_left.set()
        signal.set_wakeup_fd(before)
        os.write(written, b"\0")  # no signal's number: only wakes the watcher
        watcher.join()
        os.close(written)
        os.close(read)
