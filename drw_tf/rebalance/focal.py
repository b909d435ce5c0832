"""Focal loss, softmax version, which the paper's Table 3 compares with its weights."""

from drw_tf.ops import losses
from drw_tf.rebalance import base


class FocalLoss(base.Rebalancer):
    """(1 - p_y) ** gamma H in place of H, on the labeled loss or on both.

    The paper says "with our method" and not which loss: `focal_apply="both"` takes it to
    replace every cross-entropy of FixMatch, those with pseudo-labels included. A class
    weight, where a recipe has one, is a factor outside: w (1 - p_y) ** gamma H.

    Source: the paper's Sec. 6.4, where alpha is 1.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "focal_loss")

    def supervised_loss(self, logits, labels):
        return losses.focal(logits, labels, self.hyper.focal_gamma)

    def unsupervised_loss(self, logits, targets):
        if self.hyper.focal_apply == "labeled":
            return None
        return losses.focal(logits, targets, self.hyper.focal_gamma)
