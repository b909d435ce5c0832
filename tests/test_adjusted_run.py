"""Which epoch's pseudo numbers adjust a run that was stopped."""

import pytest

from drw_tf import adjusted_run
from drw_tf import config as configuration


@pytest.mark.parametrize(
    ("state", "number"),
    [
        ({"history": [{"pseudo_numbers": 1}, {"pseudo_numbers": 2}]}, 2),
        ({"history": [{"pseudo_numbers": 1}], "unevaluated": {"pseudo_numbers": 3}}, 3),
        ({"history": [], "unevaluated": {"pseudo_numbers": 3}}, 3),
    ],
)
def test_numbers_are_those_of_the_last_epoch_evaluated_or_not(state, number):
    assert adjusted_run.last_epoch(state)["pseudo_numbers"] == number


def judged_as(own, method):
    config = configuration.resolve({"method": own})
    return adjusted_run.configuration_as(config, method, {"la_prior": None, "la_strength": 0.5})


@pytest.mark.parametrize(
    ("own", "method"),
    [("fixmatch", "fixmatch_la"), ("nrw", "fixmatch_la"), ("drw", "drw_la"), ("saw", "saw_la")],
)
def test_a_run_is_judged_as_its_own_recipe_with_the_adjustment(own, method):
    before, got = configuration.resolve({"method": own}), judged_as(own, method)
    assert (got.method, got.la_prior, got.la_strength) == (method, "labeled", 0.5)
    assert {name for name in got if got[name] != before[name]} == {
        *("method", "la_prior", "la_strength")
    }


@pytest.mark.parametrize(
    ("own", "method", "allowed"),
    [
        ("saw", "drw_la", "one of saw_la"),
        ("drw", "saw_la", "one of drw_la"),
        ("frwl", "drw_la", "left out"),
    ],
)
def test_a_run_is_not_judged_as_a_recipe_of_another_training(own, method, allowed):
    message = f"^--as_method must be {allowed} for a run of {own}, got '{method}'"
    with pytest.raises(configuration.ConfigError, match=message):
        judged_as(own, method)


def test_a_run_without_an_epoch_is_refused():
    with pytest.raises(configuration.ConfigError, match="an epoch has ended"):
        adjusted_run.last_epoch({"history": []})
