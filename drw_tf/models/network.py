"""What all backbones share: batch normalisation, first layer, convolution, the heads' place."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from tensorflow import keras

FEATURES = "features"


def unit_pixels(images: tf.Tensor) -> tf.Tensor:
    """float32 in [0, 1], what networks take of pictures of uint8; the shape stays."""
    return tf.cast(images, tf.float32) / 255.0


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """The constants of every batch normalisation in a backbone.

        moving = momentum * moving + (1 - momentum) * batch
        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    `None` keeps the constants that the backbone was published with.

    Attributes:
        momentum: share of the old moving average that stays, in [0, 1). What
            PyTorch calls momentum is one minus this.
        epsilon: added to the variance, > 0.
        synchronized: take mean and variance over all replicas. The moving variance is
            then the batch's own; the fused, unsynchronized kernel applies Bessel's
            correction n / (n - 1) to it.

    Raises:
        ValueError: a constant is out of its range.
    """

    momentum: float | None = None
    epsilon: float | None = None
    synchronized: bool = False

    def __post_init__(self):
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise ValueError(f"batch_norm momentum must be in [0, 1), got {self.momentum}.")
        if self.epsilon is not None and not self.epsilon > 0:
            raise ValueError(f"batch_norm epsilon must be > 0, got {self.epsilon}.")

    def filled(self, momentum: float, epsilon: float) -> "BatchNorm":
        """These constants, with the given ones where they are `None`."""
        return BatchNorm(
            momentum=momentum if self.momentum is None else self.momentum,
            epsilon=epsilon if self.epsilon is None else self.epsilon,
            synchronized=self.synchronized,
        )

    def layer(self, name: str) -> keras.layers.BatchNormalization:
        """A batch normalisation with these constants; none of them may be `None`.

        A layer made from its `get_config` is not synchronized: Keras 2.15 leaves that out.
        """
        return keras.layers.BatchNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            synchronized=self.synchronized,
            name=name,
        )


def kernel_initializer() -> keras.initializers.Initializer:
    """A new initialiser of convolution kernels: normal, variance 2 / fan_out.

    fan_out = filters * kernel height * kernel width, as torch's
    kaiming_normal_(mode="fan_out", nonlinearity="relu").

    Source:
        He et al., ICCV 2015, Sec. 2.2, backward case (arXiv:1502.01852).
    """
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def convolution(
    x,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    *,
    name: str,
    even_padding: bool = True,
):
    """Convolution without bias that keeps the resolution, or divides it by `strides`.

    Args:
        x: float [B, H, W, Ch].
        filters: output channels.
        kernel_size: odd, in pixels.
        strides: in pixels.
        name: of the layer.
        even_padding: pad by kernel_size // 2 on all four sides, as PyTorch does. Without
            it, a stride of 2 pads an even side below and right only: one operation less,
            but kernels are centred one pixel off those of the shortcut.

    Returns:
        float [B, ceil(H / strides), ceil(W / strides), filters].
    """
    pad = kernel_size // 2 if even_padding and strides > 1 else 0
    if pad:
        x = keras.layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="valid" if pad else "same",
        use_bias=False,
        kernel_initializer=kernel_initializer(),
        name=name,
    )(x)


def normalization_layer(
    mean: Sequence[float], std: Sequence[float], name: str = "normalization"
) -> keras.layers.Rescaling:
    """The first layer: (x - mean) / std, in float32 whatever the policy.

    Args:
        mean: Ch numbers in the unit of the images, [0, 1].
        std: Ch numbers, > 0.
        name: of the layer.

    Raises:
        ValueError: the two differ in length, or a `std` is not positive.
    """
    if len(mean) != len(std):
        raise ValueError(f"mean and std must have one number a channel, got {mean} and {std}.")
    if not all(math.isfinite(s) and s > 0 for s in std):
        raise ValueError(f"std must be positive, got {std}.")
    scale = [1.0 / s for s in std]
    offset = [-m / s for m, s in zip(mean, std, strict=True)]
    if len(set(zip(scale, offset, strict=True))) == 1:
        scale, offset = scale[0], offset[0]  # A scalar broadcasts 4 times faster than a row.
    return keras.layers.Rescaling(scale, offset, dtype="float32", name=name)


def normalized_input(
    image_shape: Sequence[int], normalization: tuple[Sequence[float], Sequence[float]]
):
    """The images' input and the same images after the first layer.

    Args:
        image_shape: (height, width, channels).
        normalization: (mean, std), each with one number a channel.

    Returns:
        Two Keras tensors, float32 [B, H, W, Ch].

    Raises:
        ValueError: `normalization` does not fit the channels.
    """
    mean, std = normalization
    if len(mean) != image_shape[-1]:
        raise ValueError(
            f"normalization must have {image_shape[-1]} numbers for images of shape "
            f"{tuple(image_shape)}, got {len(mean)}."
        )
    images = keras.Input(image_shape, dtype="float32", name="images")
    return images, normalization_layer(mean, std)(images)


def build_network(backbone: keras.Model, heads: Mapping[str, keras.layers.Layer]) -> keras.Model:
    """A backbone with its heads: images -> {"features": ..., head name: ...}.

    Args:
        backbone: float32 [B, H, W, Ch] in [0, 1] -> [B, F].
        heads: layers [B, F] -> [B, n] that compute in float32; the name is the output's key.

    Returns:
        A functional model. All its outputs are float32 under every policy. It shares
        its layers with `backbone`.

    Raises:
        ValueError: a head has the name "features", or does not answer in float32.
    """
    cast = keras.layers.Activation("linear", dtype="float32", name=FEATURES)
    outputs = {FEATURES: cast(backbone.output)}
    for name, head in heads.items():
        if name == FEATURES:
            raise ValueError(f"A head must not be called {FEATURES!r}.")
        outputs[name] = head(outputs[FEATURES])
        if outputs[name].dtype != "float32":
            raise ValueError(
                f"Head {name!r} must answer in float32 (make it with dtype='float32'), "
                f"got {outputs[name].dtype.name}."
            )
    return keras.Model(backbone.input, outputs, name=backbone.name)


@contextlib.contextmanager
def drawing_from_generators() -> Iterator[None]:
    """Layers that are made inside and drop units draw from a `tf.random.Generator` each.

    Otherwise they draw from operations whose state no checkpoint can hold.
    """
    switch = keras.backend.experimental
    if switch.is_tf_random_generator_enabled():
        yield
        return
    switch.enable_tf_random_generator()
    try:
        yield
    finally:
        switch.disable_tf_random_generator()


def random_generators(network: keras.Model) -> list[tf.random.Generator]:
    """Those from which its layers draw while it trains, in their order; mostly none.

    Their state is no weight, and Keras leaves it out of checkpoints.

    Args:
        network: was made inside of `drawing_from_generators`.
    """
    random = keras.__internal__.layers.BaseRandomLayer
    layers = [layer for layer in network.submodules if isinstance(layer, random)]
    return [layer._random_generator._generator for layer in layers]
