"""What joins the labeled set, and to which distribution a generation aligns."""

import json
import pathlib
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import pseudo_labels, self_training
from drw_tf.ops import rows as row_blocks

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "crest.json").read_text())


def of_kind(kind):
    found = [c for c in GOLDEN["cases"] if c["inputs"]["kind"] == kind]
    assert found
    return [pytest.param(c["inputs"], c["outputs"], id=c["id"]) for c in found]


def long_tail(ratio, classes):
    return ratio ** (np.arange(classes) / (classes - 1))


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("prior"))
def test_rates_match_the_published_code(inputs, outputs):
    counts = long_tail(inputs["class_im_ratio"], inputs["num_classes"])
    for alpha, name in ((1, "mu"), (2, "mu_pow_1_over_2"), (3, "mu_pow_1_over_3")):
        got = self_training.selection_rates(counts, alpha)
        np.testing.assert_allclose(got, outputs[name], rtol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("select"))
def test_chosen_rows_match_the_published_code_in_their_order(inputs, outputs):
    logits = np.array(inputs["unlabeled_logits"])
    counts = long_tail(inputs["class_im_ratio"], logits.shape[1])
    rates = self_training.selection_rates(counts, inputs["alpha"])
    if inputs["update_mode"] == "all":
        rates = np.ones_like(rates)
    rows, labels = self_training.most_confident(logits, rates)
    numbers = outputs["num_picked_per_class"]
    lists = outputs["pseudo_lists_sorted_by_confidence"]
    expected = [row for listed, n in zip(lists, numbers, strict=True) for row in listed[:n]]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(len(numbers)), numbers))


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("num_picked"))
def test_numbers_chosen_match_the_published_code(inputs, outputs):
    predicted = np.array(inputs["predicted_counts"])
    rates = self_training.selection_rates(long_tail(1 / inputs["ratio"], 10), inputs["alpha"])
    logits = np.eye(10)[np.repeat(np.arange(10), predicted)]
    _, labels = self_training.most_confident(logits, rates)
    np.testing.assert_array_equal(np.bincount(labels), outputs["num_picked_per_class"])


def test_rates_go_by_rank_wherever_the_classes_stand():
    # Sorted 8, 4, 2: the most frequent gets 2 / 8, the middle one 4 / 8, the rarest 8 / 8.
    np.testing.assert_allclose(self_training.selection_rates([2, 8, 4], 1.0), [1, 0.25, 0.5])
    np.testing.assert_allclose(self_training.selection_rates([2, 8, 4], 2.0), [1, 0.5, 0.5**0.5])


def test_balanced_classes_give_all():
    np.testing.assert_array_equal(self_training.selection_rates([5, 5, 5], 3.0), [1, 1, 1])


@pytest.mark.parametrize(
    ("counts", "alpha", "message"),
    [([1, 2], 0, "alpha must be > 0"), ([0, 0], 1, "not all 0"), ([-1, 2], 1, "counts must be")],
)
def test_rates_refuse_what_has_none(counts, alpha, message):
    with pytest.raises(ValueError, match=message):
        self_training.selection_rates(counts, alpha)


def test_most_confident_rows_by_hand():
    # Class 0: rows 3 (surest), 0, 2. Class 1: row 1. Half of three is one, all of one is one.
    logits = [[2.0, 0.0], [0.0, 9.0], [1.0, 0.0], [3.0, 0.0]]
    rows, labels = self_training.most_confident(logits, np.array([0.5, 1.0]))
    np.testing.assert_array_equal(rows, [3, 1])
    np.testing.assert_array_equal(labels, [0, 1])


def test_certain_rows_are_still_ranked():
    # exp(-50) and exp(-60) are lost beside 1 even in float64.
    rows, _ = self_training.most_confident([[50.0, 0.0], [60.0, 0.0]], np.array([0.5, 0.5]))
    np.testing.assert_array_equal(rows, [1])


def test_whole_share_is_not_lost_to_rounding():
    # 10 * .7 is 7 rows.
    rows, _ = self_training.most_confident(np.tile([1.0, 0.0], [10, 1]), np.array([0.7, 1.0]))
    assert len(rows) == 7


@pytest.mark.parametrize("block", [1, 35])
def test_rows_are_chosen_alike_in_blocks_of_any_size(monkeypatch, block):
    # 53 rows of 5 classes, many of them alike; blocks of 1 row, and of 7 rows, the last one of 4.
    logits = np.random.default_rng(0).integers(0, 3, [53, 5]).astype(np.float32)
    rates = np.array([1.0, 0.7, 0.5, 0.3, 0.1])
    whole = self_training.most_confident(logits, rates)
    monkeypatch.setattr(row_blocks, "_BLOCK", block)
    in_blocks = self_training.most_confident(logits, rates)
    np.testing.assert_array_equal(in_blocks, whole)
    assert len(whole[0]) > 10


def test_choosing_holds_no_float64_copy_of_all_logits():
    logits = np.zeros([200_000, 100], np.float32)
    tracemalloc.start()
    try:
        self_training.most_confident(logits, np.ones(100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Two such copies were four times the logits, and three of them six times.
    assert peak < 3 * logits.nbytes


def test_nothing_to_choose_from_gives_nothing():
    rows, labels = self_training.most_confident(np.zeros([0, 3]), np.ones(3))
    assert rows.shape == labels.shape == (0,)
    assert rows.dtype == labels.dtype == np.int64


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("t_schedule"))
def test_powers_match_the_published_code(inputs, outputs):
    total = inputs["num_generation"]
    got = [self_training.alignment_power(g, total, inputs["t_min"]) for g in range(total)]
    np.testing.assert_allclose(got, outputs["t"], rtol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("pseudo_target"))
def test_alignment_to_the_tempered_prior_matches_the_published_code(inputs, outputs):
    target = self_training.tempered_prior(inputs["gt_p_data"], inputs["t"])
    probabilities = tf.nn.softmax(tf.constant(inputs["logits"], tf.float64))
    got = pseudo_labels.align_distribution(probabilities, target, inputs["p_model"])
    np.testing.assert_allclose(got, outputs["aligned_probs"], **GOLDEN["tolerance"])
    mask = pseudo_labels.hard_pseudo_labels(got, inputs["threshold"]).mask
    np.testing.assert_array_equal(mask, outputs["mask"])


def test_tempered_prior_by_hand():
    # Square roots of 9 and 1: 3/4 and 1/4. Power 0 is uniform, power 1 the prior itself.
    for power, expected in ((0.5, [0.75, 0.25]), (0.0, [0.5, 0.5]), (1.0, [0.9, 0.1])):
        np.testing.assert_allclose(self_training.tempered_prior([9, 1], power), expected, rtol=1e-6)


def test_one_generation_has_no_schedule():
    with pytest.raises(ValueError, match="generations must be >= 2, got 1"):
        self_training.alignment_power(0, 1, 0.5)
    with pytest.raises(ValueError, match="smallest must be in"):
        self_training.alignment_power(0, 2, 1.5)
    with pytest.raises(ValueError, match="prior must be > 0"):
        self_training.tempered_prior([1, 0], 0.5)
