"""FixMatch's loss against the original authors' steps, and the weights put into it."""

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.methods import fixmatch
from drw_tf.rebalance import base as rebalance


@pytest.fixture
def make(bench):
    """make(inputs, rebalancers, **hyper): FixMatch with the inputs' linear network."""

    def made(inputs, rebalancers=(), **hyper):
        values = {
            "threshold": inputs["tau"],
            "lambda_u": inputs.get("lambda_u", 1.0),
            "forward": "joint",
            "strong_views": 1,
            "pseudo_count": "all",
            "pseudo_memory": "epoch",
        } | hyper
        return bench.make(
            fixmatch.FixMatch,
            lambda: bench.linear_network(inputs["W"], inputs["b"]),
            values,
            rebalancers=rebalancers,
            counts=np.ones(len(inputs["b"])),
        )

    return made


@pytest.fixture
def make_batch(bench):
    """make_batch(inputs): the batch with the inputs' views."""

    def made(inputs):
        unlabeled = {
            "weak": inputs["u_weak"],
            "strong": inputs.get("u_strong", inputs.get("u_strong1")),
        }
        if "u_strong2" in inputs:
            unlabeled["strong_2"] = inputs["u_strong2"]
        return bench.batch({"weak": inputs["x"]}, inputs["y"], unlabeled)

    return made


@pytest.fixture
def step(bench):
    """step(method, batch): terms, scalars, gradients in the order of the variables."""

    def made(method, batch):
        terms, scalars, gradients = bench.step(method, batch)
        return terms, scalars, list(gradients.values())

    return made


