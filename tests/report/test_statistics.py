import math

import pytest

from drw_tf.report import statistics


def test_paired_gain_is_the_students_interval_of_the_differences():
    # Differences 1, 2, 3 over seeds 0, 1, 2; seed 7 has no partner. Mean 2, sd 1, and
    # t_{2, .975} = 4.302653 (printed tables): 4.302653 / sqrt(3) = 2.484138.
    got = statistics.paired_gain({0: 11, 1: 22, 2: 33, 7: 99}, {2: 30, 1: 20, 0: 10})
    assert got == pytest.approx((2.0, 2.484138, 3), rel=1e-6)


def test_one_common_seed_has_no_interval_and_none_no_gain():
    mean, half, seeds = statistics.paired_gain({0: 5.0}, {0: 3.0, 1: 9.0})
    assert (mean, seeds) == (2.0, 1)
    assert math.isnan(half)
    assert statistics.paired_gain({0: 5.0}, {1: 9.0}) is None


def test_values_on_the_seeds_that_all_have():
    found = {"a": {0: 1.0, 1: 2.0}, "b": {1: 3.0, 2: 4.0}}
    assert statistics.on_common_seeds(found) == {"a": {1: 2.0}, "b": {1: 3.0}}
    unequal = {"a": {0: 1.0}, "b": {1: 3.0}}
    assert statistics.on_common_seeds(unequal) == unequal
    assert statistics.on_common_seeds({}) == {}


def test_rank_correlation_matches_spearmans_formula():
    # Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15) = .6; "e" is known to one side only.
    ours = {"a": 10, "b": 20, "c": 30, "d": 40}
    theirs = {"b": 1, "a": 2, "d": 3, "c": 4, "e": 9}
    assert statistics.rank_correlation(ours, theirs) == (pytest.approx(0.6), 4)


def test_equal_values_share_their_mean_rank():
    # Ranks 1.5 1.5 3 against 1 2 3: covariance 1.5 / 2, variances 1.5 / 2 and 1.
    got = statistics.rank_correlation({"a": 1, "b": 1, "c": 2}, {"a": 1, "b": 2, "c": 3})
    assert got == (pytest.approx(1.5 / math.sqrt(1.5 * 2)), 3)


def test_rank_correlation_needs_three_names_and_a_difference():
    assert statistics.rank_correlation({"a": 1, "b": 2}, {"a": 1, "b": 2}) is None
    assert statistics.rank_correlation(dict.fromkeys("abc", 1), {"a": 1, "b": 2, "c": 3}) is None


def test_range_of_the_rank_correlation_is_over_each_name_left_out():
    # Ranks 1 2 3 4 against 2 3 4 1: 1 - 6 * 12 / 60 = -.2. Without d 1 2 3 against 1 2 3: 1;
    # without any other one 1 2 3 against 2 3 1: 1 - 6 * 6 / 24 = -.5. "e" is not common.
    ours = {"a": 1, "b": 2, "c": 3, "d": 4}
    theirs = {"a": 1, "b": 2, "c": 3, "d": 0, "e": 9}
    assert statistics.rank_correlation(ours, theirs)[0] == pytest.approx(-0.2)
    assert statistics.rank_correlation_range(ours, theirs) == pytest.approx((-0.5, 1.0))
    # Two names are too few for an order.
    del ours["d"]
    assert statistics.rank_correlation_range(ours, theirs) is None


def test_deviation_is_that_of_a_sample():
    assert statistics.mean_and_deviation([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2)))
    assert math.isnan(statistics.mean_and_deviation([1.0])[1])
