"""SIGTERM, as schedulers send it before they take a machine away, and Ctrl-C."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def handed_to(ask_to_stop: Callable[[str], None]) -> Iterator[None]:
    """Context in which both signals call a function, with the signal's name, and do no more."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {
        number: signal.signal(number, lambda came, frame: ask_to_stop(signal.Signals(came).name))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
