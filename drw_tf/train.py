"""`python -m drw_tf.train`: trains one method on one data set, or goes on where it stopped."""

import logging
import os
import signal
import sys

from drw_tf import config as configuration
from drw_tf import ending, quiet, standard_error

EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL: the same command goes on where this one stopped


def main(argv: list[str] | None = None) -> None:
    """Runs the trainer; exits with 2 after bad input, 75 when asked to stop, 69 without a peer."""
    config = configuration.from_argv(sys.argv if argv is None else argv)
    before = signal.signal(signal.SIGTERM, ending.interrupt)
    try:
        _run(config, ["python", "-m", "drw_tf.train", *(argv or sys.argv)[1:]])
    except KeyboardInterrupt as error:  # while nothing is trained, or after a second Ctrl-C
        name = error.args[0] if error.args else "SIGINT"
        _say_stopped(name, "what is saved", config)
        if config.strategy == "multi_worker":
            os._exit(EXIT_STOPPED)  # an orderly exit waits for the other workers
        raise ending.AtOnce(EXIT_STOPPED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(config: configuration.Config, command: list[str]) -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("drw_tf").setLevel(logging.INFO)  # of others warnings alone
    with quiet.startup():  # takes seconds; a wrong flag was refused before
        from drw_tf import session

    try:
        result = session.train(config, command)
    except (session.DiskCameBack, session.ServiceLost) as error:
        _say_stopped(error, "the last checkpoint", config)
        raise SystemExit(EXIT_STOPPED) from None
    except session.USER_ERRORS as error:
        configuration.refuse("train", error)
    except session.NotAllCame as error:
        session.leave(error, config.fresh)
    except session.PeerLost as error:
        session.leave(f"another worker is gone ({error})", config.fresh)
    except session.Stopped as error:
        _say_stopped(error, "here", config)
        # Workers that all stop take leave of each other.
        leave = SystemExit if config.strategy == "multi_worker" else ending.AtOnce
        raise leave(EXIT_STOPPED) from None
    if result is None:
        return
    with configuration.reader_may_leave():
        print(session.summary(config, result))


def _say_stopped(reason: object, where: str, config: configuration.Config) -> None:
    again = "the same command without --fresh" if config.fresh else "the same command"
    standard_error.say(f"train: stopped by {reason}; {again} goes on from {where}.")


if __name__ == "__main__":
    ending.run(main)
