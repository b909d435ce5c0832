"""Quantities that are functions of the step: learning rates, ramps, the decay of averages.

Durations are in steps. Everything is computed in float64, so that the step number itself is not
rounded; shapes are returned so, all else as float32.
"""

import functools
import math
from collections.abc import Callable

import tensorflow as tf
from tensorflow import keras


def _progress(step: tf.Tensor, start: float, end: float) -> tf.Tensor:
    """float64, share of the way from `start` to `end`, in [0, 1]."""
    way = (tf.cast(step, tf.float64) - start) / (end - start)
    return tf.clip_by_value(way, 0.0, 1.0)


def constant(step: tf.Tensor, total_steps: int, warmup_steps: int = 0) -> tf.Tensor:
    """Factor 1 at every step.

    Args:
        step: int scalar.
        total_steps: not used.
        warmup_steps: not used.

    Returns:
        float64 scalar.
    """
    del total_steps, warmup_steps
    return tf.ones_like(step, tf.float64)


def cosine(step: tf.Tensor, total_steps: int, warmup_steps: int = 0) -> tf.Tensor:
    """Factor that falls from 1 to 0 along half a cosine wave.

        (1 + cos(pi t)) / 2,  t = (k - warmup) / (K - warmup)

    Args:
        step: k, int scalar, >= 0.
        total_steps: K; the factor stays 0 beyond it.
        warmup_steps: where the fall begins, in [0, K).

    Returns:
        float64 scalar in [0, 1].

    Source:
        Loshchilov, Hutter, ICLR 2017 (arXiv:1608.03983), Eq. 5, one period.
    """
    way = _progress(step, warmup_steps, total_steps)
    return (1.0 + tf.cos(math.pi * way)) / 2.0


def cosine_level(
    step: tf.Tensor, total_steps: int, warmup_steps: int = 0, *, sixteenths: int
) -> tf.Tensor:
    """Factor that falls along the first part of a cosine wave.

        cos(pi s/16 t),  t = (k - warmup) / (K - warmup)

    s = 7 ends at 0.195, which is FixMatch's; s = 1, the default of CReST's code, at 0.981.

    Args:
        step: k, int scalar, >= 0.
        total_steps: K; the factor stays at its end beyond it.
        warmup_steps: where the fall begins, in [0, K).
        sixteenths: s, sixteenths of half a wave, in [0, 8].

    Returns:
        float64 scalar in [0, 1].

    Source:
        Sohn et al., NeurIPS 2020 (arXiv:2001.07685), Sec. 2.4.
    """
    way = _progress(step, warmup_steps, total_steps)
    return tf.cos(math.pi * sixteenths / 16.0 * way)


def staircase(
    step: tf.Tensor,
    total_steps: int,
    warmup_steps: int = 0,
    *,
    fractions: tuple[float, ...],
    factor: float,
) -> tf.Tensor:
    """Factor that is multiplied again at each of some fractions of the training.

        factor ** (number of fractions f with k >= round(f K))

    Args:
        step: k, int scalar, >= 0.
        total_steps: K.
        warmup_steps: not used: the fractions are of the whole training, warm-up included.
        fractions: in [0, 1].
        factor: dimensionless, > 0.

    Returns:
        float64 scalar, > 0.
    """
    del warmup_steps
    edges = tf.constant([round(fraction * total_steps) for fraction in fractions], tf.float64)
    passed = tf.cast(tf.cast(step, tf.float64) >= edges, tf.float64)
    return tf.constant(factor, tf.float64) ** tf.reduce_sum(passed)


SHAPES: dict[str, Callable[..., tf.Tensor]] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_7_16": functools.partial(cosine_level, sixteenths=7),
    "cosine_1_16": functools.partial(cosine_level, sixteenths=1),
    # DARP's supervised runs, and the usual meaning.
    "step": functools.partial(staircase, fractions=(0.8, 0.9), factor=0.1),
    # LDAM's and DASO's supervised runs.
    "step_ldam": functools.partial(staircase, fractions=(0.8, 0.9), factor=0.01),
    # FixMatch on ImageNet.
    "step_sixths": functools.partial(
        staircase, fractions=tuple(sixth / 6 for sixth in range(1, 6)), factor=0.1
    ),
}


