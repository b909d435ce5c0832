"""Which epoch's pseudo numbers adjust a run that was stopped."""

import pytest

from drw_tf import adjusted_run
from drw_tf import config as configuration
from tests import records


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


def judged_as(own, method, **given):
    """Configuration of a run with these flags, and as it would be of the other method."""
    config = configuration.resolve(own)
    given = {"la_prior": None, "la_strength": None} | given
    return config, adjusted_run.configuration_as(config, method, given)


@pytest.mark.parametrize(
    ("own", "method"),
    [("fixmatch", "fixmatch_la"), ("nrw", "fixmatch_la"), ("drw", "drw_la"), ("saw", "saw_la")],
)
def test_a_run_is_judged_as_its_own_recipe_with_the_adjustment(own, method):
    before, got = judged_as({"method": own}, method, la_strength=0.5)
    assert (got.method, got.la_prior, got.la_strength) == (method, "labeled", 0.5)
    assert {name for name in got if got[name] != before[name]} == {
        *("method", "la_prior", "la_strength")
    }


def test_a_run_of_the_adjustment_is_judged_with_another_prior_and_keeps_what_is_not_given():
    own = {"method": "fixmatch_la", "la_prior": "pseudo", "la_strength": 0.5}
    for given, expected in (
        ({"la_prior": "labeled"}, ("labeled", 0.5)),
        ({"la_strength": 2.0}, ("pseudo", 2.0)),
    ):
        config, got = judged_as(own, "fixmatch_la", **given)
        assert (got.method, got.la_prior, got.la_strength) == ("fixmatch_la", *expected)
        assert {name for name in got if got[name] != config[name]} == set(given)


@pytest.mark.parametrize("given", [{}, {"la_prior": "pseudo"}, {"la_strength": 0.5}])
def test_a_run_is_not_judged_as_it_was_trained(given):
    own = {"method": "fixmatch_la", "la_prior": "pseudo", "la_strength": 0.5}
    message = (
        "--as_method=fixmatch_la must have another prior or strength than the run, "
        "--la_prior=pseudo and --la_strength=0.5; without"
    )
    with pytest.raises(configuration.ConfigError, match=message):
        judged_as(own, "fixmatch_la", **given)


def test_the_record_does_not_have_the_prior_that_the_run_was_adjusted_by():
    config = configuration.resolve({"method": "drw_la"})
    earlier = records.record_of(config, [], steps=30)
    state = {"history": [{"step": 30, "adjustment_prior": [0.75, 0.25], "epoch": 3}]}
    made = adjusted_run.record_of(earlier, state, config, {}, ["test"])
    assert made["history"] == [{"step": 30, "epoch": 3}]


@pytest.mark.parametrize(
    ("own", "method", "allowed"),
    [
        ("saw", "drw_la", "one of saw_la"),
        ("drw_la", "fixmatch_la", "one of drw_la"),
        ("drw", "saw_la", "one of drw_la"),
        ("frwl", "drw_la", "left out"),
    ],
)
def test_a_run_is_not_judged_as_a_recipe_of_another_training(own, method, allowed):
    message = f"^--as_method must be {allowed} for a run of {own}, got '{method}'"
    with pytest.raises(configuration.ConfigError, match=message):
        judged_as({"method": own}, method, la_strength=0.5)


def test_a_run_without_an_epoch_is_refused():
    with pytest.raises(configuration.ConfigError, match="an epoch has ended"):
        adjusted_run.last_epoch({"history": []})
