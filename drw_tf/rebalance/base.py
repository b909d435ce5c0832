"""The seams through which a countermeasure against imbalance reaches into a method.

Every seam does nothing by default; a rebalancer overrides one or two. A method holds an
ordered list of them: refinements are chained, weights multiplied, extra terms added, and
at most one may replace a loss function. Their variables are saved with the model.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

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
        seed: of the run.
        pool_counts: float64 [C], pictures of each class in the pool, where a method may know them;
            None where it has to expect them.
    """

    num_classes: int
    labeled_counts: np.ndarray
    pool_size: int
    total_steps: int
    steps_per_epoch: int
    seed: int = 0
    pool_counts: np.ndarray | None = None

    @property
    def expected_in_pool(self) -> np.ndarray:
        """float64 [C], N_c P / sum N: the pool's classes, were it as long-tailed as the labels.

        The true ones where they are known.
        """
        if self.pool_counts is not None:
            return self.pool_counts
        return self.labeled_counts * self.pool_size / self.labeled_counts.sum()


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


_STAGE_WORDS = {
    "sampling": ("uniform", "class_balanced"),
    "begins_with": ("keep", "redraw", "new_head"),
    "heard": ("all", "own", "others"),
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One part of a run. Each stage has an optimizer and a learning-rate schedule of its own.

    Attributes:
        name: for logs.
        steps: its length.
        sampling: "uniform", or "class_balanced": each labeled picture is drawn, with
            replacement, with a probability inverse to the count of its class.
        begins_with: what happens to the weights at its start. "keep": nothing; "redraw":
            both networks start anew; "new_head": the averaged weights are taken over, the
            head "logits" is drawn anew, and all else frozen, batch statistics included.
        settings: flag name -> value, in place of the run's optimizer flags.
        labeled_only: whether it learns from the labeled stream alone, from its weak views and by
            cross-entropy, whatever the method is.
        heard: which rebalancers act in its steps and at the ends of its epochs: "all"; "own",
            the one that divided the run into stages; or "others".
    """

    name: str
    steps: int
    sampling: str = "uniform"
    begins_with: str = "keep"
    settings: Mapping = dataclasses.field(default_factory=dict)
    labeled_only: bool = False
    heard: str = "all"

    def __post_init__(self):
        """Refuses other words, which would be taken for one of these."""
        for field, allowed in _STAGE_WORDS.items():
            got = getattr(self, field)
            if got not in allowed:
                raise ValueError(f"Stage.{field} must be one of {', '.join(allowed)}, got {got!r}.")


@dataclasses.dataclass(frozen=True)
class Observation:
    """What is known about an epoch's pseudo-labels when it ends.

    Attributes:
        step: steps of the run done so far.
        pseudo_numbers: float64 [C], pseudo-labels of each class, scaled to the pool, >= 1;
            None for methods without pseudo-labels and for an epoch that counted none.
    """

    step: int
    pseudo_numbers: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Weak:
    """What a step knows about the weak views when pseudo-labels are made.

    Attributes:
        logits: float32 [U, C], without gradient.
        index: int64 [U], rows of the pool.
        step: int64 scalar, steps of the stage done before this one.
        network: the network in training.
        stage_steps: length of the stage.
    """

    logits: tf.Tensor
    index: tf.Tensor
    step: tf.Tensor
    network: keras.Model
    stage_steps: int


@dataclasses.dataclass(frozen=True)
class Ask:
    """Questions that a rebalancer may ask between stages.

    Attributes:
        pool_logits: float32 [P, C] of the averaged network on the pool's pictures without
            augmentation, in the order of the pool; computed when called.
        labeled_in_pool: int64 [N], which rows of the pool are labeled ones.
    """

    pool_logits: Callable[[], np.ndarray]
    labeled_in_pool: np.ndarray


@dataclasses.dataclass(frozen=True)
class Outputs:
    """All that the heads said about a batch, for terms beside the method's own.

    Attributes:
        labels: int32 [B].
        labeled: head name -> float32 [B, n].
        weak: head name -> float32 [U, n]. For targets alone, behind `tf.stop_gradient`: with
            `forward="separate"` no gradient goes through it.
        strong: for each strong view, head name -> float32 [U, n].
        step: int64 scalar, steps of the stage done before this one.
        stage_steps: length of the stage.
    """

    labels: tf.Tensor
    labeled: dict[str, tf.Tensor]
    weak: dict[str, tf.Tensor]
    strong: list[dict[str, tf.Tensor]]
    step: tf.Tensor
    stage_steps: int


# What `Rebalancer.refines` may be.
REFINES = ("targets", "predictions")


class Rebalancer(keras.layers.Layer):
    """A countermeasure that changes nothing; leaves override the seams they need."""

    # Head whose logits are evaluated and exported; None leaves the method's own.
    evaluated_head: str | None = None
    # Terms that `extra_terms` returns; no other term or scalar of the recipe has their names.
    terms: tuple[str, ...] = ()
    # What `refine` works on in methods that align and sharpen: their finished "targets", or
    # the network's "predictions" before.
    refines: str = "targets"
    # Seams at which it asks for what methods that do not read them do anyway.
    optional_seams: tuple[str, ...] = ()
    # Whether `end_epoch` reads `Observation.pseudo_numbers`.
    needs_pseudo_numbers: bool = False

    def __init__(self, hyper: Hyperparameters, facts: Facts, name: str | None = None):
        super().__init__(trainable=False, dtype="float32", name=name)
        self.hyper = hyper
        self.facts = facts

    # ---- before the first step

    def heads(self) -> dict[str, Callable[[], keras.layers.Layer]]:
        """Heads added to the network, or put in place of one of the same name."""
        return {}

    def attach(self, others: list["Rebalancer"]) -> None:
        """Sees the recipe's whole list, itself in it, once, before the first step.

        To keep the list keep a function that returns it: Keras takes a list of layers that is an
        attribute for layers of this one.
        """

    def stages(self, steps: int) -> list[Stage] | None:
        """The parts of a run of this many steps; None for one plain stage."""
        return None

    # ---- in a step

    def supervised_loss(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor | None:
        """float32 [B], in place of cross-entropy; None leaves it."""
        return None

    def unsupervised_loss(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor | None:
        """float32 [U], in place of cross-entropy; targets int32 [U] or float32 [U, C]."""
        return None

    def labeled_weights(self, labels: tf.Tensor) -> tf.Tensor | None:
        """float32 [B], factor of each labeled picture's loss; None for no factor.

        Labels are int32 [B]. The factor is that of the class, up to a common one of the batch:
        for mixed targets, and for what logits are adjusted by, each class is asked for once.
        """
        return None

    def unlabeled_weights(self, pseudo_label: tf.Tensor) -> tf.Tensor | None:
        """float32 [U], factor of each unlabeled picture's loss; None for no factor.

        Pseudo-labels are int32 [U]. The factor is that of the class, up to a common one of the
        batch: MixMatch and ReMixMatch, whose targets are soft, ask for each class once.
        """
        return None

    def refine(self, probabilities: tf.Tensor, weak: Weak) -> tf.Tensor:
        """float32 [U, C], better probabilities for pseudo-labels."""
        return probabilities

    def pseudo_target(
        self, probabilities: tf.Tensor, mask: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor] | None:
        """(float32 [U, C] targets, float32 [U] mask) in place of hard, thresholded labels.

        The mask that is given and the one that is returned are in {0, 1}.
        """
        return None

    def extra_terms(self, outputs: Outputs) -> dict[str, tf.Tensor]:
        """Scalars added to the loss, by the names in `terms`."""
        return {}

    def banks(self) -> tuple[tf.Variable, ...]:
        """Variables with a row for each picture of the pool, written for the batch's alone."""
        return ()

    # ---- between epochs and stages, and at test time

    def begin_stage(self, index: int, ask: "Ask") -> None:
        """Changes state before stage `index` >= 1 begins, while the old weights still stand."""

    def labeled_rows(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(int64 [N] rows of the pool, int64 [N] labels) added to the labeled stream.

        Read when the batches of a stage are made, so it is to be changed in `begin_stage` alone.
        """
        return None

    def end_epoch(self, observation: Observation) -> None:
        """Changes state between two epochs; runs outside of the graph."""

    def adjust(self, logits: np.ndarray, network: keras.Model) -> np.ndarray:
        """float64 [N, C], logits of this network to be judged at test time; here as given.

        An export can only have one vector subtracted from all logits; it refuses any other change.

        With several replicas the network is a `drw_tf.models.spread.SpreadNetwork`: it can be
        called and has its `input_shape`, no more.
        """
        return logits

    def describe(self) -> dict:
        """Numbers, or [C] of them, worth logging, by name: as the epoch that ends was trained with.

        Of a rebalancer that adjusts logits, as the evaluation after it uses them.
        """
        return {}


def overridden(rebalancer: Rebalancer, seam: str) -> bool:
    """Whether this rebalancer does anything at the seam of that name."""
    return getattr(type(rebalancer), seam) is not getattr(Rebalancer, seam)


# Seams that only a method with pseudo-labels reads.
PSEUDO_LABEL_SEAMS = (
    "refine",
    "pseudo_target",
    "unlabeled_weights",
    "unsupervised_loss",
    "extra_terms",
)


def refuse_unread(rebalancer: Rebalancer, unread: tuple[str, ...], method: str) -> None:
    """Nothing; a rebalancer that would be ignored in part is refused.

    Raises:
        ValueError: the rebalancer does something at a seam that the method does not read.
    """
    for seam in unread:
        if overridden(rebalancer, seam) and seam not in rebalancer.optional_seams:
            name = type(rebalancer).__name__
            raise ValueError(f"{name} needs {seam}, which {method} does not read.")


def refuse_other_head(rebalancer: Rebalancer, does: str, others: Sequence[Rebalancer]) -> None:
    """Nothing; a rebalancer whose work would be on a head that is not evaluated is refused.

    Args:
        rebalancer: that works on the head "logits" alone.
        does: what it does with it, a verb.
        others: all of the recipe.

    Raises:
        ValueError: one of them has another head evaluated.
    """
    for other in others:
        if other.evaluated_head is not None:
            raise ValueError(
                f"{type(rebalancer).__name__} {does} the head 'logits', but the recipe evaluates "
                f"{other.evaluated_head!r}."
            )
