import json
import pathlib

import numpy as np
import pytest
import sklearn.metrics

from drw_tf.ops import metrics

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "metrics.json").read_text())["cases"]
COMPLETE = [case for case in CASES if case["outputs"]["GM"] != "nan"]
NAN = float("nan")


def case_id(case):
    return case["id"]


def confusion_of(case):
    inputs = case["inputs"]
    return metrics.confusion_matrix(inputs["labels"], inputs["predictions"], inputs["num_classes"])


def random_rows(rows=400, num_classes=7, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % num_classes
    return labels, 2 * generator.normal(size=[rows, num_classes]) + 2 * np.eye(num_classes)[labels]


# Confusion matrix, recall, precision, accuracies


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_confusion_matrix_matches_the_published_code(case):
    got = confusion_of(case)
    np.testing.assert_array_equal(got, case["outputs"]["confusion_true_by_pred"])


@pytest.mark.parametrize("case", COMPLETE, ids=case_id)
def test_every_number_of_a_complete_test_set_matches_the_published_code(case):
    outputs, confusion = case["outputs"], confusion_of(case)
    recall = metrics.recalls(confusion)
    descending = np.arange(len(recall), 0, -1)
    got = [
        100 * metrics.accuracy(confusion),
        metrics.geometric_mean(recall),
        *metrics.many_medium_few(recall, descending),
    ]
    names = ["bACC_as_published_percent", "GM", "many", "medium", "few"]
    np.testing.assert_allclose(got, [outputs[name] for name in names], rtol=1e-5)
    np.testing.assert_allclose(recall, outputs["per_class_recall"], rtol=1e-5)
    np.testing.assert_allclose(
        metrics.precisions(confusion), outputs["per_class_precision"], rtol=1e-5
    )


def test_a_class_missing_from_the_test_set_is_left_out_where_the_published_code_has_nan():
    (case,) = [case for case in CASES if case["id"] == "missing_class"]
    outputs, recall = case["outputs"], metrics.recalls(confusion_of(case))
    present = np.arange(7) != 5
    assert np.isnan(recall[5])
    expected = np.array(outputs["per_class_recall"])[present]
    np.testing.assert_allclose(recall[present], expected, rtol=1e-5)
    many, medium, few = metrics.many_medium_few(recall, np.arange(7, 0, -1))
    np.testing.assert_allclose([many, medium], [outputs["many"], outputs["medium"]], rtol=1e-5)
    assert few == 1.0  # classes 5 and 6; class 6 has recall 1
    np.testing.assert_allclose(metrics.balanced_accuracy(recall), expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(
        metrics.geometric_mean(recall), expected.prod() ** (1 / 6), rtol=1e-6
    )


def test_confusion_recall_precision_and_accuracies_agree_with_scikit_learn():
    labels, logits = random_rows()
    predictions = logits.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predictions, 7)
    recall = metrics.recalls(confusion)
    pairs = [
        (confusion, sklearn.metrics.confusion_matrix(labels, predictions)),
        (recall, sklearn.metrics.recall_score(labels, predictions, average=None)),
        (
            metrics.precisions(confusion),
            sklearn.metrics.precision_score(labels, predictions, average=None),
        ),
        (metrics.accuracy(confusion), sklearn.metrics.accuracy_score(labels, predictions)),
        (
            metrics.balanced_accuracy(recall),
            sklearn.metrics.balanced_accuracy_score(labels, predictions),
        ),
    ]
    for got, expected in pairs:
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_recall_is_nan_without_examples_and_precision_is_nan_without_predictions():
    # True 0, 0, 1; predicted 0, 2, 0. Class 2 has no examples, class 1 no predictions.
    confusion = metrics.confusion_matrix([0, 0, 1], [0, 2, 0], 3)
    np.testing.assert_array_equal(metrics.recalls(confusion), [0.5, 0.0, NAN])
    np.testing.assert_array_equal(metrics.precisions(confusion), [0.5, NAN, 0.0])


def test_balanced_accuracy_does_not_depend_on_the_mix_of_the_test_set():
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    balanced = metrics.confusion_matrix(labels, predictions, 2)
    mostly_first = metrics.confusion_matrix(
        np.tile(labels, 9)[:-2], np.tile(predictions, 9)[:-2], 2
    )
    for confusion in (balanced, mostly_first):
        got = metrics.balanced_accuracy(metrics.recalls(confusion))
        np.testing.assert_allclose(got, 0.75)
    assert metrics.accuracy(mostly_first) < 0.75


def test_geometric_mean_puts_one_in_a_hundred_classes_for_a_recall_of_zero():
    # C = 2: sqrt(0.5 * 1 / 200).
    np.testing.assert_allclose(metrics.geometric_mean([0.5, 0.0]), np.sqrt(0.5 / 200))


def test_metrics_of_one_class_are_one():
    recall = metrics.recalls(metrics.confusion_matrix([0, 0], [0, 0], 1))
    assert metrics.balanced_accuracy(recall) == metrics.geometric_mean(recall) == 1.0
    np.testing.assert_array_equal(metrics.many_medium_few(recall, [9]), [NAN, 1.0, NAN])


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 3], [0, 1], r"labels must be in \[0, 3\), got 3\."),
        ([0, -1], [0, 1], r"labels must be in \[0, 3\), got -1\."),
        ([0, 1], [0, 5], r"predictions must be in \[0, 3\), got 5\."),
        ([0, 1], [0], r"predictions must have the shape of labels, \(2,\), got \(1,\)\."),
        ([], [], r"labels must hold at least one row, got none\."),
    ],
)
def test_confusion_matrix_refuses_rows_it_cannot_count(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.confusion_matrix(np.array(labels, int), np.array(predictions, int), 3)


# Many, medium, few


def test_many_medium_few_follow_the_sorted_counts_not_the_index():
    # Counts in order 10, 500, 40, 3: many {1}, medium {2, 0}, few {3}.
    got = metrics.many_medium_few([0.2, 0.9, 0.4, 0.1], [10, 500, 40, 3])
    np.testing.assert_allclose(got, [0.9, 0.3, 0.1])


def test_many_medium_few_keep_the_index_order_of_equal_counts():
    got = metrics.many_medium_few([0.1, 0.2, 0.3], [7, 7, 7])
    np.testing.assert_allclose(got, [0.1, 0.2, 0.3])


def test_many_medium_few_refuse_counts_of_other_classes():
    with pytest.raises(ValueError, match=r"train_counts must hold 3 classes, got 2\."):
        metrics.many_medium_few([0.1, 0.2, 0.3], [5, 4])


# Loss and calibration


def test_negative_log_likelihood_agrees_with_scikit_learn():
    labels, logits = random_rows()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probabilities)
    np.testing.assert_allclose(metrics.negative_log_likelihood(logits, labels), expected, rtol=1e-9)


