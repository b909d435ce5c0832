"""The five variants of Table 4: which weights, from which counts, from which step."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import flag_table
from drw_tf.data import long_tail
from drw_tf.rebalance import base, class_weights, logit_adjustment

COUNTS = np.array([4.0, 2.0, 1.0])


def facts(counts=COUNTS, total_steps=100):
    return base.Facts(len(counts), counts, 70, total_steps, 10)


def hyper(**values):
    values = {"beta": "0.5", "weight_normalization": "class", "reweight_start": 0.4} | values
    return base.Hyperparameters(values, tuple(values))


def by_hand(counts, beta=0.5):
    raw = np.array([(1 - beta) / (1 - beta**n) for n in counts])
    return raw * len(counts) / raw.sum()


def test_labeled_weights_are_fixed_from_the_first_step():
    one = class_weights.LabeledWeights(hyper(), facts())
    expected = by_hand([4, 2, 1])
    labels = tf.constant([2, 0, 2])
    np.testing.assert_allclose(one.labeled_weights(labels), expected[[2, 0, 2]], rtol=1e-6)
    one.end_epoch(base.Observation(100, np.array([1.0, 1.0, 1.0])))
    np.testing.assert_allclose(one.labeled_weights(labels), expected[[2, 0, 2]], rtol=1e-6)
    assert one.unlabeled_weights(labels) is None


def test_fixed_unlabeled_weights_scale_the_labeled_counts_to_the_pool():
    one = class_weights.FixedUnlabeledWeights(hyper(beta="0.9", reweight_start=0.0), facts())
    expected = by_hand([40, 20, 10], 0.9)  # 70 pictures in the pool, 7 labeled
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), expected, rtol=1e-6)
    assert one.labeled_weights(tf.range(3)) is None


def test_fixed_unlabeled_weights_are_one_until_their_start():
    one = class_weights.FixedUnlabeledWeights(hyper(), facts())
    numbers = np.array([5.0, 3.0, 1.0])
    one.end_epoch(base.Observation(39, numbers))
    np.testing.assert_array_equal(one.unlabeled_weights(tf.range(3)), [1, 1, 1])
    for step in (40, 50):
        one.end_epoch(base.Observation(step, numbers))
        np.testing.assert_allclose(
            one.unlabeled_weights(tf.range(3)), by_hand([40, 20, 10]), rtol=1e-6
        )


def test_dynamic_weights_are_one_until_their_start_and_then_follow_the_pseudo_numbers():
    one = class_weights.DynamicWeights(hyper(), facts())
    numbers = np.array([5.0, 3.0, 1.0])
    one.end_epoch(base.Observation(39, numbers))
    np.testing.assert_array_equal(one.unlabeled_weights(tf.range(3)), [1, 1, 1])
    one.end_epoch(base.Observation(40, numbers))
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), by_hand([5, 3, 1]), rtol=1e-6)
    one.end_epoch(base.Observation(50, numbers[::-1]))
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), by_hand([1, 3, 5]), rtol=1e-6)


def test_an_epoch_without_pseudo_numbers_leaves_weights_and_prior():
    weights = class_weights.DynamicWeights(hyper(reweight_start=0.0), facts())
    values = {"la_prior": "pseudo", "la_strength": 1.0}
    adjustment = logit_adjustment.LogitAdjustment(
        base.Hyperparameters(values, tuple(values)), facts()
    )
    adjustment.attach([weights, adjustment])
    for numbers in (np.array([5.0, 3.0, 1.0]), None):
        for one in (weights, adjustment):
            one.end_epoch(base.Observation(10, numbers))
        np.testing.assert_allclose(weights.describe()["unlabeled_weights"], by_hand([5, 3, 1]))
        np.testing.assert_allclose(adjustment.prior(), np.array([5, 3, 1]) / 9, rtol=1e-6)


def test_auto_beta_is_999_up_to_r_50_and_995_above():
    assert class_weights.beta_for_imbalance(np.array([1500, 30])) == 0.999
    assert class_weights.beta_for_imbalance(np.array([1500, 29])) == 0.995
    one = class_weights.LabeledWeights(hyper(beta="auto"), facts(np.array([1500.0, 15.0])))
    np.testing.assert_allclose(
        one.labeled_weights(tf.range(2)), by_hand([1500, 15], 0.995), rtol=1e-6
    )


def test_auto_beta_goes_by_the_counts_that_a_ratio_leaves_as_its_help_says():
    for largest, beta in ((1500, 0.999), (150, 0.999), (120, 0.995), (1520, 0.995)):
        counts = long_tail.class_counts(10, largest, 50)
        assert class_weights.beta_for_imbalance(counts) == beta
    words = "at most 50 times the labeled pictures of the smallest"
    assert words in flag_table.BY_NAME["beta"].help


def test_weights_are_variables_so_that_a_checkpoint_holds_them():
    one = class_weights.DynamicWeights(hyper(), facts())
    assert [v.name for v in one.variables] == ["class_weights:0"]
    assert not one.trainable_variables


def test_an_undeclared_flag_cannot_be_read():
    with pytest.raises(AttributeError, match="lambda_u is not among the declared flags"):
        _ = hyper().lambda_u


@pytest.mark.parametrize(
    ("kind", "prior"),
    [("labeled", [4, 2, 1]), ("effective", COUNTS * by_hand([4, 2, 1])), ("pseudo", [5, 3, 1])],
)
def test_logit_adjustment_subtracts_the_chosen_prior(kind, prior):
    values = {"la_prior": kind, "la_strength": 2.0}
    one = logit_adjustment.LogitAdjustment(base.Hyperparameters(values, tuple(values)), facts())
    one.attach([class_weights.LabeledWeights(hyper(), facts())])
    one.end_epoch(base.Observation(10, np.array([5.0, 3.0, 1.0])))
    prior = np.asarray(prior, float) / np.sum(prior)
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    expected = logits - 2.0 * np.log(prior)
    got = np.asarray(one.adjust(logits, None))
    # A constant for all classes changes no decision.
    np.testing.assert_allclose(got - got[:, :1], expected - expected[:, :1], rtol=1e-5)
