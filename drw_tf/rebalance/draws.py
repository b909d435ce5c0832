"""Random numbers inside a training step: functions of the run's seed and the step.

They are drawn for the whole batch, of which each replica takes its rows, so that a row's
number does not depend on how many replicas there are.
"""

import tensorflow as tf

from drw_tf.data import seeds


def key(seed: int, name: str, step: tf.Tensor) -> tf.Tensor:
    """int64 [2], for TensorFlow's stateless functions.

    Args:
        seed: of the run.
        name: of what is drawn.
        step: integer scalar.
    """
    start = tf.constant(seeds.seed_for(seed, name), tf.int64)
    return tf.stack([start, tf.cast(step, tf.int64)])


def replicas() -> int:
    """Number of replicas in step with each other."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(values: tf.Tensor) -> tf.Tensor:
    """This replica's part of rows that all replicas have; call in replica context.

    Args:
        values: [N * replicas, ...], the same on every replica.

    Returns:
        [N, ...].
    """
    rows = values.shape[0] // replicas()
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
    return tf.ensure_shape(values[first : first + rows], [rows, *values.shape[1:]])


def all_rows(values: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas in their order, without gradient; inverse of `own_rows`.

    Args:
        values: [N, ...], on every replica.

    Returns:
        [N * replicas, ...], the same on every replica.
    """
    if replicas() == 1:
        return values
    # A copy: what comes into a graph is on no device, and other workers could not be sent it.
    gathered = tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)
    return tf.ensure_shape(gathered, [values.shape[0] * replicas(), *values.shape[1:]])


def uniform_rows(seed: int, name: str, step: tf.Tensor, rows: int) -> tf.Tensor:
    """float32 [rows] in [0, 1), a number for each of this replica's rows.

    Args:
        seed: of the run.
        name: of what is drawn.
        step: integer scalar.
        rows: of the batch on this replica.
    """
    drawn = tf.random.stateless_uniform([replicas(), rows], key(seed, name, step))
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return tf.gather(drawn, replica)
