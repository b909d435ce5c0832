"""In which order the rows of a stream are read: functions of a seed and a position."""

import numpy as np
import tensorflow as tf


def permuted_indices(size: int, seed: int, start: int) -> tf.data.Dataset:
    """Endless int64 scalars: one permutation of range(size) after another.

    Args:
        size: rows in a pass, >= 1.
        seed: 63-bit integer.
        start: position at which to begin, counted from the first pass; may be a tensor.
    """

    @tf.autograph.experimental.do_not_convert
    def one_pass(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size, dtype=tf.int64), seed=tf.stack([tf.constant(seed, tf.int64), number])
        )
        begin = tf.where(number == start // size, tf.cast(start % size, tf.int64), 0)
        return tf.data.Dataset.from_tensor_slices(order[begin:])

    passes = tf.data.Dataset.range(start // size, np.iinfo(np.int64).max)
    return passes.flat_map(one_pass)


def class_balanced_indices(labels: np.ndarray, seed: int, start: int, size: int) -> tf.data.Dataset:
    """Endless int64 [size] draws with replacement, P(row) = 1 / (classes * count of its class).

    Args:
        labels: int64 [N], class of each row; classes without a row are left out.
        seed: 63-bit integer.
        start: number of the first draw of this size.
        size: rows a draw.
    """
    by_class = tf.constant(np.argsort(labels, kind="stable"), tf.int64)
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    starts = tf.constant(np.cumsum(counts) - counts, tf.int64)
    classes, counts = len(counts), tf.constant(counts, tf.int64)

    @tf.autograph.experimental.do_not_convert
    def draw(number):
        uniform = tf.random.stateless_uniform([2, size], tf.stack([seed, number]), dtype=tf.float64)
        chosen = tf.cast(uniform[0] * classes, tf.int64)
        inside = tf.cast(uniform[1] * tf.cast(tf.gather(counts, chosen), tf.float64), tf.int64)
        return tf.gather(by_class, tf.gather(starts, chosen) + inside)

    return tf.data.Dataset.range(start, np.iinfo(np.int64).max).map(draw)
