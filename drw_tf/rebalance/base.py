"""The seams through which a countermeasure against imbalance reaches into a method.

Every seam does nothing by default; a rebalancer overrides one or two. A method holds an
ordered list of them: refinements are chained, weights multiplied, extra terms added, and
at most one may replace a loss function. Their variables are saved with the model.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow import keras


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a method may know about its data and its run.

    Attributes:
        num_classes: C.
        labeled_counts: float64 [C], labeled pictures of each class.
        pool_size: P, pictures in the unlabeled stream's pool; 0 without such a stream.
        total_steps: length of the whole run in steps.
        steps_per_epoch: steps between two ends of an epoch.
    """

    num_classes: int
    labeled_counts: np.ndarray
    pool_size: int
    total_steps: int
    steps_per_epoch: int


class Hyperparameters:
    """The flags that a component declared, read as attributes; any other name is an error."""

    def __init__(self, values: Mapping, declared: tuple[str, ...]):
        self._values = {name: values[name] for name in declared}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"{name} is not among the declared flags") from None


@dataclasses.dataclass(frozen=True)
class Observation:
    """What is known about an epoch's pseudo-labels when it ends.

    Attributes:
        step: steps done so far.
        pseudo_numbers: float64 [C], pseudo-labels of each class, scaled to the pool, >= 1;
            None for methods without pseudo-labels.
    """

    step: int
    pseudo_numbers: np.ndarray | None


class Rebalancer(keras.layers.Layer):
    """A countermeasure that changes nothing; leaves override the seams they need."""

    def __init__(self, hyper: Hyperparameters, facts: Facts, name: str | None = None):
        super().__init__(trainable=False, dtype="float32", name=name)
        self.hyper = hyper
        self.facts = facts

    def labeled_weights(self, labels: tf.Tensor) -> tf.Tensor | None:
        """float32 [B], factor of each labeled picture's loss; None for no factor."""
        return None

    def unlabeled_weights(self, pseudo_label: tf.Tensor) -> tf.Tensor | None:
        """float32 [U], factor of each unlabeled picture's loss; None for no factor."""
        return None

    def refine(self, probabilities: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """float32 [U, C], better probabilities for pseudo-labels of the pool rows `index`."""
        return probabilities

    def end_epoch(self, observation: Observation) -> None:
        """Changes state between two epochs; runs outside of the graph."""

    def adjust(self, logits: np.ndarray) -> np.ndarray:
        """float64 [N, C], logits to be judged at test time."""
        return logits

    def describe(self) -> dict:
        """Arrays worth logging, by name."""
        return {}


def overridden(rebalancer: Rebalancer, seam: str) -> bool:
    """Whether this rebalancer does anything at the seam of that name."""
    return getattr(type(rebalancer), seam) is not getattr(Rebalancer, seam)
