"""Optimizers exactly as the protocols say; weight decay is the method's `train_step`."""

from tensorflow import keras

from drw_tf.ops import schedules

# Keras takes 1e-7; the protocol's code lineage uses PyTorch's default.
ADAM_EPSILON = 1e-8
MOMENTUM = 0.9


def build(
    name: str, rate: float | schedules.LearningRate, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """The optimizer of a protocol.

    Args:
        name: "sgd" (Nesterov, momentum .9) or "adam" (epsilon 1e-8).
        rate: learning rate, > 0, or a function of the optimizer's own step count.
        precision: that the network computes in; float16 needs a loss scale, which starts at
            2 ** 15.
    """
    plain = _plain(name, rate)
    return keras.mixed_precision.LossScaleOptimizer(plain) if precision == "float16" else plain


def _plain(name, rate):
    # By themselves Keras's optimizers are compiled by XLA where there is a GPU, whatever
    # --jit_compile says; a step that is compiled has them inside.
    if name == "adam":
        return keras.optimizers.Adam(rate, epsilon=ADAM_EPSILON, jit_compile=False)
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=MOMENTUM, nesterov=True, jit_compile=False)
    raise ValueError(f"optimizer must be sgd or adam, got {name!r}.")
