"""`python -m drw_tf.train`: trains one method on one data set, or goes on where it stopped."""

import contextlib
import logging
import sys

from drw_tf import config as configuration
from drw_tf import quiet


def main(argv: list[str] | None = None) -> None:
    """Runs the trainer; exits with 2 after bad input, 75 when asked to stop, 69 without a peer."""
    config = configuration.from_argv(sys.argv if argv is None else argv)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():  # takes seconds; a wrong flag was refused before
        from drw_tf import session

    try:
        result = session.train(config, ["python", "-m", "drw_tf.train", *(argv or sys.argv)[1:]])
    except session.USER_ERRORS as error:
        configuration.refuse("train", error)
    except session.NotAllCame as error:
        session.leave(error)
    except session.PeerLost as error:
        session.leave(f"another worker is gone ({error})")
    except session.Stopped as error:
        print(f"train: stopped by {error}; the same command goes on from here.", file=sys.stderr)
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.flush()
        raise SystemExit(session.EXIT_STOPPED) from None
    if result is None:
        return
    with configuration.reader_may_leave():
        print(session.summary(config, result))


if __name__ == "__main__":
    main()
