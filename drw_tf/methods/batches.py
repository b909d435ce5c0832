"""The batch as methods read it."""

import tensorflow as tf

Batch = dict[str, dict[str, tf.Tensor]]


def to_float(batch: Batch) -> Batch:
    """The batch with every uint8 view turned into float32 in [0, 1]."""
    return {
        stream: {
            name: tf.cast(value, tf.float32) / 255.0 if value.dtype == tf.uint8 else value
            for name, value in views.items()
        }
        for stream, views in batch.items()
    }
