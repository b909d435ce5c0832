"""VAT against the published codes: loss, gradients, units, what is left alone."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import vat

HYPER = {
    "lambda_u": 0.3,
    "ramp": "linear",
    "ramp_fraction": 0.0,
    "vat_radius": 6.0,
    "vat_difference": 1e-2,
    "vat_iterations": 1,
}


def two_layers(inputs):
    images = keras.Input(np.shape(inputs["x_NHWC"])[1:])
    hidden = keras.layers.Dense(len(inputs["b1"]), "tanh", name="hidden")
    head = keras.layers.Dense(len(inputs["b2"]), name="logits")
    network = keras.Model(images, {"logits": head(hidden(keras.layers.Flatten()(images)))})
    hidden.set_weights([np.array(inputs["W1"]), np.array(inputs["b1"])])
    head.set_weights([np.array(inputs["W2"]), np.array(inputs["b2"])])
    return network


def test_loss_and_gradients_equal_the_published_codes(golden, bench, monkeypatch):
    (case,) = [case for case in golden("vat")["cases"] if case["id"] == "tanh_xi1e-2"]
    inputs, expected = case["inputs"], case["outputs"]
    start = tf.constant(inputs["d0"], tf.float32)
    monkeypatch.setattr(tf.random, "stateless_normal", lambda *_: start)
    # The published numbers are in units of the input, the flags in units of [-1, 1]: twice.
    hyper = {"vat_radius": 2 * inputs["eps"], "vat_difference": 2 * inputs["xi"], "lambda_u": 1.0}
    method = bench.make(vat.VAT, lambda: two_layers(inputs), HYPER | hyper, counts=np.ones(4))
    images = inputs["x_NHWC"]
    batch = bench.batch({"weak": images[:1]}, [0], {"weak": images})
    prepared = method.prepare(batch)
    change = prepared["perturbed"] - batch["unlabeled"]["weak"]
    np.testing.assert_allclose(change, expected["r_adv_usb"], rtol=1e-3, atol=1e-3)
    variables = method.network.trainable_variables
    with tf.GradientTape() as tape:
        terms, _ = method.loss_terms(batch, prepared)
    loss = terms["loss_unlabeled"]
    np.testing.assert_allclose(loss, expected["loss_usb_KL_clean_adv"], rtol=1e-4)
    names = ("grad_usb_W1", "grad_usb_b1", "grad_usb_W2", "grad_usb_b2")
    for name, gradient in zip(names, tape.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_radius_is_a_norm_in_pixels_of_minus_one_to_one(bench):
    def network():
        images = keras.Input([8, 8, 1])
        logits = keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(images))
        return keras.Model(images, {"logits": logits})

    method = bench.make(vat.VAT, network, HYPER | {"vat_radius": 0.5})
    views = {"weak": np.random.default_rng(0).uniform(size=[3, 8, 8, 1])}
    batch = bench.batch(views, [0, 1, 0], views)
    change = method.prepare(batch)["perturbed"] - batch["unlabeled"]["weak"]
    rescaled = 2 * tf.reshape(change, [3, 64])  # x' = 2 x - 1
    np.testing.assert_allclose(tf.norm(rescaled, axis=1), [0.5, 0.5, 0.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("ramp", "step", "risen"),
    [
        ("linear", 0, 0.0),
        ("linear", 2, 0.4),
        ("linear", 7, 1.0),
        ("sigmoid", 0, np.exp(-5.0)),
        ("sigmoid", 2, np.exp(-5.0 * 0.6**2)),
    ],
)
def test_divergence_is_weighted_by_lambda_u_and_the_ramp(bench, ramp, step, risen):
    # Of ten steps the weight rises for five.
    hyper = {"lambda_u": 3.0, "ramp": ramp, "ramp_fraction": 0.5}
    network = lambda: bench.linear_network(np.eye(2), [0.0, 0.0])  # noqa: E731
    method = bench.make(vat.VAT, network, HYPER | hyper, step=step)
    batch = bench.batch({"weak": [[0.0, 0.0]]}, [0], {"weak": [[0.0, 0.0]]})
    # (1/4, 3/4) becomes (1/2, 1/2).
    clean = tf.constant([[0.0, np.log(3.0)]], tf.float32)
    terms, _ = method.loss_terms(batch, {"logits": clean, "perturbed": tf.zeros([1, 2])})
    divergence = np.log(1 / 2) / 4 + 3 * np.log(3 / 2) / 4
    np.testing.assert_allclose(terms["loss_unlabeled"], 3.0 * risen * divergence, rtol=1e-5)
    np.testing.assert_allclose(terms["loss_labeled"], np.log(2), rtol=1e-6)


def test_weights_of_pseudo_labels_are_refused(bench):
    with pytest.raises(ValueError, match="needs unlabeled_weights, which VAT does not read"):
        bench.make(
            vat.VAT,
            lambda: bench.linear_network(np.eye(2), [0, 0]),
            HYPER,
            rebalancers=[bench.Weights()],
        )
