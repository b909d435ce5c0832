"""What is built from flags and data: the network's constants, the head that is judged."""

import dataclasses

import numpy as np
import pytest
from tensorflow import keras

from drw_tf import run as runs
from drw_tf.models import heads
from drw_tf.training import assembly


def test_a_network_has_the_constants_of_its_data_and_flags(resolve, quarters):
    dataset = dataclasses.replace(quarters[0], mean=(0.2,), std=(0.4,))
    words = ("--batch_norm_momentum=0.9", "--batch_norm_epsilon=0.002", "--sync_batch_norm")
    config = resolve("--method=supervised", *words)
    network = assembly.network_builder(config, dataset)({"logits": lambda: heads.dense_head(4)})
    first = network.get_layer("normalization")
    # (x - .2) / .4
    assert (first.scale, first.offset) == pytest.approx((2.5, -0.5))
    kind = keras.layers.BatchNormalization
    norms = [layer for layer in network.submodules if isinstance(layer, kind)]
    assert len(norms) > 3
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 0.002), layer.name
        assert layer.synchronized, layer.name


@pytest.mark.usefixtures("small_data")
def test_the_balanced_head_of_abc_is_judged_not_the_methods_own(resolve, quarters):
    run = runs.Run(resolve("--method=drw_abc"))
    for network in run.networks().values():
        for name, always in (("logits", 0), ("abc", 3)):
            head = network.get_layer(name)
            head.set_weights([np.zeros_like(head.get_weights()[0]), np.eye(4)[always]])
    test = quarters[0].test
    np.testing.assert_array_equal(run.logits(test), np.tile(np.eye(4)[3], [len(test), 1]))
    found = run.evaluate(run.evaluator(test))
    for name in ("ema", "raw"):
        assert found[name]["recall"] == [0, 0, 0, 1], name
