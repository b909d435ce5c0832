"""Heads: layers from features to the logits of the classes, always in float32."""

import numpy as np
import tensorflow as tf
from tensorflow import keras


def dense_head(num_classes: int, *, name: str = "logits") -> keras.layers.Dense:
    """A linear head with bias, in float32 under every policy.

    The kernel starts with the variance of the PyTorch code of the field, from a normal
    distribution that Keras cuts off at two standard deviations and PyTorch does not.
    "glorot_uniform", Keras' default, which CReST uses, has the same variance. The bias starts
    at 0.

    Args:
        num_classes: C.
        name: of the layer.

    Returns:
        float [B, F] -> float32 [B, C].
    """
    return keras.layers.Dense(
        num_classes, kernel_initializer="glorot_normal", dtype="float32", name=name
    )


def _unit_columns(shape, dtype=None, **_):
    uniform = keras.initializers.RandomUniform(-1.0, 1.0)(shape, dtype)
    return tf.math.l2_normalize(uniform, axis=0)


@keras.saving.register_keras_serializable(package="drw_tf")
class CosineHead(keras.layers.Layer):
    """The cosine between the features and a direction for each class, scaled; no bias.

    float [B, F] -> float32 [B, C].

        z_c = s <f, w_c> / (|f| |w_c|)

    The directions start uniform in a cube, scaled to length 1, and are free to grow.
    Keras has no such layer: `with_builtin_layers` gives a network that loads without this
    package.

    Args:
        num_classes: C.
        scale: s, > 0. A softmax of bare cosines is nearly uniform: LDAM takes 30.

    Source:
        Cao et al., NeurIPS 2019, Sec. 3.2 (arXiv:1906.07413).
    """

    def __init__(self, num_classes: int, scale=1.0, dtype="float32", name="logits", **kwargs):
        super().__init__(dtype=dtype, name=name, **kwargs)
        self.num_classes = num_classes
        self.scale = scale

    def build(self, input_shape):
        self.kernel = self.add_weight(
            "kernel", [input_shape[-1], self.num_classes], initializer=_unit_columns
        )
        super().build(input_shape)

    def call(self, features):
        directions = tf.math.l2_normalize(self.kernel, axis=0)
        return self.scale * tf.linalg.matmul(tf.math.l2_normalize(features, axis=1), directions)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "scale": self.scale}

    def builtin(self) -> keras.Sequential:
        """The same function of the features in Keras' own layers, weights not yet set."""
        return keras.Sequential(
            [
                keras.layers.UnitNormalization(dtype="float32", name="unit_features"),
                keras.layers.Dense(self.num_classes, use_bias=False, dtype="float32"),
            ],
            name=self.name,
        )

    def builtin_weights(self) -> list[np.ndarray]:
        """What to set as the weights of `builtin()`."""
        return [self.scale * tf.math.l2_normalize(self.kernel, axis=0).numpy()]


def with_builtin_layers(network: keras.Model) -> keras.Model:
    """The same function as `network`, loadable by Keras alone.

    Args:
        network: a functional model, whose cosine heads are direct layers of it.

    Returns:
        `network` itself where it has no cosine head, else a copy with its own weights.
    """
    if not any(isinstance(layer, CosineHead) for layer in network.layers):
        return network

    def replace(layer):
        if isinstance(layer, CosineHead):
            return layer.builtin()
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=replace)
    for layer in network.layers:
        is_cosine = isinstance(layer, CosineHead)
        weights = layer.builtin_weights() if is_cosine else layer.get_weights()
        copy.get_layer(layer.name).set_weights(weights)
    return copy
