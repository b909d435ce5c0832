"""Refusal of numbers that break a rule, in a graph and outside one.

A value that is known when a function is called or traced is checked; one that only the
running graph knows is not.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def require(
    name: str, value: tf.Tensor, holds: Callable[[np.ndarray], np.ndarray], must: str
) -> None:
    """Nothing; it refuses a known value that breaks its rule.

    Args:
        name: what the value is called in the message.
        value: tensor of numbers.
        holds: the rule, array to array of booleans.
        must: the rule in words, after "must be".

    Raises:
        ValueError: a number breaks the rule.
    """
    known = tf.get_static_value(value)
    if known is None:
        return
    known = np.atleast_1d(known)
    broken = known[~holds(known)]
    if broken.size:
        raise ValueError(f"{name} must be {must}, got {float(broken[0])}.")


def as_float64(value: tf.Tensor) -> tf.Tensor:
    """`value` as float64. `tf.cast` alone would take Python floats through float32.

    Args:
        value: tensor or array of any numeric dtype, or Python numbers.
    """
    if not tf.is_tensor(value):
        value = np.asarray(value, np.float64)
    return tf.cast(value, tf.float64)


def at_least(minimum: float, name: str, value: tf.Tensor) -> tf.Tensor:
    """`value` as float64, refused below `minimum`.

    Args:
        minimum: smallest number allowed.
        name: what the value is called in the message.
        value: tensor or array of any numeric dtype, or Python numbers.

    Raises:
        ValueError: a known number is smaller, or not a number.
    """
    value = as_float64(value)
    require(name, value, lambda known: known >= minimum, f">= {minimum:g}")
    return value
