"""16 bits: nearly the float32 result, Keras' policy left alone, the loss scale kept."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf import finished_run, session
from drw_tf import run as runs
from drw_tf.methods import alarm, supervised
from drw_tf.serving import predictor
from drw_tf.training import devices

pytestmark = pytest.mark.usefixtures("small_data")


def train(config):
    return session.train(config, ["test"])


def restored(config):
    """The run with the state of its newest checkpoint."""
    return finished_run.open_run(config.workdir)[0]


def first_gradients(config, quarters):
    """Logits, gradients and loss of the first batch, before any step."""
    run = runs.Run(config)
    run.stages.prepare(0)
    batch = next(iter(run.batches(0, 0)))
    method = run.method
    taken = []

    def apply(pairs):
        taken.extend(gradient.numpy() for gradient, _ in pairs)

    method.optimizer.apply_gradients = apply
    run.strategy.run(method.train_step, args=(batch,))
    return np.concatenate([one.ravel() for one in taken]), method.means.result()


WIDE = ("--method=supervised", "--model=wide_resnet_10_1")


@pytest.fixture(scope="module")
def _kept():
    """What `in_float32` gives, once it was asked for."""
    return []


@pytest.fixture
def in_float32(_kept, resolve, quarters):
    """What `first_gradients` gives in float32, the same for all that is compared with it."""
    if not _kept:
        _kept.append(first_gradients(resolve(*WIDE), quarters))
    return _kept[0]


# 32 times the rounding error of one operation, 2^-8; 128 times 2^-11, as sums are float16, too.
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 2**-3), ("float16", 2**-4)])
def test_gradient_is_that_of_float32_within_rounding(
    resolve, quarters, in_float32, precision, tolerance
):
    # No pseudo-labels: rounding may turn one over, and then the losses are different ones.
    expected, means = in_float32
    got, rounded = first_gradients(resolve(*WIDE, f"--precision={precision}"), quarters)
    assert got.dtype == np.float32
    error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert 0 < error < tolerance
    assert rounded["loss"] == pytest.approx(means["loss"], rel=tolerance)


def overflow(monkeypatch, steps, also_loss=False):
    """In these steps, counted from 0, the gradient is infinite, and the loss on demand."""
    original = supervised.Supervised.loss_terms

    def loss_terms(self, batch, prepared):
        terms, scalars = original(self, batch, prepared)
        hit = tf.reduce_any(tf.equal(self.step, tf.constant(steps, tf.int64)))

        @tf.custom_gradient
        def gate(loss):
            return loss, lambda upstream: upstream * tf.where(hit, np.inf, 1.0)

        loss = gate(terms["loss_labeled"])
        terms["loss_labeled"] = tf.where(hit, np.inf, loss) if also_loss else loss
        return terms, scalars

    monkeypatch.setattr(supervised.Supervised, "loss_terms", loss_terms)


def test_overflow_halves_the_scale_and_is_no_alarm(resolve, monkeypatch):
    overflow(monkeypatch, [2, 12, 13])
    config = resolve("--method=supervised", "--precision=float16", "--weight_decay=0")
    result = train(config)
    run = restored(config)
    assert float(run.method.optimizer.loss_scale) == 2**15 / 2**3
    # Steps since the last overflow, step 14 of 20.
    assert int(run.method.optimizer.dynamic_counter.numpy()) == 6
    assert run.method.alarm.read()[0] == 0
    assert np.isfinite(result["history"][-1]["train"]["loss"])


def test_a_dropped_step_changes_no_weight(resolve, monkeypatch, quarters):
    overflow(monkeypatch, [0])
    config = resolve("--method=supervised", "--precision=float16", "--protocol=darp")
    run = runs.Run(config)
    run.stages.prepare(0)
    before = [variable.numpy() for variable in run.method.network.trainable_variables]
    batches = iter(run.batches(0, 0))
    for is_dropped in (True, False):
        run.strategy.run(run.method.train_step, args=(next(batches),))
        after = [variable.numpy() for variable in run.method.network.trainable_variables]
        same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert all(same) if is_dropped else not any(same)
    assert int(run.method.optimizer.iterations.numpy()) == 2


@pytest.mark.parametrize("also_loss", [False, True])
def test_what_the_scale_cannot_explain_stops_training(resolve, monkeypatch, also_loss):
    # A scale halved in each of 16 steps is 1 from the 15th on, and then the alarm rings.
    overflow(monkeypatch, [3] if also_loss else list(range(1, 17)), also_loss)
    config = resolve("--method=supervised", "--precision=float16")
    names = r"loss_labeled and gradient" if also_loss else "gradient"
    with pytest.raises(alarm.NonFiniteError, match=rf"^{names} not finite") as caught:
        train(config)
    assert f"first step {4 if also_loss else 17}" in str(caught.value)


def test_the_policy_of_keras_is_left_alone_and_nets_compute_in_16_bits(resolve):
    run = runs.Run(resolve("--method=drw", "--precision=bfloat16"))
    assert keras.mixed_precision.global_policy().name == "float32"
    convolutions = [
        layer for layer in run.method.network.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {v.dtype for v in run.method.network.variables} == {tf.float32}
    assert {v.dtype for v in run.method.ema_network.variables} == {tf.float32}
    assert run.method.histogram.counts.dtype == tf.float32
    assert {one.dtype for one in run.method.network.outputs} == {tf.float32}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_exported_answers_are_float32_and_those_of_the_network(resolve, quarters, precision):
    config = resolve("--method=drw", f"--precision={precision}", "--export=true", "--steps=10")
    train(config)
    images = quarters[0].test.pixels
    found = predictor.Predictor(f"{config.workdir}/export").predict(images)
    assert found.logits.dtype == found.probabilities.dtype == np.float32
    run = restored(config)
    expected = run.logits(quarters[0].test)
    np.testing.assert_allclose(found.logits, expected, atol=2e-2 * np.abs(expected).max())
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_two_replicas_drop_a_step_together(resolve, monkeypatch, quarters, two_replicas):
    original = supervised.Supervised.loss_terms

    def loss_terms(self, batch, prepared):
        terms, scalars = original(self, batch, prepared)
        # The gradient overflows on the second replica alone, in the first step alone.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        hit = tf.equal(self.step, 0) & tf.equal(replica, 1)

        @tf.custom_gradient
        def gate(loss):
            return loss, lambda upstream: upstream * tf.where(hit, np.inf, 1.0)

        terms["loss_labeled"] = gate(terms["loss_labeled"])
        return terms, scalars

    monkeypatch.setattr(supervised.Supervised, "loss_terms", loss_terms)
    monkeypatch.setattr(devices, "strategy", lambda name: two_replicas)
    run = runs.Run(resolve("--method=supervised", "--precision=float16"))
    run.stages.prepare(0)
    method, batches = run.method, iter(run.batches(0, 0))

    @tf.function(autograph=False)
    def step(batch):
        two_replicas.run(method.train_step, args=(batch,))

    weights = [one.numpy() for one in method.network.trainable_variables]
    for is_dropped in (True, False):
        step(next(batches))
        now = [one.numpy() for one in method.network.trainable_variables]
        same = [np.array_equal(a, b) for a, b in zip(weights, now, strict=True)]
        assert all(same) if is_dropped else not any(same)
        assert float(method.optimizer.loss_scale) == 2**14
    assert all(np.isfinite(one).all() for one in now)
    assert method.alarm.read()[0] == 0


def test_vat_is_refused_in_16_bits(resolve):
    with pytest.raises(ValueError, match="--precision must be float32 for --method=vat"):
        resolve("--method=vat", "--precision=bfloat16")
