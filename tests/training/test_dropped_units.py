"""A network that drops units while it trains goes on with the units it would have dropped."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import run as runs
from drw_tf import session
from drw_tf.training import assembly
from tests import ended_runs

pytestmark = pytest.mark.usefixtures("small_data", "_dropping_network")
MODEL = "--model=applications/EfficientNetB0"
ARGUMENTS = ("--method=fixmatch", MODEL)


def tiny(input_shape, **_):
    """In the place of EfficientNetB0: what matters of it here, in the size of a test."""
    images = keras.Input(input_shape)
    features = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3)(images))
    features = keras.layers.Dropout(0.3, noise_shape=(None, 1, 1, 1))(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, keras.layers.Dropout(0.3)(features), name="tiny")


@pytest.fixture
def _dropping_network(monkeypatch):
    monkeypatch.setattr(tiny, "__module__", keras.applications.EfficientNetB0.__module__)
    monkeypatch.setattr(keras.applications, "EfficientNetB0", tiny)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "generators"),
    [
        (ARGUMENTS, 2),
        # The teacher drops units of its own.
        (("--method=mean_teacher", "--ramp_fraction=0", MODEL), 4),
    ],
)
def test_a_cut_run_goes_on_bit_for_bit(resolve, uncut, tmp_path, stopped_at, arguments, generators):
    folder, _ = uncut(*arguments)
    config = resolve(*arguments, "--deterministic", f"--workdir={tmp_path / 'cut'}")
    with stopped_at(13):
        session.train(config, ["test"])
    session.train(config, ["test"])
    ended_runs.assert_same(folder, tmp_path / "cut")
    names = [name for name in ended_runs.variables_of(folder) if "random_generators" in name]
    assert len(names) == generators


def test_units_are_dropped_anew_in_each_step_and_after_the_seed(resolve):
    def draws(seed):
        network = runs.Run(resolve(*ARGUMENTS, f"--seed={seed}")).method.network
        images = tf.ones([64, 8, 8, 1])
        given = [network(images, training=True)["features"].numpy() for _ in range(2)]
        return [features == 0 for features in given]

    first, again, other = draws(0), draws(0), draws(1)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).mean() > 0.2
    assert (first[0] != other[0]).mean() > 0.2


def test_replicas_drop_other_units_and_go_on_with_them(resolve, quarters, two_replicas, tmp_path):
    dataset, split = quarters
    with two_replicas.scope():
        method = assembly.build_method(resolve(*ARGUMENTS), dataset, split)

    @tf.function
    def forward():
        def one():
            return method.network(tf.ones([64, 8, 8, 1]), training=True)["features"]

        return two_replicas.experimental_local_results(two_replicas.run(one))

    forward()
    saved = tf.train.Checkpoint(model=method)
    saved.write(str(tmp_path / "saved"))
    ours, theirs = (features.numpy() == 0 for features in forward())
    assert (ours != theirs).mean() > 0.2
    saved.read(str(tmp_path / "saved")).assert_existing_objects_matched()
    np.testing.assert_array_equal([one.numpy() == 0 for one in forward()], [ours, theirs])


def test_vat_refuses_such_a_network_whose_passes_would_differ_by_what_is_dropped(resolve):
    message = r"--model must drop no units .* for VAT, .*; choose another --model or --method\."
    with pytest.raises(ValueError, match=message) as caught:
        runs.Run(resolve("--method=vat", MODEL))
    assert "\n" not in str(caught.value)
