"""Which stages cRT has; that the backbone stands still is tested with the stages."""

import numpy as np
import pytest

from drw_tf.rebalance import crt


def make(make_facts, make_hyper, **flags):
    flags = {"crt_balance": "sampling", "crt_head_fraction": 0.04, "crt_learning_rate": 0.1} | flags
    return crt.ClassifierRetraining(make_hyper(**flags), make_facts([6, 2]))


@pytest.mark.parametrize(
    ("fraction", "steps", "lengths"),
    [
        (0.04, 1000, [960, 40]),  # 4 of 100 epochs of 10 steps
        (0.04, 200, [190, 10]),  # .8 of an epoch
        (0.0, 200, [190, 10]),
        (0.27, 100, [70, 30]),  # 2.7 epochs
        (0.99, 30, [10, 20]),
    ],
)
def test_parts_are_whole_epochs_and_fill_the_run(fraction, steps, lengths, make_facts, make_hyper):
    parts = make(make_facts, make_hyper, crt_head_fraction=fraction).stages(steps)
    assert [part.steps for part in parts] == lengths


def test_head_has_its_own_sampling_and_optimizer(make_facts, make_hyper):
    features, head = make(make_facts, make_hyper, crt_learning_rate=0.3).stages(100)
    assert (features.sampling, features.begins_with, dict(features.settings)) == (
        "uniform",
        "keep",
        {},
    )
    assert (head.sampling, head.begins_with) == ("class_balanced", "new_head")
    assert head.settings["optimizer"] == "sgd"
    assert head.settings["learning_rate"] == 0.3
    assert head.settings["schedule"] == "cosine"
    assert head.settings["weight_decay"] == 0


def test_weights_balance_the_head_alone_where_that_is_asked_for(make_facts, make_hyper):
    one = make(make_facts, make_hyper, crt_balance="reweight")
    features, head = one.stages(100)
    assert (features.sampling, head.sampling) == ("uniform", "uniform")
    assert (features.heard, head.heard) == ("others", "own")
    # 1/6 and 1/2, times 2 / (1/6 + 1/2).
    weights = one.labeled_weights(np.array([0, 1, 1], np.int32))
    np.testing.assert_allclose(weights, [0.5, 1.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(one.describe()["labeled_weights"], [0.5, 1.5], rtol=1e-6)


def test_balanced_batches_need_no_weights(make_facts, make_hyper):
    one = make(make_facts, make_hyper)
    assert one.labeled_weights(np.array([0, 1], np.int32)) is None
    assert one.describe() == {}


def test_head_learns_from_labeled_pictures_alone(make_facts, make_hyper):
    features, head = make(make_facts, make_hyper).stages(100)
    assert (features.labeled_only, head.labeled_only) == (False, True)
