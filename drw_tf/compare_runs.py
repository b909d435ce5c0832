"""`python -m drw_tf.compare_runs RUN RUN ... --out=DIR`: finished runs side by side."""

import pathlib
import sys

from drw_tf import config as configuration
from drw_tf import flag_table, help_text, quiet

_TABLE = (
    flag_table.Flag("out", "string", "folder for the two pictures", "output", default="comparison"),
)


def main(argv: list[str] | None = None) -> None:
    """Prints the recall of each class for every run and draws two pictures."""
    arguments = (sys.argv if argv is None else argv)[1:]
    if help_text.ASKS_FOR_HELP & set(arguments):
        usage = "RUN [RUN ...]"
        configuration.show(help_text.of_program("drw_tf.compare_runs", _TABLE, arguments, usage))
    runs = [pathlib.Path(word) for word in arguments if not word.startswith("-")]
    try:
        given = configuration.parse(
            ["compare_runs", *(word for word in arguments if word.startswith("-"))], _TABLE
        )
        if not runs:
            raise configuration.ConfigError("give at least one folder of a finished run.")
    except configuration.ConfigError as error:
        configuration.refuse("compare_runs", error)
    with quiet.startup():
        from drw_tf.report import figures, record

    try:
        found = [record.read_record(run / "record.json") for run in runs]
        for run, one in zip(runs, found, strict=True):
            if not one["last_metrics"]:
                raise ValueError(f"{run} was trained without test pictures: nothing to compare.")
    except (FileNotFoundError, ValueError) as error:
        configuration.refuse("compare_runs", error)
    print(recall_table(found))
    out = pathlib.Path(given.get("out", "comparison"))
    out.mkdir(parents=True, exist_ok=True)
    drawn = {"recall": figures.recalls(found)}
    if any("pseudo_numbers" in entry for one in found for entry in one["history"]):
        drawn["pseudo_numbers"] = figures.pseudo_numbers(found)
    for name, figure in drawn.items():
        figures.save(figure, out / name)
        print(f"wrote {out / name}.png and .svg")


def recall_table(found: list[dict]) -> str:
    """Recall of each class in percent, one column a run, means below."""
    names = found[0]["dataset"]["class_names"]
    labels = [
        f"{one['configuration']['method']} seed {one['configuration']['seed']}" for one in found
    ]
    width = max(len(label) for label in labels) + 2
    first = max(len("labeled pictures"), *(len(name) for name in names)) + 2
    lines = ["recall in percent, averaged network, last evaluation"]
    lines.append(" " * first + "labeled" + "".join(label.rjust(width) for label in labels))
    last = [one["last_metrics"]["ema"] for one in found]
    for index, name in enumerate(names):
        count = found[0]["dataset"]["labeled_counts"][index]
        row = "".join(f"{100 * one['recall'][index]:{width}.1f}" for one in last)
        lines.append(f"{name:<{first}}{count:7d}{row}")
    for title, key in (("bACC", "balanced_accuracy"), ("GM", "geometric_mean")):
        row = "".join(f"{100 * one[key]:{width}.1f}" for one in last)
        lines.append(f"{title:<{first}}{'':7}{row}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
