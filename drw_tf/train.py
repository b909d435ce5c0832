"""`python -m drw_tf.train`: trains one method on one data set, or goes on where it stopped."""

import contextlib
import logging
import os
import signal
import sys

from drw_tf import config as configuration
from drw_tf import quiet

EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL: the same command goes on where this one stopped


def main(argv: list[str] | None = None) -> None:
    """Runs the trainer; exits with 2 after bad input, 75 when asked to stop, 69 without a peer."""
    config = configuration.from_argv(sys.argv if argv is None else argv)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(config, ["python", "-m", "drw_tf.train", *(argv or sys.argv)[1:]])
    except KeyboardInterrupt as error:  # while nothing is trained, or after a second Ctrl-C
        name = error.args[0] if error.args else "SIGINT"
        _leave(name, "what is saved", at_once=config.strategy == "multi_worker")
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(config: configuration.Config, command: list[str]) -> None:
    logging.basicConfig(format="%(message)s")
    with quiet.startup():  # takes seconds; a wrong flag was refused before
        from drw_tf import session

    try:
        result = session.train(config, command)
    except session.USER_ERRORS as error:
        configuration.refuse("train", error)
    except session.NotAllCame as error:
        session.leave(error)
    except session.PeerLost as error:
        session.leave(f"another worker is gone ({error})")
    except session.Stopped as error:
        _leave(error, "here")
    if result is None:
        return
    with configuration.reader_may_leave():
        print(session.summary(config, result))


def _interrupt(number, frame):
    raise KeyboardInterrupt(signal.Signals(number).name)


def _leave(reason: object, where: str, at_once: bool = False) -> None:
    """Says what stopped the run and exits; `at_once`, without waiting for other workers."""
    with contextlib.suppress(BrokenPipeError):
        line = f"train: stopped by {reason}; the same command goes on from {where}."
        print(line, file=sys.stderr)
        sys.stderr.flush()
    if at_once:
        os._exit(EXIT_STOPPED)
    raise SystemExit(EXIT_STOPPED) from None


if __name__ == "__main__":
    main()
