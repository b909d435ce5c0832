"""Drawn command lines through a real step: accepted and run, or refused in one line."""

import random
import re

import numpy as np
import pytest

from drw_tf import config as configuration
from drw_tf import contradictions, flag_table, protocols, recipes

SEED = 3
FAST, ALL = 4, 24
# Flags that only say where things lie, and those that would make the step a long one.
_NOT_DRAWN = {
    *("dataset", "method", "workdir", "fresh", "deterministic", "download", "export"),
    *("steps_per_execution", "vat_iterations", "model", "init_weights", "seed"),
}
_TINY = ("--batch_size=4", "--steps=60", "--steps_per_epoch=10", "--warmup_steps=0")
# Of every kind: usual, at the ends of most ranges, and beyond them.
_NUMBERS = ("0", "0.3", "0.999", "1", "2", "3", "7", "-1", "1e-3", "nan")


def draw(number: int) -> list[str]:
    """A recipe, and up to five flags of which most are its own."""
    generator = random.Random(SEED * 1000 + number)
    name = generator.choice([*recipes.RECIPES])
    common = [flag.name for flag in flag_table.FLAGS if flag.name not in _NOT_DRAWN]
    unread = configuration.data_flags() - set(protocols.DATASETS["digits"]["reads"])
    unread |= contradictions.READ_WITH.keys()
    if generator.random() < 0.9:  # what nothing reads is refused before all else
        common = [one for one in common if one not in unread]
    common = [one for one in common if one not in recipes.method_flags()]
    own = [one for one in recipes.RECIPES[name].flags if one not in _NOT_DRAWN]
    words = [f"--method={name}", *_TINY]
    for _ in range(generator.randint(1, 5)):
        flag = flag_table.BY_NAME[generator.choice([*own, *own, *own, *common])]
        words.append(f"--{flag.name}={_value(generator, flag)}")
    return words


def _value(generator, flag):
    if flag.kind == "bool":
        return generator.choice(["true", "false"])
    if "one of" in flag.allowed:
        return generator.choice(flag.allowed.removeprefix("one of ").split(", "))
    if flag.name == "beta":
        return generator.choice(["auto", "auto_mean", "literal", "0.9", "1"])
    # Mostly the first allowed one of several values, sometimes just any.
    for _ in range(generator.choice([1, 8, 8, 8, 8, 8])):
        value = generator.choice(_NUMBERS)
        number = float(value)
        if flag.kind == "int" and not number.is_integer():
            continue
        if flag.check(int(number) if flag.kind == "int" else number):
            break
    return value


def one_step(words: list[str], workdir) -> str:
    """What became of a command line: "run", or the line that refuses it."""
    from drw_tf import faults
    from drw_tf import run as runs

    try:
        config = configuration.resolve(configuration.parse(["t", *words, f"--workdir={workdir}"]))
        run = runs.Run(config)
        run.stages.prepare(0)
        batch = next(iter(run.batches(0, 0)))
    except faults.USER_ERRORS as error:
        return str(error)
    run.strategy.run(run.method.train_step, args=(batch,))
    entry = run.method.end_epoch(1)
    assert all(np.isfinite(value) for value in entry["train"].values()), entry["train"]
    return "run"


def numbers():
    slow = [pytest.param(number, marks=pytest.mark.slow) for number in range(FAST, ALL)]
    return [*range(FAST), *slow]


@pytest.mark.parametrize("number", numbers())
def test_a_drawn_command_line_takes_a_step_or_is_refused_in_one_line(tmp_path, number):
    words = draw(number)
    print(" ".join(words))
    outcome = one_step([*words, "--strategy=one_device"], tmp_path / "run")
    print(outcome)
    if outcome != "run":
        assert "\n" not in outcome
        named = re.findall(r"--(\w+)", outcome)
        assert named, outcome
        assert set(named) <= set(flag_table.BY_NAME)


def test_most_of_what_is_drawn_is_accepted_and_some_is_refused():
    accepted = 0
    for number in range(ALL):
        try:
            configuration.resolve(configuration.parse(["t", *draw(number)]))
            accepted += 1
        except configuration.ConfigError:
            pass
    assert ALL // 2 <= accepted < ALL
