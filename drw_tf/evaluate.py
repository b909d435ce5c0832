"""`python -m drw_tf.evaluate --workdir=RUN`: the metrics of a run's newest checkpoint."""

import logging
import math
import sys

from drw_tf import config as configuration
from drw_tf import finished_run, quiet

_TABLE = (finished_run.WORKDIR,)
_TITLES = {"ema": "averaged", "ema_unadjusted": "unadjusted", "raw": "raw"}
_ROWS = {
    "balanced accuracy": "balanced_accuracy",
    "accuracy": "accuracy",
    "geometric mean": "geometric_mean",
    "many": "many",
    "medium": "medium",
    "few": "few",
}


def main(argv: list[str] | None = None) -> None:
    """Prints the metrics; exits with 2 after bad input."""
    flags = finished_run.from_argv("evaluate", sys.argv if argv is None else argv, _TABLE)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():
        from drw_tf import session

    try:
        run, state = finished_run.open_run(flags["workdir"])
        test = run.dataset.test
        if test is None:
            raise configuration.ConfigError(f"{run.dataset.name} has no test pictures.")
        found = run.evaluate(run.evaluator(test, progress=True))
    except session.USER_ERRORS as error:
        configuration.refuse("evaluate", error)
    config = run.config
    with configuration.reader_may_leave():
        print(f"{config.method} on {run.dataset.name}, seed {config.seed}, step {state['step']}")
        print(f"{len(test)} test pictures; in percent; averaged: weights averaged over the steps")
        print(metrics_table(found, run.dataset.class_names, run.method.facts.labeled_counts))


def metrics_table(found: dict, class_names, labeled_counts) -> str:
    """Metrics in percent, then the recall of each class, one column a network.

    Args:
        found: network's name -> its metrics, as `drw_tf.ops.summary.summarize` gives them.
        class_names: C names.
        labeled_counts: [C], labeled training pictures.
    """
    networks = [name for name in _TITLES if name in found]
    first = max(map(len, (*_ROWS, *class_names))) + 2
    lines = [" " * first + "labeled" + "".join(f"{_TITLES[name]:>12}" for name in networks)]

    def add(title, count, values):
        cells = "".join(f"{_percent(value):>12}" for value in values)
        lines.append(f"{title:<{first}}{count:>7}{cells}")

    for title, key in _ROWS.items():
        add(title, "", [found[name][key] for name in networks])
    lines.append("recall")
    for index, title in enumerate(class_names):
        recalls = [found[name]["recall"][index] for name in networks]
        add(title, int(labeled_counts[index]), recalls)
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    """The share in percent, "-" where it is undefined."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
