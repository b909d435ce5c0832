"""Optimizers exactly as the protocols say; weight decay is the method's `train_step`."""

from tensorflow import keras

from drw_tf.ops import schedules

# Keras takes 1e-7; the protocol's code lineage uses PyTorch's default.
ADAM_EPSILON = 1e-8
MOMENTUM = 0.9


def build(
    name: str,
    learning_rate: float,
    schedule: str,
    total_steps: int,
    warmup_steps: int,
    precision: str = "float32",
) -> keras.optimizers.Optimizer:
    """The optimizer; its learning rate is a function of its own step count.

    Args:
        name: "sgd" (Nesterov, momentum .9) or "adam" (epsilon 1e-8).
        learning_rate: peak, > 0.
        schedule: name of a schedule in `drw_tf.ops.schedules`.
        total_steps: steps until the schedule ends.
        warmup_steps: steps of linear warm-up.
        precision: that the network computes in; float16 needs a loss scale, which starts at
            2 ** 15.
    """
    plain = _plain(name, learning_rate, schedule, total_steps, warmup_steps)
    return keras.mixed_precision.LossScaleOptimizer(plain) if precision == "float16" else plain


def _plain(name, learning_rate, schedule, total_steps, warmup_steps):
    rate = schedules.learning_rate(schedule, learning_rate, total_steps, warmup_steps)
    if name == "adam":
        return keras.optimizers.Adam(rate, epsilon=ADAM_EPSILON)
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=MOMENTUM, nesterov=True)
    raise ValueError(f"optimizer must be sgd or adam, got {name!r}.")
