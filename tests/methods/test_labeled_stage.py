"""A stage that learns from the labeled pictures alone: plain cross-entropy, all else is silent."""

import numpy as np
import pytest

from drw_tf.methods import base, fixmatch
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import class_weights, crt

COUNTS = np.array([6.0, 2.0])
VALUES = {
    "beta": "0.9",
    "weight_normalization": "class",
    "max_weight_ratio": 0.0,
    "reweight_start": 0.0,
    "pseudo_smoothing": 0.0,
    "crt_head_fraction": 0.5,
    "crt_learning_rate": 0.1,
}
FLAGS = {
    "threshold": 0.0,
    "lambda_u": 1.0,
    "forward": "joint",
    "strong_views": 1,
    "pseudo_count": "all",
    "pseudo_memory": "bank",
}
LABELED, LABELS = [[1.0, 0.0], [0.0, 2.0], [0.5, 0.0]], [0, 0, 1]
# log(1 + exp(-margin)) for margins 1, -2 and -.5.
EACH = np.log1p(np.exp([-1.0, 2.0, 0.5]))
UNLABELED = {"weak": [[3.0, 0.0], [0.0, 3.0]], "strong": [[0.0, 0.0], [0.0, 0.0]]}


@pytest.fixture
def make(bench):
    """make(balance): DRw with a new head, and the batch that it sees before the head's stage."""

    def made(balance):
        values = VALUES | {"crt_balance": balance}
        hyper = rebalance.Hyperparameters(values, tuple(values))
        facts = rebalance.Facts(2, COUNTS, 100, 10, 5)
        method = bench.make(
            fixmatch.FixMatch,
            lambda: bench.linear_network(np.eye(2), [0.0, 0.0]),
            FLAGS,
            rebalancers=[
                class_weights.LabeledWeights(hyper, facts),
                class_weights.DynamicWeights(hyper, facts),
                crt.ClassifierRetraining(hyper, facts),
            ],
            counts=COUNTS,
        )
        return method, bench.batch({"weak": LABELED}, LABELS, UNLABELED)

    return made


def begin_head(method):
    method.stage = method.stages(10)[1]


# By weights: 1/6 and 1/2, times 2 / (1/6 + 1/2).
@pytest.mark.parametrize(
    ("balance", "weights"), [("sampling", [1, 1, 1]), ("reweight", [0.5, 0.5, 1.5])]
)
def test_head_learns_from_labels_with_the_weights_of_its_own_stage(make, balance, weights):
    method, batch = make(balance)
    begin_head(method)
    shown = method.train_step({"labeled": batch["labeled"]})
    expected = np.mean(EACH * weights)
    np.testing.assert_allclose(shown["loss"], expected, rtol=1e-6)
    means = method.end_epoch(10)["train"]
    assert set(means) == {"loss", "loss_labeled"}
    np.testing.assert_allclose(means["loss_labeled"], expected, rtol=1e-6)


def test_features_are_learned_as_without_the_head(make):
    method, batch = make("reweight")
    method.stage = method.stages(10)[0]
    method.train_step(batch)
    # (1 - .9) / (1 - .9^N) for 6 and 2 pictures, mean 1 over classes.
    raw = 0.1 / (1 - 0.9**COUNTS)
    by_class = raw / raw.mean()
    means = method.means.result()
    np.testing.assert_allclose(means["loss_labeled"], np.mean(EACH * by_class[LABELS]), rtol=1e-6)
    # Strong views that say nothing of either class.
    np.testing.assert_allclose(means["loss_unlabeled"], np.log(2), rtol=1e-6)
    assert {"mask_rate", "confidence"} <= set(means)


@pytest.mark.parametrize("balance", ["sampling", "reweight"])
def test_epoch_of_the_head_tells_of_nothing_that_stood_still(make, balance):
    method, batch = make(balance)
    method.stage = method.stages(10)[0]
    method.train_step(batch)
    entry = method.end_epoch(5)
    assert {"pseudo_numbers", "unlabeled_loss_by_class", "unlabeled_weights"} <= set(entry)
    weights = method.rebalancers[1].class_weights.numpy()
    begin_head(method)
    method.train_step({"labeled": batch["labeled"]})
    entry = method.end_epoch(10)
    told = {"train"} | ({"labeled_weights"} if balance == "reweight" else set())
    assert set(entry) == told
    assert set(entry["train"]) == {"loss", "loss_labeled"}
    np.testing.assert_array_equal(method.rebalancers[1].class_weights, weights)


@pytest.mark.parametrize("rule", ["stop", "skip"])
def test_a_step_of_the_head_that_is_not_finite_is_noticed(make, rule):
    method, batch = make("sampling")
    begin_head(method)
    method.training_rules = base.Training(0.999, False, 0.0, "l2", rule)
    labeled = dict(batch["labeled"])
    labeled["weak"] = labeled["weak"] * np.nan
    method.train_step({"labeled": labeled})
    bad, first, _, names = method.alarm.read()
    assert (bad, first) == (1, 1)
    assert set(names) == {"loss_labeled", "gradient"}
