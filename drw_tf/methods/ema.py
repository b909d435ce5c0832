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
        context = tf.distribute.get_replica_context()
        # Variables of a mirrored network may only be written from the cross-replica side.
        context.merge_call(self._update_all, args=(decay, shrink))

    def _update_all(self, strategy, decay, shrink):
        decay = _first(strategy, decay)
        shrink = None if shrink is None else _first(strategy, shrink)
        for average, value in self.pairs:
            if not value.dtype.is_floating:
                average.assign(value)
            elif value.synchronization == tf.VariableSynchronization.ON_READ:
                # Batch statistics differ between replicas: reading here gives their mean.
                mean = tf.convert_to_tensor(value)
                average.assign(average + (1 - decay) * (mean - average))
                if shrink is not None:
                    strategy.extended.call_for_each_replica(_scale, args=(value, 1 - shrink))
            else:
                strategy.extended.update(average, _move, args=(value, decay))
                if shrink is not None:
                    strategy.extended.update(value, _scale, args=(1 - shrink,))


def _first(strategy, value):
    return strategy.experimental_local_results(value)[0]


def _move(average, value, decay):
    average.assign_sub((1 - decay) * (average - value))


def _scale(value, factor):
    value.assign(value * factor)
