"""Taking a step back: what it changed stands again as it was before."""

from collections.abc import Sequence

import tensorflow as tf

from drw_tf.ops import replicas
from drw_tf.rebalance import banks as pool_banks


class Undo:
    """The values of some variables, kept while a step is tried; made in replica context.

    Args:
        variables: of which the step may change all.
        banks: [P, ...], as `banks.write_rows` takes them, of which it writes some rows alone:
            these cost what the rows do.
        index: int64 [N], the rows on this replica; written are those of all replicas.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        banks: Sequence[tf.Variable] = (),
        index: tf.Tensor | None = None,
    ):
        self.variables = list(variables)
        self.kept = [tf.identity(one) for one in self.variables]
        self.banks, self.kept_rows = list(banks), []
        if self.banks:
            self.index = replicas.all_rows(index)
            self.kept_rows = [pool_banks.read_rows(one, self.index) for one in self.banks]

    def where(self, bad: tf.Tensor) -> None:
        """Gives all variables their kept values if `bad`, a bool scalar, is true."""
        if self.variables:
            context = tf.distribute.get_replica_context()
            # Mirrored variables may only be written from the cross-replica side.
            context.merge_call(self._restore, args=(self.kept, bad))
        for bank, rows in zip(self.banks, self.kept_rows, strict=True):
            now = pool_banks.read_rows(bank, self.index)
            pool_banks.write_rows(bank, self.index, tf.where(bad, rows, now))

    def _restore(self, strategy, kept, bad):
        for variable, value in zip(self.variables, kept, strict=True):
            if variable.synchronization == tf.VariableSynchronization.ON_READ:
                strategy.extended.call_for_each_replica(_choose, args=(variable, value, bad))
            else:
                strategy.extended.update(variable, _choose, args=(value, bad))


def _choose(variable, value, bad):
    if variable.aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA:
        # As large as the pool, it may be, and mostly not written in a step.
        tf.cond(bad, lambda: _assign(variable, value), tf.no_op)
    else:
        variable.assign(tf.where(bad, value, variable))


def _assign(variable, value):
    variable.assign(value)
    return tf.no_op()
