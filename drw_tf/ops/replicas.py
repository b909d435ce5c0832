"""The rows of a step among replicas: how many share them, which are whose, all of them."""

import tensorflow as tf


def count() -> int:
    """Number of replicas in step with each other."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(values: tf.Tensor) -> tf.Tensor:
    """This replica's part of rows that all replicas have; call in replica context.

    Args:
        values: [N * replicas, ...], the same on every replica.

    Returns:
        [N, ...].
    """
    rows = values.shape[0] // count()
    first = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
    return tf.ensure_shape(values[first : first + rows], [rows, *values.shape[1:]])


def all_rows(values: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas in their order, without gradient; inverse of `own_rows`.

    Args:
        values: [N, ...], on every replica.

    Returns:
        [N * replicas, ...], the same on every replica.
    """
    if count() == 1:
        return values
    # A copy: what comes into a graph is on no device, and other workers could not be sent it.
    gathered = tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)
    return tf.ensure_shape(gathered, [values.shape[0] * count(), *values.shape[1:]])
