"""One operation of RandAugment by itself, made as the strong view makes it."""

import tensorflow as tf

from drw_tf.augment import randaugment


def apply(name, images, magnitudes, fill=0):
    """uint8 [B, H, W, Ch], images changed by a policy of one operation; magnitudes [B]."""
    policy = randaugment.RandAugment((randaugment.Operation(name),), count=1, fill=fill)
    magnitudes = tf.cast(magnitudes, tf.float32)[:, None]
    draws = {"operation": tf.zeros_like(magnitudes, tf.int32), "magnitude": magnitudes}
    return policy.apply(tf.convert_to_tensor(images), draws)
