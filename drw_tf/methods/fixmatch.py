"""FixMatch (Sohn et al., NeurIPS 2020), with the seams at which DRw puts its weights."""

import tensorflow as tf

from drw_tf.methods import base, tally
from drw_tf.ops import losses, pseudo_labels, reweighting


class FixMatch(base.Method):
    """Pseudo-labels from weak views teach strong views.

        p_j = softmax(f(weak(u_j)))          no gradient
        y_j = argmax p_j,  m_j = 1[max p_j >= tau]
        L = (1/B) sum_i w_{y_i} H(y_i, f(weak(x_i)))
            + lambda (1/U) sum_j w_{y_j} m_j H(y_j, f(strong(u_j)))

    The divisor is the whole unlabeled batch, not its confident part. With two strong views
    the unlabeled term is the mean over both. `forward="joint"` passes all views at once, so
    batch statistics are common; "separate" passes the weak unlabeled views alone, in
    training mode and without a tape, as the DARP code lineage does.

    Source: paper Eq. 3-6 and 8-10; without weights, Sohn et al., Eq. 2-4.
    """

    terms = ("loss_labeled", "loss_unlabeled")
    scalars = ("mask_rate", "confidence")

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        self.unlabeled_views = ("weak", "strong", "strong_2")[: 1 + hyper.strong_views]
        self.histogram = tally.PseudoLabelHistogram(
            facts.num_classes, facts.pool_size, hyper.pseudo_memory
        )

    def prepare(self, batch):
        if self.hyper.forward == "joint":
            return {}
        logits = self.network(batch["unlabeled"]["weak"], training=True)["logits"]
        return self.targets(logits, batch["unlabeled"]["index"])

    def targets(self, logits_weak: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pseudo-label int32 [U], confidence and mask float32 [U], from weak logits [U, C]."""
        probabilities = self.refine(tf.nn.softmax(tf.stop_gradient(logits_weak)), index)
        label, confidence, mask = pseudo_labels.hard_pseudo_labels(
            probabilities, self.hyper.threshold
        )
        return {"label": label, "confidence": confidence, "mask": mask}

    def loss_terms(self, batch, prepared):
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        strong = [unlabeled[view] for view in self.unlabeled_views[1:]]
        weak = [unlabeled["weak"]] if self.hyper.forward == "joint" else []
        parts = [labeled["weak"], *weak, *strong]
        logits = self.network(tf.concat(parts, axis=0), training=True)["logits"]
        logits = tf.split(logits, [part.shape[0] for part in parts])
        if self.hyper.forward == "joint":
            prepared = self.targets(logits[1], unlabeled["index"])
        label, mask = prepared["label"], prepared["mask"]
        weights = self.unlabeled_weights(label)
        entropies = [losses.cross_entropy(one, label) for one in logits[len(parts) - len(strong) :]]
        each = tf.add_n(entropies) / len(strong)
        self.histogram.add(label, mask, weights * mask * each, unlabeled["index"])
        terms = {
            "loss_labeled": self.labeled_loss(logits[0], labeled["label"]),
            "loss_unlabeled": self.hyper.lambda_u
            * reweighting.weighted_unlabeled_loss(each, weights, mask),
        }
        scalars = {
            "mask_rate": tf.reduce_mean(mask),
            "confidence": tf.reduce_mean(prepared["confidence"]),
        }
        return terms, scalars
