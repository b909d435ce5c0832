import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.training import assembly, cluster, evaluation, stages


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


class _Worker:
    """One of two workers; what it would send to the other is its own part alone."""

    workers = 2
    rows = cluster.Team.rows

    def __init__(self, worker):
        self.worker = worker

    def joined(self, part, size):
        return part


@pytest.mark.parametrize("worker", [None, 0, 1])
def test_a_pool_is_fetched_by_the_batch_and_judged_as_a_copy_of_it_is(resolve, quarters, worker):
    dataset, split = quarters
    asked = []

    class Mapped(np.ndarray):
        def __getitem__(self, key):
            asked.append(np.size(key))
            return super().__getitem__(key)

    config = resolve("--method=fixmatch_crest", "--crest_generations=2")
    method = assembly.build_method(config, dataset, split)
    team = None if worker is None else _Worker(worker)

    def logits(images):
        judge = evaluation.Evaluator(images, (8, 8, 1), np.ones(4), 7, team=team)
        return judge.logits(method.ema_network)

    train = records.ArrayImages(dataset.train.pixels.view(Mapped), dataset.train.labels)
    mapped = dataclasses.replace(dataset, train=train)
    strategy = tf.distribute.get_strategy()
    parts = stages.Stages(config, mapped, split, method, strategy, logits)
    found = parts._pool_logits()
    pool = split.pool(include_labeled=True)
    # 80 pictures, of which each of two workers has a half.
    assert (sum(asked), max(asked)) == (len(pool) // (1 if team is None else 2), 7)
    np.testing.assert_array_equal(found, logits(records.take(dataset.train, pool)))
