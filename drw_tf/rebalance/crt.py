"""Classifier re-training, cRT (Kang et al., ICLR 2020): a balanced head on frozen features."""

from drw_tf.rebalance import base


class ClassifierRetraining(base.Rebalancer):
    """Trains as usual; then a new head alone, on class-balanced batches.

    The second stage takes the averaged weights over, leaves all below the head as it is,
    batch statistics included, and has SGD of its own: .1, a cosine to 0, no weight decay.

    Source: facebookresearch/classifier-balancing:config/ImageNet_LT/cls_crt.yaml, in which the
    second stage is a ninth of the first one.
    """

    def __init__(self, hyper, facts):
        super().__init__(hyper, facts, "classifier_retraining")

    def stages(self, steps):
        every = self.facts.steps_per_epoch
        epochs = steps // every
        last = min(max(1, round(self.hyper.crt_head_fraction * epochs)), epochs - 1) * every
        return [
            base.Stage("features", steps - last),
            base.Stage(
                "head",
                last,
                sampling="class_balanced",
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
