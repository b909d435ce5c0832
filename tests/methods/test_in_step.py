"""What methods share inside a step: keys, ramps, the rows of all replicas."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import in_step, mean_teacher
from drw_tf.ops import mixup
from drw_tf.rebalance import base as rebalance


@pytest.fixture
def method(bench):
    """Step 15 of a run of 100, whose weight rises for 2/5 of it."""
    hyper = {"lambda_u": 1.0, "ramp": "linear", "ramp_fraction": 0.4}
    network = lambda: bench.linear_network(np.eye(2), [0.0, 0.0])  # noqa: E731
    return bench.make(mean_teacher.MeanTeacher, network, hyper, steps=100, step=15)


def test_ramp_follows_the_stage(method):
    np.testing.assert_allclose(in_step.ramp(method), 15 / 40, rtol=1e-6)
    method.stage = rebalance.Stage("generation 2", 50)
    np.testing.assert_allclose(in_step.ramp(method), 15 / 20, rtol=1e-6)


def test_key_depends_on_seed_stage_name_and_step(method):
    def keys():
        yield in_step.key(method, "a")
        yield in_step.key(method, "b")
        method.optimizer.iterations.assign_add(1)
        yield in_step.key(method, "a")
        method.stage = rebalance.Stage("generation 2", 100)
        yield in_step.key(method, "a")
        method.facts = dataclasses.replace(method.facts, seed=1)
        yield in_step.key(method, "a")

    found = [tuple(key.numpy()) for key in keys()]
    assert len(set(found)) == len(found)


def test_soft_labels_are_counted_by_their_largest_class(method):
    counted = []

    class Histogram:
        def add(self, *columns):
            counted.extend(np.asarray(column).tolist() for column in columns)

    method.histogram = Histogram()
    targets = tf.constant([[0.25, 0.75], [1.0, 0.0]])
    # Two views of each picture: losses 1 and 3 of the first, 2 and 4 of the second.
    mean = in_step.count(method, targets, tf.constant([1.0, 2.0, 3.0, 4.0]), tf.constant([5, 9]))
    np.testing.assert_allclose(mean, 0.875)
    assert counted == [[1, 0], [1, 1], [2, 3], [5, 9]]


@pytest.mark.parametrize(("batches", "rows"), [(2, 4), (3, 4), (3, 5)])
def test_each_interleaved_pass_is_fed_rows_of_all_batches(batches, rows):
    images = np.arange(batches * rows * 2, dtype=np.float32).reshape(-1, 2)
    fed = []

    def network(part, training):
        assert training
        fed.append(part.numpy())
        return {"logits": 10 * part}

    method = types.SimpleNamespace(network=network)
    got = in_step.forward_interleaved(method, tf.constant(images), rows)
    expected = np.split(images[mixup.interleaving(batches, rows)], batches)
    np.testing.assert_array_equal(fed, expected)
    # The batch that each row of the first pass is of: all of them, not the first alone.
    assert set(fed[0][:, 0] // (2 * rows)) == set(range(batches))
    np.testing.assert_array_equal(got, 10 * images)
