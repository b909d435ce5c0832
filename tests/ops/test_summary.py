import json

import numpy as np
import pytest
import sklearn.metrics

from drw_tf.ops import metrics, rows, summary
from tests.ops import random_logits


def test_summarize_puts_every_number_under_its_name():
    labels, logits = random_logits.random_rows()
    counts = [5, 70, 20, 900, 11, 3, 300]
    got = json.loads(json.dumps(summary.summarize(labels, logits, counts)))
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
        "loss": rows.judge(logits, labels)[1].mean(),
        "confusion": confusion,
    }
    assert set(got) == {*expected, "ece", "reliability"}
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-9, err_msg=name)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # Fifteen bins, an edge in the lower one.
    right, sure = logits.argmax(axis=1) == labels, softmax.max(axis=1)
    gaps = [
        abs((right - sure)[(low / 15 < sure) & (sure <= (low + 1) / 15)].sum()) for low in range(15)
    ]
    assert got["ece"] == pytest.approx(sum(gaps) / len(labels))
    assert sum(got["reliability"]["count"]) == len(labels)


def test_summarize_does_not_depend_on_the_order_of_the_rows():
    labels, logits = random_logits.random_rows(rows=60)
    counts = np.arange(7, 0, -1)
    straight = summary.summarize(labels, logits, counts)
    turned = summary.summarize(labels[::-1], logits[::-1], counts)
    for name, value in straight.items():
        if name == "reliability":
            assert turned[name]["count"] == value["count"]
            continue
        np.testing.assert_allclose(turned[name], value, rtol=1e-9, err_msg=name)


def test_summarize_refuses_logits_that_are_not_finite():
    with pytest.raises(ValueError, match=r"logits must be finite, got nan or inf in 1 of 2 rows\."):
        summary.summarize([0, 1], [[0.0, np.nan], [1.0, 2.0]], [3, 2])


def test_summarize_history_gives_last_best_mean_and_median_of_the_last_twenty():
    # The last twenty: 0.01 .. 0.19, which sum to 1.90, and 1.2; the middle ones 0.10 and 0.11.
    values = [0.9] * 10 + [i / 100 for i in range(1, 20)] + [1.2]
    got = summary.summarize_history(values)
    assert got["last"] == 1.2
    assert got["best"] == 1.2
    np.testing.assert_allclose(got["mean_last_20"], (1.90 + 1.2) / 20)
    np.testing.assert_allclose(got["median_last_20"], 0.105)


def test_summarize_history_of_a_short_run_uses_all_values():
    got = summary.summarize_history([0.5, 0.1, 0.3])
    expected = {"last": 0.3, "best": 0.5, "mean_last_20": 0.3, "median_last_20": 0.3}
    assert got == pytest.approx(expected)


def test_summarize_history_refuses_an_empty_run():
    with pytest.raises(ValueError, match=r"values must hold at least one evaluation, got none\."):
        summary.summarize_history([])


def test_a_thousand_classes_have_no_confusion_matrix_and_the_same_numbers(monkeypatch):
    generator = np.random.default_rng(5)
    logits = generator.normal(size=[40, 6])
    labels = generator.integers(0, 5, 40)  # one class is absent
    whole = summary.summarize(labels, logits, np.ones(6))
    assert np.sum(whole["confusion"]) == 40
    monkeypatch.setattr(summary, "MAX_CONFUSION_CLASSES", 5)
    monkeypatch.setattr(rows, "_BLOCK", 7 * 6)  # blocks of 7 rows, the last one of 5
    without = summary.summarize(labels, logits, np.ones(6))
    assert "confusion" not in without
    for name, value in without.pop("reliability").items():
        np.testing.assert_array_equal(value, whole["reliability"][name], err_msg=name)
    for name, value in without.items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-12, err_msg=name)
    matrix = np.asarray(whole["confusion"])
    hits = np.diagonal(matrix)
    np.testing.assert_allclose(without["recall"], metrics.shares(hits, matrix.sum(axis=1)))
    np.testing.assert_allclose(without["precision"], metrics.shares(hits, matrix.sum(axis=0)))