def test_negative_log_likelihood_stays_finite_for_extreme_logits():
    assert metrics.negative_log_likelihood([[0.0, 5000.0]], [0]) == 5000.0


def test_calibration_bins_match_a_count_by_hand():
    # Confidence .5 (wrong) lies on an edge and so in (1/4, 1/2]; .8 (right) and .9 (wrong) in
    # the last bin: mean confidence .85, accuracy 1/2.
    probabilities = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.9, 0.1, 0.0]]
    got = metrics.calibration_bins(probabilities, [2, 1, 1], bins=4)
    assert got["count"] == [0, 1, 0, 2]
    np.testing.assert_allclose(got["confidence"], [NAN, 0.5, NAN, 0.85])
    np.testing.assert_allclose(got["accuracy"], [NAN, 0.0, NAN, 0.5])
    # (1 * .5 + 2 * .35) / 3
    assert metrics.calibration_error(got) == pytest.approx(0.4)


def test_expected_calibration_error_matches_hand_computed_value():
    # Two bins. (0.5, 1]: confidences 0.9, 0.7, half right: |0.5 - 0.8|, weight 2/3.
    # (0, 0.5]: confidence 0.4, right: |1 - 0.4|, weight 1/3.
    probabilities = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3]]
    got = metrics.expected_calibration_error(probabilities, [0, 2, 0], bins=2)
    np.testing.assert_allclose(got, 0.3 * 2 / 3 + 0.6 / 3)


def test_expected_calibration_error_puts_an_edge_into_the_lower_bin():
    # 0.5 belongs to (0, 0.5], apart from 0.6: (|1 - 0.5| + |0 - 0.6|) / 2.
    # Together they would give |0.5 - 0.55|.
    got = metrics.expected_calibration_error([[0.5, 0.5], [0.6, 0.4]], [0, 1], bins=2)
    np.testing.assert_allclose(got, 0.55)


def test_expected_calibration_error_uses_fifteen_bins():
    # 0.61 and 0.68 lie on both sides of 10/15: (|1 - 0.61| + |0 - 0.68|) / 2.
    got = metrics.expected_calibration_error([[0.61, 0.39], [0.68, 0.32]], [0, 1])
    np.testing.assert_allclose(got, 0.535)


def test_expected_calibration_error_of_certain_and_right_rows_is_zero():
    assert metrics.expected_calibration_error(np.eye(4), np.arange(4)) == 0.0


def test_expected_calibration_error_of_certain_and_wrong_rows_is_one():
    assert metrics.expected_calibration_error(np.eye(4), [1, 2, 3, 0]) == 1.0


def test_expected_calibration_error_refuses_no_bins():
    with pytest.raises(ValueError, match=r"bins must be >= 1, got 0\."):
        metrics.expected_calibration_error([[1.0]], [0], bins=0)


