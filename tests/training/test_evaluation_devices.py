"""Evaluation on all devices of a process; that of several processes: test_cluster.py."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import run as runs
from drw_tf.data import pipeline
from drw_tf.training import devices

pytestmark = pytest.mark.usefixtures("small_data")
CPUS = {"CPU:0", "CPU:1"}


@pytest.fixture
def run_under(resolve, monkeypatch):
    """run_under(strategy): a run whose averaged network is judged 5 pictures at a time."""

    def make(strategy):
        monkeypatch.setattr(devices, "strategy", lambda name: strategy)
        # Its adjustment asks the network that is judged about a picture of its own.
        run = runs.Run(resolve("--method=fixmatch_cdmad", "--eval_batch_size=5"))
        generator = np.random.default_rng(0)
        weights = run.method.ema_network.get_weights()
        # All other than those that were drawn, batch statistics too.
        changed = [one + generator.normal(0, 0.1, one.shape) for one in weights]
        run.method.ema_network.set_weights(changed)
        return run

    return make


@pytest.mark.slow
def test_two_replicas_judge_as_one_does(run_under, two_replicas, monkeypatch):
    sizes = []
    original = pipeline.evaluation_batches

    def counted(images, batch, image_shape):
        sizes.append(batch)
        return original(images, batch, image_shape)

    monkeypatch.setattr(pipeline, "evaluation_batches", counted)
    one, two = run_under(tf.distribute.get_strategy()), run_under(two_replicas)
    expected, found = (run.evaluations(run.judges())["test"] for run in (one, two))
    assert expected["ema"]["loss"] != expected["ema_unadjusted"]["loss"] != expected["raw"]["loss"]
    for network, metrics in expected.items():
        for name in ("loss", "balanced_accuracy", "ece"):
            assert found[network][name] == pytest.approx(metrics[name], rel=1e-5)
    # Each device has a batch of the flag's size.
    assert sizes == [5, 10]


def test_both_devices_judge_and_one_network_is_exported(run_under, two_replicas):
    run = run_under(two_replicas)
    for network in run.networks().values():
        assert {weight.device[-5:] for copy in network._copies for weight in copy.weights} == CPUS
    exported = run.averaged_network()
    for own, copied in zip(run.method.ema_network.weights, exported.weights, strict=True):
        np.testing.assert_array_equal(copied, own)
    judge = run.evaluator(run.dataset.test, alone=True)
    assert judge._graphs is run.evaluator(run.dataset.test)._graphs
    np.testing.assert_allclose(
        judge.logits(exported),
        run.evaluator(run.dataset.test).logits(run.networks()["ema"]),
        rtol=1e-5,
    )
