"""Precision and recall of pseudo-labels, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import tally, truth
from drw_tf.training import assembly

NAN = np.nan
# Rows 0 ... 5 of the pool; row 1 is labeled itself.
TRUTH = [0, -1, 0, 1, 1, 2]


def counted():
    """Two batches: row 0 twice."""
    histogram = tally.PseudoLabelHistogram(4, 6, "epoch")
    histogram.truth = truth.PseudoLabelTruth(4, TRUTH)
    for labels, mask, index in (
        ([0, 1, 1], [1, 1, 0], [0, 1, 2]),
        ([0, 1, 0, 1], [0, 1, 1, 1], [0, 3, 4, 5]),
    ):
        mask = tf.constant(mask, tf.float32)
        index = tf.constant(index, tf.int64)
        histogram.add(tf.constant(labels), mask, tf.zeros_like(mask), index)
    return histogram


def test_precision_and_recall_of_pseudo_labels_match_a_count_by_hand():
    got = counted().quality(has_threshold=True)
    # (said, true, confident): 0/0 yes, 1/0 no, 0/0 no, 1/1 yes, 0/1 yes, 1/2 yes; row 1 apart.
    # Said 0: three times, twice right; said 1: three times, once right. True 0, 1, 2: 3, 2, 1.
    expected = {
        "pseudo_precision": [2 / 3, 1 / 3, NAN, NAN],
        "pseudo_recall": [2 / 3, 1 / 2, 0, NAN],
        "confident_precision": [1 / 2, 1 / 2, NAN, NAN],
        "confident_recall": [1 / 3, 1 / 2, 0, NAN],
        # Of all rows, the labeled one too: said 0 two of three, said 1 three of four.
        "confident_rate": [2 / 3, 3 / 4, NAN, NAN],
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, err_msg=name)


def test_counts_that_a_checkpoint_gave_to_three_replicas_are_whole_again():
    # 41 and 43 of class 0 and 1 were saved; then the replicas counted 5, 4 and 3 of each.
    parts = np.float32([41, 43]) / np.float32(3) + np.float32([[5, 5], [4, 4], [3, 3]])
    restored = parts.sum(0)
    assert restored.dtype == np.float32
    assert (restored != [53, 55]).all()
    histogram = tally.PseudoLabelHistogram(2, 6, "epoch")
    histogram.counts.assign(np.stack([restored, restored, [0.5, 0.25]], axis=1))
    histogram.rows.assign(restored.sum())
    for count in ("all", "confident"):
        labels, rows = histogram.numbers(count)
        np.testing.assert_array_equal(labels, [53, 55])
        assert rows == 108
    np.testing.assert_array_equal(histogram.quality(True)["confident_rate"], [1, 1])
    np.testing.assert_array_equal(histogram.loss_by_class(), [0.5, 0.25])
    histogram.truth = truth.PseudoLabelTruth(2, [0, 1])
    # All that was said is right; of 53 and 55, which the shares are exactly.
    histogram.truth.counts.assign(np.stack([restored[::-1], *[restored] * 4], axis=1))
    got = histogram.quality(has_threshold=False)
    np.testing.assert_array_equal(got["pseudo_precision"], [53 / 55, 55 / 53])
    np.testing.assert_array_equal(got["pseudo_recall"], [1, 1])


def test_nothing_of_the_truth_is_of_32_bits_which_tensorflow_keeps_away_from_gpus():
    one = truth.PseudoLabelTruth(4, TRUTH)
    given = (tf.TensorSpec([2], kind) for kind in (tf.int32, tf.float32, tf.int64))
    graph = tf.function(one.add).get_concrete_function(*given).graph
    operations = [each for each in graph.get_operations() if each.type in ("Equal", "NotEqual")]
    read = [each for each in graph.get_operations() if each.type.startswith("Gather")]
    assert len(operations) == 2
    assert len(read) == 1
    for operation in operations + read:
        assert operation.inputs[0].dtype == tf.int64, operation.name


def test_without_a_threshold_nothing_is_said_about_confidence():
    assert set(counted().quality(has_threshold=False)) == {"pseudo_precision", "pseudo_recall"}


def test_a_new_epoch_forgets_the_counts():
    histogram = counted()
    histogram.reset()
    assert all(np.isnan(value).all() for value in histogram.quality(has_threshold=True).values())


def test_counts_are_in_the_checkpoint(tmp_path):
    saved, restored = counted(), counted()
    restored.reset()
    path = tf.train.Checkpoint(one=saved).write(str(tmp_path / "variables"))
    tf.train.Checkpoint(one=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(
        restored.quality(has_threshold=True)["pseudo_recall"],
        saved.quality(has_threshold=True)["pseudo_recall"],
    )


@pytest.fixture
def quarters():
    """Four labeled and four unlabeled pictures, the class of one of the latter unknown."""
    from drw_tf.data import dataset as records

    labels = np.array([0, 1, 2, 3, 3, 2, records.UNKNOWN_LABEL, 0])
    images = records.ArrayImages(np.zeros([8, 8, 8, 1], np.uint8), labels)
    dataset = records.Dataset(
        "digits", tuple("abcd"), (8, 8, 1), images, None, False, (0.5,), (0.5,)
    )
    return dataset, records.Split(np.arange(4), np.arange(4, 8), np.arange(0))


def test_pictures_that_are_labeled_themselves_are_not_counted(quarters):
    dataset, split = quarters
    for whole, expected in ((True, [-1, -1, -1, -1, 3, 2, -1, 0]), (False, [3, 2, -1, 0])):
        got = assembly._pool_truth(dataset, split, split.pool(whole))
        np.testing.assert_array_equal(got, expected)
