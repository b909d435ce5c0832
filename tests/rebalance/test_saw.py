"""Smoothed adaptive weighting: the recipe `saw` gives the weights of its authors' code."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf import config, recipes
from drw_tf.methods import tally
from drw_tf.ops import reweighting
from drw_tf.rebalance import base

GOLDEN = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden" / "saw_weights.json").read_text(encoding="utf-8")
)
WEIGHTS = [case for case in GOLDEN["cases"] if "weights_sum_C" in case["outputs"]]
(BANK,) = [case for case in GOLDEN["cases"] if "bank_probs" in case["inputs"]]


@pytest.fixture
def saw(make_facts):
    """saw(key, counts): one of the recipe's rebalancers with the recipe's own flags."""

    def make(key, counts):
        assert key in recipes.RECIPES["saw"].rebalancers
        flags = config.resolve(config.parse(["train", "--method=saw"]))
        component = recipes.REBALANCERS[key]
        hyper = base.Hyperparameters(flags, component.flags)
        return component.load()(hyper, make_facts(counts, pool_size=int(np.sum(counts))))

    return make


@pytest.mark.parametrize("case", WEIGHTS, ids=lambda case: case["id"])
def test_labeled_weights_match_the_published_code(saw, case):
    counts = case["inputs"]["counts"]
    one = saw("labeled_weights", counts)
    got = one.labeled_weights(tf.range(len(counts)))
    np.testing.assert_allclose(got, case["outputs"]["weights_sum_C"], rtol=1e-6)


@pytest.mark.parametrize("case", WEIGHTS, ids=lambda case: case["id"])
def test_unlabeled_weights_are_one_for_an_epoch_and_then_match_the_published_code(saw, case):
    counts = np.array(case["inputs"]["counts"])
    one = saw("dynamic_weights", counts)
    classes = tf.range(len(counts))
    np.testing.assert_array_equal(one.unlabeled_weights(classes), np.ones(len(counts)))
    numbers = reweighting.pseudo_numbers(counts, counts.sum(), counts.sum())
    one.end_epoch(base.Observation(10, np.asarray(numbers, np.float64)))
    # Counts of 0 are taken as 1 before their mean, as in the second publication of the code.
    expected = case["outputs"]["usb_variant_weights"]
    np.testing.assert_allclose(one.unlabeled_weights(classes), expected, rtol=1e-6)


def test_pseudo_counts_are_those_of_the_latest_label_of_each_picture():
    flags = config.resolve(config.parse(["train", "--method=saw"]))
    labels = np.argmax(BANK["inputs"]["bank_probs"], axis=1).astype(np.int32)
    pool = len(labels)
    histogram = tally.PseudoLabelHistogram(6, pool, flags.pseudo_memory)
    order = np.random.default_rng(0).permutation(pool)
    outdated = (labels + 1) % 6
    unsure = tf.zeros([pool])
    for told in (outdated, labels):
        histogram.add(tf.constant(told[order]), unsure, unsure, tf.constant(order))
    counts, rows = histogram.numbers(flags.pseudo_count)
    np.testing.assert_array_equal(counts, BANK["outputs"]["pseudo_counts"])
    assert rows == pool


@pytest.mark.parametrize("method", ["saw", "saw_la"])
def test_weights_start_with_the_run(method):
    flags = config.resolve(config.parse(["train", f"--method={method}"]))
    assert flags.reweight_start == 0
    assert flags.beta == "auto_mean"
    assert flags.pseudo_memory == "bank"
