"""`python -m drw_tf.export --workdir=RUN`: the averaged network of a run as a SavedModel."""

import logging
import pathlib
import sys

from drw_tf import config as configuration
from drw_tf import contradictions, ending, flag_table, quiet, run_folder
from drw_tf.training import workdir

# What an export may have otherwise than the run was told. The limit is none of those by which the
# trainer tells exports apart: with another one a finished run stays finished.
_CHANGEABLE = (*contradictions.EXPORT_FLAGS, "max_megapixels")
_TABLE = (
    run_folder.WORKDIR,
    run_folder.STEP,
    flag_table.place("out", "folder of the export [RUN/export]", "output"),
    *map(run_folder.again, _CHANGEABLE),
    *run_folder.DATA_FLAGS,
)


@ending.interruptible("export")
def main(argv: list[str] | None = None) -> None:
    """Exports; exits with 2 after bad input, 130 after Ctrl-C."""
    flags = run_folder.from_argv("export", sys.argv if argv is None else argv, _TABLE)
    logging.basicConfig(format="%(message)s")
    with quiet.startup():
        from drw_tf import faults, finished_run
        from drw_tf.serving import decoding, run_export

    out = pathlib.Path(flags["out"] or workdir.Layout(flags["workdir"]).export)
    try:
        if (flags["max_megapixels"] or 0) > decoding.MAX_MEGAPIXELS:
            raise configuration.ConfigError(
                f"--max_megapixels must be at most {decoding.MAX_MEGAPIXELS:g} for an export, got "
                f"{flags['max_megapixels']:g}."
            )
        run, state = finished_run.open_run(flags["workdir"], flags["step"], flags)
        for line in contradictions.among_pictures("out", out, run.config):
            raise configuration.ConfigError(line)
        changed = {name: flags[name] for name in _CHANGEABLE if flags[name] is not None}
        run.config = configuration.Config({**run.config, **changed})
        found = finished_run.record_of(flags["workdir"], run, state)
        run_export.refuse(run)
        with (
            faults.naming_fault("the export"),
            faults.naming_memory(run.config),
            faults.naming_damage(run.dataset, faults.LEAVE_OUT),
        ):
            temperature = run_export.export_run(run, out, found)
    except faults.USER_ERRORS as error:
        configuration.refuse("export", error)
    print(f"exported {run.config.method} on {run.dataset.name}, step {state['step']}, to {out}")
    if run.method.adjusts:
        print(contradictions.adjustment_in_export(run.config))
    print(f"temperature: {temperature.value:.4g} ({temperature.source})")


if __name__ == "__main__":
    main()