def test_one_view_step_equals_the_published_codes(golden, make, make_batch, step):
    (case,) = [case for case in golden("fixmatch")["cases"] if case["id"] == "usb_step_0"]
    terms, scalars, (kernel, bias) = step(make(case["inputs"]), make_batch(case["inputs"]))
    expected = case["outputs"]
    np.testing.assert_allclose(terms["loss_labeled"], expected["sup_loss"], rtol=1e-5)
    np.testing.assert_allclose(terms["loss_unlabeled"], expected["unsup_loss"], rtol=1e-5)
    np.testing.assert_allclose(scalars["mask_rate"], expected["mask_mean"], rtol=1e-6)
    np.testing.assert_allclose(kernel, expected["grad_W"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, expected["grad_b"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["darp_step_0", "darp_step_1"])
def test_two_view_step_with_separate_forward_equals_the_published_codes(
    golden, name, make, make_batch, step
):
    (case,) = [case for case in golden("fixmatch")["cases"] if case["id"] == name]
    method = make(case["inputs"], forward="separate", strong_views=2)
    terms, _, (kernel, bias) = step(method, make_batch(case["inputs"]))
    expected = case["outputs"]
    np.testing.assert_allclose(terms["loss_labeled"], expected["loss_x"], rtol=1e-5)
    np.testing.assert_allclose(terms["loss_unlabeled"], expected["loss_u"], rtol=1e-5)
    np.testing.assert_allclose(kernel, expected["grad_W"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, expected["grad_b"], rtol=1e-4, atol=1e-6)


class HalfWeights(rebalance.Rebalancer):
    """Weight 1/2 on labeled pictures, 1/(1 + label) on unlabeled ones."""

    def __init__(self):
        super().__init__(None, None)

    def labeled_weights(self, labels):
        return tf.fill(tf.shape(labels), 0.5)

    def unlabeled_weights(self, pseudo_label):
        return 1.0 / (1.0 + tf.cast(pseudo_label, tf.float32))


def test_weights_multiply_each_picture_and_products_are_taken(make, make_batch, step):
    # Logits are the inputs: W = I, b = 0. Confident pictures: rows 0 (class 1) and 1 (class 0).
    inputs = {
        "W": np.eye(2),
        "b": [0.0, 0.0],
        "tau": 0.9,
        "lambda_u": 3.0,
        "x": [[0.0, 0.0]],
        "y": [0],
        "u_weak": [[0.0, 5.0], [5.0, 0.0], [0.0, 0.1]],
        "u_strong": [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]],
    }
    method = make(inputs, [HalfWeights(), HalfWeights()])
    terms, scalars, _ = step(method, make_batch(inputs))
    log2 = np.log(2)
    np.testing.assert_allclose(terms["loss_labeled"], 0.25 * log2, rtol=1e-6)
    # 3 * (1/3) * (1/4 + 1) log 2: class 1 weighs 1/2 twice, class 0 weighs 1.
    np.testing.assert_allclose(terms["loss_unlabeled"], 1.25 * log2, rtol=1e-6)
    np.testing.assert_allclose(scalars["mask_rate"], 2 / 3, rtol=1e-6)
    counted, rows = method.histogram.numbers("all")
    np.testing.assert_array_equal(counted, [1, 2])
    assert rows == 3
    np.testing.assert_array_equal(method.histogram.numbers("confident")[0], [1, 1])
    np.testing.assert_allclose(method.histogram.loss_by_class(), [log2, log2 / 4], rtol=1e-6)


# One labeled and one unlabeled picture; the network hands its two values on as logits.
ONE_OF_EACH = {
    "W": np.eye(2),
    "b": [0.0, 0.0],
    "tau": 0.0,
    "x": [[0.0, 0.0]],
    "y": [0],
    "u_weak": [[0.0, 1.0]],
    "u_strong": [[2.0, 0.0]],
}


class SoftTargets(rebalance.Rebalancer):
    """The probabilities themselves, each of them counted."""

    def __init__(self):
        super().__init__(None, None)

    def pseudo_target(self, probabilities, mask):
        return probabilities, tf.ones_like(mask)


def test_no_gradient_flows_through_the_pseudo_label(make, make_batch):
    """A hard label has no derivative in any case, a soft one has."""
    method = make(ONE_OF_EACH, [SoftTargets()])
    batch = make_batch(ONE_OF_EACH)
    views = batch["unlabeled"]
    with tf.GradientTape() as tape:
        tape.watch([views["weak"], views["strong"]])
        terms, _ = method.loss_terms(batch, {})
    of_weak, of_strong = tape.gradient(terms["loss_unlabeled"], [views["weak"], views["strong"]])
    np.testing.assert_array_equal(of_weak, [[0, 0]])
    # Softmax of the strong view less that of the weak one: the target is the soft one.
    moved = 1 / (1 + np.exp(-2)) - 1 / (1 + np.exp(1))
    np.testing.assert_allclose(of_strong, [[moved, -moved]], rtol=1e-5)


def test_two_rebalancers_that_both_offer_targets_are_refused(make, make_batch, step):
    with pytest.raises(ValueError, match="two rebalancers replace the pseudo-labels"):
        step(make(ONE_OF_EACH, [SoftTargets(), SoftTargets()]), make_batch(ONE_OF_EACH))


def test_bank_counts_the_latest_label_of_each_picture_once(make, make_batch, step):
    inputs = {
        "W": np.eye(2),
        "b": [0.0, 0.0],
        "tau": 0.9,
        "x": [[0.0, 0.0]],
        "y": [0],
        "u_weak": [[0.0, 5.0], [0.0, 0.1]],
        "u_strong": [[0.0, 0.0], [0.0, 0.0]],
    }
    method = make(inputs, pseudo_memory="bank")
    step(method, make_batch(inputs))
    inputs["u_weak"] = [[5.0, 0.0], [0.0, 0.1]]
    step(method, make_batch(inputs))
    counted, rows = method.histogram.numbers("all")
    np.testing.assert_array_equal(counted, [1, 1])
    assert rows == 2
    np.testing.assert_array_equal(method.histogram.numbers("confident")[0], [1, 0])


def test_bank_outlives_an_epoch(make, make_batch, step):
    inputs = {
        "W": np.eye(2),
        "b": [0.0, 0.0],
        "tau": 0.9,
        "x": [[0.0, 0.0]],
        "y": [0],
        "u_weak": [[0.0, 5.0], [0.0, 0.1], [5.0, 0.0]],
        "u_strong": [[0.0, 0.0]] * 3,
    }
    method = make(inputs, pseudo_memory="bank")
    step(method, make_batch(inputs))
    method.end_epoch(5)
    # Of the next one so far the first picture alone, which is of the other class by now.
    step(method, make_batch(inputs | {"u_weak": [[5.0, 0.0]], "u_strong": [[0.0, 0.0]]}))
    counted, rows = method.histogram.numbers("all")
    np.testing.assert_array_equal(counted, [2, 1])
    assert rows == 3
    np.testing.assert_array_equal(method.histogram.numbers("confident")[0], [2, 0])


def test_no_extra_term_replaces_one_of_the_method(make, make_batch, step):
    class Undeclared(rebalance.Rebalancer):
        def extra_terms(self, outputs):
            return {"loss_labeled": tf.constant(0.0)}

    with pytest.raises(ValueError, match=r"^loss_labeled is given twice; two parts of a recipe"):
        step(make(ONE_OF_EACH, [Undeclared(None, None)]), make_batch(ONE_OF_EACH))
