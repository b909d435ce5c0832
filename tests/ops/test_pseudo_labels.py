import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import losses, pseudo_labels, reweighting

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
FIXMATCH = json.loads((GOLDEN / "fixmatch.json").read_text())["cases"]
BANK = [
    case
    for case in json.loads((GOLDEN / "saw_weights.json").read_text())["cases"]
    if "bank_probs" in case["inputs"]
]


def of_kind(kind):
    found = [case for case in FIXMATCH if case["inputs"]["kind"] == kind]
    assert found
    return [pytest.param(case["inputs"], case["outputs"], id=case["id"]) for case in found]


# Hard pseudo-labels, Eqs. 3 and 4


def test_hard_pseudo_labels_are_the_largest_class_its_probability_and_whether_it_passes():
    labels, confidence, mask = pseudo_labels.hard_pseudo_labels(
        np.float32([[0.1, 0.9], [0.6, 0.4], [0.75, 0.25]]), threshold=0.75
    )
    assert (labels.dtype, confidence.dtype, mask.dtype) == (tf.int32, tf.float32, tf.float32)
    np.testing.assert_array_equal(labels, [1, 0, 0])
    np.testing.assert_allclose(confidence, [0.9, 0.6, 0.75], rtol=1e-6)
    np.testing.assert_array_equal(mask, [1.0, 0.0, 1.0])


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("mask_from_probs"))
def test_mask_at_the_threshold_matches_the_published_code(inputs, outputs):
    probabilities = np.float64(inputs["probs"])
    exact = pseudo_labels.hard_pseudo_labels(probabilities, inputs["tau"]).mask
    np.testing.assert_array_equal(exact, outputs["mask"])
    rounded = pseudo_labels.hard_pseudo_labels(np.float32(probabilities), inputs["tau"]).mask
    np.testing.assert_array_equal(rounded, outputs["mask_if_inputs_cast_to_float32"])


@pytest.mark.parametrize("case", BANK, ids=lambda case: case["id"])
def test_histogram_of_hard_pseudo_labels_matches_the_published_code(case):
    labels, _, mask = pseudo_labels.hard_pseudo_labels(case["inputs"]["bank_probs"], 0.0)
    assert mask.numpy().all()
    np.testing.assert_array_equal(np.bincount(labels), case["outputs"]["pseudo_counts"])


def test_no_row_passes_when_none_is_confident():
    mask = pseudo_labels.hard_pseudo_labels(np.full([3, 4], 0.25), threshold=0.95).mask
    np.testing.assert_array_equal(mask, np.zeros(3))


def test_one_class_is_always_certain():
    labels, _, mask = pseudo_labels.hard_pseudo_labels([[1.0], [1.0]], threshold=1.0)
    np.testing.assert_array_equal(labels, [0, 0])
    np.testing.assert_array_equal(mask, [1.0, 1.0])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_hard_pseudo_labels_refuse_a_threshold_that_is_no_probability(threshold):
    with pytest.raises(ValueError, match=rf"threshold must be in \[0, 1\], got {threshold}\."):
        pseudo_labels.hard_pseudo_labels([[0.5, 0.5]], threshold)


# A whole FixMatch step of a linear model, Eqs. 1 to 6


