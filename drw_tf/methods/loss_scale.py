"""Loss scaling: in float16, small gradients vanish unless the loss is enlarged before.

Keras' `LossScaleOptimizer` holds the scale: it halves it and drops the step where a gradient
overflows, and doubles it after 2,000 steps in a row without that. Other optimizers do not scale.
"""

import tensorflow as tf
from tensorflow import keras


def is_scaling(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether this optimizer holds a loss scale."""
    return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


def gradients(tape: tf.GradientTape, optimizer, loss: tf.Tensor, variables) -> list[tf.Tensor]:
    """float32 gradients of `loss`, computed through the enlarged loss if there is a scale.

    Args:
        tape: has recorded `loss` and stopped; it is resumed where the loss is enlarged.
        optimizer: of the method.
        loss: float32 scalar.
        variables: what is trained.
    """
    if not is_scaling(optimizer):
        return tape.gradient(loss, variables)
    with tape:
        scaled = optimizer.get_scaled_loss(loss)
    return optimizer.get_unscaled_gradients(tape.gradient(scaled, variables))


def may_overflow(optimizer) -> tf.Tensor:
    """Bool scalar: whether the scale may be why a gradient is not finite. It ends at 1."""
    if not is_scaling(optimizer):
        return tf.constant(False)
    return optimizer.loss_scale > 1.0


def variables(optimizer) -> list[tf.Variable]:
    """The scale, and the steps since it last changed; none where nothing is scaled."""
    if not is_scaling(optimizer):
        return []
    # Of the two Keras shows the second one alone.
    return [optimizer._loss_scale.current_loss_scale, optimizer.dynamic_counter]
