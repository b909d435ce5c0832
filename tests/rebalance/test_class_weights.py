"""The five variants of Table 4: which weights, from which counts, from which step."""

import dataclasses

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
    values = {
        "beta": "0.5",
        "weight_normalization": "class",
        "max_weight_ratio": 0.0,
        "reweight_start": 0.4,
        "pseudo_smoothing": 0.0,
    } | values
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


def test_fixed_unlabeled_weights_are_of_the_true_counts_of_the_pool_where_they_are_known():
    known = dataclasses.replace(facts(), pool_counts=np.array([10.0, 20.0, 40.0]))
    one = class_weights.FixedUnlabeledWeights(hyper(beta="0.9", reweight_start=0.0), known)
    expected = by_hand([10, 20, 40], 0.9)
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), expected, rtol=1e-6)


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


def test_a_bound_of_the_ratio_holds_for_labeled_fixed_and_dynamic_weights():
    # 1/E of 4, 2, 1 at beta 1/2: 8/15, 2/3, 1; at most 3/2 of the first: 8/15, 2/3, 4/5, sum 2.
    bounded = hyper(max_weight_ratio=1.5, reweight_start=0.0)
    labeled = class_weights.LabeledWeights(bounded, facts())
    np.testing.assert_allclose(labeled.labeled_weights(tf.range(3)), [0.8, 1.0, 1.2], rtol=1e-6)
    dynamic = class_weights.DynamicWeights(bounded, facts())
    dynamic.end_epoch(base.Observation(10, COUNTS))
    np.testing.assert_allclose(dynamic.unlabeled_weights(tf.range(3)), [0.8, 1.0, 1.2], rtol=1e-6)
    # In the pool 40, 20, 10, whose E are 2 to a thousandth: E of 10 is 2 - 2 ** -9.
    fixed = class_weights.FixedUnlabeledWeights(
        hyper(max_weight_ratio=1.0005, reweight_start=0.0), facts()
    )
    expected = np.array([1.0, 1.0, 1.0005]) * 3 / 3.0005
    np.testing.assert_allclose(fixed.unlabeled_weights(tf.range(3)), expected, rtol=1e-5)


def test_smoothed_weights_are_of_the_mean_of_all_epochs_from_the_first_one_on():
    one = class_weights.DynamicWeights(hyper(pseudo_smoothing=0.5), facts())
    one.end_epoch(base.Observation(30, np.array([5.0, 3.0, 1.0])))  # before the start
    np.testing.assert_array_equal(one.unlabeled_weights(tf.range(3)), [1, 1, 1])
    one.end_epoch(base.Observation(40, np.array([1.0, 3.0, 3.0])))
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), by_hand([3, 3, 2]), rtol=1e-6)
    one.end_epoch(base.Observation(50, None))
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), by_hand([3, 3, 2]), rtol=1e-6)
    one.end_epoch(base.Observation(60, np.array([1.0, 5.0, 4.0])))
    np.testing.assert_allclose(one.unlabeled_weights(tf.range(3)), by_hand([2, 4, 3]), rtol=1e-6)


def test_the_mean_of_pseudo_numbers_is_in_the_checkpoint(tmp_path):
    one, other = (
        class_weights.DynamicWeights(hyper(pseudo_smoothing=0.3, reweight_start=0.0), facts())
        for _ in range(2)
    )
    one.end_epoch(base.Observation(10, np.array([5.0, 3.0, 1.0])))
    path = tf.train.Checkpoint(one=one).write(str(tmp_path / "state"))
    tf.train.Checkpoint(one=other).read(path).assert_existing_objects_matched()
    for each in (one, other):
        each.end_epoch(base.Observation(20, np.array([1.0, 3.0, 2.0])))
    np.testing.assert_array_equal(other.class_weights, one.class_weights)
    # .3 * 5 + .7 * 1, .3 * 3 + .7 * 3, .3 * 1 + .7 * 2
    expected = by_hand([2.2, 3.0, 1.7])
    np.testing.assert_allclose(other.unlabeled_weights(tf.range(3)), expected, rtol=1e-6)


def test_classes_without_pseudo_labels_are_told_of_once_while_weights_act(caplog):
    one = class_weights.DynamicWeights(hyper(), facts())
    some, none = np.array([5.0, 3.0, 2.0]), np.array([6.0, 1.0, 1.0])
    for step, numbers in ((30, none), (40, some)):
        one.end_epoch(base.Observation(step, numbers))
    assert caplog.messages == []
    for step in (50, 60):
        one.end_epoch(base.Observation(step, none))
    # E of 6 at beta 1/2 is 2 - 1/32.
    assert caplog.messages == [
        "2 of 3 classes have at most one pseudo-label, and the largest unlabeled weight is 1.97 "
        "times the smallest; max_weight_ratio bounds that"
    ]


def test_nothing_is_told_of_classes_whose_weights_are_bounded(caplog):
    one = class_weights.DynamicWeights(hyper(max_weight_ratio=1.5), facts())
    one.end_epoch(base.Observation(40, np.array([6.0, 1.0, 1.0])))
    assert caplog.messages == []


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


def test_auto_beta_of_dynamic_weights_goes_by_the_labeled_counts():
    tail = facts(np.array([1500.0, 15.0]))
    one = class_weights.DynamicWeights(hyper(beta="auto", reweight_start=0.0), tail)
    one.end_epoch(base.Observation(10, np.array([100.0, 50.0])))
    np.testing.assert_allclose(
        one.unlabeled_weights(tf.range(2)), by_hand([100, 50], 0.995), rtol=1e-5
    )


def test_auto_beta_goes_by_the_counts_that_a_ratio_leaves_as_its_help_says():
    for largest, beta in ((1500, 0.999), (150, 0.999), (120, 0.995), (1520, 0.995)):
        counts = long_tail.class_counts(10, largest, 50)
        assert class_weights.beta_for_imbalance(counts) == beta
    words = "at most 50 times the labeled pictures of the smallest"
    assert words in flag_table.BY_NAME["beta"].help


def test_weights_are_variables_so_that_a_checkpoint_holds_them():
    one = class_weights.DynamicWeights(hyper(), facts())
    assert [v.name for v in one.variables] == ["dynamic_weights/class_weights:0"]
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
