"""What an epoch adds up: mean losses, and the histogram of pseudo-labels.

All of it but the bank is `variables.summed`, so nothing is communicated in a step, and a checkpoint
holds an epoch that was cut in the middle.
"""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.ops import metrics, replicas, reweighting
from drw_tf.rebalance import banks, variables


def whole(counts: tf.Variable) -> np.ndarray:
    """float64, whole numbers that all replicas have counted together.

    A checkpoint holds their sum and gives each replica an equal part of it. With three replicas
    these are thirds, which float32 does not add up to the same sum.
    """
    return np.rint(np.asarray(counts.read_value(), np.float64))


class Means(keras.layers.Layer):
    """Means over an epoch of named scalars, each given once a step."""

    def __init__(self, names: tuple[str, ...]):
        super().__init__(trainable=False, dtype="float32", name="epoch_means")
        self.names = names
        self.sums = variables.summed([len(names) + 1], "sums")

    def add(self, values: dict[str, tf.Tensor]) -> tf.Tensor:
        """Adds one step; returns the mean so far of the first name, on this replica."""
        row = [tf.cast(values[name], tf.float32) for name in self.names]
        total = self.sums.assign_add(tf.stack([*row, 1.0]), read_value=True)
        return total[0] / total[-1]

    def result(self) -> dict[str, float]:
        """Mean of each name over steps and replicas; empty before the first step."""
        sums = np.asarray(self.sums.read_value())
        if not sums[-1]:
            return {}
        return {name: float(sums[i] / sums[-1]) for i, name in enumerate(self.names)}

    def reset(self) -> None:
        """Begins a new epoch."""
        self.sums.assign(tf.zeros_like(self.sums))


class PseudoLabelHistogram(keras.layers.Layer):
    """Counts of the epoch's pseudo-labels: all, confident, and their summed loss.

    `memory` is "epoch" (every pseudo-label counts) or "bank" (only the latest one of each
    picture of the pool; the bank survives epochs). With `unrefined` the numbers are of the
    network's own labels, which are then given beside those that are learned from.
    """

    ALL, CONFIDENT, LOSS = range(3)

    def __init__(self, num_classes: int, pool_size: int, memory: str, unrefined: bool = False):
        super().__init__(trainable=False, dtype="float32", name="pseudo_label_histogram")
        self.num_classes = num_classes
        self.counts = variables.summed([num_classes, 3], "counts")
        self.rows = variables.summed([], "rows")
        self.own_counts = variables.summed([num_classes], "own_counts") if unrefined else None
        # A `truth.PseudoLabelTruth` where the classes of the pool are known.
        self.truth = None
        self.bank = None
        if memory == "bank":
            # -1 never seen; label where it was confident; label + C where it was not. Of 64 bits,
            # as TensorFlow keeps variables of int32 on the CPU, out of reach of a GPU's step.
            unseen = tf.fill([pool_size], tf.constant(-1, tf.int64))
            self.bank = variables.same_everywhere(unseen, "bank")

    def add(self, pseudo_label, mask, loss, index, own_label=None) -> None:
        """Counts one batch on this replica.

        Args:
            pseudo_label: int32 [U].
            mask: float32 [U] in {0, 1}, whether the label was confident.
            loss: float32 [U], what each picture added to the unlabeled loss.
            index: int64 [U], rows of the pool; None where there is neither truth nor bank.
            own_label: int32 [U], the network's own labels where these are counted.
        """
        columns = tf.stack([tf.ones_like(mask), mask, loss], axis=1)
        self.counts.assign_add(reweighting.sum_by_class(columns, pseudo_label, self.num_classes))
        self.rows.assign_add(tf.cast(tf.size(pseudo_label), tf.float32))
        if self.truth is not None:
            self.truth.add(pseudo_label, mask, index)
        if self.own_counts is not None:
            ones = tf.ones_like(mask)[:, tf.newaxis]
            self.own_counts.assign_add(
                reweighting.sum_by_class(ones, own_label, self.num_classes)[:, 0]
            )
            pseudo_label = own_label
        if self.bank is not None:
            code = pseudo_label + self.num_classes * tf.cast(1 - mask, tf.int32)
            code = tf.cast(replicas.all_rows(code), self.bank.dtype)
            banks.write_rows(self.bank, replicas.all_rows(index), code)

    def load_own_variables(self, store) -> None:
        """Reads Keras's `.weights.h5` and `.keras` under a strategy, too.

        A variable that reads as a sum gives each replica a share of what it is assigned, which
        cannot be computed of a data set of HDF5.
        """
        super().load_own_variables({name: np.asarray(store[name]) for name in store})

    def numbers(self, count: str) -> tuple[np.ndarray, float]:
        """(float64 [C] pseudo-labels counted, rows looked at) by `--pseudo_count`.

        Raises:
            ValueError: "unrefined", of a histogram that was not made for it.
        """
        if count == "unrefined" and self.own_counts is None:
            raise ValueError(
                "--pseudo_count=unrefined needs a method that gives its histogram the network's "
                "own labels."
            )
        if self.bank is not None:
            bank = np.asarray(self.bank.read_value())
            seen = bank[bank >= 0]
            labels = seen[seen < self.num_classes] if count == "confident" else seen
            labels = labels % self.num_classes
            return np.bincount(labels, minlength=self.num_classes).astype(float), len(seen)
        if count == "unrefined":
            return whole(self.own_counts), float(whole(self.rows))
        column = self.ALL if count == "all" else self.CONFIDENT
        return whole(self.counts)[:, column], float(whole(self.rows))

    def loss_by_class(self) -> np.ndarray:
        """float64 [C], unlabeled loss of the epoch, summed by pseudo-label."""
        return np.asarray(self.counts.read_value(), np.float64)[:, self.LOSS]

    def quality(self, has_threshold: bool) -> dict[str, np.ndarray]:
        """Shares of the epoch by class, float64 [C] in [0, 1], nan where nothing was counted.

        With a threshold "confident_rate", of the pseudo-labels of each class; and, where the
        truth is known, what `truth.PseudoLabelTruth.describe` gives.
        """
        found = {} if self.truth is None else self.truth.describe(has_threshold)
        if has_threshold:
            counts = whole(self.counts).T
            found["confident_rate"] = metrics.shares(counts[self.CONFIDENT], counts[self.ALL])
        return found

    def forget(self) -> None:
        """Empties the bank: a network that begins anew has labeled nothing."""
        if self.bank is not None:
            self.bank.assign(tf.fill(self.bank.shape, tf.constant(-1, tf.int64)))

    def reset(self) -> None:
        """Begins a new epoch; the bank stays."""
        self.counts.assign(tf.zeros_like(self.counts))
        self.rows.assign(0.0)
        if self.own_counts is not None:
            self.own_counts.assign(tf.zeros_like(self.own_counts))
        if self.truth is not None:
            self.truth.reset()
