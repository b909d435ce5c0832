"""Classifier re-training, cRT (Kang et al., ICLR 2020): a balanced head on frozen features."""

import tensorflow as tf

from drw_tf.ops import balancing
from drw_tf.rebalance import base


class ClassifierRetraining(base.Rebalancer):
    """Trains as usual; then a new head alone, on balanced classes.

    `crt_balance="sampling"` draws every class equally often; "reweight" draws every picture
    equally often and weighs the labeled loss by 1 / N_c, mean 1 over classes.

    The second stage takes the averaged weights over, leaves all below the head as it is,
    batch statistics included, and has SGD of its own: .1, a cosine to 0, no weight decay.

    Source: facebookresearch/classifier-balancing:config/ImageNet_LT/cls_crt.yaml, in which the
    second stage is a ninth of the first one; the weights are those of bbuing9/DARP:train_crt.py,
    which has Adam, mixup and batch statistics that go on, too.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "classifier_retraining")
        self.class_weights = None
        if hyper.crt_balance == "reweight":  # else checkpoints that are older than it would lack it
            self.class_weights = tf.Variable(
                tf.ones([facts.num_classes]), trainable=False, name="class_weights"
            )

    def stages(self, steps):
        every = self.facts.steps_per_epoch
        epochs = steps // every
        last = min(max(1, round(self.hyper.crt_head_fraction * epochs)), epochs - 1) * every
        return [
            base.Stage("features", steps - last),
            base.Stage(
                "head",
                last,
                sampling="class_balanced" if self.class_weights is None else "uniform",
                begins_with="new_heads",
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
            ),
        ]

    def begin_stage(self, index, ask):
        if self.class_weights is not None:
            self.class_weights.assign(
                balancing.inverse_frequency_weights(self.facts.labeled_counts)
            )

    def labeled_weights(self, labels):
        return None if self.class_weights is None else tf.gather(self.class_weights, labels)

    def describe(self):
        if self.class_weights is None:
            return {}
        return {"labeled_weights": self.class_weights.numpy()}
