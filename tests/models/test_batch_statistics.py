"""Passes in training mode that leave the moving statistics as they were."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import batch_statistics

IMAGES = np.random.default_rng(0).normal(2.0, 3.0, [16, 4, 4, 2]).astype(np.float32)


def build(synchronized=False):
    """Two batch normalisations, one of them in a nested model."""
    inner_input = keras.Input([4, 4, 2])
    norm = keras.layers.BatchNormalization(synchronized=synchronized, epsilon=1e-3)
    inner = keras.Model(inner_input, norm(inner_input))
    images = keras.Input([4, 4, 2])
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(inner(images)))
    last = keras.layers.BatchNormalization(synchronized=synchronized, epsilon=1e-3)(features)
    return keras.Model(images, {"logits": last})


def expected_outputs(images):
    def normalized(x, axes):
        return (x - x.mean(axes)) / np.sqrt(x.var(axes) + 1e-3)

    features = np.maximum(normalized(images.astype(np.float64), (0, 1, 2)), 0).mean((1, 2))
    return normalized(features, 0)


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("graph", [True, False])
def test_batches_are_normalised_by_themselves_and_statistics_stay(trainable, graph):
    network = build()
    network.trainable = trainable
    before = [variable.numpy() for variable in network.variables]

    def forward(images):
        return batch_statistics.forward_frozen_statistics(network, images)

    got = (tf.function(forward) if graph else forward)(tf.constant(IMAGES))
    np.testing.assert_allclose(got["logits"], expected_outputs(IMAGES), rtol=1e-3, atol=1e-4)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.name)
    assert all(layer.trainable is trainable for layer in network.submodules if layer.weights)


def test_a_pass_between_two_others_does_not_disturb_their_statistics():
    images = tf.constant(IMAGES)
    disturbed, alone = build(), build()

    @tf.function
    def three():
        disturbed(images, training=True)
        batch_statistics.forward_frozen_statistics(disturbed, 5 * images + 1)
        disturbed(2 * images, training=True)

    three()
    alone(images, training=True)
    alone(2 * images, training=True)
    for ours, theirs in zip(disturbed.variables, alone.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg=ours.name)


def test_gradients_are_those_of_training_mode():
    network = build()
    gradients = []
    for forward in (batch_statistics.forward_frozen_statistics, lambda n, x: n(x, training=True)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(forward(network, tf.constant(IMAGES))["logits"] ** 3)
        gradients.append(tape.gradient(loss, network.trainable_variables))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("synchronized", [True, False])
def test_each_replica_keeps_its_own_statistics(two_replicas, synchronized):
    with two_replicas.scope():
        network = build(synchronized)
    halves = [IMAGES[:8], 3 * IMAGES[8:]]

    def part(context):
        return tf.constant(halves[context.replica_id_in_sync_group])

    def everyone(function):
        parts = two_replicas.experimental_distribute_values_from_function(part)
        return two_replicas.run(tf.function(function), args=(parts,))

    def local_values():
        return [
            [local.numpy() for local in two_replicas.experimental_local_results(variable)]
            for variable in network.variables
        ]

    everyone(lambda images: network(images, training=True)["logits"])
    before = local_values()
    everyone(lambda x: batch_statistics.forward_frozen_statistics(network, 2 * x)["logits"])
    for old, new in zip(before, local_values(), strict=True):
        np.testing.assert_array_equal(new, old)
    moving_mean = before[[v.name.endswith("moving_mean:0") for v in network.variables].index(True)]
    assert np.allclose(*moving_mean) is synchronized
