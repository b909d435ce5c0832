"""ResNet-50 against its published sizes."""

import functools

import numpy as np
import pytest
from tensorflow import keras

from drw_tf.models import network, resnet

PLAIN = ((0.0,) * 3, (1.0,) * 3)


@functools.cache
def build(image_shape, small_images=False):
    return resnet.build(
        image_shape,
        batch_norm=network.BatchNorm(),
        normalization=PLAIN,
        small_images=small_images,
    )


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


@pytest.mark.parametrize(
    ("image_shape", "small_images", "published", "classes"),
    [
        # torchvision.models.resnet50 has 25_557_032 parameters with 1000 classes.
        ((224, 224, 3), False, 25_557_032, 1000),
        # The network of github.com/kuangliu/pytorch-cifar: 23_520_842 with 10 classes.
        ((32, 32, 3), True, 23_520_842, 10),
    ],
)
def test_parameters_are_as_many_as_published(image_shape, small_images, published, classes):
    model = build(image_shape, small_images)
    head = 2048 * classes + classes
    assert count(model.trainable_variables) == published - head
    # Mean and variance: 64 + 64 * (1 + 2 + 4 + 8) * 4 of the shortcuts, and of the blocks
    # 6 * 64 * (3 + 2 * 4 + 4 * 6 + 8 * 3) channels.
    assert count(model.non_trainable_variables) == 2 * (64 + 64 * 60 + 6 * 64 * 59)
    assert model.output_shape == (None, 2048)


def test_stride_is_in_the_3x3_convolution_and_total_stride_is_32():
    model = build((224, 224, 3))
    assert model.get_layer("group2_block1_1_conv").strides == (1, 1)
    assert model.get_layer("group2_block1_2_conv").strides == (2, 2)
    assert model.get_layer("group4_block3_act").output_shape == (None, 7, 7, 2048)


def test_small_images_are_divided_by_eight():
    model = build((32, 32, 3), small_images=True)
    assert model.get_layer("group4_block3_act").output_shape == (None, 4, 4, 2048)


def test_every_gamma_starts_at_one_as_in_the_published_networks():
    layers = build((32, 32, 3), small_images=True).layers
    last = [layer for layer in layers if layer.name.endswith("_3_bn")]
    others = [
        layer
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer not in last
    ]
    assert len(last) == 16
    assert len(others) == 1 + 2 * 16 + 4
    assert all((layer.gamma.numpy() == 1).all() for layer in last + others)
    assert {(layer.momentum, layer.epsilon) for layer in last + others} == {(0.9, 1e-5)}


@pytest.mark.parametrize(
    ("side", "small_images", "least"), [(8, False, 32), (31, False, 32), (8, True, 16)]
)
def test_images_that_are_too_small_are_refused(side, small_images, least):
    with pytest.raises(ValueError, match=rf"images of {side}x{side}.*at least {least}"):
        build((side, side, 3), small_images)
