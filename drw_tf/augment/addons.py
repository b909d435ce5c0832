"""The only module that touches TensorFlow Addons.

Addons 0.23 is its last release: the project ended in May 2024 and it imports on
TensorFlow 2.15 and below. What replaces what is used here:

    tfa.image.transform -> tf.raw_ops.ImageProjectiveTransformV3, the kernel below it
                           (it is part of TensorFlow, so nothing is lost).

The kernel is called by itself where Addons cannot be imported, and gives the same
pixels; `AVAILABLE` says which of the two is in use. Addons' `equalize`, `sharpness` and
`blend` are not used: the first maps over the images one by one, the other two take one
factor for the whole batch and, in a graph, refuse uint8 with a factor that is a tensor.
"""

import importlib
import warnings

import tensorflow as tf


def _import_addons():
    """The module `tensorflow_addons`, or None where it does not import."""
    with warnings.catch_warnings():
        # The end-of-life banner, and what its pinned typeguard says about Python's typing.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("tensorflow_addons")
        except (ImportError, AttributeError):
            # AttributeError: Addons half-imports against a Keras it does not know.
            return None


MODULE = _import_addons()
AVAILABLE = MODULE is not None


def transform(images: tf.Tensor, matrices: tf.Tensor, fill: float) -> tf.Tensor:
    """The images moved by one projective matrix each, nearest neighbour.

        out[x, y] = images[round((a0 x + a1 y + a2) / k), round((b0 x + b1 y + b2) / k)],
        k = c0 x + c1 y + 1

    Args:
        images: uint8, int32 or float32 [B, H, W, Ch].
        matrices: float32 [B, 8], (a0, a1, a2, b0, b1, b2, c0, c1) of each image.
        fill: what is read outside of the image.

    Returns:
        The type and shape of `images`.

    Source:
        tfa.image.transform of TensorFlow Addons 0.23.
    """
    if AVAILABLE:
        return MODULE.image.transform(images, matrices, fill_value=fill)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrices,
        output_shape=tf.shape(images)[1:3],
        fill_value=tf.constant(fill, tf.float32),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
