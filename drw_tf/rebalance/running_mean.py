"""The mean of what a network predicted over its last batches."""

import tensorflow as tf
from tensorflow import keras

from drw_tf.rebalance import variables


class RunningMean(keras.layers.Layer):
    """Mean over the last K batches of the mean prediction of each.

    It starts as if K uniform batches had been, or empty: then it is the mean over those that
    have been, 0 before the first.

    The same on every replica: a batch is that of all replicas together.
    """

    def __init__(self, num_classes: int, batches: int = 128, uniform_start: bool = True):
        super().__init__(trainable=False, dtype="float32", name="running_mean")
        self.start = 1.0 / num_classes if uniform_start else 0.0
        rows = tf.fill([batches, num_classes], self.start)
        self.rows = variables.same_everywhere(rows, "rows")

    def value(self) -> tf.Tensor:
        """float32 [C], mean over the batches added so far."""
        rows = tf.convert_to_tensor(self.rows)
        seen = tf.cast(tf.reduce_any(rows > 0, axis=1), tf.float32)
        return tf.math.divide_no_nan(tf.reduce_sum(rows, axis=0), tf.reduce_sum(seen))

    def add(self, probabilities: tf.Tensor, step: tf.Tensor) -> None:
        """Puts a batch in the place of the oldest one.

        Args:
            probabilities: float32 [U, C], this replica's part of the batch.
            step: int64 scalar, one more at every call.
        """
        replica = tf.distribute.get_replica_context()
        mean = tf.reduce_mean(probabilities, axis=0, keepdims=True)
        mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
        row = tf.reshape(step % self.rows.shape[0], [1, 1])
        self.rows.assign(tf.tensor_scatter_nd_update(self.rows, row, mean))

    def reset(self) -> None:
        """Begins anew."""
        self.rows.assign(tf.fill(self.rows.shape, self.start))
