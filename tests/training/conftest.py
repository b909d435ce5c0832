"""A data set small enough that whole runs take a second."""

import contextlib
import os
import signal

import numpy as np
import pytest

from drw_tf import config as configuration
from drw_tf import session
from drw_tf.data import dataset as records
from drw_tf.data import registry
from drw_tf.training import loop
from tests import small_network


def _pictures(generator, labels):
    """8 x 8 pictures, each class a bright quarter of its own, with noise."""
    pixels = generator.integers(0, 60, [len(labels), 8, 8, 1])
    for row, label in enumerate(labels):
        top, left = 4 * (label // 2), 4 * (label % 2)
        pixels[row, top : top + 4, left : left + 4] += 120
    return records.ArrayImages(pixels.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture(scope="session")
def quarters():
    """(Dataset, Split): four classes, 20 labeled and 60 unlabeled pictures, 24 to test."""
    generator = np.random.default_rng(0)
    train = _pictures(generator, np.repeat([0, 1, 2, 3], [40, 20, 12, 8]))
    order = np.concatenate([np.arange(0, 80, 4), np.setdiff1d(np.arange(80), np.arange(0, 80, 4))])
    dataset = records.Dataset(
        "digits",
        ("a", "b", "c", "d"),
        (8, 8, 1),
        train,
        _pictures(generator, np.repeat([0, 1, 2, 3], 6)),
        flip=False,
        mean=(0.25,),
        std=(0.25,),
    )
    return dataset, records.Split(order[:20], order[20:], np.arange(0))


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    """Nothing here is about the network."""
    small_network.stand_in(monkeypatch)


@pytest.fixture
def small_data(monkeypatch, quarters):
    """What every configuration means, whichever data set it names."""
    monkeypatch.setattr(registry, "load", lambda config, **_: quarters)


@pytest.fixture
def resolve(tmp_path):
    """resolve("--steps=20", ...): a configuration for the small data set."""

    def make(*arguments):
        defaults = (
            f"--workdir={tmp_path / 'run'}",
            "--batch_size=8",
            "--steps=20",
            "--steps_per_epoch=10",
            "--checkpoint_steps=5",
            "--steps_per_execution=1",
            "--tensorboard=false",
            "--export=false",
        )
        return configuration.resolve(configuration.parse(["train", *defaults, *arguments]))

    return make


@pytest.fixture(scope="session")
def _uncut_runs():
    """Folders and records of runs that nothing cut, by their arguments."""
    return {}


@pytest.fixture
def uncut(_uncut_runs, small_data, resolve, tmp_path_factory):
    """uncut("--method=drw", ...): (folder, record) of a deterministic run to its end.

    The same folder for all who ask with the same arguments: to be read, not to be changed.
    So where files need about the same run they spell its arguments alike.
    """

    def get(*arguments):
        if arguments not in _uncut_runs:
            folder = tmp_path_factory.mktemp("uncut")
            config = resolve(*arguments, "--deterministic", f"--workdir={folder}")
            _uncut_runs[arguments] = folder, session.train(config, ["test"])
        return _uncut_runs[arguments]

    return get


@pytest.fixture
def stopped_at(monkeypatch):
    """stopped_at(step): in this context training gets a signal after a step, and saves."""

    @contextlib.contextmanager
    def make(step, number=signal.SIGTERM):
        ended = loop._Runner.on_train_batch_end

        def on_train_batch_end(self, batch, logs=None):
            if int(self.method.optimizer.iterations.numpy()) == step:
                os.kill(os.getpid(), number)
            ended(self, batch, logs)

        with monkeypatch.context() as patch:
            patch.setattr(loop._Runner, "on_train_batch_end", on_train_batch_end)
            with pytest.raises(loop.Stopped, match=number.name):
                yield

    return make


@pytest.fixture(autouse=True)
def _ctrl_c():
    """Where tests run in the background of a script Ctrl-C is ignored, and a run leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
