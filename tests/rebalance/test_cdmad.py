"""Whole CDMAD steps against the published code; what the solid picture changes, and when."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.rebalance import base, cdmad
from drw_tf.serving import run_export

FLAGS = {"cdmad_start": 0.2, "cdmad_color": 1.0}


def linear(kernel, bias):
    def build(heads=None):
        images = keras.Input([len(kernel)])
        dense = keras.layers.Dense(len(bias), name="logits")
        made = keras.Model(images, {"logits": dense(images), "features": images})
        dense.set_weights([np.float32(kernel), np.float32(bias)])
        return made

    return build


@pytest.mark.parametrize("name", ["cdmad_before_start", "cdmad_after_start", "cdmad_after_tau95"])
def test_step_and_test_logits_match_the_published_code(
    name, golden, fixmatch_step, make_facts, make_hyper
):
    (case,) = [c for c in golden("abc_cdmad")["cases"] if c["id"] == name]
    inputs, expected = case["inputs"], case["outputs"]
    # There the first epoch after number `debias_start` is the first one.
    flags = FLAGS | {"cdmad_start": (inputs["debias_start"] + 1) / 500}
    facts = make_facts(np.ones(len(inputs["b"])), total_steps=500)
    one = cdmad.SolidColorDebiasing(make_hyper(**flags), facts)
    views = {
        "labeled": inputs["image_channel_means_x"],
        "weak": inputs["u_weak"],
        "strong": inputs["u_strong1"],
        "strong_2": inputs["u_strong2"],
    }
    terms, scalars, gradients, method = fixmatch_step(
        linear(inputs["W"], inputs["b"]),
        facts,
        [one],
        views,
        inputs["y"],
        inputs["tau"],
        inputs["epoch"],
    )
    np.testing.assert_allclose(one.bias(method.network)[0], expected["white_image_logits"], 1e-5)
    np.testing.assert_allclose(terms["loss_labeled"], expected["loss_x"], rtol=1e-5)
    np.testing.assert_allclose(terms["loss_unlabeled"], expected["loss_u"], rtol=1e-4)
    assert float(scalars["mask_rate"]) == pytest.approx(np.mean(expected["mask"]))
    np.testing.assert_allclose(
        gradients["logits/kernel:0"], expected["grad_W"], rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(gradients["logits/bias:0"], expected["grad_b"], rtol=1e-3, atol=1e-5)
    logits = method.network(tf.constant(inputs["test_x"], tf.float32))["logits"].numpy()
    adjusted = method.adjust(logits, method.network)
    np.testing.assert_allclose(adjusted, expected["test_debiased_logits"], rtol=1e-4, atol=1e-5)


def make(make_facts, make_hyper, **flags):
    return cdmad.SolidColorDebiasing(make_hyper(**(FLAGS | flags)), make_facts([1, 1]))


def weak(network, step, stage_steps=100):
    return base.Weak(
        tf.zeros([1, 2]), tf.zeros([1], tf.int64), tf.constant(step, tf.int64), network, stage_steps
    )


def test_debiasing_begins_at_its_start(make_facts, make_hyper):
    one, network = make(make_facts, make_hyper), linear([[0.0, 0.0]], [0.0, np.log(3.0)])()
    even = tf.constant([[0.5, 0.5]])
    np.testing.assert_allclose(one.refine(even, weak(network, 19)), [[0.5, 0.5]], rtol=1e-6)
    # The answer to nothing favours class 1 three times: divided out, 3/4 to 1/4.
    np.testing.assert_allclose(one.refine(even, weak(network, 20)), [[0.75, 0.25]], rtol=1e-6)
    # In a stage of 30 steps it is step 6.
    for step, first in ((5, 0.5), (6, 0.75)):
        got = one.refine(even, weak(network, step, stage_steps=30))
        np.testing.assert_allclose(got, [[first, 1 - first]], rtol=1e-6)


def test_mixmatch_sharpens_what_was_debiased(make_facts, make_hyper, mixmatch_targets):
    one = make(make_facts, make_hyper, cdmad_start=0.0)
    got = mixmatch_targets(linear([[0.0, 0.0]], [0.0, np.log(3.0)]), one, np.zeros([1, 2]))
    # Even, and three times less for class 1: 3 to 1, and squared.
    np.testing.assert_allclose(got, [[0.9, 0.1]], rtol=1e-5)


def test_certain_rows_stay_finite(make_facts, make_hyper):
    one, network = make(make_facts, make_hyper), linear([[0.0, 0.0]], [90.0, -90.0])()
    got = one.refine(tf.constant([[1.0, 0.0], [0.0, 1.0]]), weak(network, 50))
    np.testing.assert_array_equal(got, [[1, 0], [0, 1]])


def test_color_is_that_of_the_picture(make_facts, make_hyper):
    network = linear([[2.0, 0.0]], [0.0, 1.0])()
    for color in (1.0, 0.25, 0.0):
        one = make(make_facts, make_hyper, cdmad_color=color)
        np.testing.assert_allclose(one.bias(network), [[2 * color, 1.0]], rtol=1e-6)
        adjusted = one.adjust(np.zeros([3, 2]), network)
        np.testing.assert_allclose(adjusted, [[-2 * color, -1.0]] * 3, rtol=1e-6)


def test_solid_picture_leaves_no_trace_in_batch_statistics_and_gets_no_gradient(
    make_facts, make_hyper
):
    images = keras.Input([4, 4, 1])
    norm = keras.layers.BatchNormalization()
    features = keras.layers.Flatten()(norm(images))
    network = keras.Model(images, {"logits": keras.layers.Dense(2)(features)})
    one = make(make_facts, make_hyper)
    with tf.GradientTape() as tape:
        bias = one.bias(network)
    assert tape.gradient(bias, network.trainable_variables) == [None] * 4
    np.testing.assert_array_equal(norm.moving_mean, [0.0])
    np.testing.assert_array_equal(norm.moving_variance, [1.0])


def test_export_can_subtract_what_is_subtracted_at_test_time(fixmatch_step, make_facts, make_hyper):
    one = make(make_facts, make_hyper)
    views = {name: [[1.0]] for name in ("labeled", "weak", "strong")}
    network = linear([[2.0, -1.0]], [0.5, 0.0])
    *_, method = fixmatch_step(network, one.facts, [one], views, [0], 0.0)
    assert method.adjusts
    np.testing.assert_allclose(
        run_export.adjustment_of(method, method.ema_network), [2.5, -1.0], rtol=1e-6
    )
