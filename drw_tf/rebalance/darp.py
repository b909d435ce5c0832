"""DARP (Kim et al., NeurIPS 2020): pseudo-labels moved to the labeled prior."""

import tensorflow as tf

from drw_tf.ops import refinement, replicas
from drw_tf.rebalance import banks, base, variables


class DistributionAligningRefinery(base.Rebalancer):
    """Refines the pseudo-labels of the whole pool together, every few steps.

        q_c = N_c P / sum_k N_k         pictures of the pool that each class should have
        R = refine(latest pseudo-labels of all P pictures, q)
        row of picture j: R_j from step `darp_start` K on, its own pseudo-label before

    A bank holds the latest pseudo-label of each picture as the method made it, uniform where
    there was none yet; every step writes its rows. Every `darp_refresh` steps all of R is
    computed anew from the bank, the present batch included; in between its rows are reused,
    however old. The method goes on with R as with its own: FixMatch compares it with its
    threshold, and class weights count it, so with DRw the refinement comes first.

    Differs from the code below, which begins one epoch later.

    Source: Kim et al.; bbuing9/DARP:training_functions.py.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "darp")
        self.target_counts = facts.expected_in_pool
        uniform = tf.fill([facts.pool_size, facts.num_classes], 1.0 / facts.num_classes)
        self.latest = variables.same_everywhere(uniform, "latest")
        self.refined = variables.same_everywhere(uniform, "refined")
        self.dual = variables.same_everywhere(tf.zeros([facts.num_classes], tf.float64), "dual")
        self.column_error = variables.same_everywhere(tf.zeros([], tf.float64), "column_error")

    def refine(self, probabilities, weak):
        probabilities = tf.stop_gradient(probabilities)
        # Every replica keeps the whole bank, and so computes the same R.
        index, latest = (replicas.all_rows(rows) for rows in (weak.index, probabilities))
        banks.write_rows(self.latest, index, latest)
        since = weak.step - round(self.hyper.darp_start * weak.stage_steps)
        is_due = (since >= 0) & (since % self.hyper.darp_refresh == 0)
        tf.cond(is_due, self._refresh, lambda: tf.no_op())
        # Read whole, which costs nothing: gathered from, a variable is copied whenever it is read,
        # as where a step may have to be undone.
        refined = tf.gather(tf.convert_to_tensor(self.refined), weak.index)
        return tf.where(since >= 0, refined, probabilities)

    def _refresh(self):
        """Computes all of R, starting from the last dual solution."""
        found = refinement.refine(
            self.latest, self.target_counts, self.hyper.darp_alpha, tf.identity(self.dual)
        )
        self.refined.assign(tf.cast(found.probabilities, tf.float32))
        self.dual.assign(found.dual)
        self.column_error.assign(found.column_error)
        return tf.no_op()

    def banks(self):
        return (self.latest,)

    def describe(self):
        # In pictures, of the class that is off most; above 0 only where the solver gave up.
        share = float(tf.convert_to_tensor(self.column_error))
        return {"darp_count_error": round(share * self.facts.pool_size, 3)}
