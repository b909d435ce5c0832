"""Mixup's draws, the blend, the order of interleaved batches, weights of mixed targets."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from drw_tf.ops import mixup


def seed(step, name=7):
    return tf.constant([name, step], tf.int64)


def coefficients(alpha, draws):
    draw = tf.function(lambda step: mixup.draw_coefficient(tf.stack([7, step]), alpha))
    return np.array([draw(tf.constant(step, tf.int64)) for step in range(draws)])


# Of max(l, 1 - l), l ~ Beta(a, a): uniform for a = 1, 3/4; 12 int_.5^1 l^2 (1 - l) = 11/16
# for a = 2.
@pytest.mark.parametrize(("alpha", "mean"), [(1.0, 3 / 4), (2.0, 11 / 16)])
def test_coefficient_is_the_larger_share_of_a_beta(alpha, mean):
    got = coefficients(alpha, 600)
    assert got.min() >= 0.5
    assert got.max() <= 1.0
    np.testing.assert_allclose(got.mean(), mean, atol=0.02)
    assert got.dtype == np.float32


@pytest.mark.parametrize(("alpha", "limit"), [(0.0, 1.0), (1e-3, 1.0), (1e6, 0.5)])
def test_coefficient_reaches_its_limits_without_nan(alpha, limit):
    np.testing.assert_allclose(coefficients(alpha, 20), limit, atol=0.01)


def test_draws_are_functions_of_the_seed():
    assert mixup.draw_coefficient(seed(3), 0.75) == mixup.draw_coefficient(seed(3), 0.75)
    assert mixup.draw_coefficient(seed(3), 0.75) != mixup.draw_coefficient(seed(4), 0.75)
    first, again = mixup.draw_partners(seed(3), 50), mixup.draw_partners(seed(3), 50)
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != mixup.draw_partners(seed(3, 8), 50).numpy()).any()


def test_partners_are_a_permutation():
    np.testing.assert_array_equal(np.sort(mixup.draw_partners(seed(0), 50)), np.arange(50))


def test_negative_alpha_is_refused():
    with pytest.raises(ValueError, match=r"mixup_alpha must be >= 0, got -0.5\."):
        mixup.draw_coefficient(seed(0), -0.5)


def test_blend_matches_the_published_codes(golden):
    for case in golden("mixmatch")["cases"]:
        inputs, expected = case["inputs"], case["outputs"]
        if inputs["kind"] != "train_step":
            continue
        images = np.concatenate([inputs["x"], inputs["u1"], inputs["u2"]])
        one_hot = np.eye(len(inputs["b"]))[inputs["y"]]
        targets = np.concatenate([one_hot, *([expected["sharpened_targets_u"]] * 2)])
        for values, name in ((images, "mixed_inputs"), (targets, "mixed_targets")):
            partners = values[inputs["permutation"]]
            got = mixup.mix(tf.constant(values), tf.constant(partners), expected["lambda"])
            np.testing.assert_allclose(got, expected[name], rtol=1e-6, atol=1e-7)


def test_interleaving_matches_the_published_codes(golden):
    cases = [c for c in golden("mixmatch")["cases"] if c["inputs"]["kind"] == "interleave"]
    assert cases
    for case in cases:
        batches, rows = case["inputs"]["num_batches"], case["inputs"]["batch"]
        got = mixup.interleaving(batches, rows).reshape(batches, rows)
        np.testing.assert_array_equal(got, case["outputs"]["interleaved"])


@hypothesis.given(batches=st.integers(1, 8), rows=st.integers(1, 20))
def test_interleaving_is_its_own_inverse(batches, rows):
    order = mixup.interleaving(batches, rows)
    np.testing.assert_array_equal(order[order], np.arange(batches * rows))


def test_shares_carry_the_weights_of_their_classes():
    # 3/4 * 1 + 1/4 * 3 = 3/2, of which the second class has one half.
    targets, size = mixup.weighted_shares([[0.75, 0.25], [0.0, 1.0]], tf.constant([1.0, 3.0]))
    np.testing.assert_allclose(targets, [[0.5, 0.5], [0.0, 1.0]], rtol=1e-6)
    np.testing.assert_allclose(size, [1.5, 3.0], rtol=1e-6)


def test_equal_weights_change_no_target():
    soft = tf.nn.softmax(tf.random.stateless_normal([5, 4], [1, 2]))
    targets, size = mixup.weighted_shares(soft, tf.fill([4], 0.5))
    np.testing.assert_allclose(targets, soft, rtol=1e-6)
    np.testing.assert_allclose(size, np.full(5, 0.5), rtol=1e-6)
