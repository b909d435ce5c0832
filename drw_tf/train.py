"""`python -m drw_tf.train`: trains one method on one data set, or goes on where it stopped."""

import dataclasses
import logging
import signal
import sys
from typing import NoReturn

from drw_tf import config as configuration
from drw_tf import ending, quiet, standard_error
from drw_tf.training import stop_signals

# Where several workers train.
_OF_ALL = ("the same commands", "go on from the checkpoint")
EXIT_STOPPED = 75  # sysexits' EX_TEMPFAIL: the same command goes on where this one stopped
# sysexits' EX_UNAVAILABLE: another worker is gone; the same commands go on from the checkpoint.
EXIT_PEER_LOST = 69


def main(argv: list[str] | None = None) -> None:
    """Runs the trainer; exits with 2 after bad input, 75 when asked to stop, 69 without a peer."""
    config = configuration.from_argv(sys.argv if argv is None else argv)
    start = _Start(config.fresh)
    before = signal.signal(signal.SIGTERM, ending.interrupt)

    def end():
        standard_error.say("")  # ends the line of the bar, which nobody closes
        _say_stopped(signal.SIGINT.name, "what is saved", start)
        ending.at_once(EXIT_STOPPED)

    try:
        with stop_signals.ended_by_a_second_ctrl_c(end):
            _run(config, ["python", "-m", "drw_tf.train", *(argv or sys.argv)[1:]], start)
    except KeyboardInterrupt as error:  # while nothing is trained, or after a second Ctrl-C
        _say_stopped(ending.signal_of(error).name, "what is saved", start)
        if config.strategy == "multi_worker":
            ending.at_once(EXIT_STOPPED)  # an orderly exit waits for the other workers
        raise ending.AtOnce(EXIT_STOPPED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclasses.dataclass
class _Start:
    """How far a start has come, which decides what goes on after a stop.

    Attributes:
        fresh: whether `--fresh` was given, which starts over each time.
        has_moved: whether what it moves aside is moved, so that the run is the new one.
    """

    fresh: bool
    has_moved: bool = False

    def moved(self) -> None:
        """Notes that nothing of an earlier run is in the way any more."""
        self.has_moved = True

    def advice(self, command: str, goes_on: str) -> str:
        """What to do, the end of a sentence."""
        if self.fresh and not self.has_moved:
            return f"give {command} again"
        return f"{command}{' without --fresh' * self.fresh} {goes_on}"


def _run(config: configuration.Config, command: list[str], start: _Start) -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("drw_tf").setLevel(logging.INFO)  # of others warnings alone
    with quiet.startup():  # takes seconds; a wrong flag was refused before
        from drw_tf import faults, session

    try:
        result = session.train(config, command, start.moved)
    except (faults.DiskCameBack, faults.ServiceLost) as error:
        _say_stopped(error, "the last checkpoint", start)
        raise SystemExit(EXIT_STOPPED) from None
    except faults.USER_ERRORS as error:
        configuration.refuse("train", error)
    except session.NotAllCame as error:
        _leave(error, start.advice(*_OF_ALL))
    except session.PeerLost as error:
        _leave(f"another worker is gone ({error})", start.advice(*_OF_ALL))
    except session.Stopped as error:
        _say_stopped(error, "here", start)
        # Workers that all stop take leave of each other.
        leave = SystemExit if config.strategy == "multi_worker" else ending.AtOnce
        raise leave(EXIT_STOPPED) from None
    if result is None:
        return
    with configuration.reader_may_leave():
        print(session.summary(config, result))


def _leave(reason: object, advice: str) -> NoReturn:
    """Ends this process at once: an orderly exit would wait for a worker that does not answer."""
    try:
        standard_error.say(f"train: {reason}; {advice}.")
    finally:
        ending.at_once(EXIT_PEER_LOST)


def _say_stopped(reason: object, where: str, start: _Start) -> None:
    advice = start.advice("the same command", f"goes on from {where}")
    standard_error.say(f"train: stopped by {reason}; {advice}.")


if __name__ == "__main__":
    ending.run(main)
