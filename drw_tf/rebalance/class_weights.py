"""Weights by effective number: fixed for labeled pictures, fixed or dynamic for unlabeled ones.

The five variants of the paper's Table 4 are combinations of these three:
NRw none, FRwL labeled, FRwU fixed unlabeled, FRwLU both, DRw labeled and dynamic.
The formulas are in `drw_tf.ops.reweighting`.
"""

import logging
import math

import numpy as np
import tensorflow as tf

from drw_tf.ops import reweighting
from drw_tf.rebalance import base

_LOG = logging.getLogger("drw_tf")


def beta_for_imbalance(labeled_counts: np.ndarray) -> float:
    """The beta that was best in the paper's Fig. 4: .999 up to R = 50, .995 above.

    R is that of the counts themselves, since not all data are cut to a ratio. A tail's counts
    are rounded down, so theirs may be above the ratio that was asked for: 120 and a ratio of 50
    leave 2 pictures, which is 60.
    """
    return 0.999 if labeled_counts.max() <= 50 * labeled_counts.min() else 0.995


def _number(beta: float | str) -> float:
    """A beta that is not one of the words.

    Raises:
        ValueError: it is no number either.
    """
    try:
        return float(beta)
    except (TypeError, ValueError):
        raise ValueError(
            f"beta must be a number in [0, 1), auto, auto_mean or literal, got {beta!r}."
        ) from None


class _ClassWeights(base.Rebalancer):
    """Holds one weight a class in a variable and looks it up."""

    def __init__(self, hyper, facts, name):
        super().__init__(hyper, facts, name)
        self.class_weights = tf.Variable(
            # Of its own, as Keras's .h5 files find the variables of a layer by name.
            tf.ones([facts.num_classes]),
            trainable=False,
            name=f"{name}/class_weights",
        )

    def weights_of(self, counts: np.ndarray) -> tf.Tensor:
        """float32 [C], normalised weights for these counts."""
        beta = self.hyper.beta
        if beta == "auto":
            beta = beta_for_imbalance(self.facts.labeled_counts)
        elif beta not in ("auto_mean", "literal"):
            beta = _number(beta)
        return reweighting.class_weights(
            counts,
            beta,
            self.hyper.weight_normalization,
            self.hyper.max_weight_ratio or math.inf,
        )


class LabeledWeights(_ClassWeights):
    """w^l of Eq. 9: from the labeled counts N_c, fixed, from the first step on."""

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "labeled_weights")
        self.class_weights.assign(self.weights_of(facts.labeled_counts))

    def labeled_weights(self, labels):
        return tf.gather(self.class_weights, labels)

    def describe(self):
        return {"labeled_weights": self.class_weights.numpy()}


class _UnlabeledWeights(_ClassWeights):
    """Weighs the unlabeled loss; the weights are 1 until they are assigned."""

    @property
    def start_step(self) -> int:
        """First step that may be weighted."""
        return round(self.hyper.reweight_start * self.facts.total_steps)

    def unlabeled_weights(self, pseudo_label):
        return tf.gather(self.class_weights, pseudo_label)

    def describe(self):
        return {"unlabeled_weights": self.class_weights.numpy()}


class FixedUnlabeledWeights(_UnlabeledWeights):
    """w^u of FRwU and FRwLU: from the labeled prior scaled to the pool, N_c * P / sum N.

    They are 1 until `reweight_start`, which is 0 by default. The paper does not say which fixed
    counts it used; these follow its assumption that labeled and unlabeled data are imbalanced
    alike.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "fixed_unlabeled_weights")
        self.end_epoch(base.Observation(0, None))

    def end_epoch(self, observation):
        if observation.step >= self.start_step:
            self.class_weights.assign(self.weights_of(self.facts.expected_in_pool))


class DynamicWeights(_UnlabeledWeights):
    """w^u of Eq. 10: from the last epoch's pseudo numbers; 1 until `reweight_start`.

    With `pseudo_smoothing` they are from an exponential mean over all epochs, those before the
    start among them. An epoch without pseudo numbers leaves the weights as they were.
    """

    needs_pseudo_numbers = True

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "dynamic_weights")
        self.smoothed = None
        if hyper.pseudo_smoothing:  # else checkpoints that are older than the flag would lack it
            self.smoothed = tf.Variable(
                tf.zeros([facts.num_classes]), trainable=False, name="smoothed_numbers"
            )
        self._told = False

    def end_epoch(self, observation):
        numbers = observation.pseudo_numbers
        if numbers is None:
            return
        if self.smoothed is not None:
            numbers = reweighting.smoothed_numbers(
                self.smoothed.numpy(), numbers, self.hyper.pseudo_smoothing
            )
            self.smoothed.assign(numbers)
        if observation.step >= self.start_step:
            self.class_weights.assign(self.weights_of(numbers))
            self._tell_of_floor(np.asarray(numbers))

    def _tell_of_floor(self, numbers: np.ndarray) -> None:
        """Warns once of classes without pseudo-labels, whose weights are taken from all others."""
        empty = int((numbers <= 1).sum())
        if empty and not self._told and not self.hyper.max_weight_ratio:
            self._told = True
            weights = self.class_weights.numpy()
            _LOG.warning(
                "%d of %d classes have at most one pseudo-label, and the largest unlabeled weight "
                "is %.3g times the smallest; max_weight_ratio bounds that",
                empty,
                len(numbers),
                weights.max() / weights.min(),
            )
