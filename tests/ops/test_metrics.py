import json
import pathlib

import numpy as np
import pytest
import sklearn.metrics

from drw_tf.ops import metrics, rows, summary
from tests.ops import random_logits

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "metrics.json").read_text())["cases"]
COMPLETE = [case for case in CASES if case["outputs"]["GM"] != "nan"]
NAN = float("nan")


def case_id(case):
    return case["id"]


def inputs_of(case):
    inputs = case["inputs"]
    return inputs["labels"], inputs["predictions"], inputs["num_classes"]


def accuracy(labels, predictions, num_classes):
    """As an evaluation reports it."""
    logits = np.eye(num_classes)[np.asarray(predictions)]
    return summary.summarize(labels, logits, np.ones(num_classes))["accuracy"]


# Confusion matrix, recall, precision, accuracies


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_confusion_matrix_matches_the_published_code(case):
    got = metrics.confusion_matrix(*inputs_of(case))
    np.testing.assert_array_equal(got, case["outputs"]["confusion_true_by_pred"])


@pytest.mark.parametrize("case", COMPLETE, ids=case_id)
def test_every_number_of_a_complete_test_set_matches_the_published_code(case):
    outputs = case["outputs"]
    recall, precision = metrics.found_and_right(*inputs_of(case))
    descending = np.arange(len(recall), 0, -1)
    got = [
        100 * accuracy(*inputs_of(case)),
        metrics.geometric_mean(recall),
        *metrics.many_medium_few(recall, descending),
    ]
    names = ["bACC_as_published_percent", "GM", "many", "medium", "few"]
    np.testing.assert_allclose(got, [outputs[name] for name in names], rtol=1e-5)
    np.testing.assert_allclose(recall, outputs["per_class_recall"], rtol=1e-5)
    np.testing.assert_allclose(precision, outputs["per_class_precision"], rtol=1e-5)


def test_a_class_missing_from_the_test_set_is_left_out_where_the_published_code_has_nan():
    (case,) = [case for case in CASES if case["id"] == "missing_class"]
    outputs, (recall, _) = case["outputs"], metrics.found_and_right(*inputs_of(case))
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
    labels, logits = random_logits.random_rows()
    predictions = logits.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predictions, 7)
    recall, precision = metrics.found_and_right(labels, predictions, 7)
    pairs = [
        (confusion, sklearn.metrics.confusion_matrix(labels, predictions)),
        (recall, sklearn.metrics.recall_score(labels, predictions, average=None)),
        (precision, sklearn.metrics.precision_score(labels, predictions, average=None)),
        (accuracy(labels, predictions, 7), sklearn.metrics.accuracy_score(labels, predictions)),
        (
            metrics.balanced_accuracy(recall),
            sklearn.metrics.balanced_accuracy_score(labels, predictions),
        ),
    ]
    for got, expected in pairs:
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_recall_is_nan_without_examples_and_precision_is_nan_without_predictions():
    # True 0, 0, 1; predicted 0, 2, 0. Class 2 has no examples, class 1 no predictions.
    recall, precision = metrics.found_and_right([0, 0, 1], [0, 2, 0], 3)
    np.testing.assert_array_equal(recall, [0.5, 0.0, NAN])
    np.testing.assert_array_equal(precision, [0.5, NAN, 0.0])


def test_balanced_accuracy_does_not_depend_on_the_mix_of_the_test_set():
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    mostly_first = np.tile(labels, 9)[:-2], np.tile(predictions, 9)[:-2], 2
    for case in ((labels, predictions, 2), mostly_first):
        recall, _ = metrics.found_and_right(*case)
        np.testing.assert_allclose(metrics.balanced_accuracy(recall), 0.75)
    assert accuracy(*mostly_first) < 0.75


def test_geometric_mean_puts_one_in_a_hundred_classes_for_a_recall_of_zero():
    # C = 2: sqrt(0.5 * 1 / 200).
    np.testing.assert_allclose(metrics.geometric_mean([0.5, 0.0]), np.sqrt(0.5 / 200))


def test_metrics_of_one_class_are_one():
    recall, _ = metrics.found_and_right([0, 0], [0, 0], 1)
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


def test_mean_cross_entropy_agrees_with_scikit_learn():
    labels, logits = random_logits.random_rows()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probabilities)
    np.testing.assert_allclose(rows.judge(logits, labels)[1].mean(), expected, rtol=1e-9)


def test_cross_entropy_stays_finite_for_extreme_logits():
    assert rows.judge(np.array([[0.0, 5000.0]]), np.array([0]))[1].tolist() == [5000.0]
