"""Whole runs under the strategies that GPUs get, on CPUs."""

import pytest
import tensorflow as tf

from drw_tf import session
from drw_tf.training import devices
from tests import ended_runs
from tests.training import processes

# Slow, as the end of an iterator for devices can wait up to a minute for a thread that tunes it.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_data")]


@pytest.fixture
def train_under(resolve, tmp_path, monkeypatch):
    """train_under(strategy, "--method=drw", ...): (folder, record)."""

    def train(strategy, *arguments):
        folder = tmp_path / "run"
        config = resolve(*arguments, "--deterministic", f"--workdir={folder}")
        with monkeypatch.context() as patch:
            patch.setattr(devices, "strategy", lambda name: strategy)
            return folder, session.train(config, ["test"])

    return train


def test_one_device_ends_as_no_strategy_does(train_under, uncut):
    arguments = ("--method=drw", "--reweight_start=0.5", "--pseudo_smoothing=0.5")
    folder, _ = train_under(tf.distribute.OneDeviceStrategy("CPU:0"), *arguments)
    ended_runs.assert_same(uncut(*arguments)[0], folder)


def test_two_mirrored_replicas_end_as_one_does(train_under, two_replicas, uncut):
    # Small steps, as rounding would grow; batch statistics of the global batch on both sides.
    arguments = ("--method=drw", "--reweight_start=0", "--learning_rate=0.002")
    arguments += ("--sync_batch_norm", "--steps=4", "--steps_per_epoch=2")
    folder, record = train_under(two_replicas, *arguments)
    assert record["machine"]["replicas"] == 2
    processes.assert_same_end(uncut(*arguments)[0], folder)
