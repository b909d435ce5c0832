"""FixMatch (Sohn et al., NeurIPS 2020), with the seams at which DRw puts its weights."""

import tensorflow as tf

from drw_tf.methods import base, in_step, tally
from drw_tf.ops import pseudo_labels, reweighting
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import composition


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

    Source: paper Eq. 1 to 4 and 8 to 10, see `drw_tf.ops.reweighting`; without weights, Sohn et
    al., Eq. 2 to 4.
    """

    terms = ("loss_labeled", "loss_unlabeled")
    scalars = ("mask_rate", "confidence")

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        self.unlabeled_views = ("weak", "strong", "strong_2")[: 1 + hyper.strong_views]
        self.histogram = tally.PseudoLabelHistogram(
            facts.num_classes,
            facts.pool_size,
            hyper.pseudo_memory,
            unrefined=hyper.pseudo_count == "unrefined",
        )

    def prepare(self, batch):
        if self.hyper.forward == "joint":
            return {}
        outputs = self.network(batch["unlabeled"]["weak"], training=True)
        return {"weak": outputs, **self.targets(outputs["logits"], batch["unlabeled"]["index"])}

    def targets(self, logits_weak: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the weak views teach.

        Args:
            logits_weak: float32 [U, C].
            index: int64 [U], rows of the pool.

        Returns:
            "label" and "own_label", before it was refined, int32 [U]; "confidence" and "mask"
            float32 [U]; and "target", which is the label unless a rebalancer asks for soft
            targets, float32 [U, C].
        """
        logits_weak = tf.stop_gradient(logits_weak)
        weak = rebalance.Weak(logits_weak, index, self.step, self.network, self.stage.steps)
        probabilities = self.refine(tf.nn.softmax(logits_weak), weak)
        label, confidence, mask = pseudo_labels.hard_pseudo_labels(
            probabilities, self.hyper.threshold
        )
        offered = composition.only(
            "the pseudo-labels",
            (one.pseudo_target(probabilities, mask) for one in self.heard),
        )
        target, mask = offered or (label, mask)
        return {
            "label": label,
            "own_label": tf.argmax(logits_weak, axis=1, output_type=label.dtype),
            "confidence": confidence,
            "mask": mask,
            "target": target,
        }

    def loss_terms(self, batch, prepared):
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        joint = self.hyper.forward == "joint"
        views = self.unlabeled_views if joint else self.unlabeled_views[1:]
        parts = [labeled["weak"], *(unlabeled[view] for view in views)]
        outputs = in_step.split_outputs(
            self.network(tf.concat(parts, axis=0), training=True), parts
        )
        first, strong = outputs[0], outputs[-self.hyper.strong_views :]
        if joint:
            prepared = {"weak": outputs[1]} | self.targets(outputs[1]["logits"], unlabeled["index"])
        label, mask = prepared["label"], prepared["mask"]
        weights = self.unlabeled_weights(label)
        each = tf.add_n(
            [self.unlabeled_loss(view["logits"], prepared["target"]) for view in strong]
        ) / len(strong)
        self.histogram.add(
            label, mask, weights * mask * each, unlabeled["index"], prepared["own_label"]
        )
        terms = {
            "loss_labeled": self.labeled_loss(first["logits"], labeled["label"]),
            "loss_unlabeled": self.hyper.lambda_u
            * reweighting.weighted_unlabeled_loss(each, weights, mask),
        }
        seen = rebalance.Outputs(
            labeled["label"], first, prepared["weak"], strong, self.step, self.stage.steps
        )
        scalars = {
            "mask_rate": tf.reduce_mean(mask),
            "confidence": tf.reduce_mean(prepared["confidence"]),
        }
        return composition.merged([terms, self.extra_terms(seen)]), scalars
