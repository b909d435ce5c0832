"""Random numbers inside a training step: functions of the run's seed and the step.

They are drawn for the whole batch, of which each replica takes its rows, so that a row's
number does not depend on how many replicas there are.
"""

import tensorflow as tf

from drw_tf.data import seeds
from drw_tf.ops import replicas


def key(seed: int, name: str, step: tf.Tensor) -> tf.Tensor:
    """int64 [2], for TensorFlow's stateless functions.

    Args:
        seed: of the run.
        name: of what is drawn.
        step: integer scalar.
    """
    start = tf.constant(seeds.seed_for(seed, name), tf.int64)
    return tf.stack([start, tf.cast(step, tf.int64)])


def uniform_rows(seed: int, name: str, step: tf.Tensor, rows: int) -> tf.Tensor:
    """float32 [rows] in [0, 1), a number for each of this replica's rows.

    Args:
        seed: of the run.
        name: of what is drawn.
        step: integer scalar.
        rows: of the batch on this replica.
    """
    drawn = tf.random.stateless_uniform([replicas.count(), rows], key(seed, name, step))
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.gather(drawn, replica)
