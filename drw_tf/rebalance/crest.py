"""CReST and CReST+ (Wei et al., CVPR 2021): generations that label for the next one."""

import numpy as np
import tensorflow as tf

from drw_tf.ops import pseudo_labels, self_training
from drw_tf.rebalance import base, running_mean

_NOT_ADDED = -1


class ClassRebalancingSelfTraining(base.Rebalancer):
    """CReST: a run of G generations, each from new weights.

    When a generation ends, its averaged network predicts the unlabeled pictures without
    augmentation. Of each class the most confident ones, more of them where the class is rare
    (`self_training.selection_rates`), join the original labeled set with their predictions;
    those of the generation before leave it. The unlabeled stream stays as it is.

    Differs from Wei et al.: the run's steps are divided among the generations,
    in whole epochs, so that all methods train equally long; there each one has them all.
    """

    def __init__(self, hyper, facts, name="crest"):
        super().__init__(hyper, facts, name)
        # Not of int32: TensorFlow has such variables on the CPU alone.
        none = tf.fill([facts.pool_size], tf.constant(_NOT_ADDED, tf.int64))
        self.added = tf.Variable(none, trainable=False, name="added_labels")

    def stages(self, steps):
        every, generations = self.facts.steps_per_epoch, self.hyper.crest_generations
        epochs = steps // every
        ends = [epochs * (g + 1) // generations * every for g in range(generations)]
        return [
            base.Stage(
                f"generation {g + 1}",
                end - begin,
                begins_with="redraw" if g else "keep",
            )
            for g, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))
        ]

    def begin_stage(self, index, ask):
        unlabeled = np.setdiff1d(np.arange(self.facts.pool_size), ask.labeled_in_pool)
        rates = self_training.selection_rates(self.facts.labeled_counts, self.hyper.crest_alpha)
        rows, labels = self_training.most_confident(ask.pool_logits()[unlabeled], rates)
        added = np.full(self.facts.pool_size, _NOT_ADDED, np.int64)
        added[unlabeled[rows]] = labels
        self.added.assign(added)

    def labeled_rows(self):
        added = self.added.numpy()
        rows = np.flatnonzero(added != _NOT_ADDED)
        return rows, added[rows]

    def describe(self):
        labels = self.labeled_rows()[1]
        return {"added_counts": np.bincount(labels, minlength=self.facts.num_classes)}


class AlignedSelfTraining(ClassRebalancingSelfTraining):
    """CReST+: CReST whose pseudo-labels are aligned to the labeled prior, ever more flattened.

        q_j = p_j (norm(pi ** t_g) + 1e-6) / (mean of the last 128 batches' p + 1e-6), normalised

    pi are the counts of the original labeled set; t_g falls from 1 to `crest_alignment_min`
    over the generations. The mean does not hold the present batch yet. MixMatch sharpens
    what was aligned.
    """

    refines = "predictions"

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "crest_plus")
        self.generation = tf.Variable(0.0, trainable=False, name="generation")
        self.predicted = running_mean.RunningMean(facts.num_classes)

    def refine(self, probabilities, weak):
        lately = self.predicted.value()
        self.predicted.add(probabilities, weak.step)
        return pseudo_labels.align_distribution(probabilities, self.target(), lately)

    def target(self) -> tf.Tensor:
        """float32 [C], the distribution that this generation's pseudo-labels are aligned to."""
        power = self_training.alignment_power(
            self.generation, self.hyper.crest_generations, self.hyper.crest_alignment_min
        )
        return self_training.tempered_prior(np.maximum(self.facts.labeled_counts, 1.0), power)

    def begin_stage(self, index, ask):
        super().begin_stage(index, ask)
        self.generation.assign(index)
        self.predicted.reset()

    def describe(self):
        return {**super().describe(), "alignment_target": self.target().numpy()}
