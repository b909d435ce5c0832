import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.ops import logit_adjustment

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CASES = [
    case
    for case in json.loads((GOLDEN / "fixmatch.json").read_text())["cases"]
    if case["id"] == "logit_adjustment"
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_adjusted_logits_match_the_published_code(case):
    inputs, outputs = case["inputs"], case["outputs"]
    adjusted = logit_adjustment.adjust_logits(inputs["logits"], inputs["p_data"], tau=1.0)
    np.testing.assert_allclose(tf.nn.softmax(adjusted), outputs["scores_adjusted"], rtol=1e-5)


def test_adjusted_logits_of_an_undecided_network_favor_the_tail():
    # -2 log(0.8) and -2 log(0.2) differ by 2 log(4).
    got = logit_adjustment.adjust_logits([[0.0, 0.0]], [0.8, 0.2], tau=2.0).numpy()
    np.testing.assert_allclose(got[0, 1] - got[0, 0], 2 * np.log(4.0), rtol=1e-6)


def test_adjusted_logits_are_unchanged_at_tau_zero():
    logits = [[1.0, -2.0], [0.5, 3.0]]
    np.testing.assert_array_equal(logit_adjustment.adjust_logits(logits, [0.9, 0.1], 0.0), logits)


def test_adjusted_logits_and_priors_are_float64():
    prior = logit_adjustment.adjustment_prior("labeled", [3, 3, 1])
    np.testing.assert_allclose(prior, [3 / 7, 3 / 7, 1 / 7], rtol=1e-15)
    got = logit_adjustment.adjust_logits([[0.1, 0.0, 0.0]], prior, 0.3)
    expected = np.array([[0.1, 0.0, 0.0]]) - 0.3 * np.log([3 / 7, 3 / 7, 1 / 7])
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_adjust_logits_refuses_an_empty_class():
    with pytest.raises(ValueError, match=r"prior must be > 0, got 0\.0\."):
        logit_adjustment.adjust_logits([[0.0, 0.0]], [1.0, 0.0], 1.0)


def test_adjust_logits_refuses_negative_tau():
    with pytest.raises(ValueError, match=r"tau must be >= 0, got -1\.0\."):
        logit_adjustment.adjust_logits([[0.0, 0.0]], [0.5, 0.5], -1.0)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("labeled", [0.75, 0.25]),  # 6 : 2
        ("effective", [0.6, 0.4]),  # 6 * 0.5 : 2 * 1 = 3 : 2
        ("pseudo", [0.9, 0.1]),  # 90 : 10
    ],
)
def test_adjustment_prior_sums_to_one_and_follows_its_kind(kind, expected):
    got = logit_adjustment.adjustment_prior(kind, [6, 2], [0.5, 1.0], [90.0, 10.0])
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_adjustment_prior_counts_an_empty_class_as_one_example():
    got = logit_adjustment.adjustment_prior("labeled", labeled_counts=[3, 0])
    np.testing.assert_allclose(got, [0.75, 0.25], rtol=1e-6)


def test_adjustment_prior_refuses_an_unknown_kind():
    message = r"prior must be one of labeled, effective, pseudo, got 'uniform'\."
    with pytest.raises(ValueError, match=message):
        logit_adjustment.adjustment_prior("uniform", [1, 2])


def test_adjustment_prior_refuses_a_kind_without_its_numbers():
    with pytest.raises(ValueError, match=r"prior 'pseudo' needs pseudo_numbers, got None\."):
        logit_adjustment.adjustment_prior("pseudo", labeled_counts=[1, 2])
