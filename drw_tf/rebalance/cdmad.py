"""CDMAD (Lee, Kim, CVPR 2024): the answer to a picture of nothing is the classifier's bias."""

import numpy as np
import tensorflow as tf

from drw_tf.rebalance import base


class SolidColorDebiasing(base.Rebalancer):
    """Subtracts g0, the logits of a picture of one color, from those of all others.

        q_j = softmax(f(weak(u_j)) - g0)   from `cdmad_start` on, g0 of the network in training
        judged: f(x) - g0                  g0 of the network that is judged

    Pseudo-labels are soft, from the first step on. The published threshold is 0.

    Differs from LeeHyuck/CDMAD:fixmatchcdmad.py: the picture is white, as in the paper, and
    not 1 after normalisation; and it passes through the network in inference mode, in training
    as at test time: a batch of this one picture would be normalised to almost nothing, and
    enter the batch statistics. The code begins an epoch later, passes labeled and strong views
    each by themselves, with batch statistics of their own, and has other constants: Adam 1.5e-3,
    32 labeled and 64 unlabeled pictures a step, weight decay .04 (CIFAR-100: .08).

    On ReMixMatch, weights of terms and alignment to the labeled prior are ReMixMatch's here;
    remixmatchcdmad.py begins at a third of its run, has weights of its own, and aligns only
    where labeled and unlabeled pictures have the same ratio. It adds the cross-entropy
    of the unmixed weak labeled views, and begins the running mean of predictions anew in every
    epoch.
    """

    refines = "predictions"
    # MixMatch and ReMixMatch have soft targets, all of which count.
    optional_seams = ("pseudo_target",)

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "solid_color_debiasing")

    def attach(self, others):
        # Its targets would keep their bias, and g0 of one head is not that of another.
        base.refuse_other_head(self, "debiases", others)

    def bias(self, network) -> tf.Tensor:
        """float32 [1, C], what the network answers to the solid picture; no gradient."""
        picture = tf.fill([1, *network.input_shape[1:]], float(self.hyper.cdmad_color))
        return tf.stop_gradient(network(picture, training=False)["logits"])

    def refine(self, probabilities, weak):
        start = round(self.hyper.cdmad_start * weak.stage_steps)
        started = tf.cast(weak.step >= start, tf.float32)
        return tf.nn.softmax(tf.math.log(probabilities) - started * self.bias(weak.network))

    def pseudo_target(self, probabilities, mask):
        return probabilities, mask

    def adjust(self, logits, network):
        return np.asarray(logits, np.float64) - self.bias(network).numpy()
