import decimal
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import reweighting

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CLASS_BALANCED = json.loads((GOLDEN / "class_balanced_weights.json").read_text())
SAW = json.loads((GOLDEN / "saw_weights.json").read_text())
HEAD_TO_TAIL = [1500, 899, 539, 323, 193, 116, 69, 41, 25, 15]


def cases(golden, *words):
    found = [case for case in golden["cases"] if all(w in case["outputs"] for w in words)]
    assert found
    return [pytest.param(case["inputs"], case["outputs"], id=case["id"]) for case in found]


# Pseudo numbers and the imbalance ratio, Sec. 3.3


def test_pseudo_numbers_scale_the_histogram_to_the_pool():
    # 500 rows looked at, pool of 1000: every class twice its histogram.
    got = reweighting.pseudo_numbers([300, 150, 50], rows_counted=500, pool_size=1000)
    np.testing.assert_allclose(got, [600.0, 300.0, 100.0], rtol=1e-6)


def test_pseudo_numbers_do_not_hand_unconfident_rows_to_the_confident_classes():
    # Only 100 of 500 rows were confident: the numbers sum to 100 / 500 of the pool.
    got = reweighting.pseudo_numbers([80, 20], rows_counted=500, pool_size=1000)
    np.testing.assert_allclose(got, [160.0, 40.0], rtol=1e-6)


def test_pseudo_numbers_of_an_unseen_class_are_one():
    got = reweighting.pseudo_numbers([500, 0], rows_counted=500, pool_size=1000)
    np.testing.assert_allclose(got, [1000.0, 1.0], rtol=1e-6)


def test_pseudo_numbers_are_uniform_before_any_row_was_counted():
    got = reweighting.pseudo_numbers(np.zeros(4), rows_counted=0, pool_size=1000)
    np.testing.assert_allclose(got, [250.0] * 4, rtol=1e-6)


def test_pseudo_numbers_give_the_labeled_prior_scaled_to_the_pool():
    # 30 labeled rows, pool of 90.
    got = reweighting.pseudo_numbers([20, 10], rows_counted=30, pool_size=90)
    np.testing.assert_allclose(got, [60.0, 30.0], rtol=1e-6)


def test_pseudo_numbers_refuse_an_empty_pool():
    with pytest.raises(ValueError, match=r"pool_size must be >= 1, got 0\.0\."):
        reweighting.pseudo_numbers([1, 2], rows_counted=3, pool_size=0)


def test_pseudo_numbers_refuse_a_negative_number_of_rows():
    with pytest.raises(ValueError, match=r"rows_counted must be >= 0, got -3\.0\."):
        reweighting.pseudo_numbers([1, 2], rows_counted=-3, pool_size=10)


def test_pseudo_numbers_refuse_a_negative_histogram():
    with pytest.raises(ValueError, match=r"histogram must be >= 0, got -1\.0\."):
        reweighting.pseudo_numbers([-1, 2], rows_counted=3, pool_size=10)


def test_imbalance_ratio_is_largest_over_smallest():
    got = reweighting.imbalance_ratio([30.0, 3000.0, 60.0])
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, 100.0, rtol=1e-6)


def test_imbalance_ratio_of_one_class_is_one():
    np.testing.assert_allclose(reweighting.imbalance_ratio([7]), 1.0)


def test_imbalance_ratio_refuses_an_empty_class():
    with pytest.raises(ValueError, match=r"numbers must be > 0, got 0\.0\."):
        reweighting.imbalance_ratio([5.0, 0.0])


# Effective numbers, Definitions 1 and 2


