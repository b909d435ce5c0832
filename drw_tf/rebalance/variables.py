"""State that changes inside a step: which replica has what of it, and what reading it gives.

No kind communicates when it is written.
"""

from collections.abc import Sequence

import tensorflow as tf


def summed(shape: Sequence[int], name: str) -> tf.Variable:
    """float32 zeros that each replica adds to on its own and that read as the sum over replicas."""
    return _variable(tf.zeros(shape), tf.VariableAggregation.SUM, name)


def same_everywhere(value: tf.Tensor, name: str) -> tf.Variable:
    """State that each replica computes for itself, with the same result.

    Reading it needs no other worker.
    """
    return _variable(value, tf.VariableAggregation.ONLY_FIRST_REPLICA, name)


def _variable(value, aggregation, name) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=aggregation,
        name=name,
    )
