"""Forward passes in training mode that leave no trace in the batch statistics."""

import contextlib

import tensorflow as tf
from tensorflow import keras


def forward_frozen_statistics(network: keras.Model, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """The outputs in training mode, moving means and variances as they were before.

    Batches are normalised by their own statistics, also in a network whose `trainable` is
    False (Keras would fall back to the moving ones). Works eagerly, in a graph, and in
    replica context, where each replica puts back its own statistics.

    Args:
        network: has batch normalisation, or not.
        images: float32 [B, H, W, Ch].
    """
    layers = [
        layer for layer in network.submodules if isinstance(layer, keras.layers.BatchNormalization)
    ]
    statistics = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    before = [tf.identity(variable) for variable in statistics]
    with _trainable(layers):
        outputs = network(images, training=True)
    for variable, value in zip(statistics, before, strict=True):
        variable.assign(value)
    return outputs


@contextlib.contextmanager
def _trainable(layers):
    """Keras asks for `trainable` when a layer is called, so for the time of a call it is."""
    flags = [layer.trainable for layer in layers]
    for layer in layers:
        layer.trainable = True
    try:
        yield
    finally:
        for layer, flag in zip(layers, flags, strict=True):
            layer.trainable = flag