def test_effective_number_matches_hand_computed_geometric_sum():
    # E_n = 1 + beta + ... + beta**(n-1); beta = 1/2: 1, 1.5, 1.75.
    got = reweighting.effective_number(tf.constant([1.0, 2.0, 3.0]), beta=0.5)
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, [1.0, 1.5, 1.75], rtol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), cases(CLASS_BALANCED, "raw_weights"))
def test_effective_number_matches_the_published_code(inputs, outputs):
    got = reweighting.effective_number(inputs["counts"], inputs["beta"])
    np.testing.assert_allclose(1.0 / got.numpy(), outputs["raw_weights"], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 1000, 10**5, 10**7])
@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-7])
def test_effective_number_keeps_its_digits_for_large_counts(count, beta):
    with decimal.localcontext() as context:
        context.prec = 60
        exact = decimal.Decimal(beta)
        expected = float((1 - exact**count) / (1 - exact))
    got = reweighting.effective_number(np.float32([count]), beta)
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_effective_number_is_one_at_beta_zero_and_zero_without_examples():
    got = reweighting.effective_number([0.0, 0.5, 1.0, 1e7], beta=0.0)
    np.testing.assert_allclose(got, [0.0, 1.0, 1.0, 1.0])


def test_effective_number_tends_to_the_count():
    got = reweighting.effective_number([3.0, 40.0, 500.0], beta=1 - 1e-12)
    np.testing.assert_allclose(got, [3.0, 40.0, 500.0], rtol=1e-6)


def test_effective_number_accepts_counts_that_are_not_whole():
    # beta = 1/4: 1 - (1/4) ** 0.5 = 1/2, over 3/4.
    np.testing.assert_allclose(reweighting.effective_number([0.5], beta=0.25), [2 / 3], rtol=1e-6)


@pytest.mark.parametrize("beta", [1.0, -0.1, float("nan")])
def test_effective_number_refuses_beta_outside_its_range(beta):
    with pytest.raises(ValueError, match=rf"beta must be in \[0, 1\), got {beta}\."):
        reweighting.effective_number([1.0, 2.0], beta=beta)


def test_effective_number_refuses_negative_counts():
    with pytest.raises(ValueError, match=r"counts must be >= 0, got -2\.0\."):
        reweighting.effective_number([1.0, -2.0], beta=0.5)


def test_resolve_beta_takes_a_number_as_it_is():
    got = reweighting.resolve_beta(0.999, HEAD_TO_TAIL)
    assert got.dtype == tf.float64
    assert got.numpy() == 0.999


@pytest.mark.parametrize(("inputs", "outputs"), cases(SAW, "beta"))
def test_resolve_beta_from_the_mean_count_matches_the_published_code(inputs, outputs):
    got = reweighting.resolve_beta("auto_mean", inputs["counts"])
    np.testing.assert_allclose(got, outputs["beta"], rtol=1e-12)


def test_resolve_beta_as_printed_in_definition_1_is_one_per_class():
    # (N - 1) / N for N = 1, 2, 10; an empty class counts as one example.
    got = reweighting.resolve_beta("literal", [1, 2, 10, 0])
    np.testing.assert_allclose(got, [0.0, 0.5, 0.9, 0.0], rtol=1e-12)


def test_effective_number_of_the_printed_definition_is_about_two_thirds_of_the_count():
    # N (1 - (1 - 1/N) ** N): 1, 2 * 3/4, 10 * 0.6513215599.
    counts = [1.0, 2.0, 10.0]
    got = reweighting.effective_number(counts, reweighting.resolve_beta("literal", counts))
    np.testing.assert_allclose(got, [1.0, 1.5, 6.513215599], rtol=1e-6)


def test_resolve_beta_from_no_examples_is_zero():
    assert reweighting.resolve_beta("auto_mean", [0, 0, 0]).numpy() == 0.0


def test_resolve_beta_refuses_an_unknown_word():
    message = r'beta must be a number in \[0, 1\), "auto_mean" or "literal", got \'mean\'\.'
    with pytest.raises(ValueError, match=message):
        reweighting.resolve_beta("mean", [1, 2])


