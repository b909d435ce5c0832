import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import losses

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FOCAL = json.loads((GOLDEN / "focal.json").read_text())
FIXMATCH = json.loads((GOLDEN / "fixmatch.json").read_text())
CRITERIONS = [case for case in FIXMATCH["cases"] if "ce_soft" in case["outputs"]]


def value_and_gradient(loss, logits):
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_mean(loss(logits))
    return value.numpy(), tape.gradient(value, logits).numpy()


def case_id(case):
    return case["id"]


# Cross-entropy


def test_cross_entropy_of_equal_logits_is_log_of_the_number_of_classes():
    got = losses.cross_entropy(np.zeros([2, 4]), [0, 3])
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, [np.log(4.0)] * 2, rtol=1e-6)


@pytest.mark.parametrize("case", CRITERIONS, ids=case_id)
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_cross_entropy_matches_the_published_code(case, kind):
    inputs, outputs = case["inputs"], case["outputs"]
    targets = inputs[f"{kind}_targets"]
    rows = losses.cross_entropy(inputs["logits"], targets)
    np.testing.assert_allclose(rows, outputs[f"per_sample_ce_{kind}"], rtol=1e-5)
    value, gradient = value_and_gradient(
        lambda logits: losses.cross_entropy(logits, targets), inputs["logits"]
    )
    np.testing.assert_allclose(value, outputs[f"ce_{kind}"], rtol=1e-5)
    np.testing.assert_allclose(gradient, outputs[f"grad_ce_{kind}"], rtol=1e-5, atol=1e-6)


def test_cross_entropy_of_a_one_hot_label_equals_that_of_its_class():
    logits = np.float32([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    hard = losses.cross_entropy(logits, [2, 0])
    soft = losses.cross_entropy(logits, tf.one_hot([2, 0], 3))
    np.testing.assert_allclose(hard, soft, rtol=1e-6)


def test_cross_entropy_stays_finite_for_extreme_logits():
    # log-softmax of the wrong class is -2e4, of the right one 0.
    got = losses.cross_entropy([[1e4, -1e4], [1e4, -1e4]], [1, 0])
    np.testing.assert_allclose(got, [2e4, 0.0], rtol=1e-6)


def test_cross_entropy_of_half_precision_logits_is_computed_in_float32():
    logits = tf.constant([[3.0, 1.0, -2.0]], tf.bfloat16)
    got = losses.cross_entropy(logits, [1])
    assert got.dtype == tf.float32
    # log(e**2 + 1 + e**-3)
    np.testing.assert_allclose(got, [np.log(np.exp(2.0) + 1.0 + np.exp(-3.0))], rtol=1e-5)


def test_cross_entropy_of_one_class_is_zero():
    np.testing.assert_array_equal(losses.cross_entropy([[4.0]], [0]), [0.0])


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0, 1]]])
def test_cross_entropy_refuses_labels_of_neither_form(labels):
    message = r"labels must be integers \[B\] or floats \[B, C\], got (float32|int32) of rank \d\."
    with pytest.raises(ValueError, match=message):
        losses.cross_entropy([[0.0, 1.0], [2.0, 3.0]], labels)


# Focal loss


def test_focal_matches_hand_computed_value():
    # p = 1/4: (3/4) ** 2 * log(4).
    got = losses.focal([[0.0, 0.0, 0.0, 0.0]], [1], focal_gamma=2.0)
    np.testing.assert_allclose(got, [0.5625 * np.log(4.0)], rtol=1e-6)


@pytest.mark.parametrize("case", FOCAL["cases"], ids=case_id)
def test_focal_and_its_gradient_match_the_published_code(case):
    inputs, outputs = case["inputs"], case["outputs"]
    value, gradient = value_and_gradient(
        lambda logits: losses.focal(logits, inputs["labels"], inputs["gamma"]), inputs["logits"]
    )
    np.testing.assert_allclose(value, outputs["loss"], rtol=1e-5)
    np.testing.assert_allclose(gradient, outputs["grad_logits"], rtol=1e-5, atol=1e-6)


def test_focal_never_exceeds_cross_entropy():
    logits = np.random.default_rng(0).normal(size=[50, 5]).astype(np.float32)
    labels = np.arange(50) % 5
    plain = losses.cross_entropy(logits, labels).numpy()
    for focal_gamma in (0.5, 1.0, 2.0):
        assert (losses.focal(logits, labels, focal_gamma).numpy() <= plain).all()


@pytest.mark.parametrize("focal_gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradient_of_a_certain_row_is_zero_and_finite(focal_gamma):
    value, gradient = value_and_gradient(
        lambda logits: losses.focal(logits, [0], focal_gamma), [[200.0, -200.0]]
    )
    assert value == 0.0
    np.testing.assert_array_equal(gradient, [[0.0, 0.0]])


def test_focal_refuses_a_negative_exponent():
    with pytest.raises(ValueError, match=r"focal_gamma must be >= 0, got -1\.0\."):
        losses.focal([[0.0, 0.0]], [1], focal_gamma=-1.0)


# Kullback-Leibler divergence


def test_kl_divergence_matches_hand_computed_value():
    # p = (1/2, 1/2), q = (1/4, 3/4): 1/2 log 2 + 1/2 log(2/3) = 1/2 log(4/3).
    got = losses.kl_divergence([[0.0, 0.0]], [[0.0, np.log(3.0)]])
    np.testing.assert_allclose(got, [0.5 * np.log(4 / 3)], rtol=1e-5)


def test_kl_divergence_of_equal_distributions_is_zero_and_of_others_positive():
    logits = np.random.default_rng(1).normal(size=[20, 6]).astype(np.float32)
    np.testing.assert_allclose(losses.kl_divergence(logits, logits + 5.0), 0.0, atol=1e-6)
    assert (losses.kl_divergence(logits, logits[::-1]).numpy() > 0).all()


def test_kl_divergence_stays_finite_for_certain_rows():
    # p puts nothing on class 1 in float32: log q_0 = -log(2) remains.
    got = losses.kl_divergence([[500.0, -500.0]], [[0.0, 0.0]])
    np.testing.assert_allclose(got, [np.log(2.0)], rtol=1e-6)


# Squared error


def test_squared_error_is_a_mean_over_classes():
    # (0.3**2 + 0.3**2) / 2
    got = losses.squared_error([[0.7, 0.3]], [[1.0, 0.0]])
    np.testing.assert_allclose(got, [0.09], rtol=1e-5)


@pytest.mark.parametrize("case", CRITERIONS, ids=case_id)
def test_squared_error_matches_the_published_code(case):
    inputs, outputs = case["inputs"], case["outputs"]
    value, gradient = value_and_gradient(
        lambda logits: losses.squared_error(tf.nn.softmax(logits), inputs["soft_targets"]),
        inputs["logits"],
    )
    np.testing.assert_allclose(value, outputs["mse"], rtol=1e-5)
    np.testing.assert_allclose(gradient, outputs["grad_mse"], rtol=1e-4, atol=1e-7)


def test_squared_error_refuses_different_shapes():
    message = r"targets must have the shape of probabilities, \(2, 3\), got \(2, 1\)\."
    with pytest.raises(ValueError, match=message):
        losses.squared_error(np.zeros([2, 3]), np.zeros([2, 1]))
