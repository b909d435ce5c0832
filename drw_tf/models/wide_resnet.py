"""Wide residual networks as semi-supervised learning uses them: WRN-28-2 and its relatives."""

from collections.abc import Sequence

from tensorflow import keras

from drw_tf.models import network

MOMENTUM, EPSILON = 0.999, 1e-3
LEAKY_SLOPE = 0.1


def _activation(x, batch_norm: network.BatchNorm, name: str):
    x = batch_norm.layer(f"{name}_bn")(x)
    return keras.layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_act")(x)


def _block(x, filters, strides, batch_norm, name, activate_before_residual):
    activated = _activation(x, batch_norm, f"{name}_1")
    shortcut = activated if activate_before_residual else x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = network.convolution(shortcut, filters, 1, strides, name=f"{name}_shortcut_conv")
    x = network.convolution(activated, filters, 3, strides, name=f"{name}_1_conv")
    x = _activation(x, batch_norm, f"{name}_2")
    x = network.convolution(x, filters, 3, name=f"{name}_2_conv")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def build(
    image_shape: Sequence[int],
    *,
    depth: int,
    width: int,
    batch_norm: network.BatchNorm,
    normalization: tuple[Sequence[float], Sequence[float]],
) -> keras.Model:
    """A wide residual network of `depth` convolutions, 64 * `width` features.

    A convolution of 16 filters, then three groups of (depth - 4) / 6 blocks with 16, 32
    and 64 times `width` filters, the last two groups at half the resolution each; leaky
    ReLU of slope 0.1, no bias, no dropout. The first of all blocks activates before
    the residual branches off; every other shortcut starts from the raw sum.

    Args:
        image_shape: (height, width, channels); both sides divisible by 4.
        depth: 6 n + 4, n >= 1.
        width: >= 1.
        batch_norm: its `None`s become momentum 0.999 and epsilon 1e-3.
        normalization: (mean, std), one number a channel.

    Returns:
        float32 [B, H, W, Ch] in [0, 1] -> [B, 64 * width].

    Raises:
        ValueError: `depth`, `width` or `image_shape` is not as above.

    Source:
        Zagoruyko and Komodakis, BMVC 2016 (arXiv:1605.07146); the leaky ReLU and
        the first block of Oliver et al., NeurIPS 2018 (arXiv:1804.09170).
    """
    name = f"wide_resnet_{depth}_{width}"
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth of {name} must be 6 n + 4 with n >= 1 (10, 16, 22, 28, ...).")
    if width < 1:
        raise ValueError(f"width of {name} must be >= 1.")
    if any(side < 4 or side % 4 for side in image_shape[:2]):
        raise ValueError(
            f"{name} takes images with sides divisible by 4, got {image_shape[0]}x{image_shape[1]}."
        )
    batch_norm = batch_norm.filled(MOMENTUM, EPSILON)
    images, x = network.normalized_input(image_shape, normalization)
    x = network.convolution(x, 16, 3, name="stem_conv")
    for group, filters in enumerate((16 * width, 32 * width, 64 * width)):
        for index in range((depth - 4) // 6):
            first = group == 0 and index == 0
            strides = 2 if group > 0 and index == 0 else 1
            label = f"group{group + 1}_block{index + 1}"
            x = _block(x, filters, strides, batch_norm, label, first)
    x = _activation(x, batch_norm, "final")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, x, name=name)
