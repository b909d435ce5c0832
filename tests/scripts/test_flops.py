"""Counted operations against the sum over layers, done by hand."""

import tensorflow as tf
from tensorflow import keras

from drw_tf.models import network, registry


def trained(images, net):
    """Traced forward and backward pass."""

    @tf.function(autograph=False)
    def work(values):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net(values, training=True))
        return tape.gradient(loss, net.trainable_variables)

    return work.get_concrete_function(tf.TensorSpec(images, tf.float32))


def test_wide_resnet_10_1_counts_what_its_layers_multiply(load):
    flops = load("flops")
    normal = ((0.5,) * 3, (0.5,) * 3)
    constants = network.BatchNorm(0.9, 1e-3, False)
    net = registry.build_backbone(
        "wide_resnet_10_1", (32, 32, 3), batch_norm=constants, normalization=normal
    )
    forward = tf.function(net, autograph=False).get_concrete_function(
        tf.TensorSpec([5, 32, 32, 3], tf.float32)
    )
    # Multiplications of 3 x 3 kernels, and of the 1 x 1 ones of the shortcuts:
    stem = 1024 * 9 * 3 * 16
    group_1 = 1024 * 9 * 16 * 16 * 2
    group_2 = 256 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
    group_3 = 64 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64)
    total = 2 * (stem + group_1 + group_2 + group_3)
    assert flops.of_function(forward) == 5 * total
    # A backward pass does each product twice, but needs no gradient of the pictures.
    assert flops.of_function(trained([5, 32, 32, 3], net)) == 5 * (3 * total - 2 * stem)


def test_dense_and_depthwise_layers(load):
    flops = load("flops")
    images = keras.Input([8, 8, 6])
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(images)
    x = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x))
    net = keras.Model(images, x)
    forward = tf.function(net, autograph=False).get_concrete_function(
        tf.TensorSpec([4, 8, 8, 6], tf.float32)
    )
    depthwise, dense = 2 * 64 * 9 * 6, 2 * 6 * 7
    assert flops.of_function(forward) == 4 * (depthwise + dense)
    # The gradient of a sum needs neither the answers nor the gradient of the pictures.
    assert flops.of_function(trained([4, 8, 8, 6], net)) == 4 * (2 * depthwise + 2 * dense)
