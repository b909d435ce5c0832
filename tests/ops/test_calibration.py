import math

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import calibration, rows


def test_logits_are_divided_by_the_temperature():
    got = calibration.scale_logits(tf.constant([[3.0, -6.0], [0.0, 1.5]]), 1.5)
    np.testing.assert_allclose(got, [[2.0, -4.0], [0.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be > 0"):
        calibration.scale_logits(tf.zeros([1, 2]), temperature)


def test_fit_makes_the_confidence_of_equal_rows_their_share_of_right_ones():
    # All rows [2, 0], 7 of 10 are of class 0: sigmoid(2 / T) = 0.7, T = 2 / log(7 / 3).
    labels = [0] * 7 + [1] * 3
    got = calibration.fit_temperature(np.tile([2.0, 0.0], (10, 1)), labels)
    assert got == pytest.approx(2 / math.log(7 / 3), rel=1e-9)


def test_logits_that_were_scaled_give_the_scale_back():
    # Labels drawn as often as softmax(f) says: the fit of k f is k times the fit of f.
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    fitted = calibration.fit_temperature(logits, labels)
    assert fitted == pytest.approx(1.0, abs=0.08)
    for scale in (0.3, 4.0):
        assert calibration.fit_temperature(scale * logits, labels) == pytest.approx(scale * fitted)


def test_no_other_temperature_has_a_smaller_loss():
    random = np.random.default_rng(1)
    logits, labels = random.normal(0, 5, (50, 3)), random.integers(0, 3, 50)
    logits[np.arange(50), labels] += 3.0
    best = calibration.fit_temperature(logits, labels)
    loss = rows.judge(logits / best, labels)[1].mean()
    for other in (0.9 * best, 0.999 * best, 1.001 * best, 1.1 * best):
        assert loss < rows.judge(logits / other, labels)[1].mean()


def test_a_shift_of_a_row_does_not_matter():
    logits = np.array([[2.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    labels = [0, 0, 1, 0]
    expected = calibration.fit_temperature(logits, labels)
    shifted = logits + np.array([[900.0], [-40.0], [0.0], [7.0]])
    assert calibration.fit_temperature(shifted, labels) == pytest.approx(expected, rel=1e-9)


def test_pictures_that_cannot_tell_give_the_ends_of_the_range():
    right = calibration.fit_temperature([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    assert right == calibration.MIN_TEMPERATURE
    wrong = calibration.fit_temperature([[1.0, 0.0], [0.0, 1.0]], [1, 0])
    assert wrong == calibration.MAX_TEMPERATURE


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros([0, 2]), [], "at least one picture"),
        ([[1.0, math.inf]], [0], "finite"),
        ([[1.0, 0.0]], [2], "labels"),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        calibration.fit_temperature(logits, labels)


def error(confidence, right, **bins):
    return calibration.calibration_error(
        calibration.bin_rows(np.array(confidence), np.array(right, bool), **bins)
    )


def test_bins_match_a_count_by_hand():
    # Confidence .5 (wrong) lies on an edge and so in (1/4, 1/2]; .8 (right) and .9 (wrong) in
    # the last bin: mean confidence .85, accuracy 1/2.
    got = calibration.bin_rows(np.array([0.5, 0.8, 0.9]), np.array([False, True, False]), bins=4)
    assert got["count"] == [0, 1, 0, 2]
    np.testing.assert_allclose(got["confidence"], [np.nan, 0.5, np.nan, 0.85])
    np.testing.assert_allclose(got["accuracy"], [np.nan, 0.0, np.nan, 0.5])
    # (1 * .5 + 2 * .35) / 3
    assert calibration.calibration_error(got) == pytest.approx(0.4)


def test_calibration_error_matches_hand_computed_value():
    # Two bins. (0.5, 1]: confidences 0.9, 0.7, half right: |0.5 - 0.8|, weight 2/3.
    # (0, 0.5]: confidence 0.4, right: |1 - 0.4|, weight 1/3.
    np.testing.assert_allclose(error([0.9, 0.7, 0.4], [1, 0, 1], bins=2), 0.3 * 2 / 3 + 0.6 / 3)


def test_an_edge_is_in_the_lower_bin():
    # 0.5 belongs to (0, 0.5], apart from 0.6: (|1 - 0.5| + |0 - 0.6|) / 2.
    # Together they would give |0.5 - 0.55|.
    np.testing.assert_allclose(error([0.5, 0.6], [1, 0], bins=2), 0.55)


def test_there_are_fifteen_bins():
    # 0.61 and 0.68 lie on both sides of 10/15: (|1 - 0.61| + |0 - 0.68|) / 2.
    np.testing.assert_allclose(error([0.61, 0.68], [1, 0]), 0.535)


def test_certain_rows_are_off_by_nothing_where_right_and_by_all_where_wrong():
    # A softmax may be above 1 by its rounding.
    assert error([1.0, 1.0 + 1e-15], [1, 1]) == pytest.approx(0.0)
    assert error([1.0, 1.0 + 1e-15], [0, 0]) == pytest.approx(1.0)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match=r"bins must be >= 1, got 0\."):
        error([1.0], [1], bins=0)
