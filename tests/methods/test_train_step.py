"""One whole step against arithmetic done in NumPy: optimizer, decay, average."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import base, batches, fixmatch, supervised
from drw_tf.ops import schedules
from drw_tf.rebalance import base as rebalance
from drw_tf.training import optimizer as optimizers

KERNEL = np.array([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]])
IMAGES = np.array([[1.0, 0.0, 0.5], [0.2, 1.0, 0.0], [0.4, 0.6, 1.0], [0.0, 0.1, 0.9]])
LABELS = np.array([0, 1, 1, 0])
EPSILON, MOMENTUM = 1e-3, 0.9


def build_network(heads):
    """Dense without bias, then batch normalisation as the head."""
    images = keras.Input([3])
    dense = keras.layers.Dense(2, use_bias=False)
    norm = keras.layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM)
    network = keras.Model(images, {"logits": norm(dense(images)), "features": images})
    dense.set_weights([KERNEL])
    return network


def make(optimizer, **training):
    facts = rebalance.Facts(2, np.ones(2), 0, 10, 5)
    method = supervised.Supervised(
        build_network,
        rebalance.Hyperparameters({}, ()),
        facts,
        [],
        base.Training(**({"ema_decay": 0.99, "ema_warmup": False} | training)),
    )
    optimizer.build(method.network.trainable_variables)
    method.compile(optimizer=optimizer)
    return method


BATCH = {"labeled": {"weak": tf.constant(IMAGES, tf.float32), "label": tf.constant(LABELS)}}


def reference_step():
    """Batch mean and variance, and the gradients of kernel, gamma and beta, in float64."""
    z = IMAGES @ KERNEL
    mean, variance = z.mean(0), z.var(0)
    inverse = 1 / np.sqrt(variance + EPSILON)
    normal = (z - mean) * inverse
    shifted = np.exp(normal)
    error = (shifted / shifted.sum(1, keepdims=True) - np.eye(2)[LABELS]) / len(LABELS)
    gamma, beta = (error * normal).sum(0), error.sum(0)
    back = inverse * (error - error.mean(0) - normal * (error * normal).mean(0))
    return mean, variance, {"kernel": IMAGES.T @ back, "gamma": gamma, "beta": beta}


START = {"kernel": KERNEL, "gamma": np.ones(2), "beta": np.zeros(2)}


def by_name(network):
    return {v.name.split("/")[-1].split(":")[0]: v.numpy() for v in network.variables}


def test_pixels_become_shares_of_white_and_numbers_stay():
    stream = {"weak": tf.constant([0, 51, 255], tf.uint8), "index": tf.constant([255], tf.int64)}
    views = batches.to_float({"labeled": stream})["labeled"]
    np.testing.assert_array_equal(views["weak"], np.float32([0, 0.2, 1]))
    assert views["index"] is stream["index"]


def test_sgd_step_with_l2_on_kernels_only():
    method = make(optimizers.build("sgd", 0.03), weight_decay=0.5, weight_decay_kind="l2")
    method.train_step(BATCH)
    _, _, gradients = reference_step()
    gradients["kernel"] = gradients["kernel"] + 0.5 * KERNEL
    got = by_name(method.network)
    for name, start in START.items():
        # Nesterov from rest: the first step is lr (1 + momentum) g.
        expected = start - 0.03 * 1.9 * gradients[name]
        np.testing.assert_allclose(got[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("warmup", [False, True])
def test_adam_step_average_and_decay_of_the_whole_state(warmup):
    method = make(
        optimizers.build("adam", 2e-3),
        weight_decay=0.02,
        weight_decay_kind="decoupled",
        ema_warmup=warmup,
    )
    method.train_step(BATCH)
    mean, variance, gradients = reference_step()
    after = {
        # Adam from rest: m / (1 - b1) = g and v / (1 - b2) = g^2.
        name: start - 2e-3 * gradients[name] / (np.abs(gradients[name]) + 1e-8)
        for name, start in START.items()
    }
    after["moving_mean"] = 0.1 * mean
    after["moving_variance"] = 0.9 + 0.1 * variance
    before = START | {"moving_mean": np.zeros(2), "moving_variance": np.ones(2)}
    decay = 0.1 if warmup else 0.99  # min(.99, (1 + 0) / (10 + 0))
    got, averaged = by_name(method.network), by_name(method.ema_network)
    for name, value in after.items():
        # The average reads the weights before they shrink by 1 - .02 * 2e-3.
        expected = decay * before[name] + (1 - decay) * value
        np.testing.assert_allclose(averaged[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            got[name], value * (1 - 4e-5), rtol=2e-6, atol=1e-6, err_msg=name
        )


def test_second_average_reads_the_shrunk_weights():
    method = make(
        optimizers.build("sgd", 0.5),
        weight_decay=0.1,
        weight_decay_kind="decoupled",
    )
    method.network.trainable = True
    method.train_step(BATCH)
    assert not np.allclose(by_name(method.network)["gamma"], 1.0, atol=0.01)
    first = by_name(method.ema_network)["gamma"]
    method.train_step(BATCH)
    second = by_name(method.ema_network)["gamma"]
    shrunk = by_name(method.network)["gamma"] / 0.95  # as the average saw it
    np.testing.assert_allclose(second, 0.99 * first + 0.01 * shrunk, rtol=1e-5)


def test_the_state_shrinks_by_the_rate_of_its_own_step():
    # Warm-up: rates 0 and .1, so that the kernel of the second step is that of the first.
    schedule = schedules.LearningRate("constant", 0.4, 10, 4)
    method = make(
        optimizers.build("sgd", schedule), weight_decay=0.5, weight_decay_kind="decoupled"
    )
    method.schedule = schedule
    for _ in range(2):
        method.train_step(BATCH)
    mean, _, _ = reference_step()
    expected = (0.9 * 0.1 + 0.1) * mean * (1 - 0.5 * 0.1)
    np.testing.assert_allclose(by_name(method.network)["moving_mean"], expected, rtol=1e-5)


def test_adam_takes_the_protocols_epsilon():
    assert optimizers.build("adam", 1e-3).epsilon == 1e-8


def loss_of(network):
    """Mean cross-entropy of the batch with the network's present weights, in float64."""
    weights = by_name(network)
    z = IMAGES @ weights["kernel"]
    normal = (z - z.mean(0)) / np.sqrt(z.var(0) + EPSILON)
    logits = normal * weights["gamma"] + weights["beta"]
    rows = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(LABELS)), LABELS]
    return rows.mean()


