"""Weight decay of a step: of kernels through the gradient, or of the whole state."""

import tensorflow as tf


def add_l2(gradients, variables, weight_decay: float) -> list[tf.Tensor]:
    """Gradients of the loss + weight_decay / 2 |kernels|^2."""
    return [
        gradient + weight_decay * variable if is_kernel(variable) else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def is_kernel(variable: tf.Variable) -> bool:
    """Whether L2 decay applies: kernels, not biases and batch-norm constants."""
    return "kernel" in variable.name.rsplit("/", 1)[-1]
