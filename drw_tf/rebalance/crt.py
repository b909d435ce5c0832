"""Classifier re-training, cRT (Kang et al., ICLR 2020): a balanced head on frozen features."""

import tensorflow as tf

from drw_tf.ops import balancing, crt_steps
from drw_tf.rebalance import base


class ClassifierRetraining(base.Rebalancer):
    """Trains as without it; then a new head alone, on balanced classes.

    `crt_balance="sampling"` draws every class equally often; "reweight" draws every picture
    equally often and weighs the labeled loss by 1 / N_c, mean 1 over classes. Neither acts in the
    first stage, and no other rebalancer in the second one.

    The second stage learns by cross-entropy from the labeled pictures alone, whatever the method
    did in the first one. It takes the averaged weights over, leaves all below the head as it is,
    batch statistics included, and has SGD of its own: .1, a cosine to 0, no weight decay.

    Source: facebookresearch/classifier-balancing:config/ImageNet_LT/cls_crt.yaml, in which the
    second stage is a ninth of the first one; the weights are those of bbuing9/DARP:train_crt.py,
    which has Adam, mixup, strong views and batch statistics that go on, and is judged without an
    average of weights.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "classifier_retraining")
        self.class_weights = None
        if hyper.crt_balance == "reweight":
            self.class_weights = balancing.inverse_frequency_weights(facts.labeled_counts)

    def attach(self, others):
        base.refuse_other_head(self, "retrains", others)  # which nobody would judge

    def stages(self, steps):
        last = crt_steps.head_steps(steps, self.facts.steps_per_epoch, self.hyper.crt_head_fraction)
        return [
            base.Stage("features", steps - last, heard="others"),
            base.Stage(
                "head",
                last,
                sampling="class_balanced" if self.class_weights is None else "uniform",
                begins_with="new_head",
                settings={
                    "optimizer": "sgd",
                    "learning_rate": self.hyper.crt_learning_rate,
                    "schedule": "cosine",
                    "warmup_steps": 0,
                    # Differs from the code above, whose weight decay is 5e-4.
                    "weight_decay": 0.0,
                    # The average forgets the new head's initial weights.
                    "ema_warmup": True,
                },
                labeled_only=True,
                heard="own",
            ),
        ]

    def labeled_weights(self, labels):
        return None if self.class_weights is None else tf.gather(self.class_weights, labels)

    def describe(self):
        return {} if self.class_weights is None else {"labeled_weights": self.class_weights}
