"""`python -m drw_tf.train`: trains one method on one data set, or goes on where it stopped."""

import contextlib
import logging
import sys

from drw_tf import config as configuration
from drw_tf import quiet


def main(argv: list[str] | None = None) -> None:
    """Runs the trainer; exits with 2 after bad input, 75 after it was asked to stop."""
    config = configuration.from_argv(sys.argv if argv is None else argv)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():  # takes seconds; a wrong flag was refused before
        from drw_tf import session

    try:
        result = session.train(config, ["python", "-m", "drw_tf.train", *(argv or sys.argv)[1:]])
    except session.USER_ERRORS as error:
        configuration.refuse("train", error)
    except session.Stopped as error:
        print(f"train: stopped by {error}; the same command goes on from here.", file=sys.stderr)
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.flush()
        raise SystemExit(session.EXIT_STOPPED) from None
    with configuration.reader_may_leave():
        print(session.summary(config, result))


if __name__ == "__main__":
    main()
