import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.training import evaluation


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, [7, 4, 4, 1], dtype=np.uint8)
    return records.ArrayImages(pixels, np.arange(7) % 3)


def linear(kernel):
    """A network whose logits are pixel sums times this kernel [3]."""
    pictures = keras.Input([4, 4, 1])
    total = tf.reduce_sum(pictures, axis=[1, 2])
    return keras.Model(pictures, {"logits": total * tf.constant([kernel])})


def test_each_picture_is_read_once_for_all_networks(images, monkeypatch):
    read = []
    original = pipeline.evaluation_batches

    def counted(*arguments):
        batches = original(*arguments)
        return batches.map(lambda part: (tf.py_function(read.append, [len(part)], []), part)[1])

    monkeypatch.setattr(pipeline, "evaluation_batches", counted)
    judge = evaluation.Evaluator(images, (4, 4, 1), np.array([3, 2, 2]), 3)
    kernels = [[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]]
    found = judge.logits_of_each([linear(kernel) for kernel in kernels])
    assert [int(count) for count in read] == [3, 3, 1]
    sums = images.pixels.sum(axis=(1, 2)) / 255.0
    for got, kernel in zip(found, kernels, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, sums * kernel, rtol=1e-5)


def test_metrics_are_of_the_logits_that_are_given(images):
    judge = evaluation.Evaluator(images, (4, 4, 1), np.array([3, 2, 2]), 3)
    right = np.eye(3)[images.labels]
    assert judge.metrics(right)["accuracy"] == 1.0
    assert judge.metrics(right * [-1, 1, 1])["recall"] == [0.0, 1.0, 1.0]


def test_judges_that_share_their_graphs_trace_a_network_once(images):
    traced, inner = [], linear([1.0, 2.0, 3.0])

    class Counted:
        input_shape = (None, 4, 4, 1)

        def __call__(self, pictures, training):
            traced.append(training)
            return inner(pictures)

    network, graphs = Counted(), {}
    for shared, times in ((graphs, 1), (graphs, 1), (None, 2)):
        judge = evaluation.Evaluator(images, (4, 4, 1), np.array([3, 2, 2]), 3, graphs=shared)
        judge.logits(network)
        assert traced == [False] * times
