"""How right pseudo-labels are, where the classes of the unlabeled pictures are known.

Nothing here is read by training: the counts go into the log and the record alone.
"""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.data import dataset as records
from drw_tf.methods import tally
from drw_tf.ops import metrics
from drw_tf.rebalance import variables


class PseudoLabelTruth(keras.layers.Layer):
    """Counts an epoch's pseudo-labels by what was said and by what is true.

    Pictures whose class is unknown, or that are labeled themselves, are in no count: a network
    that has learned a label by heart says nothing about pseudo-labels.
    """

    ALL, CONFIDENT, RIGHT, CONFIDENT_RIGHT, PRESENT = range(5)

    def __init__(self, num_classes: int, truth: np.ndarray):
        """Takes the class of each row of the pool, int [P], `UNKNOWN_LABEL` where none."""
        super().__init__(trainable=False, dtype="float32", name="pseudo_label_truth")
        self.num_classes = num_classes
        # No variable: a checkpoint holds what changes, and this does not. Of 64 bits: TensorFlow
        # keeps constants of int32 in the host's memory, and compares int32 there, and would copy
        # all of it to a GPU in every step.
        self.truth = np.asarray(truth, np.int64)
        self.counts = variables.summed([num_classes, 5], "counts")

    def add(self, pseudo_label: tf.Tensor, mask: tf.Tensor, index: tf.Tensor) -> None:
        """Counts one batch on this replica.

        Args:
            pseudo_label: int32 [U].
            mask: float32 [U] in {0, 1}, whether the label was confident.
            index: int64 [U], rows of the pool.
        """
        truth = tf.gather(tf.constant(self.truth), index)
        known = tf.cast(truth != records.UNKNOWN_LABEL, tf.float32)
        right = tf.cast(truth == tf.cast(pseudo_label, tf.int64), tf.float32)
        said = tf.stack([known, known * mask, right, right * mask], axis=1)
        # Rows of class -1 are dropped by the sum.
        present = tf.math.unsorted_segment_sum(known[:, None], truth, self.num_classes)
        said = tf.math.unsorted_segment_sum(said, pseudo_label, self.num_classes)
        self.counts.assign_add(tf.concat([said, present], axis=1))

    def describe(self, has_threshold: bool) -> dict[str, np.ndarray]:
        """Shares of the epoch, float64 [C] in [0, 1], nan where there was nothing to count.

        "pseudo_precision" is the share of the pictures called c that are of class c,
        "pseudo_recall" the share of the pictures of class c that are called c. With a
        threshold also "confident_precision" and "confident_recall", of which only confident
        pseudo-labels are counted as calls.
        """
        counts = tally.whole(self.counts).T
        called = {"pseudo": (self.RIGHT, self.ALL)}
        if has_threshold:
            called["confident"] = (self.CONFIDENT_RIGHT, self.CONFIDENT)
        found = {}
        for name, (right, every) in called.items():
            found[f"{name}_precision"] = metrics.shares(counts[right], counts[every])
            found[f"{name}_recall"] = metrics.shares(counts[right], counts[self.PRESENT])
        return found

    def reset(self) -> None:
        """Begins a new epoch."""
        self.counts.assign(tf.zeros_like(self.counts))
