"""What the network predicted lately, on average."""

import tensorflow as tf
from tensorflow import keras

BATCHES = 128


class RecentPredictions(keras.layers.Layer):
    """Mean prediction of the last 128 batches, the current one included.

    Every replica holds the same rows, those of the whole global batches.
    """

    def __init__(self, num_classes: int):
        super().__init__(trainable=False, dtype="float32", name="recent_predictions")
        # Oldest first; rows of zeros are batches that have not been yet.
        self.rows = tf.Variable(
            tf.zeros([BATCHES, num_classes]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="rows",
        )

    def add(self, probabilities: tf.Tensor) -> tf.Tensor:
        """Adds one batch; returns the mean, float32 [C], in replica context.

        Args:
            probabilities: float32 [U, C], rows that sum to 1.
        """
        mean = tf.reduce_mean(probabilities, axis=0)
        context = tf.distribute.get_replica_context()
        mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
        rows = tf.concat([self.rows[1:], mean[None]], axis=0)
        self.rows.assign(rows)
        seen = tf.reduce_any(rows > 0, axis=1)
        return tf.reduce_sum(rows, axis=0) / tf.reduce_sum(tf.cast(seen, tf.float32))
