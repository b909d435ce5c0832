"""LDAM's loss with and without deferred weights, against the published code."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import base as methods
from drw_tf.methods import supervised
from drw_tf.models import heads
from drw_tf.rebalance import base, ldam

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "ldam.json").read_text())
FLAGS = {"ldam_margin": 0.5, "ldam_scale": 30.0, "deferred_start": 0.8, "deferred_beta": 0.9999}


def make(make_facts, make_hyper, counts, **flags):
    return ldam.MarginLoss(make_hyper(**(FLAGS | flags)), make_facts(counts))


def as_method(one, facts):
    """The supervised method around it, whose head is made of the inputs."""

    def build(heads):
        images = keras.Input([facts.num_classes])
        return keras.Model(images, {"logits": heads["logits"]()(images), "features": images})

    rules = methods.Training(0.9, False, 0.0, "l2")
    return supervised.Supervised(build, base.Hyperparameters({}, ()), facts, [one], rules)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["id"])
def test_loss_and_gradient_match_the_published_code(case, make_facts, make_hyper):
    inputs, outputs = case["inputs"], case["outputs"]
    facts = make_facts(inputs["cls_counts"])
    one = ldam.MarginLoss(make_hyper(**FLAGS), facts)
    if inputs["class_weights"]:
        assert inputs["drw_beta"] == FLAGS["deferred_beta"]
        one.end_epoch(base.Observation(80, None))
        np.testing.assert_allclose(one.class_weights, inputs["class_weights"], rtol=1e-5)
    method = as_method(one, facts)
    cosines = tf.constant(inputs["logits"], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        loss = method.labeled_loss(inputs["s"] * cosines, tf.constant(inputs["labels"]))
    np.testing.assert_allclose(loss, outputs["loss"], rtol=1e-4)
    gradient = tape.gradient(loss, cosines)
    np.testing.assert_allclose(gradient, outputs["grad_logits"], rtol=1e-4, atol=2e-5)


def test_head_is_the_scaled_cosine_and_keeps_its_name(make_facts, make_hyper):
    head = make(make_facts, make_hyper, [4, 2], ldam_scale=20.0).heads()["logits"]()
    assert isinstance(head, heads.CosineHead)
    assert head.name == "logits"
    head.build([None, 2])
    head.set_weights([np.float32([[1.0, 0.0], [0.0, 7.0]])])
    # Cosines of (3, 4) with both axes are .6 and .8.
    np.testing.assert_allclose(head(tf.constant([[3.0, 4.0]])), [[12.0, 16.0]], rtol=1e-6)


def test_weights_wait_for_their_start(make_facts, make_hyper):
    one = make(make_facts, make_hyper, [4, 2])
    one.end_epoch(base.Observation(79, None))
    np.testing.assert_array_equal(one.labeled_weights(tf.constant([0, 1])), [1, 1])
    one.end_epoch(base.Observation(80, None))
    weights = one.labeled_weights(tf.constant([0, 1])).numpy()
    # beta .9999 is near inverse frequency, so class 1 weighs about twice as much.
    assert weights[1] / weights[0] == pytest.approx(2, rel=1e-3)
    assert weights.mean() == pytest.approx(1, rel=1e-6)


def test_weights_that_wait_for_nothing_act_from_the_first_step(make_facts, make_hyper):
    one = make(make_facts, make_hyper, [2, 1], deferred_start=0.0, deferred_beta=0.5)
    # E = 1.5 and 1: weights as 2 to 3, over their mean.
    weights = one.labeled_weights(tf.constant([0, 1]))
    np.testing.assert_allclose(weights, [0.8, 1.2], rtol=1e-6)


def test_weights_are_in_the_checkpoint(make_facts, make_hyper, tmp_path):
    one, other = (make(make_facts, make_hyper, [9, 1]) for _ in range(2))
    one.end_epoch(base.Observation(80, None))
    path = tf.train.Checkpoint(one=one).write(str(tmp_path / "state"))
    tf.train.Checkpoint(one=other).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.class_weights, one.class_weights)
    assert other.class_weights[1] > other.class_weights[0]


@pytest.mark.parametrize(
    ("flag", "value"), [("ldam_margin", 0.1), ("ldam_scale", 10.0), ("deferred_beta", 0.5)]
)
def test_every_flag_changes_the_loss(flag, value, make_facts, make_hyper):
    losses = []
    for flags in ({}, {flag: value}):
        one = make(make_facts, make_hyper, [40, 2], **flags)
        one.end_epoch(base.Observation(80, None))
        labels = tf.constant([0, 1])
        rows = one.supervised_loss(tf.zeros([2, 2]), labels)
        losses.append(float(tf.reduce_mean(rows * one.labeled_weights(labels))))
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_weights_average_one_over_the_whole_batch_of_all_replicas(
    two_replicas, make_facts, make_hyper
):
    with two_replicas.scope():
        one = make(make_facts, make_hyper, [9, 1])
    one.end_epoch(base.Observation(80, None))
    labels = tf.constant([0, 0, 0, 1])
    expected = one.labeled_weights(labels).numpy()

    @tf.function
    def weigh(mine):
        return two_replicas.run(one.labeled_weights, args=(mine,))

    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(labels, 2)[context.replica_id_in_sync_group]
    )
    got = np.concatenate(two_replicas.experimental_local_results(weigh(halves)))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert got.mean() == pytest.approx(1, rel=1e-6)