# Summaries


def test_summarize_puts_every_number_under_its_name():
    labels, logits = random_rows()
    counts = [5, 70, 20, 900, 11, 3, 300]
    got = json.loads(json.dumps(metrics.summarize(labels, logits, counts)))
    confusion = sklearn.metrics.confusion_matrix(labels, logits.argmax(axis=1))
    recall = confusion.diagonal() / confusion.sum(axis=1)
    expected = {
        "balanced_accuracy": recall.mean(),
        "accuracy": (logits.argmax(axis=1) == labels).mean(),
        "geometric_mean": np.exp(np.log(recall).mean()),
        "many": recall[[3, 6]].mean(),
        "medium": recall[[1, 2, 4]].mean(),
        "few": recall[[0, 5]].mean(),
        "recall": recall,
        "precision": confusion.diagonal() / confusion.sum(axis=0),
        "loss": metrics.negative_log_likelihood(logits, labels),
        "confusion": confusion,
    }
    assert set(got) == {*expected, "ece", "reliability"}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, err_msg=name)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert got["ece"] == pytest.approx(metrics.expected_calibration_error(softmax, labels))
    assert sum(got["reliability"]["count"]) == len(labels)


def test_summarize_does_not_depend_on_the_order_of_the_rows():
    labels, logits = random_rows(rows=60)
    counts = np.arange(7, 0, -1)
    straight = metrics.summarize(labels, logits, counts)
    turned = metrics.summarize(labels[::-1], logits[::-1], counts)
    for name, value in straight.items():
        if name == "reliability":
            assert turned[name]["count"] == value["count"]
            continue
        np.testing.assert_allclose(turned[name], value, rtol=1e-9, err_msg=name)


def test_summarize_refuses_logits_that_are_not_finite():
    with pytest.raises(ValueError, match=r"logits must be finite, got nan or inf in 1 of 2 rows\."):
        metrics.summarize([0, 1], [[0.0, NAN], [1.0, 2.0]], [3, 2])


def test_summarize_history_gives_last_best_mean_and_median_of_the_last_twenty():
    # The last twenty: 0.01 .. 0.19, which sum to 1.90, and 1.2; the middle ones 0.10 and 0.11.
    values = [0.9] * 10 + [i / 100 for i in range(1, 20)] + [1.2]
    got = metrics.summarize_history(values)
    assert got["last"] == 1.2
    assert got["best"] == 1.2
    np.testing.assert_allclose(got["mean_last_20"], (1.90 + 1.2) / 20)
    np.testing.assert_allclose(got["median_last_20"], 0.105)


def test_summarize_history_of_a_short_run_uses_all_values():
    got = metrics.summarize_history([0.5, 0.1, 0.3])
    expected = {"last": 0.3, "best": 0.5, "mean_last_20": 0.3, "median_last_20": 0.3}
    assert got == pytest.approx(expected)


def test_summarize_history_refuses_an_empty_run():
    with pytest.raises(ValueError, match=r"values must hold at least one evaluation, got none\."):
        metrics.summarize_history([])


def test_a_thousand_classes_have_no_confusion_matrix_and_the_same_numbers(monkeypatch):
    generator = np.random.default_rng(5)
    logits = generator.normal(size=[40, 6])
    labels = generator.integers(0, 5, 40)  # one class is absent
    whole = metrics.summarize(labels, logits, np.ones(6))
    assert np.sum(whole["confusion"]) == 40
    monkeypatch.setattr(metrics, "MAX_CONFUSION_CLASSES", 5)
    monkeypatch.setattr(metrics.rows, "_BLOCK", 7 * 6)  # blocks of 7 rows, the last one of 5
    without = metrics.summarize(labels, logits, np.ones(6))
    assert "confusion" not in without
    for name, value in without.pop("reliability").items():
        np.testing.assert_array_equal(value, whole["reliability"][name], err_msg=name)
    for name, value in without.items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-12, err_msg=name)
    matrix = np.asarray(whole["confusion"])
    np.testing.assert_allclose(without["recall"], metrics.recalls(matrix))
    np.testing.assert_allclose(without["precision"], metrics.precisions(matrix))


@pytest.mark.parametrize("block", [1, 12, 1000])
def test_rows_are_judged_alike_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(metrics.rows, "_BLOCK", block)
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.3, 0.6]])
    predictions, losses, confidence = metrics.rows.judge(logits, np.array([0, 2, 1]))
    assert predictions.tolist() == [0, 1, 2]
    np.testing.assert_allclose(losses, -np.log([0.7, 0.25, 0.3]))
    np.testing.assert_allclose(confidence, [0.7, 0.5, 0.6])
    with pytest.raises(ValueError, match="nan or inf in 2 of 3 rows"):
        metrics.rows.judge(np.where(logits < -2, np.inf, logits)[:3], np.array([0, 2, 1]))
