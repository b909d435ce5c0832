"""Virtual adversarial training (Miyato et al., TPAMI 2018)."""

import tensorflow as tf

from drw_tf.methods import base, in_step
from drw_tf.models import batch_statistics
from drw_tf.ops import adversarial, losses, replicas
from drw_tf.rebalance import base as rebalance

# The radius is a norm in images of [-1, 1], where it was tuned; the network takes [0, 1],
# whose unit is twice as long: x' = 2 x - 1, so |r'| = 2 |r|.
UNITS = 2.0


class VAT(base.Method):
    """Predictions must not change under the small perturbation that changes them most.

        r_j = eps d_j, |d_j| = 1, about where KL(p(u_j) || p(u_j + r)) is largest
        L = (1/B) sum_i w_{y_i} H(y_i, f(weak(x_i)))
            + lambda_u ramp (1/U) sum_j KL(p(u_j) || p(u_j + r_j))

    No gradient flows into p(u_j) or r_j. Only the labeled pass moves the batch statistics.
    The divergence is in Miyato's direction; some published code minimises KL(p(u + r) || p(u)).

    Source: Miyato et al., Eqs. 5 to 8; the weight, ramp and passes of Oliver et al.,
    NeurIPS 2018 (arXiv:1804.09170).
    """

    unlabeled_views = ("weak",)
    terms = ("loss_labeled", "loss_unlabeled")
    unread_seams = rebalance.PSEUDO_LABEL_SEAMS

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        if self.random_generators:
            raise ValueError(
                "--model must drop no units while it trains for VAT, whose passes would differ "
                f"by them, got {self.network.name}; choose another --model or --method."
            )

    def prepare(self, batch):
        images = batch["unlabeled"]["weak"]
        logits = tf.stop_gradient(self.logits(images))
        shape = [images.shape[0] * replicas.count(), *images.shape[1:]]
        start = tf.random.stateless_normal(shape, in_step.key(self, "vat/direction"))
        change = adversarial.perturbation(
            self.logits,
            images,
            logits,
            replicas.own_rows(start),
            radius=self.hyper.vat_radius / UNITS,
            difference=self.hyper.vat_difference / UNITS,
            iterations=self.hyper.vat_iterations,
        )
        return {"logits": logits, "perturbed": images + change}

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [U, C], in training mode; moving statistics stay."""
        return batch_statistics.forward_frozen_statistics(self.network, images)["logits"]

    def loss_terms(self, batch, prepared):
        terms = self.labeled_terms(batch)
        divergence = losses.kl_divergence(prepared["logits"], self.logits(prepared["perturbed"]))
        weight = self.hyper.lambda_u * in_step.ramp(self)
        return {**terms, "loss_unlabeled": weight * tf.reduce_mean(divergence)}, {}
