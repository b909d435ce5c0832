"""ResNet-50, version 1.5, for ImageNet-sized and for small images."""

from collections.abc import Sequence

from tensorflow import keras

from drw_tf.models import network

MOMENTUM, EPSILON = 0.9, 1e-5
_BLOCKS = (3, 4, 6, 3)
_SMALLEST = {"resnet50": 32, "resnet50_small_images": 16}


def _normalized(x, batch_norm, name, activate=True):
    x = batch_norm.layer(f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_act")(x) if activate else x


def _block(x, filters, strides, batch_norm, name):
    """A bottleneck. The stride is in the 3x3 convolution, which makes it version 1.5."""
    shortcut = x
    if strides > 1 or x.shape[-1] != 4 * filters:
        shortcut = network.convolution(x, 4 * filters, 1, strides, name=f"{name}_shortcut_conv")
        shortcut = _normalized(shortcut, batch_norm, f"{name}_shortcut", activate=False)
    x = _normalized(
        network.convolution(x, filters, 1, name=f"{name}_1_conv"), batch_norm, f"{name}_1"
    )
    x = _normalized(
        network.convolution(x, filters, 3, strides, name=f"{name}_2_conv"), batch_norm, f"{name}_2"
    )
    x = network.convolution(x, 4 * filters, 1, name=f"{name}_3_conv")
    x = _normalized(x, batch_norm, f"{name}_3", activate=False)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_act")(x)


def _stem(x, batch_norm, small_images):
    if small_images:
        return _normalized(network.convolution(x, 64, 3, name="stem_conv"), batch_norm, "stem")
    x = _normalized(network.convolution(x, 64, 7, 2, name="stem_conv"), batch_norm, "stem")
    # Zeros are as good as minus infinity here, what they border is not negative.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)


def build(
    image_shape: Sequence[int],
    *,
    batch_norm: network.BatchNorm,
    normalization: tuple[Sequence[float], Sequence[float]],
    small_images: bool = False,
) -> keras.Model:
    """ResNet-50 with 2048 features.

    Args:
        image_shape: (height, width, channels); sides of 32 or more (224 in the
            literature), of 16 or more with `small_images`.
        batch_norm: its `None`s become momentum 0.9 and epsilon 1e-5. Every gamma starts at
            1, as in the code of FixMatch on ImageNet and of Small-ImageNet-127.
        normalization: (mean, std), one number a channel.
        small_images: a 3x3 convolution of stride 1 and no pooling as the stem, in place
            of 7x7 and pooling: the total stride is 8, not 32. Small-ImageNet-127's network.

    Returns:
        float32 [B, H, W, Ch] in [0, 1] -> [B, 2048].

    Raises:
        ValueError: the images are too small.

    Source:
        He et al., CVPR 2016 (arXiv:1512.03385); small images: Fan et al., CVPR 2022
        (arXiv:2112.04564).
    """
    name = "resnet50_small_images" if small_images else "resnet50"
    if min(image_shape[:2]) < _SMALLEST[name]:
        raise ValueError(
            f"{name} is too large for images of {image_shape[0]}x{image_shape[1]}: both "
            f"sides must be at least {_SMALLEST[name]}."
        )
    batch_norm = batch_norm.filled(MOMENTUM, EPSILON)
    images, x = network.normalized_input(image_shape, normalization)
    x = _stem(x, batch_norm, small_images)
    for group, blocks in enumerate(_BLOCKS):
        for index in range(blocks):
            strides = 2 if group > 0 and index == 0 else 1
            label = f"group{group + 1}_block{index + 1}"
            x = _block(x, 64 * 2**group, strides, batch_norm, label)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(images, x, name=name)
