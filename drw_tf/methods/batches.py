"""The batch as methods read it."""

import tensorflow as tf

from drw_tf.models import network as model_network

Batch = dict[str, dict[str, tf.Tensor]]


def to_float(batch: Batch) -> Batch:
    """The batch with every uint8 view turned into float32 in [0, 1]."""
    return {
        stream: {
            name: model_network.unit_pixels(value) if value.dtype == tf.uint8 else value
            for name, value in views.items()
        }
        for stream, views in batch.items()
    }
