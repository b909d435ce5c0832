"""Focal loss as a part of FixMatch."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import base as methods
from drw_tf.methods import supervised
from drw_tf.rebalance import base, focal

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def load(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]


PLAIN = {case["id"]: case for case in load("focal")}


def identity_network(classes):
    def build(heads):
        pictures = keras.Input([classes])
        dense = keras.layers.Dense(classes, name="logits", use_bias=False)
        network = keras.Model(pictures, {"logits": dense(pictures), "features": pictures})
        dense.set_weights([np.eye(classes, dtype=np.float32)])
        return network

    return build


@pytest.fixture
def make(make_facts, make_hyper):
    """make(counts, focal_gamma, focal_apply="both")."""

    def build(counts, focal_gamma, focal_apply="both"):
        flags = make_hyper(focal_gamma=focal_gamma, focal_apply=focal_apply)
        return focal.FocalLoss(flags, make_facts(counts))

    return build


class GivenWeights(base.Rebalancer):
    """These weights on labeled pictures."""

    def __init__(self, weights):
        super().__init__(None, None)
        self.given = tf.constant(weights, tf.float32)

    def labeled_weights(self, labels):
        return tf.gather(self.given, labels)


def labeled_loss(rebalancers, facts, case):
    method = supervised.Supervised(
        identity_network(facts.num_classes),
        base.Hyperparameters({}, ()),
        facts,
        rebalancers,
        methods.Training(0.999, False, 0.0, "l2"),
    )
    labels = tf.constant(case["inputs"]["labels"], tf.int32)
    return method.labeled_loss(tf.constant(case["inputs"]["logits"]), labels)


@pytest.mark.parametrize("name", PLAIN)
def test_labeled_loss_equals_the_published_codes(make, make_facts, name):
    case = PLAIN[name]
    counts = np.ones(len(case["inputs"]["logits"][0]))
    one = make(counts, case["inputs"]["gamma"])
    got = labeled_loss([one], make_facts(counts), case)
    np.testing.assert_allclose(got, case["outputs"]["loss"], rtol=1e-5)


@pytest.mark.parametrize("case", load("focal_weighted"), ids=lambda case: case["id"])
def test_class_weight_is_a_factor_outside_of_the_focal_loss(make, make_facts, case):
    plain = PLAIN[case["inputs"]["of"]]
    weights = case["inputs"]["class_weights"]
    rebalancers = [make(np.ones(len(weights)), plain["inputs"]["gamma"]), GivenWeights(weights)]
    got = labeled_loss(rebalancers, make_facts(np.ones(len(weights))), plain)
    np.testing.assert_allclose(got, case["outputs"]["loss"], rtol=1e-5)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("where", ["labeled", "both"])
def test_fixmatch_step_by_hand(make, make_facts, fixmatch_step, gamma, where):
    # Labeled: p_y = 1/2, so (1/2)^gamma log 2. Unlabeled: one confident picture of two, of
    # class 1, p_y = 1/4 in its strong view: (3/4)^gamma log 4 or log 4, over 2 rows.
    views = {
        "labeled": np.zeros([1, 2]),
        "weak": [[0.0, 5.0], [0.1, 0.0]],
        "strong": [[np.log(3.0), 0.0], [9.0, 0.0]],
    }
    one = make([1.0, 1.0], gamma, where)
    terms, _, gradients, _ = fixmatch_step(
        identity_network(2), make_facts([1.0, 1.0]), [one], views, [0], 0.9
    )
    np.testing.assert_allclose(terms["loss_labeled"], 0.5**gamma * np.log(2), rtol=1e-6)
    factor = 0.75**gamma if where == "both" else 1.0
    np.testing.assert_allclose(terms["loss_unlabeled"], factor * np.log(4) / 2, rtol=1e-5)
    assert np.any(gradients["logits/kernel:0"])


def test_soft_targets_are_refused(make):
    one = make([1.0, 1.0], 1.0)
    with pytest.raises(ValueError, match=r"labels of a focal loss must be integers \[B\]"):
        one.unsupervised_loss(tf.zeros([1, 2]), tf.constant([[0.5, 0.5]]))
