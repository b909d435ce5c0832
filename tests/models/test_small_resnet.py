"""The network for 8x8 images."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import heads, network, small_resnet


def build(image_shape=(8, 8, 1)):
    channels = image_shape[-1]
    return small_resnet.build(
        image_shape,
        batch_norm=network.BatchNorm(),
        normalization=((0.0,) * channels, (1.0,) * channels),
    )


def test_parameters_are_as_many_as_counted_by_hand():
    made = network.build_network(build(), {"logits": heads.dense_head(10)})
    counts = [
        sum(int(np.prod(variable.shape)) for variable in variables)
        for variables in (made.trainable_variables, made.non_trainable_variables)
    ]
    convolutions = 9 * 16 + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
    convolutions += 9 * 32 * 64 + 9 * 64 * 64 + 32 * 64
    channels = 16 + 2 * 32 + 2 * 64
    head = 64 * 10 + 10
    assert counts == [convolutions + 2 * channels + head, 2 * channels]


@pytest.mark.parametrize("image_shape", [(4, 4, 1), (8, 12, 3), (28, 28, 1)])
def test_other_shapes_give_64_features(image_shape):
    assert build(image_shape).output_shape == (None, 64)


@pytest.mark.parametrize("image_shape", [(6, 8, 1), (8, 9, 1), (2, 2, 1)])
def test_sides_not_divisible_by_four_are_refused(image_shape):
    with pytest.raises(ValueError, match="small_resnet takes images with sides divisible by 4"):
        build(image_shape)


def test_every_weight_gets_a_gradient_and_the_network_learns_eight_images():
    keras.utils.set_random_seed(0)
    made = network.build_network(build(), {"logits": heads.dense_head(4)})
    images = tf.random.stateless_uniform([8, 8, 8, 1], [0, 1])
    labels = tf.constant([0, 1, 2, 3] * 2)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = made(images, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, made.trainable_variables)
        optimizer.apply_gradients(zip(gradients, made.trainable_variables, strict=True))
        return loss, [tf.reduce_max(tf.abs(g)) for g in gradients]

    first, gradients = step()
    assert all(gradient > 0 for gradient in gradients)
    for _ in range(30):
        last, _ = step()
    assert first > 1  # ln 4 = 1.39 for even guesses.
    assert last < 0.1
