"""The weighted losses and Figure 1 of `drw_tf.ops.reweighting`."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import losses, reweighting

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SAW = json.loads((GOLDEN / "saw_weights.json").read_text())
WEIGHTED_LOSSES = [case for case in SAW["cases"] if "loss_u" in case["outputs"]]


# Weighted losses, Eqs. 8 to 10


def test_weighted_labeled_loss_is_a_mean_over_the_batch():
    # (2 * 1 + 0.5 * 3) / 2; not divided by the sum of the weights.
    got = reweighting.weighted_labeled_loss([1.0, 3.0], [2.0, 0.5])
    np.testing.assert_allclose(got, 1.75, rtol=1e-6)


def test_weighted_unlabeled_loss_divides_by_all_rows():
    # Rows 0 and 2 pass the threshold, the divisor is 4.
    got = reweighting.weighted_unlabeled_loss(
        [1.0, 9.0, 3.0, 9.0], [2.0, 7.0, 0.5, 7.0], [1.0, 0.0, 1.0, 0.0]
    )
    np.testing.assert_allclose(got, (2.0 + 1.5) / 4, rtol=1e-6)


def test_weighted_unlabeled_loss_of_an_empty_mask_is_zero():
    got = reweighting.weighted_unlabeled_loss([1.0, 2.0], [1.0, 1.0], [0.0, 0.0])
    assert got.numpy() == 0.0


@pytest.mark.parametrize("case", WEIGHTED_LOSSES, ids=lambda case: case["id"])
def test_weighted_losses_and_gradients_match_the_published_code(case):
    inputs, outputs = case["inputs"], case["outputs"]
    labeled = tf.constant(inputs["logits_x"])
    unlabeled = tf.constant(inputs["logits_u"])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([labeled, unlabeled])
        loss_labeled = reweighting.weighted_labeled_loss(
            losses.cross_entropy(labeled, inputs["labels_x"]),
            tf.gather(inputs["class_weights_x"], inputs["labels_x"]),
        )
        loss_unlabeled = reweighting.weighted_unlabeled_loss(
            losses.cross_entropy(unlabeled, inputs["pseudo_labels_u"]),
            tf.gather(inputs["class_weights_u"], inputs["pseudo_labels_u"]),
            inputs["mask_u"],
        )
    rtol, atol = SAW["tolerance"]["loss_rtol"], SAW["tolerance"]["gradient_atol"]
    np.testing.assert_allclose(loss_labeled, outputs["loss_x"], rtol=rtol)
    np.testing.assert_allclose(loss_unlabeled, outputs["loss_u"], rtol=rtol)
    gradient = tape.gradient(loss_labeled, labeled)
    np.testing.assert_allclose(gradient, outputs["grad_logits_x"], rtol=rtol, atol=atol)
    gradient = tape.gradient(loss_unlabeled, unlabeled)
    np.testing.assert_allclose(gradient, outputs["grad_logits_u"], rtol=rtol, atol=atol)


# Figure 1


def test_sum_by_class_sums_the_rows_of_each_pseudo_label():
    got = reweighting.sum_by_class([1.0, 2.0, 4.0, 8.0], [2, 0, 2, 0], num_classes=4)
    np.testing.assert_allclose(got, [10.0, 0.0, 5.0, 0.0])


def test_sum_by_class_loses_nothing_of_any_column():
    columns = np.float32([[0.5, 1.0], [0.25, 1.0], [1.0, 0.0]])
    got = reweighting.sum_by_class(columns, [1, 1, 0], num_classes=2)
    np.testing.assert_allclose(np.sum(got, axis=0), columns.sum(axis=0))
