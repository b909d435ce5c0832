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


def test_a_run_without_an_epoch_is_refused():
    with pytest.raises(configuration.ConfigError, match="an epoch has ended"):
        adjusted_run.last_epoch({"history": []})
