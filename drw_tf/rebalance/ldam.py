"""LDAM with deferred re-weighting (Cao et al., NeurIPS 2019)."""

import tensorflow as tf

from drw_tf.models import heads
from drw_tf.ops import margins, reweighting
from drw_tf.rebalance import base


class MarginLoss(base.Rebalancer):
    """Cosine head, wider margins for rare classes, class weights for the last part.

        z = s cos(f, w_c),  loss_i = H(y_i, z - s m_{y_i} e_{y_i})
        L = sum_i w_{y_i} loss_i / sum_i w_{y_i}

    w is 1 until `deferred_start`, then the inverse effective number. The scale is in the
    head, so that the logits that are evaluated and exported give the probabilities that the
    loss has seen.

    Source: kaidic/LDAM-DRW:losses.py, cifar_train.py.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "margin_loss")
        self.margins = margins.class_margins(facts.labeled_counts, hyper.ldam_margin)
        self.class_weights = tf.Variable(
            tf.ones([facts.num_classes]), trainable=False, name="deferred_weights"
        )
        self.end_epoch(base.Observation(0, None))

    def heads(self):
        scale = self.hyper.ldam_scale
        return {"logits": lambda: heads.CosineHead(self.facts.num_classes, scale)}

    def supervised_loss(self, logits, labels):
        return margins.margin_cross_entropy(logits, labels, self.hyper.ldam_scale * self.margins)

    def labeled_weights(self, labels):
        weights = tf.gather(self.class_weights, labels)
        replica = tf.distribute.get_replica_context()
        if replica is None:  # asked between steps, where a common factor does not matter
            return weights
        # The mean over the whole batch: each replica sees a part of it.
        return weights / replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.reduce_mean(weights))

    def end_epoch(self, observation):
        if observation.step >= round(self.hyper.deferred_start * self.facts.total_steps):
            self.class_weights.assign(
                reweighting.class_weights(self.facts.labeled_counts, self.hyper.deferred_beta)
            )

    def describe(self):
        return {"labeled_weights": self.class_weights.numpy()}
