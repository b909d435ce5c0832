"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017)."""

import tensorflow as tf

from drw_tf.methods import base, in_step
from drw_tf.models import batch_statistics
from drw_tf.models import network as model_network
from drw_tf.ops import losses
from drw_tf.rebalance import base as rebalance


class MeanTeacher(base.Method):
    """The averaged network on one weak view teaches the network on another.

        L = (1/B) sum_i w_{y_i} H(y_i, f(weak(x_i)))
            + lambda_u ramp (1/U) sum_j 1/C sum_c (p_c(weak_2(u_j)) - p^ema_c(weak(u_j)))^2

    The teacher is the network that is evaluated, normalised by the statistics of its own
    batch; no gradient flows into it. Only the labeled pass moves the batch statistics.

    Source: Tarvainen and Valpola, Sec. 2 (arXiv:1703.01780); weight, ramp and passes of the
    comparison in Berthelot et al., NeurIPS 2019 (arXiv:1905.02249).
    """

    unlabeled_views = ("weak", "weak_2")
    terms = ("loss_labeled", "loss_unlabeled")
    unread_seams = rebalance.PSEUDO_LABEL_SEAMS

    def __init__(self, build_network, hyper, facts, rebalancers, training):
        super().__init__(build_network, hyper, facts, rebalancers, training)
        # In checkpoints, like those of the network: the teacher drops units too.
        self.teacher_random_generators = model_network.random_generators(self.ema_network)

    def prepare(self, batch):
        teacher = batch_statistics.forward_frozen_statistics(
            self.ema_network, batch["unlabeled"]["weak"]
        )
        return {"targets": tf.stop_gradient(tf.nn.softmax(teacher["logits"]))}

    def loss_terms(self, batch, prepared):
        terms = self.labeled_terms(batch)
        student = batch_statistics.forward_frozen_statistics(
            self.network, batch["unlabeled"]["weak_2"]
        )
        error = losses.squared_error(tf.nn.softmax(student["logits"]), prepared["targets"])
        weight = self.hyper.lambda_u * in_step.ramp(self)
        return {**terms, "loss_unlabeled": weight * tf.reduce_mean(error)}, {}
