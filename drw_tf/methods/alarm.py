"""Finds a loss or gradient that is not finite inside the step, before it is applied."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf.rebalance import variables


class NonFiniteError(RuntimeError):
    """Training met a loss or gradient that is not finite; the message is for the user."""


class Alarm(keras.layers.Layer):
    """Counts, in the graph, steps that must not be applied, and remembers the first.

    Works with several steps an execution: each step is judged by itself, and all replicas
    agree. The variables are in the checkpoint, so a limit on skipped steps spans restarts.
    """

    def __init__(self, names: tuple[str, ...]):
        super().__init__(trainable=False, dtype="float32", name="alarm")
        self.names = (*names, "gradient")
        # Per name: steps in which it was not finite; then all bad steps, then the first one
        # of the run, counted from 1, then its learning rate.
        self.state = variables.same_everywhere(tf.zeros([len(self.names) + 3]), "state")

    def watch(
        self, terms, gradients, step, learning_rate, may_overflow=False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Two bools, the same on all replicas: must this step not be applied; was it dropped.

        A step is dropped, and not counted here, where its gradient alone is not finite and
        the loss scale is the likely reason: the optimizer leaves it out by itself.

        Args:
            terms: float32 scalars, in the order of `names`.
            gradients: of the trained variables.
            step: int64 scalar, steps of the run that are done before this one.
            learning_rate: float32 scalar.
            may_overflow: bool scalar, whether a loss scale may be why gradients overflow.
        """
        # One sum of squares tells whether every entry is finite.
        squares = tf.add_n([tf.nn.l2_loss(tf.cast(g, tf.float32)) for g in gradients])
        values = tf.stack([*(tf.cast(term, tf.float32) for term in terms), squares])
        context = tf.distribute.get_replica_context()
        wrong = tf.cast(~tf.math.is_finite(values), tf.float32)
        if context.num_replicas_in_sync > 1:
            wrong = context.all_reduce(tf.distribute.ReduceOp.SUM, wrong)
        wrong = tf.minimum(wrong, 1.0)
        dropped = may_overflow & (wrong[-1] > 0) & (tf.reduce_max(wrong[:-1]) == 0)
        wrong *= 1.0 - tf.cast(dropped, tf.float32)
        bad = tf.reduce_max(wrong)
        old = self.state
        first = old[-2] > 0
        now = tf.cast(step + 1, tf.float32) * bad
        self.state.assign(
            tf.concat(
                [
                    old[:-3] + wrong,
                    [
                        old[-3] + bad,
                        tf.where(first, old[-2], now),
                        tf.where(first, old[-1], learning_rate * bad),
                    ],
                ],
                axis=0,
            )
        )
        return bad > 0, dropped

    def read(self) -> tuple[int, int, float, list[str]]:
        """(bad steps so far, first bad step or 0, its learning rate, names that were bad)."""
        state = np.asarray(self.state.read_value())
        names = [name for name, count in zip(self.names, state, strict=False) if count > 0]
        return round(state[-3]), round(state[-2]), float(state[-1]), names