@keras.utils.register_keras_serializable(package="drw_tf")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate as a function of the step.

        base * min(1, k / warmup) * shape(k)

    It starts at 0 where there is a warm-up, and rises to `base` at the end of it.

    Args:
        shape: one of `SHAPES`.
        base: largest learning rate, >= 0.
        total_steps: K, >= 1.
        warmup_steps: in [0, K).

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(self, shape: str, base: float, total_steps: int, warmup_steps: int = 0):
        if shape not in SHAPES:
            raise ValueError(f"schedule must be one of {', '.join(SHAPES)}, got {shape!r}.")
        if not 0 <= base < math.inf:
            raise ValueError(f"base must be finite and >= 0, got {base}.")
        if total_steps < 1:
            raise ValueError(f"total_steps must be >= 1, got {total_steps}.")
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps must be in [0, total_steps = {total_steps}), got {warmup_steps}."
            )
        self.shape, self.base = shape, base
        self.total_steps, self.warmup_steps = total_steps, warmup_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """float32 scalar, the learning rate at int scalar `step` >= 0."""
        rate = self.base * SHAPES[self.shape](step, self.total_steps, self.warmup_steps)
        if self.warmup_steps:
            rate *= _progress(step, 0, self.warmup_steps)
        return tf.cast(rate, tf.float32)

    def get_config(self) -> dict:
        """Arguments that make the same schedule again."""
        return {
            "shape": self.shape,
            "base": self.base,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }


def _ramp_progress(step: tf.Tensor, total_steps: int, fraction: float) -> tf.Tensor:
    """float64, share of the ramp that is over; 1 where the ramp has no length."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}.")
    length = fraction * total_steps
    if length == 0:
        return tf.ones_like(step, tf.float64)
    return _progress(step, 0.0, length)


def linear_ramp(step: tf.Tensor, total_steps: int, fraction: float) -> tf.Tensor:
    """Factor that rises linearly from 0 to 1 over the first part of the training.

        min(1, k / (fraction K))

    Args:
        step: k, scalar, >= 0.
        total_steps: K.
        fraction: in [0, 1]; 0 gives 1 at once.

    Returns:
        float32 scalar in [0, 1].

    Raises:
        ValueError: `fraction` is outside [0, 1].
    """
    return tf.cast(_ramp_progress(step, total_steps, fraction), tf.float32)


def sigmoid_ramp(step: tf.Tensor, total_steps: int, fraction: float) -> tf.Tensor:
    """Factor that rises from 0.0067 to 1 over the first part of the training.

        exp(-5 (1 - t) ** 2),  t = min(1, k / (fraction K))

    Args:
        step: k, scalar, >= 0.
        total_steps: K.
        fraction: in [0, 1]; 0 gives 1 at once.

    Returns:
        float32 scalar in (0, 1].

    Raises:
        ValueError: `fraction` is outside [0, 1].

    Source:
        Laine, Aila, ICLR 2017 (arXiv:1610.02242); Tarvainen, Valpola (arXiv:1703.01780).
    """
    left = 1.0 - _ramp_progress(step, total_steps, fraction)
    return tf.cast(tf.exp(-5.0 * left**2), tf.float32)


RAMPS: dict[str, Callable[..., tf.Tensor]] = {"linear": linear_ramp, "sigmoid": sigmoid_ramp}


def ema_decay_at(step: tf.Tensor, decay: float, warmup: bool) -> tf.Tensor:
    """Decay of the averaged weights at a step.

        min(decay, (1 + k) / (10 + k))  with warm-up,  decay  without

    Args:
        step: k, int scalar, >= 0.
        decay: in [0, 1).
        warmup: whether the first averages forget the initial weights faster.

    Returns:
        float32 scalar in [0, 1).

    Raises:
        ValueError: `decay` is outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay must be in [0, 1), got {decay}.")
    decay = tf.constant(decay, tf.float64)
    if warmup:
        step = tf.cast(step, tf.float64)
        decay = tf.minimum(decay, (1.0 + step) / (10.0 + step))
    return tf.cast(decay, tf.float32)
