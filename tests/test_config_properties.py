"""Any command line is accepted or refused in one line that names a flag; never a traceback."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from drw_tf import config, flag_table, protocols, recipes

NUMBERS = [
    "0",
    "1",
    "-1",
    "0.5",
    "1.0",
    "2",
    "7",
    "50",
    "1000",
    "1e9",
    "1" + "0" * 30,
    "1e400",
    "nan",
    "-0.0",
    "x",
    "",
]
WORDS = [
    "auto",
    "literal",
    "joint",
    "none",
    "supervised",
    "drw",
    "darp",
    "modern",
    "cifar10",
    "a/b",
]


def value_of(flag: flag_table.Flag):
    if flag.kind == "bool":
        return st.sampled_from(["true", "false", "1", "maybe", ""])
    listed = re.findall(r"\((.*)\)$", flag.help)
    choices = listed[0].split(" | ") if listed else []
    return st.sampled_from([*NUMBERS, *WORDS, *choices])


def argument(flag: flag_table.Flag):
    return value_of(flag).map(lambda value: f"--{flag.name}={value}")


NAMES = st.tuples(
    st.sampled_from([*protocols.DATASETS, "tfds:x", "unknown"]).map("--dataset={}".format),
    st.sampled_from([*recipes.RECIPES, "unknown"]).map("--method={}".format),
)
ARGUMENTS = {flag.name: argument(flag) for flag in flag_table.FLAGS}
REST = st.lists(st.sampled_from(list(ARGUMENTS)).flatmap(ARGUMENTS.get), max_size=4)


@settings(max_examples=2000)
@given(NAMES, REST)
def test_every_command_line_is_resolved_or_refused_in_one_line(names, rest):
    try:
        got = config.resolve(config.parse(["train", *names, *rest]))
    except config.ConfigError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) > 10
        assert any(f"--{flag.name}" in text for flag in flag_table.FLAGS), text
        return
    # What was accepted is whole: every flag has an allowed value or is not read.
    for flag in flag_table.FLAGS:
        assert got[flag.name] is None or flag.check(got[flag.name]), flag.name
    assert got.steps % got.steps_per_epoch == 0
    assert got.steps_per_epoch % got.steps_per_execution == 0
    assert got.checkpoint_steps % got.steps_per_execution == 0
