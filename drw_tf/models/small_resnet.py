"""A residual network for images of 8x8 pixels that trains in minutes on a CPU."""

import functools
from collections.abc import Sequence

from tensorflow import keras

from drw_tf.models import network

MOMENTUM, EPSILON = 0.9, 1e-3
_STEM, _BLOCKS = 16, (32, 64)


def _block(x, filters, batch_norm, conv, name):
    shortcut = conv(x, filters, 1, 2, name=f"{name}_shortcut_conv")
    x = conv(x, filters, 3, 2, name=f"{name}_1_conv")
    x = keras.layers.ReLU(name=f"{name}_1_act")(batch_norm.layer(f"{name}_1_bn")(x))
    x = batch_norm.layer(f"{name}_2_bn")(conv(x, filters, 3, name=f"{name}_2_conv"))
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_act")(x)


def build(
    image_shape: Sequence[int],
    *,
    batch_norm: network.BatchNorm,
    normalization: tuple[Sequence[float], Sequence[float]],
) -> keras.Model:
    """A residual network of 5 convolutions in a row, 64 features, 73 thousand parameters.

    A convolution of 16 filters at full resolution, then two blocks of 32 and 64
    filters, each at half the resolution of what precedes it.

    Args:
        image_shape: (height, width, channels); both sides divisible by 4.
        batch_norm: its `None`s become momentum 0.9 and epsilon 1e-3.
        normalization: (mean, std), one number a channel.

    Returns:
        float32 [B, H, W, Ch] in [0, 1] -> [B, 64].

    Raises:
        ValueError: `image_shape` is not as above.
    """
    if any(side < 4 or side % 4 for side in image_shape[:2]):
        raise ValueError(
            f"small_resnet takes images with sides divisible by 4, got "
            f"{image_shape[0]}x{image_shape[1]}."
        )
    batch_norm = batch_norm.filled(MOMENTUM, EPSILON)
    # Even padding would cost 15 % of the step on two cores.
    conv = functools.partial(network.convolution, even_padding=False)
    images, x = network.normalized_input(image_shape, normalization)
    x = batch_norm.layer("stem_bn")(conv(x, _STEM, 3, name="stem_conv"))
    x = keras.layers.ReLU(name="stem_act")(x)
    for index, filters in enumerate(_BLOCKS):
        x = _block(x, filters, batch_norm, conv, f"block{index + 1}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, x, name="small_resnet")
