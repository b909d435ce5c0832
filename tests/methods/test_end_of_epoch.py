"""What the end of an epoch logs and tells: weights as trained with, the prior as judged with."""

import numpy as np
import pytest

from drw_tf.methods import fixmatch
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import class_weights, logit_adjustment

COUNTS = np.array([4.0, 1.0])
VALUES = {
    "beta": "0.9",
    "weight_normalization": "class",
    "max_weight_ratio": 0.0,
    "reweight_start": 0.0,
    "pseudo_smoothing": 0.0,
    "la_prior": "pseudo",
    "la_strength": 1.0,
}
# Of a pool of 100: three quarters are said to be of class 0.
WEAK = [[5.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 0.0]]
NUMBERS = [75.0, 25.0]


@pytest.fixture
def method(bench):
    """DRw with logits adjusted by its pseudo numbers, on a network that answers what it sees."""
    hyper = rebalance.Hyperparameters(VALUES, tuple(VALUES))
    facts = rebalance.Facts(2, COUNTS, 100, 10, 5)
    flags = {
        "threshold": 0.9,
        "lambda_u": 1.0,
        "forward": "joint",
        "strong_views": 1,
        "pseudo_count": "all",
        "pseudo_memory": "epoch",
    }
    return bench.make(
        fixmatch.FixMatch,
        lambda: bench.linear_network(np.eye(2), [0.0, 0.0]),
        flags,
        rebalancers=[
            class_weights.DynamicWeights(hyper, facts),
            logit_adjustment.LogitAdjustment(hyper, facts),
        ],
        counts=COUNTS,
    )


@pytest.fixture
def count(bench):
    """count(method, weak): one step with these weak views."""

    def made(method, weak):
        unlabeled = {"weak": weak, "strong": np.zeros([len(weak), 2])}
        bench.step(method, bench.batch({"weak": [[0.0, 0.0]]}, [0], unlabeled))

    return made


def judged_prior(method):
    """The prior that `adjust` really takes off."""
    prior = np.exp(-np.asarray(method.adjust(np.zeros([1, 2]), method.ema_network))[0])
    return prior / prior.sum()


def test_weights_are_those_of_the_epoch_and_the_prior_that_of_its_evaluation(method, count):
    count(method, WEAK)
    entry = method.end_epoch(5)
    np.testing.assert_allclose(entry["pseudo_numbers"], NUMBERS)
    assert entry["unlabeled_weights"] == [1.0, 1.0]
    np.testing.assert_allclose(entry["adjustment_prior"], [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(entry["adjustment_prior"], judged_prior(method), rtol=1e-6)
    weights = method.rebalancers[0].class_weights.numpy()
    assert weights[0] < 1 < weights[1]
    count(method, WEAK[:2] + WEAK[2:3] * 2)  # half of each class
    entry = method.end_epoch(10)
    np.testing.assert_array_equal(entry["unlabeled_weights"], weights)
    np.testing.assert_allclose(entry["adjustment_prior"], [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(entry["adjustment_prior"], judged_prior(method), rtol=1e-6)


def test_an_epoch_that_counted_nothing_leaves_weights_and_prior_and_logs_no_numbers(method, count):
    count(method, WEAK)
    method.end_epoch(5)
    weights = method.rebalancers[0].class_weights.numpy()
    entry = method.end_epoch(10)  # all of its steps were skipped
    np.testing.assert_array_equal(method.rebalancers[0].class_weights, weights)
    np.testing.assert_allclose(judged_prior(method), [0.75, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(entry["unlabeled_weights"], weights)
    np.testing.assert_allclose(entry["adjustment_prior"], [0.75, 0.25], rtol=1e-6)
    assert "pseudo_numbers" not in entry
    assert "pseudo_imbalance_ratio" not in entry


@pytest.mark.parametrize("name", ["unlabeled_weights", "train"])
def test_a_name_that_is_described_twice_is_refused(method, name):
    adjustment = method.rebalancers[1]
    adjustment.describe = lambda: {name: np.ones(2)}
    with pytest.raises(ValueError, match=f"{name} is given twice"):
        method.end_epoch(5)


def test_two_rebalancers_that_describe_the_same_are_refused(method):
    method.rebalancers = method.rebalancers[:1] * 2
    with pytest.raises(ValueError, match="unlabeled_weights is given twice"):
        method.end_epoch(5)
