"""ABC (Lee et al., NeurIPS 2021): a second head that sees balanced classes."""

import tensorflow as tf

from drw_tf.models import heads
from drw_tf.ops import balancing, losses, pseudo_labels
from drw_tf.rebalance import base, draws


class AuxiliaryBalancedClassifier(base.Rebalancer):
    """A head of its own on the common features, trained beside the method and evaluated.

        L_labeled   = (1/B) sum_i M_i H(y_i, h(weak(x_i))),  M_i ~ Bernoulli(b_{y_i})
        L_unlabeled = sum_views (1/U) sum_j M_j 1[max q_j >= tau] H(q_j, h(strong(u_j))),
            q_j = softmax h(weak(u_j))  no gradient,  M_j ~ Bernoulli(1 - t (1 - b_{argmax q_j}))

    b_c = min N / N_c keeps all classes equally often; t is the part of the stage that is over.
    Targets are soft. Both terms reach the features as well.

    Source: LeeHyuck/ABC:ABCcode0920/ABCfix.py. Differs from it: t rises with every step, not
    every epoch, and reaches 1 at the end of the stage, however long that is; labeled and strong
    views pass together, and there each by themselves, with batch statistics of their own, whose
    momentum is .999. It has two strong views, so with one the unlabeled term has half its weight,
    and no labeled pictures in the pool (--pool=unlabeled here).
    """

    evaluated_head = "abc"
    terms = ("loss_abc_labeled", "loss_abc_unlabeled")

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "auxiliary_balanced_classifier")
        self.rates = balancing.keep_rates(facts.labeled_counts)

    def heads(self):
        return {"abc": lambda: heads.dense_head(self.facts.num_classes, name="abc")}

    def extra_terms(self, outputs):
        step, labels = outputs.step, outputs.labels
        kept = self._kept(tf.gather(self.rates, labels), step, "labeled")
        labeled = kept * losses.cross_entropy(outputs.labeled["abc"], labels)
        target = tf.stop_gradient(tf.nn.softmax(outputs.weak["abc"]))
        label, _, mask = pseudo_labels.hard_pseudo_labels(target, self.hyper.threshold)
        progress = tf.cast(step, tf.float32) / outputs.stage_steps
        rates = balancing.annealed_keep_rates(self.rates, progress)
        mask *= self._kept(tf.gather(rates, label), step, "unlabeled")
        views = [losses.cross_entropy(view["abc"], target) for view in outputs.strong]
        return {
            "loss_abc_labeled": tf.reduce_mean(labeled),
            "loss_abc_unlabeled": tf.reduce_mean(mask * tf.add_n(views)),
        }

    def _kept(self, rates: tf.Tensor, step: tf.Tensor, stream: str) -> tf.Tensor:
        """float32 [n] in {0, 1}, 1 with these probabilities; the same for any replicas."""
        uniform = draws.uniform_rows(self.facts.seed, f"abc/{stream}", step, tf.shape(rates)[0])
        return tf.cast(uniform < rates, tf.float32)
