"""`python -m drw_tf.export --workdir=RUN`: the averaged network of a run as a SavedModel."""

import logging
import pathlib
import sys

from drw_tf import config as configuration
from drw_tf import finished_run, flag_table, quiet

_TABLE = (
    finished_run.WORKDIR,
    flag_table.Flag("out", "string", "folder of the export [RUN/export]", "output"),
    flag_table.Flag(
        "export_logit_adjustment",
        "bool",
        "subtract in the exported model what the method subtracts from logits at test time",
        "output",
        default=False,
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Exports; exits with 2 after bad input."""
    flags = finished_run.from_argv("export", sys.argv if argv is None else argv, _TABLE)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():
        from drw_tf import session
        from drw_tf.serving import folders, saved_model

    out = pathlib.Path(flags["out"] or pathlib.Path(flags["workdir"], "export"))
    try:
        run, state = finished_run.open_run(flags["workdir"])
        method, adjusted = run.method, flags["export_logit_adjustment"]
        if adjusted and not method.adjusts:
            raise configuration.ConfigError(
                f"--export_logit_adjustment needs a method that adjusts logits at test time, "
                f"the run's is {run.config.method}."
            )
        saved_model.export_method(
            method, out, dataset=run.dataset, configuration=run.config, adjusted=adjusted
        )
    except (*session.USER_ERRORS, folders.ExportError) as error:
        configuration.refuse("export", error)
    print(f"exported {run.config.method} on {run.dataset.name}, step {state['step']}, to {out}")
    if method.adjusts:
        print(f"logit adjustment: {'in' if adjusted else 'not in'} the exported model")


if __name__ == "__main__":
    main()
