"""Random numbers inside a training step: functions of the run's seed and the step."""

import tensorflow as tf

from drw_tf.data import seeds


def uniform_rows(seed: int, name: str, step: tf.Tensor, rows: int) -> tf.Tensor:
    """float32 [rows] in [0, 1), a number for each of this replica's rows.

    They are drawn for the whole batch, of which each replica takes its part, so that a
    row's number does not depend on how many replicas there are. Call in replica context.

    Args:
        seed: of the run.
        name: of what is drawn.
        step: integer scalar.
        rows: of the batch on this replica.
    """
    replica = tf.distribute.get_replica_context()
    key = tf.stack([tf.constant(seeds.seed_for(seed, name), tf.int64), tf.cast(step, tf.int64)])
    drawn = tf.random.stateless_uniform([replica.num_replicas_in_sync, rows], key)
    return tf.gather(drawn, replica.replica_id_in_sync_group)
