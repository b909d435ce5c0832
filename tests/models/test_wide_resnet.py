"""Wide residual networks against their published sizes and an independent computation."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import heads, network, wide_resnet


def build(depth, width, image_shape, **arguments):
    channels = image_shape[-1]
    return wide_resnet.build(
        image_shape,
        depth=depth,
        width=width,
        batch_norm=network.BatchNorm(**arguments),
        normalization=((0.0,) * channels, (1.0,) * channels),
    )


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.mark.parametrize(
    ("depth", "width", "image_shape", "total", "trainable"),
    [
        (28, 2, (32, 32, 3), 1_471_226, 1_467_610),
        # Convolutions: stem 9*3*16 = 432; group 1 2*9*16*16 = 4608; group 2
        # 9*16*32 + 9*32*32 + 16*32 = 14_336; group 3 9*32*64 + 9*64*64 + 32*64 = 57_344.
        # Batch normalisation of 16 + 16, 16 + 32, 32 + 64 and 64 channels: 240, twice
        # trained and twice not. Head: 64*10 + 10 = 650.
        (10, 1, (32, 32, 3), 76_720 + 480 + 480 + 650, 76_720 + 480 + 650),
        (10, 1, (8, 8, 1), 76_720 - 9 * 2 * 16 + 480 + 480 + 650, 76_720 - 288 + 480 + 650),
    ],
)
def test_parameters_are_as_many_as_published(depth, width, image_shape, total, trainable):
    made = network.build_network(build(depth, width, image_shape), {"logits": heads.dense_head(10)})
    assert count(made.variables) == total
    assert count(made.trainable_variables) == trainable


def reference_features(model, images, blocks, slope=0.1):
    """Features in inference, from `tf.nn` alone; `blocks` rows of (filters, stride)."""
    names = {w.name.split(":")[0]: w.numpy() for w in model.weights}

    def norm(x, name):
        mean, variance = names[f"{name}/moving_mean"], names[f"{name}/moving_variance"]
        scale = names[f"{name}/gamma"] / np.sqrt(variance + wide_resnet.EPSILON)
        x = (x - mean) * scale + names[f"{name}/beta"]
        return np.where(x > 0, x, slope * x)

    def conv(x, name, stride=1):
        kernel = names[f"{name}/kernel"]
        pad = kernel.shape[0] // 2
        padding = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
        return tf.nn.conv2d(x, kernel, stride, padding).numpy()

    x = conv(images, "stem_conv")
    for index, (name, stride) in enumerate(blocks):
        branch = norm(x, f"{name}_1_bn")
        if index == 0:
            x = branch
        branch = conv(branch, f"{name}_1_conv", stride)
        branch = conv(norm(branch, f"{name}_2_bn"), f"{name}_2_conv")
        if f"{name}_shortcut_conv/kernel" in names:
            x = conv(x, f"{name}_shortcut_conv", stride)
        x = x + branch
    return norm(x, "final_bn").mean((1, 2))


@pytest.mark.parametrize(("width", "image_shape"), [(1, (8, 8, 1)), (2, (12, 8, 3))])
def test_features_match_an_independent_computation(width, image_shape):
    model = build(16, width, image_shape)
    random = np.random.RandomState(0)
    model.set_weights([w + 0.1 * random.rand(*w.shape) for w in model.get_weights()])
    images = random.rand(3, *image_shape).astype("float32")
    blocks = [
        (f"group{group}_block{block}", 2 if group > 1 and block == 1 else 1)
        for group in (1, 2, 3)
        for block in (1, 2)
    ]
    expected = reference_features(model, images, blocks)
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)


def test_published_batch_norm_constants_stand_where_none_are_given():
    layers = [
        layer
        for layer in build(10, 1, (8, 8, 1), epsilon=0.5).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.999, 0.5)}


@pytest.mark.parametrize("image_shape", [(4, 4, 1), (8, 8, 1), (64, 32, 3)])
def test_any_image_with_sides_divisible_by_four_gives_64_features_a_width(image_shape):
    assert build(10, 3, image_shape).output_shape == (None, 192)


@pytest.mark.parametrize("depth", [4, 9, 27, 30])
def test_depth_that_is_not_six_n_plus_four_is_refused(depth):
    with pytest.raises(ValueError, match=rf"wide_resnet_{depth}_2 must be 6 n \+ 4"):
        build(depth, 2, (32, 32, 3))


def test_width_zero_is_refused():
    with pytest.raises(ValueError, match="width of wide_resnet_10_0 must be >= 1"):
        build(10, 0, (32, 32, 3))


@pytest.mark.parametrize("image_shape", [(30, 32, 3), (32, 30, 3), (0, 32, 3)])
def test_sides_not_divisible_by_four_are_refused(image_shape):
    with pytest.raises(ValueError, match=r"divisible by 4, got \d+x\d+"):
        build(10, 1, image_shape)
