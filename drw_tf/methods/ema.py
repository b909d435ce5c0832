"""The exponential moving average of a network's weights and batch statistics."""

import tensorflow as tf
from tensorflow import keras

from drw_tf.ops import schedules


class ExponentialMovingAverage:
    """Keeps `averaged` equal to the moving average of `source`.

        average <- d * average + (1 - d) * value,   d = decay, or with warm-up
        d = min(decay, (1 + t) / (10 + t)),  t = steps done before this one

    Batch statistics are averaged like weights: a network whose weights are averages but
    whose statistics are copies is nobody's network.
    """

    def __init__(self, source: keras.Model, averaged: keras.Model, decay: float, warmup: bool):
        self.pairs = list(zip(averaged.variables, source.variables, strict=True))
        self.decay = decay
        self.warmup = warmup

    def start(self) -> None:
        """Copies the source; call once, before the first step."""
        for average, value in self.pairs:
            average.assign(value)

    def update(self, step: tf.Tensor, shrink: tf.Tensor | None = None) -> None:
        """One step of the average, then of decoupled decay; called in replica context.

        Args:
            step: integer scalar, steps done before this one.
            shrink: float32 scalar; every weight and statistic of the source is multiplied
                by 1 - shrink after the average has read it, or None. This is the order of
                the DARP code lineage.
        """
        decay = tf.cast(schedules.ema_decay_at(step, self.decay, self.warmup), tf.float32)
        taken, kept = 1 - decay, None if shrink is None else 1 - shrink
        context = tf.distribute.get_replica_context()
        self._update_statistics(context, taken, kept)
        # Variables of a mirrored network may only be written from the cross-replica side.
        context.merge_call(self._update_all, args=(taken, kept))

    def _update_statistics(self, context, taken, kept):
        """Averages what differs between replicas: the mean of all of them, in one message."""
        pairs = [pair for pair in self.pairs if _differs(pair[1])]
        if not pairs:
            return
        means = tf.concat([tf.reshape(value, [-1]) for _, value in pairs], axis=0)
        if context.num_replicas_in_sync > 1:
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, means)
        sizes = [value.shape.num_elements() for _, value in pairs]
        for (average, value), mean in zip(pairs, tf.split(means, sizes), strict=True):
            average.assign(average + taken * (tf.reshape(mean, value.shape) - average))
            if kept is not None:
                value.assign(value * kept)

    def _update_all(self, strategy, taken, kept):
        taken = _first(strategy, taken)
        kept = None if kept is None else _first(strategy, kept)
        for average, value in self.pairs:
            if not value.dtype.is_floating:
                average.assign(value)
            elif not _differs(value):
                strategy.extended.update(average, _move, args=(value, taken))
                if kept is not None:
                    strategy.extended.update(value, _scale, args=(kept,))


def _differs(value: tf.Variable) -> bool:
    """Whether each replica has a value of its own: batch statistics."""
    return value.dtype.is_floating and value.synchronization == tf.VariableSynchronization.ON_READ


def _first(strategy, value):
    return strategy.experimental_local_results(value)[0]


def _move(average, value, taken):
    average.assign_sub(taken * (average - value))


def _scale(value, factor):
    value.assign(value * factor)
