"""Which prior logit adjustment takes off where several rebalancers weigh the labeled loss."""

import numpy as np
import pytest

from drw_tf.ops import reweighting
from drw_tf.rebalance import base, class_weights, ldam, logit_adjustment

COUNTS = np.array([4.0, 2.0, 1.0])


@pytest.fixture
def make(make_facts, make_hyper):
    """make(others, la_prior): logit adjustment in a recipe with these others."""

    def made(others, la_prior="effective"):
        hyper = make_hyper(la_prior=la_prior, la_strength=1.0)
        one = logit_adjustment.LogitAdjustment(hyper, make_facts(COUNTS))
        one.attach([*others, one])
        return one

    return made


@pytest.fixture
def labeled_weights(make_facts, make_hyper):
    """1 - beta over 1 - beta ** N: at .5 those of 4, 2 and 1 are as 8 / 15, 2 / 3 and 1."""
    hyper = make_hyper(beta="0.5", weight_normalization="class", max_weight_ratio=0.0)
    return class_weights.LabeledWeights(hyper, make_facts(COUNTS))


@pytest.fixture
def make_margin_loss(make_facts, make_hyper):
    """make_margin_loss(): one whose weights are 1 until step 80 of 100."""
    flags = {"ldam_margin": 0.5, "ldam_scale": 30.0, "deferred_start": 0.8, "deferred_beta": 0.9}
    return lambda: ldam.MarginLoss(make_hyper(**flags), make_facts(COUNTS))


def shares(values):
    return np.asarray(values) / np.sum(values)


def test_the_effective_prior_has_the_weights_of_all_others_as_they_are_then(
    make, labeled_weights, make_margin_loss
):
    margin_loss = make_margin_loss()
    one = make([labeled_weights, margin_loss])
    first = np.array([8 / 15, 2 / 3, 1.0])
    np.testing.assert_allclose(one.prior(), shares(COUNTS * first), rtol=1e-6)
    margin_loss.end_epoch(base.Observation(80, None))
    second = np.asarray(reweighting.class_weights(COUNTS, 0.9))
    np.testing.assert_allclose(one.prior(), shares(COUNTS * first * second), rtol=1e-6)


def test_without_weights_the_effective_prior_is_the_labeled_one(make):
    np.testing.assert_allclose(make([]).prior(), COUNTS / 7, rtol=1e-6)


def test_the_prior_can_be_asked_for_between_steps_of_several_replicas(
    make, two_replicas, make_margin_loss
):
    with two_replicas.scope():
        margin_loss = make_margin_loss()
        one = make([margin_loss])
        margin_loss.end_epoch(base.Observation(80, None))
        got = one.prior()
    expected = COUNTS * np.asarray(reweighting.class_weights(COUNTS, 0.9))
    np.testing.assert_allclose(got, shares(expected), rtol=1e-6)


def test_adjusted_logits_are_a_float64_array(make):
    logits = np.float32([[2e6, 2e6 + 1, -3.0], [0.0, 0.25, 1.0]])
    adjusted = make([], "labeled").adjust(logits, None)
    assert isinstance(adjusted, np.ndarray)
    assert adjusted.dtype == np.float64
    expected = logits.astype(np.float64) - np.log(COUNTS / 7)
    np.testing.assert_allclose(adjusted, expected, rtol=1e-14)