def test_means_are_over_steps_and_start_anew():
    method = make(optimizers.build("sgd", 0.1), weight_decay=0.0, weight_decay_kind="l2")
    losses, shown = [], []
    for _ in range(2):
        losses.append(loss_of(method.network))
        shown.append(float(method.train_step(BATCH)["loss"]))
    assert losses[1] < 0.95 * losses[0]  # the mean is far from either
    # `train_step` returns the mean so far.
    assert shown == pytest.approx([losses[0], np.mean(losses)], rel=1e-5)
    result = method.means.result()
    assert result["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert result["loss_labeled"] == pytest.approx(np.mean(losses), rel=1e-5)
    entry = method.end_epoch(2)
    assert entry["train"]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert method.means.result() == {}


# ---- what a method is not made of


def refused(bench, method, rebalancers, message):
    network = bench.linear_network(np.eye(2), [0.0, 0.0])
    with pytest.raises(ValueError, match=message):
        bench.make(method, lambda: network, {}, rebalancers=rebalancers)


class Adds(rebalance.Rebalancer):
    """Says that it has these terms."""

    def __init__(self, *terms):
        super().__init__(None, None)
        self.terms = terms


class Measures(supervised.Supervised):
    scalars = ("confidence",)


@pytest.mark.parametrize(
    ("added", "twice"),
    [
        ([["loss_labeled"]], "loss_labeled"),
        ([["loss_b", "loss_a"], ["loss_a", "loss_b"]], "loss_a, loss_b"),
        ([["loss"]], "loss"),
        ([["confidence"]], "confidence"),
    ],
)
def test_no_term_hides_another_one_of_its_name(bench, added, twice):
    message = rf"^loss, terms and scalars of a recipe must have .* their own, got {twice} twice\.$"
    refused(bench, Measures, [Adds(*terms) for terms in added], message)


def test_the_labeled_term_is_the_one_that_a_labeled_stage_has(bench):
    class Renamed(supervised.Supervised):
        terms = ("loss_supervised",)

    message = r"^Renamed\.terms must hold loss_labeled, got loss_supervised\.$"
    refused(bench, Renamed, [], message)


def test_a_rebalancer_refines_what_methods_ask_it_for(bench):
    message = r"^Swap\.refines must be one of targets, predictions, got 'logits'\.$"
    refused(bench, fixmatch.FixMatch, [bench.Swap("logits")], message)
