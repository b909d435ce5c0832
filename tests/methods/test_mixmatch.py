"""MixMatch steps against the published code's, and what weights and refinement do to them."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import mixmatch

STEPS = ("step_early_0", "step_early_1", "step_mid_0", "step_mid_1", "step_past_end_0")
HYPER = {
    "temperature": 0.5,
    "lambda_u": 75.0,
    "mixup_alpha": 0.75,
    "ramp": "linear",
    "ramp_fraction": 1.0,
    "forward": "separate",
    "pseudo_memory": "epoch",
}


@pytest.mark.parametrize("forward", ["separate", "joint"])
@pytest.mark.parametrize("name", STEPS)
def test_step_equals_the_published_codes(golden, bench, monkeypatch, name, forward):
    (case,) = [case for case in golden("mixmatch")["cases"] if case["id"] == name]
    inputs, expected = case["inputs"], case["outputs"]
    bench.fix_draws(
        monkeypatch, max(inputs["beta_draw"], 1 - inputs["beta_draw"]), inputs["permutation"]
    )
    per_epoch = inputs["val_iteration"]
    method = bench.make(
        mixmatch.MixMatch,
        lambda: bench.linear_network(inputs["W"], inputs["b"]),
        HYPER | {"forward": forward, "lambda_u": inputs["lambda_u"], "temperature": inputs["T"]},
        counts=np.ones(len(inputs["b"])),
        steps=inputs["epochs"] * per_epoch,
        step=inputs["epoch"] * per_epoch + inputs["batch_idx"],
    )
    batch = bench.batch(
        {"weak": inputs["x"]}, inputs["y"], {"weak": inputs["u1"], "weak_2": inputs["u2"]}
    )
    prepared = method.prepare(batch)
    terms, _, gradients = bench.step(method, batch)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(prepared["targets"], expected["sharpened_targets_u"], **close)
    np.testing.assert_allclose(prepared["images"], expected["mixed_inputs"], **close)
    np.testing.assert_allclose(prepared["mixed_targets"], expected["mixed_targets"], **close)
    np.testing.assert_allclose(terms["loss_labeled"], expected["loss_x"], rtol=1e-5)
    unlabeled = expected["ramped_weight"] * expected["loss_u"]
    np.testing.assert_allclose(terms["loss_unlabeled"], unlabeled, rtol=1e-5)
    np.testing.assert_allclose(gradients["logits/kernel"], expected["grad_W"], rtol=1e-4, atol=5e-6)
    np.testing.assert_allclose(gradients["logits/bias"], expected["grad_b"], rtol=1e-4, atol=5e-6)


def identity_step(bench, monkeypatch, rebalancers, partners=(0, 1, 2), **hyper):
    """Logits are the inputs; one labeled picture, one unlabeled picture in two views."""
    bench.fix_draws(monkeypatch, 0.75, partners)
    method = bench.make(
        mixmatch.MixMatch,
        lambda: bench.linear_network(np.eye(2), [0.0, 0.0]),
        HYPER | {"lambda_u": 2.0, "ramp_fraction": 0.0} | hyper,
        rebalancers=rebalancers,
    )
    # p(u) = (2/3, 1/3) in both views; sharpened by T = 1/2: (4/5, 1/5).
    unlabeled = [[np.log(2), 0.0]]
    batch = bench.batch({"weak": [[0.0, 0.0]]}, [1], {"weak": unlabeled, "weak_2": unlabeled})
    return method, batch


def test_each_share_of_a_mixed_label_weighs_what_its_class_weighs(bench, monkeypatch):
    # Labeled target: 3/4 (0, 1) + 1/4 (4/5, 1/5) = (1/5, 4/5); input 1/4 (log 2, 0).
    method, batch = identity_step(bench, monkeypatch, [bench.Weights()], (1, 0, 2))
    terms, _, _ = bench.step(method, batch)
    log_p = np.log([2**0.25, 1]) - np.log(2**0.25 + 1)
    expected = -(1 * 0.2 * log_p[0] + 3 * 0.8 * log_p[1])
    np.testing.assert_allclose(terms["loss_labeled"], expected, rtol=1e-5)
    # First view: input 3/4 (log 2, 0), target 3/4 (4/5, 1/5) + 1/4 (0, 1) = (3/5, 2/5), so it
    # weighs 2 * 3/5 + 4 * 2/5 = 2.8. Second view: (2/3, 1/3) against (4/5, 1/5), 2.4.
    p = 2**0.75 / (2**0.75 + 1)
    each = [2.8 * (p - 0.6) ** 2, 2.4 * (2 / 3 - 0.8) ** 2]
    np.testing.assert_allclose(terms["loss_unlabeled"], 2 * np.mean(each), rtol=1e-5)
    np.testing.assert_allclose(method.histogram.loss_by_class(), [np.mean(each), 0], rtol=1e-5)


def test_finished_targets_are_refined_and_counted(bench, monkeypatch):
    swap = bench.Swap("targets")
    method, batch = identity_step(bench, monkeypatch, [swap])
    prepared = method.prepare(batch)
    np.testing.assert_allclose(swap.given[0], [[0.8, 0.2]], rtol=1e-5)
    np.testing.assert_allclose(tf.nn.softmax(swap.given[1].logits), [[2 / 3, 1 / 3]], rtol=1e-5)
    np.testing.assert_allclose(prepared["targets"], [[0.2, 0.8]], rtol=1e-5)
    _, scalars, _ = bench.step(method, batch)
    np.testing.assert_allclose(scalars["confidence"], 0.8, rtol=1e-5)
    counted, rows = method.histogram.numbers("all")
    np.testing.assert_array_equal(counted, [0, 1])
    assert rows == 1


def test_predictions_are_refined_before_they_are_sharpened(bench, monkeypatch):
    swap = bench.Swap("predictions")
    method, batch = identity_step(bench, monkeypatch, [swap])
    prepared = method.prepare(batch)
    np.testing.assert_allclose(swap.given[0], [[2 / 3, 1 / 3]], rtol=1e-5)
    np.testing.assert_allclose(prepared["targets"], [[0.2, 0.8]], rtol=1e-5)


def test_no_gradient_flows_through_targets(bench, monkeypatch):
    method, batch = identity_step(bench, monkeypatch, [])
    kernel = method.network.trainable_variables[0]
    with tf.GradientTape() as tape:
        prepared = method.prepare(batch)
    assert tape.gradient(prepared["mixed_targets"], kernel) is None


@pytest.mark.parametrize(
    "seam", ["supervised_loss", "unsupervised_loss", "extra_terms", "pseudo_target"]
)
def test_a_rebalancer_at_a_seam_that_is_not_read_is_refused(bench, monkeypatch, seam):
    kind = type("Needs", (bench.Weights,), {seam: lambda self, *_: None})
    with pytest.raises(ValueError, match=f"needs {seam}, which MixMatch does not read"):
        identity_step(bench, monkeypatch, [kind()])
