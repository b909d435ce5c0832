"""MixMatch (Berthelot et al., NeurIPS 2019)."""

import tensorflow as tf

from drw_tf.methods import base, in_step, tally
from drw_tf.ops import losses, mixup, pseudo_labels
from drw_tf.rebalance import base as rebalance


class MixMatch(base.Method):
    """Soft pseudo-labels of two weak views, and mixup of everything with everything.

        q_j = sharpen(1/2 sum_k softmax(f(weak_k(u_j))), T)          no gradient
        (x', y'), (u', q') = mixup of [x, u_1, u_2] with targets [y, q, q]
        L = (1/B) sum_i H(y'_i, f(x'_i))
            + lambda_u ramp (1/2U) sum_j 1/C sum_c (softmax(f(u'_j))_c - q'_jc)^2

    `forward="joint"` passes both weak views at once, and all mixed images at once;
    "separate" passes each view alone and the mixed images interleaved, B rows at a time, as
    the DARP code lineage does. All passes move the batch statistics.

    Class weights of the labeled loss count each share of a mixed target with the weight of
    its class. An unlabeled row weighs the mean of the class weights under its mixed target.

    Source: Berthelot et al., Algorithm 1 and Eqs. 2 to 5.
    """

    # Differs from Berthelot et al., Sec. 3.5: lambda_u rises for the whole run, as in the code
    # of DARP, and not for 16,000 steps.
    unlabeled_views = ("weak", "weak_2")
    compilable = False
    terms = ("loss_labeled", "loss_unlabeled")
    scalars = ("confidence",)
    unread_seams = ("supervised_loss", "unsupervised_loss", "pseudo_target", "extra_terms")

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        self.is_interleaved = hyper.forward == "separate"
        self.histogram = tally.PseudoLabelHistogram(
            facts.num_classes, facts.pool_size, hyper.pseudo_memory
        )

    def prepare(self, batch):
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        views = [unlabeled[view] for view in self.unlabeled_views]
        targets = self.targets(self.view_logits(views), unlabeled["index"])
        one_hot = tf.one_hot(labeled["label"], self.facts.num_classes)
        images, mixed_targets = in_step.mixed(
            self, [labeled["weak"], *views], [one_hot, *([targets] * len(views))]
        )
        return {"targets": targets, "images": images, "mixed_targets": mixed_targets}

    def view_logits(self, views: list[tf.Tensor]) -> list[tf.Tensor]:
        """For each view float32 [U, C], in training mode."""
        if self.hyper.forward == "separate":
            return [self.network(view, training=True)["logits"] for view in views]
        outputs = self.network(tf.concat(views, axis=0), training=True)
        return [part["logits"] for part in in_step.split_outputs(outputs, views)]

    def targets(self, logits: list[tf.Tensor], index: tf.Tensor) -> tf.Tensor:
        """float32 [U, C], what the views together say of each picture.

        Args:
            logits: for each view float32 [U, C].
            index: int64 [U], rows of the pool.
        """
        logs = tf.stack([tf.nn.log_softmax(tf.stop_gradient(one)) for one in logits])
        mean = tf.reduce_logsumexp(logs, axis=0) - tf.math.log(float(len(logits)))
        weak = rebalance.Weak(mean, index, self.step, self.network, self.stage.steps)
        probabilities = self.refine(tf.nn.softmax(mean), weak, "predictions")
        sharp = pseudo_labels.sharpen(probabilities, self.hyper.temperature)
        return tf.stop_gradient(self.refine(sharp, weak, "targets"))

    def loss_terms(self, batch, prepared):
        rows = batch["labeled"]["label"].shape[0]
        images = prepared["images"]
        if self.is_interleaved:
            logits = in_step.forward_interleaved(self, images, rows)
        else:
            logits = self.network(images, training=True)["logits"]
        targets = prepared["mixed_targets"]
        each = losses.squared_error(tf.nn.softmax(logits[rows:]), targets[rows:])
        class_weights = self.unlabeled_weights(tf.range(self.facts.num_classes))
        _, weights = mixup.weighted_shares(targets[rows:], class_weights)
        each *= weights
        confidence = in_step.count(self, prepared["targets"], each, batch["unlabeled"]["index"])
        terms = {
            "loss_labeled": self.labeled_loss(logits[:rows], targets[:rows]),
            "loss_unlabeled": self.hyper.lambda_u * in_step.ramp(self) * tf.reduce_mean(each),
        }
        return terms, {"confidence": confidence}
