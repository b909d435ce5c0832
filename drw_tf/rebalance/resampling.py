"""Re-sampling: every class is drawn equally often for the labeled batch (Japkowicz 2000)."""

from drw_tf.rebalance import base


class ClassBalancedSampling(base.Rebalancer):
    """Draws labeled pictures with replacement, P(i) = 1 / (C N_{y_i}); the loss is unchanged."""

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "class_balanced_sampling")

    def stages(self, steps):
        return [base.Stage("training", steps, sampling="class_balanced")]
