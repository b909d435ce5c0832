"""Taking a step back: what it changed stands again as it was before."""

from collections.abc import Sequence

import tensorflow as tf


class Undo:
    """The values of some variables, kept while a step is tried; made in replica context."""

    def __init__(self, variables: Sequence[tf.Variable]):
        self.variables = list(variables)
        self.kept = [tf.identity(one) for one in self.variables]

    def where(self, bad: tf.Tensor) -> None:
        """Gives all variables their kept values if `bad`, a bool scalar, is true."""
        if self.variables:
            context = tf.distribute.get_replica_context()
            # Mirrored variables may only be written from the cross-replica side.
            context.merge_call(self._restore, args=(self.kept, bad))

    def _restore(self, strategy, kept, bad):
        for variable, value in zip(self.variables, kept, strict=True):
            if variable.synchronization == tf.VariableSynchronization.ON_READ:
                strategy.extended.call_for_each_replica(_choose, args=(variable, value, bad))
            else:
                strategy.extended.update(variable, _choose, args=(value, bad))


def _choose(variable, value, bad):
    variable.assign(tf.where(bad, value, variable))
