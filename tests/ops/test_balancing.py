"""Probabilities of being kept, against the recorded numbers and by hand."""

import json
import pathlib

import numpy as np
import pytest

from drw_tf.ops import balancing

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "abc_cdmad.json").read_text())
CASES = [
    pytest.param(c["inputs"], c["outputs"], id=c["id"])
    for c in GOLDEN["cases"]
    if c["inputs"]["kind"] == "abc_prob"
]


@pytest.mark.parametrize(("inputs", "outputs"), CASES)
def test_rates_match_the_published_code(inputs, outputs):
    rates = balancing.keep_rates(inputs["class_counts"])
    np.testing.assert_allclose(rates, outputs["labeled_keep_prob"], rtol=1e-6)
    for epoch, expected in zip(
        inputs["epochs_list"], outputs["unlabeled_keep_prob_per_epoch"], strict=True
    ):
        got = balancing.annealed_keep_rates(rates, epoch / inputs["total_epochs"])
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_kept_rows_of_all_classes_are_equally_many():
    counts = np.array([40.0, 5.0, 10.0])
    np.testing.assert_allclose(counts * balancing.keep_rates(counts), [5, 5, 5], rtol=1e-6)


def test_class_without_pictures_counts_as_one():
    np.testing.assert_allclose(balancing.keep_rates([4, 0]), [0.25, 1.0])


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="counts must be >= 0"):
        balancing.keep_rates([3, -1])
