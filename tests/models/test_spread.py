import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.models import network, registry, spread

DEVICES = ["/device:CPU:0", "/device:CPU:1"]


def build():
    backbone = registry.build_backbone(
        "wide_resnet_10_1",
        (8, 8, 3),
        batch_norm=network.BatchNorm(),
        normalization=([0.5] * 3, [0.2] * 3),
    )
    head = keras.layers.Dense(5, name="logits", dtype="float32")
    return network.build_network(backbone, {"logits": head})


@pytest.fixture(scope="module")
def pair():
    """A network with batch statistics of its own, and the same on two devices."""
    tf.random.set_seed(0)
    alone = build()
    alone(tf.random.uniform([16, 8, 8, 3]), training=True)
    both = spread.SpreadNetwork(build, DEVICES)
    both.set_weights(alone.get_weights())
    return alone, both


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_two_devices_answer_as_the_network_alone(pair, size):
    alone, both = pair
    images = tf.random.stateless_uniform([size, 8, 8, 3], [size, 0])
    expected, found = alone(images, training=False), both(images, training=False)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_in_a_graph_each_device_has_a_part_of_any_batch(pair):
    alone, both = pair

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3])], autograph=False)
    def forward(images):
        return both(images)["logits"]

    images = tf.random.stateless_uniform([7, 8, 8, 3], [7, 0])
    np.testing.assert_allclose(forward(images), alone(images)["logits"], atol=1e-6)
    operations = forward.get_concrete_function().graph.get_operations()
    placed = [one.device for one in operations if one.type == "MatMul"]
    assert [re.search(r"CPU:\d", device).group() for device in placed] == ["CPU:0", "CPU:1"]
    owned = {weight.device[-5:] for copy in both._copies for weight in copy.weights}
    assert owned == {"CPU:0", "CPU:1"}


def test_the_copy_that_is_exported_has_the_weights_too(pair):
    alone, both = pair
    for own, copied in zip(alone.get_weights(), both.single.get_weights(), strict=True):
        np.testing.assert_array_equal(copied, own)
    assert both.input_shape == alone.input_shape


def test_it_is_not_trained(pair):
    with pytest.raises(ValueError, match="training must be False"):
        pair[1](tf.zeros([2, 8, 8, 3]), training=True)