def test_resolve_beta_refuses_one():
    with pytest.raises(ValueError, match=r"beta must be in \[0, 1\), got 1\.0\."):
        reweighting.resolve_beta(1, [1, 2])


# Class weights, Eq. 7


@pytest.mark.parametrize(("inputs", "outputs"), cases(CLASS_BALANCED, "weights_sum_C"))
def test_class_weights_match_the_published_code(inputs, outputs):
    raw = reweighting.class_weights(inputs["counts"], inputs["beta"], "none")
    scaled = reweighting.class_weights(inputs["counts"], inputs["beta"], "class")
    assert scaled.dtype == tf.float32
    np.testing.assert_allclose(raw, outputs["raw_weights"], rtol=1e-6)
    np.testing.assert_allclose(scaled, outputs["weights_sum_C"], rtol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), cases(SAW, "weights_sum_C"))
def test_class_weights_with_automatic_beta_match_the_published_code(inputs, outputs):
    got = reweighting.class_weights(inputs["counts"], "auto_mean", "class")
    np.testing.assert_allclose(got, outputs["weights_sum_C"], rtol=1e-6)
    floored = np.maximum(inputs["counts"], 1)
    got = reweighting.class_weights(floored, "auto_mean", "class")
    np.testing.assert_allclose(got, outputs["usb_variant_weights"], rtol=1e-6)


def test_class_weights_sum_to_the_number_of_classes():
    got = reweighting.class_weights(HEAD_TO_TAIL, 0.999, "class").numpy()
    np.testing.assert_allclose(got.sum(), 10.0, rtol=1e-6)
    assert (np.diff(got) > 0).all()


def test_class_weights_normalized_by_sample_average_to_one_over_the_examples():
    # beta = 1/2, counts 1 and 3: 1/E = 1 and 4/7; mean (1 + 3 * 4/7) / 4 = 19/28.
    got = reweighting.class_weights([1, 3], 0.5, "sample").numpy()
    np.testing.assert_allclose(got, [28 / 19, 16 / 19], rtol=1e-6)
    np.testing.assert_allclose((got * [1, 3]).sum() / 4, 1.0, rtol=1e-6)


def test_class_weights_move_with_their_classes():
    order = [3, 0, 2, 1]
    counts = np.array([900, 31, 4, 1])
    for normalization in reweighting.NORMALIZATIONS:
        straight = reweighting.class_weights(counts, "literal", normalization).numpy()
        moved = reweighting.class_weights(counts[order], "literal", normalization)
        np.testing.assert_allclose(moved, straight[order], rtol=1e-6)


@pytest.mark.parametrize("normalization", reweighting.NORMALIZATIONS)
def test_class_weights_are_all_one_at_beta_zero(normalization):
    got = reweighting.class_weights([1000, 10, 0], 0.0, normalization)
    np.testing.assert_allclose(got, [1.0, 1.0, 1.0], rtol=1e-6)


def test_class_weights_count_an_empty_class_as_one_example():
    empty = reweighting.class_weights([100, 0], 0.99, "class")
    single = reweighting.class_weights([100, 1], 0.99, "class")
    np.testing.assert_array_equal(empty, single)


def test_class_weights_of_one_class_are_one():
    np.testing.assert_allclose(reweighting.class_weights([37], 0.99, "class"), [1.0])
    np.testing.assert_allclose(reweighting.class_weights([37], 0.99, "sample"), [1.0], rtol=1e-6)


@pytest.mark.parametrize("beta", [0.999, "auto_mean", "literal"])
def test_class_weights_are_the_same_in_graph_mode(beta):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def in_graph(counts):
        return reweighting.class_weights(counts, beta, "class")

    eager = reweighting.class_weights(np.int64(HEAD_TO_TAIL), beta, "class")
    np.testing.assert_array_equal(in_graph(np.float32(HEAD_TO_TAIL)), eager)


