"""Margins and the loss with margins, against the recorded numbers and by hand."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import losses, margins

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "ldam.json").read_text())
CASES = [pytest.param(c["inputs"], c["outputs"], id=c["id"]) for c in GOLDEN["cases"]]


@pytest.mark.parametrize(("inputs", "outputs"), CASES)
def test_margins_match_the_published_code(inputs, outputs):
    got = margins.class_margins(inputs["cls_counts"], inputs["max_m"])
    np.testing.assert_allclose(got, outputs["margins"], rtol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), CASES)
def test_loss_of_each_row_matches_the_published_code(inputs, outputs):
    scale = inputs["s"]
    margin = scale * margins.class_margins(inputs["cls_counts"], inputs["max_m"])
    logits = scale * tf.constant(inputs["logits"], tf.float32)
    got = margins.margin_cross_entropy(logits, inputs["labels"], margin)
    np.testing.assert_allclose(got, outputs["per_sample_unweighted"], **GOLDEN["tolerance"])


def test_margins_by_hand():
    # 16 ** -1/4 = 1/2 and 1 ** -1/4 = 1: half of the largest, and the largest.
    np.testing.assert_allclose(margins.class_margins([16, 1], 0.5), [0.25, 0.5], rtol=1e-6)


def test_class_without_pictures_has_the_margin_of_one_picture():
    np.testing.assert_allclose(margins.class_margins([16, 0], 0.5), [0.25, 0.5], rtol=1e-6)


def test_no_margin_is_cross_entropy():
    logits, labels = tf.constant([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]]), tf.constant([2, 0])
    got = margins.margin_cross_entropy(logits, labels, tf.zeros(3))
    np.testing.assert_array_equal(got, losses.cross_entropy(logits, labels))


def test_margin_is_taken_from_the_own_class_alone():
    # log(1 + e ** (0 - (2 - 1))) for class 0 with margin 1; class 1 would lose 5.
    got = margins.margin_cross_entropy(tf.constant([[2.0, 0.0]]), tf.constant([0]), [1.0, 5.0])
    np.testing.assert_allclose(got, [np.log1p(np.exp(-1.0))], rtol=1e-6)


@pytest.mark.parametrize(
    ("counts", "largest", "message"),
    [([1, -2], 0.5, "counts must be >= 0, got -2"), ([1], -0.5, "largest must be >= 0, got -0.5")],
)
def test_negative_numbers_are_refused(counts, largest, message):
    with pytest.raises(ValueError, match=message):
        margins.class_margins(counts, largest)
