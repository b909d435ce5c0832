"""Adversarial directions against the published codes, and their lengths."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import adversarial, losses

CASES = ("tanh_a", "tanh_a_2it", "leaky_b", "leaky_b_2it", "tanh_eps1", "tanh_xi1e-2")


def find(golden, name):
    (case,) = [case for case in golden("vat")["cases"] if case["id"] == name]
    return case["inputs"], case["outputs"]


def two_layers(inputs, dtype):
    kinds = {"tanh": tf.tanh, "leaky_relu_0.1": lambda x: tf.nn.leaky_relu(x, 0.1)}
    first, bias, second, last = (tf.constant(inputs[k], dtype) for k in ("W1", "b1", "W2", "b2"))

    def forward(images):
        flat = tf.reshape(images, [images.shape[0], -1])
        return kinds[inputs["activation"]](flat @ first + bias) @ second + last

    return forward


def found(inputs, dtype, difference):
    forward = two_layers(inputs, dtype)
    images = tf.constant(inputs["x_NHWC"], dtype)
    change = adversarial.perturbation(
        forward,
        images,
        forward(images),
        tf.constant(inputs["d0"], dtype),
        radius=inputs["eps"],
        difference=difference,
        iterations=inputs["n_power"],
    )
    return change, forward(images), forward(images + change)


@pytest.mark.parametrize("name", CASES)
def test_perturbation_and_divergence_match_the_published_codes(golden, name):
    inputs, expected = find(golden, name)
    change, clean, moved = found(inputs, tf.float64, inputs["xi"])
    np.testing.assert_allclose(change, expected["r_adv_usb"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(change, expected["r_adv_google"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(clean, expected["logits_clean"], rtol=1e-6)
    each = losses.kl_divergence(clean, moved)
    np.testing.assert_allclose(each, expected["per_sample_KL_clean_adv"], rtol=1e-5, atol=1e-6)
    back = losses.kl_divergence(moved, clean)
    np.testing.assert_allclose(back, expected["per_sample_KL_adv_clean"], rtol=1e-5, atol=1e-6)


def test_default_difference_finds_the_direction_in_float32(golden):
    inputs, expected = find(golden, "tanh_a")
    change, _, _ = found(inputs, tf.float32, 1e-2)
    rows = [np.reshape(values, [len(values), -1]) for values in (change, expected["r_adv_usb"])]
    cosine = np.sum(rows[0] * rows[1], axis=1) / inputs["eps"] ** 2
    assert cosine.min() > 0.999


def test_perturbation_has_the_radius_and_no_gradient():
    images = tf.random.stateless_uniform([3, 4, 4, 1], [0, 1])
    kernel = tf.Variable(tf.random.stateless_normal([16, 5], [0, 2]))

    def forward(values):
        return tf.reshape(values, [3, 16]) @ kernel

    with tf.GradientTape() as tape:
        tape.watch(images)
        change = adversarial.perturbation(
            forward,
            images,
            forward(images),
            tf.random.stateless_normal(images.shape, [0, 3]),
            radius=2.0,
            difference=1e-2,
            iterations=1,
        )
    np.testing.assert_allclose(tf.norm(tf.reshape(change, [3, 16]), axis=1), [2, 2, 2], rtol=1e-5)
    assert tape.gradient(change, [images, kernel]) == [None, None]


def test_rows_become_units_even_where_squares_underflow():
    got = adversarial.unit_rows(tf.constant([[3.0, 4.0], [3e-30, -4e-30], [0.0, 0.0]]))
    np.testing.assert_allclose(got, [[0.6, 0.8], [0.6, -0.8], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "must"),
    [("radius", -1.0, ">= 0"), ("difference", 0.0, "> 0"), ("iterations", 0, ">= 1")],
)
def test_numbers_out_of_range_are_refused(name, value, must):
    numbers = {"radius": 1.0, "difference": 1e-2, "iterations": 1} | {name: value}
    images = tf.ones([1, 2])
    with pytest.raises(ValueError, match=f"{name} must be {must}, got {value}"):
        adversarial.perturbation(lambda x: x, images, images, images, **numbers)