def test_an_empty_class_takes_the_weights_of_all_others_unless_their_ratio_is_bounded():
    # beta = .995: 1 - .995 ** 1000 = .993346, 1 - .995 ** 200 = .633042, of the empty class .005;
    # raw weights .00503349, .00789837, 1, which sum to 1.0129319.
    counts = [1000, 200, 0]
    got = reweighting.class_weights(counts, 0.995)
    np.testing.assert_allclose(got, [0.01490769, 0.02339259, 2.9616997], rtol=1e-5)
    # At most 10 times .00503349: .00503349, .00789837, .0503349, which sum to .06326679.
    got = reweighting.class_weights(counts, 0.995, max_ratio=10.0)
    np.testing.assert_allclose(got, [0.2386794, 0.3745267, 2.3867939], rtol=1e-5)


@pytest.mark.parametrize(
    ("normalization", "scale"),
    # 1/E of counts 1, 2, 3 at beta 1/2 is 1, 2/3, 4/7; at most 5/4 of the last: 5/7, 2/3, 4/7.
    # Their sum is 41/21; times the counts 5/7 + 4/3 + 12/7 = 79/21, to be 6.
    [("none", 1.0), ("class", 63 / 41), ("sample", 126 / 79)],
)
def test_class_weights_are_bounded_before_they_are_normalised(normalization, scale):
    got = reweighting.class_weights([1, 2, 3], 0.5, normalization, max_ratio=1.25)
    np.testing.assert_allclose(got, scale * np.array([5 / 7, 2 / 3, 4 / 7]), rtol=1e-6)


def test_a_ratio_that_no_weight_reaches_changes_nothing_and_one_makes_all_equal():
    free = reweighting.class_weights(HEAD_TO_TAIL, 0.999)
    np.testing.assert_array_equal(reweighting.class_weights(HEAD_TO_TAIL, 0.999, "class", 99), free)
    equal = reweighting.class_weights(HEAD_TO_TAIL, 0.999, "class", 1.0)
    np.testing.assert_allclose(equal, np.ones(10), rtol=1e-6)


@pytest.mark.parametrize("ratio", [0.5, float("nan")])
def test_class_weights_refuse_a_ratio_below_one(ratio):
    with pytest.raises(ValueError, match=rf"max_ratio must be >= 1, got {ratio}\."):
        reweighting.class_weights([1, 2], 0.9, max_ratio=ratio)


# Smoothed pseudo numbers


def test_smoothed_numbers_are_the_first_ones_and_then_an_exponential_mean():
    mean = reweighting.smoothed_numbers(np.zeros(2), [8.0, 2.0], 0.75)
    np.testing.assert_array_equal(mean, [8.0, 2.0])
    mean = reweighting.smoothed_numbers(mean, [4.0, 6.0], 0.75)
    np.testing.assert_array_equal(mean, [7.0, 3.0])  # 6 + 1, 1.5 + 1.5
    mean = reweighting.smoothed_numbers(mean, [3.0, 7.0], 0.75)
    np.testing.assert_array_equal(mean, [6.0, 4.0])  # 5.25 + .75, 2.25 + 1.75


def test_numbers_without_smoothing_are_the_last_ones():
    numbers = np.float32([4.1, 6.3])
    np.testing.assert_array_equal(reweighting.smoothed_numbers([8.0, 2.0], numbers, 0.0), numbers)


@pytest.mark.parametrize("smoothing", [1.0, -0.1])
def test_smoothed_numbers_refuse_a_share_outside_its_range(smoothing):
    with pytest.raises(ValueError, match=rf"smoothing must be in \[0, 1\), got {smoothing}\."):
        reweighting.smoothed_numbers([1.0], [2.0], smoothing)


def test_class_weights_refuse_an_unknown_normalization():
    message = r"normalization must be one of class, sample, none, got 'mean'\."
    with pytest.raises(ValueError, match=message):
        reweighting.class_weights([1, 2], 0.9, "mean")