def fixmatch_step(inputs, strong_views):
    """Labeled loss, unlabeled loss, weak probabilities, pseudo-labels, gradients by [W, b]."""
    variables = [tf.Variable(inputs["W"]), tf.Variable(inputs["b"])]

    def network(images):
        return tf.constant(images) @ variables[0] + variables[1]

    with tf.GradientTape() as tape:
        loss_labeled = tf.reduce_mean(losses.cross_entropy(network(inputs["x"]), inputs["y"]))
        weak = tf.nn.softmax(network(inputs["u_weak"]))
        found = pseudo_labels.hard_pseudo_labels(weak, inputs["tau"])
        target = found.pseudo_label if inputs.get("hard_label", True) else tf.stop_gradient(weak)
        loss_unlabeled = 0.0
        for view in strong_views:
            rows = losses.cross_entropy(network(inputs[view]), target)
            ones = tf.ones_like(rows)
            loss = reweighting.weighted_unlabeled_loss(rows, ones, found.mask)
            loss_unlabeled += loss / len(strong_views)
        loss = loss_labeled + loss_unlabeled
    return loss_labeled, loss_unlabeled, weak, found, tape.gradient(loss, variables)


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("fixmatch_step"))
def test_a_whole_step_with_one_strong_view_matches_the_published_code(inputs, outputs):
    labeled, unlabeled, weak, found, gradients = fixmatch_step(inputs, ["u_strong"])
    np.testing.assert_allclose(labeled, outputs["sup_loss"], rtol=1e-5)
    np.testing.assert_allclose(unlabeled, outputs["unsup_loss"], rtol=1e-5)
    np.testing.assert_allclose(labeled + unlabeled, outputs["loss"], rtol=1e-5)
    np.testing.assert_allclose(found.confidence, outputs["weak_max_prob"], rtol=1e-5)
    np.testing.assert_array_equal(np.argmax(weak, axis=1), outputs["pseudo_label"])
    np.testing.assert_array_equal(found.pseudo_label, outputs["pseudo_label"])
    np.testing.assert_allclose(np.mean(found.mask), outputs["mask_mean"], rtol=1e-6)
    np.testing.assert_allclose(gradients[0], outputs["grad_W"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[1], outputs["grad_b"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("fixmatch_darp_step"))
def test_a_whole_step_with_two_strong_views_matches_the_published_code(inputs, outputs):
    views = ["u_strong1", "u_strong2"]
    labeled, unlabeled, weak, found, gradients = fixmatch_step(inputs, views)
    np.testing.assert_allclose(labeled, outputs["loss_x"], rtol=1e-5)
    np.testing.assert_allclose(unlabeled, outputs["loss_u"], rtol=1e-5)
    np.testing.assert_allclose(weak, outputs["saved_probs_bank"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.tile(found.mask, 2), outputs["mask_2B"])
    np.testing.assert_allclose(gradients[0], outputs["grad_W"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[1], outputs["grad_b"], rtol=1e-5, atol=1e-6)


# Sharpening and distribution alignment


def test_sharpen_matches_hand_computed_value():
    # T = 1/2 squares: (0.36, 0.16) / 0.52.
    got = pseudo_labels.sharpen(np.float32([[0.6, 0.4]]), temperature=0.5)
    np.testing.assert_allclose(got, [[0.36 / 0.52, 0.16 / 0.52]], rtol=1e-6)


def test_sharpen_at_temperature_one_changes_nothing():
    rows = np.float32([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(pseudo_labels.sharpen(rows, 1.0), rows, rtol=1e-6)


def test_sharpen_at_a_tiny_temperature_is_one_hot_and_finite():
    # (1/3) ** 1000 underflows to zero in float32.
    got = pseudo_labels.sharpen(np.float32([[0.34, 0.33, 0.33], [0.0, 1.0, 0.0]]), 0.001)
    np.testing.assert_allclose(got, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_sharpen_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=rf"temperature must be > 0, got {temperature}\."):
        pseudo_labels.sharpen([[0.5, 0.5]], temperature)


def test_align_distribution_matches_hand_computed_value():
    # Ratios 0.5 / 0.8 and 0.5 / 0.2: (0.5, 0.5) -> 0.625 : 2.5 = 0.2 : 0.8.
    got = pseudo_labels.align_distribution([[0.5, 0.5]], target=[0.5, 0.5], running=[0.8, 0.2])
    np.testing.assert_allclose(got, [[0.2, 0.8]], rtol=1e-5)


def test_align_distribution_takes_counts_for_probabilities():
    rows = np.float32([[0.7, 0.1, 0.2]])
    shares = pseudo_labels.align_distribution(rows, [0.5, 0.3, 0.2], [0.2, 0.2, 0.6])
    counts = pseudo_labels.align_distribution(rows, [500, 300, 200], [20, 20, 60])
    np.testing.assert_allclose(shares, counts, rtol=1e-4)
    np.testing.assert_allclose(np.sum(shares, axis=1), [1.0], rtol=1e-6)


def test_align_distribution_changes_nothing_when_the_model_is_on_target():
    rows = np.float32([[0.7, 0.3], [0.1, 0.9]])
    got = pseudo_labels.align_distribution(rows, [0.4, 0.6], [0.4, 0.6])
    np.testing.assert_allclose(got, rows, rtol=1e-6)


def test_align_distribution_stays_finite_for_a_class_never_predicted():
    got = pseudo_labels.align_distribution([[1.0, 0.0]], [0.5, 0.5], [1.0, 0.0]).numpy()
    np.testing.assert_allclose(got, [[1.0, 0.0]], rtol=1e-6)


def test_align_distribution_refuses_negative_numbers():
    with pytest.raises(ValueError, match=r"target must be >= 0, got -1\.0\."):
        pseudo_labels.align_distribution([[0.5, 0.5]], [-1.0, 2.0], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"running must be >= 0, got -0\.5\."):
        pseudo_labels.align_distribution([[0.5, 0.5]], [0.5, 0.5], [0.5, -0.5])


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("guess_label"))
def test_aligned_and_sharpened_labels_match_the_published_code(inputs, outputs):
    probabilities = tf.nn.softmax(tf.constant(inputs["logits_views"][0]))
    np.testing.assert_allclose(probabilities, outputs["p_before_alignment"], rtol=1e-5)
    if inputs["use_alignment"]:
        probabilities = pseudo_labels.align_distribution(
            probabilities, inputs["p_data"], inputs["p_model"]
        )
    got = pseudo_labels.sharpen(probabilities, inputs["T"])
    np.testing.assert_allclose(got, outputs["p_target"], rtol=2e-5)


@pytest.mark.parametrize(("inputs", "outputs"), of_kind("pseudo_target"))
def test_progressively_aligned_labels_match_the_published_code(inputs, outputs):
    probabilities = tf.nn.softmax(tf.constant(inputs["logits"]))
    if inputs["do_distalign"]:
        adaptive = inputs["how_dalign"] == "adaptive"
        prior = np.power(inputs["gt_p_data"], inputs["t"])
        target = prior / prior.sum() if adaptive else inputs["p_data_running"]
        probabilities = pseudo_labels.align_distribution(probabilities, target, inputs["p_model"])
    np.testing.assert_allclose(probabilities, outputs["aligned_probs"], rtol=2e-5, atol=1e-9)
    found = pseudo_labels.hard_pseudo_labels(probabilities, inputs["threshold"])
    np.testing.assert_array_equal(found.mask, outputs["mask"])
    if inputs["temperature"] == 0.0:
        target = tf.one_hot(found.pseudo_label, len(inputs["p_model"]))
    else:
        target = pseudo_labels.sharpen(probabilities, inputs["temperature"])
    np.testing.assert_allclose(target, outputs["pseudo_target"], rtol=4e-5, atol=1e-7)


@pytest.mark.parametrize(
    "targets",
    [
        lambda rows: pseudo_labels.hard_pseudo_labels(rows, 0.5).confidence,
        lambda rows: pseudo_labels.sharpen(rows, 0.5),
        lambda rows: pseudo_labels.align_distribution(rows, [0.5, 0.5], [0.8, 0.2]),
    ],
    ids=["hard", "sharpen", "align"],
)
def test_no_gradient_flows_into_a_target(targets):
    rows = tf.constant([[0.7, 0.3]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = tf.reduce_sum(targets(rows))
    assert tape.gradient(value, rows) is None
