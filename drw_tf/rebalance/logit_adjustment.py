"""Logit adjustment at test time (Menon et al. 2021), as CReST+ and DRw + LA use it."""

import numpy as np
import tensorflow as tf

from drw_tf.ops import logit_adjustment as equations
from drw_tf.rebalance import base, composition


class LogitAdjustment(base.Rebalancer):
    """Subtracts tau * log(prior) from the logits that are judged; training is untouched.

    Prior: labeled counts as in CReST (default), with what other rebalancers have added to the
    labeled set; `effective`, counts times the class weights that the labeled loss carries now,
    those of all rebalancers multiplied, because a weighted loss has already moved the logits; or
    `pseudo`, the last pseudo numbers, those of the epoch that has just ended among them.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "logit_adjustment")
        self.needs_pseudo_numbers = hyper.la_prior == "pseudo"
        self._others = tuple
        self.pseudo_numbers = tf.Variable(
            tf.ones([facts.num_classes]), trainable=False, name="pseudo_numbers"
        )

    def attach(self, others):
        self._others = lambda: others  # Keras would take a list of layers for layers of its own.

    def end_epoch(self, observation):
        if observation.pseudo_numbers is not None:
            self.pseudo_numbers.assign(observation.pseudo_numbers)

    def labeled_counts(self):
        """float64 [C], pictures of the labeled stream as it is now."""
        counts = np.array(self.facts.labeled_counts, np.float64)
        for other in self._others():
            added = other.labeled_rows()
            if added is not None:
                counts += np.bincount(added[1], minlength=len(counts))
        return counts

    def labeled_weights_used(self):
        """float64 [C], up to a factor what the labeled loss of each class is multiplied by now."""
        classes = tf.range(self.facts.num_classes)
        weights = composition.product(other.labeled_weights(classes) for other in self._others())
        return np.ones(len(classes)) if weights is None else np.asarray(weights, np.float64)

    def prior(self):
        """float64 [C], positive; only ratios matter."""
        return equations.adjustment_prior(
            self.hyper.la_prior,
            self.labeled_counts(),
            self.labeled_weights_used(),
            self.pseudo_numbers.numpy(),
        ).numpy()

    def adjust(self, logits, network):
        return equations.adjust_logits(logits, self.prior(), self.hyper.la_strength).numpy()

    def describe(self):
        return {"adjustment_prior": self.prior()}
