"""What `--help`, `--helpfull` and `--helpmethods` print."""

import textwrap
from collections.abc import Sequence

from drw_tf import flag_table, protocols, recipes

ASKS_FOR_HELP = frozenset(("--help", "-h", "-help", "--helpfull"))
_WIDTH = 100
# Flags of the trainer that `--help` explains; it names the others.
_COMMON = frozenset(
    (
        *("dataset", "method", "protocol", "seed", "workdir", "fresh"),
        *("data_dir", "download", "labeled_dir", "unlabeled_dir", "test_dir", "labels_csv"),
        *("validation_dir", "image_size", "imbalance_ratio", "validation_per_class"),
        *("model", "init_weights"),
        *("steps", "batch_size", "learning_rate"),
        *("beta", "reweight_start", "lambda_u", "threshold"),
        *("export", "export_temperature", "tensorboard"),
    )
)


def of_program(
    module: str, table: Sequence[flag_table.Flag], arguments: Sequence[str], usage: str = ""
) -> str:
    """Help of one program: short, or with `--helpfull` among its arguments all of it.

    Args:
        module: as after `python -m`.
        table: flags of the program.
        arguments: what was typed.
        usage: flags that must be given, for the first line.
    """
    full = "--helpfull" in arguments
    trains = {flag.name for flag in table} >= _COMMON
    words = [usage or "[--flagfile=FILE]", "[--name=value ...]"]
    lines = [f"python -m {module} {' '.join(words)}", ""]
    for group in dict.fromkeys(flag.group for flag in table):
        lines += [f"{group}:", *_group([flag for flag in table if flag.group == group], full), ""]
    if not trains:
        return "\n".join(lines).rstrip()
    if not full:
        lines.append("--helpfull explains every flag, drw_tf.train --helpmethods each method.")
        return "\n".join(lines)
    lines += [
        "A flag without a default in brackets is not set, or set by the data set and its protocol:",
        *(f"  {name}: --protocol={one['protocol']}" for name, one in protocols.DATASETS.items()),
        "What a method has of its own, as drw_tf.train --helpmethods lists it, goes before both.",
    ]
    return "\n".join(lines)


def _group(flags: Sequence[flag_table.Flag], full: bool) -> list[str]:
    """A line for each flag that is explained, and the names of the others."""
    lines, named = [], []
    for flag in flags:
        if full or flag.name in _COMMON or flag.name not in flag_table.BY_NAME:
            shown = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
            default = "" if flag.default in (None, []) else f" [{shown}]"
            lines.append(f"  --{flag.name}: {flag.help}{default}")
        else:
            named.append(f"--{flag.name}")
    if named:
        lead = "  also " if lines else "  "
        lines += textwrap.wrap(
            " ".join(named),
            _WIDTH,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_on_hyphens=False,
        )
    return lines


def of_methods() -> str:
    """Lines of each recipe: name, what it is, the flags that it reads, its own values of some."""
    lines = []
    for name, recipe in recipes.RECIPES.items():
        lines.append(f"{name}: {recipe.help}")
        lines.append(f"    reads: {', '.join(recipe.flags) or '-'}")
        own = ", ".join(f"{flag}={value}" for flag, value in recipe.defaults.items())
        lines += [f"    its own: {own}"] if own else []
    return "\n".join(lines)
