"""Generations, what is added to the labeled set, and alignment."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.rebalance import base, crest, logit_adjustment, running_mean

FLAGS = {"crest_generations": 3, "crest_alpha": 1.0, "crest_alignment_min": 0.5}


def make(kind, make_facts, make_hyper, counts=(4, 2, 1), **flags):
    return kind(make_hyper(**(FLAGS | flags)), make_facts(counts, pool_size=8))


def ask(logits, labeled=()):
    return base.Ask(lambda: np.asarray(logits, np.float32), np.asarray(labeled, np.int64))


# Eight rows of a pool; class and confidence of each by its largest logit.
POOL = np.zeros([8, 3], np.float32)
for _row, (_label, _height) in enumerate(
    [(0, 9), (0, 1), (0, 4), (0, 3), (0, 2), (1, 5), (1, 6), (2, 1)]
):
    POOL[_row, _label] = _height


@pytest.mark.parametrize(
    ("generations", "steps", "lengths"),
    [
        (3, 90, [30, 30, 30]),
        (6, 500, [80, 80, 90, 80, 80, 90]),  # 50 epochs of 10 steps: 8.33 each
        (2, 20, [10, 10]),
    ],
)
def test_generations_are_whole_epochs_and_fill_the_run(
    generations, steps, lengths, make_facts, make_hyper
):
    one = make(
        crest.ClassRebalancingSelfTraining, make_facts, make_hyper, crest_generations=generations
    )
    parts = one.stages(steps)
    assert [part.steps for part in parts] == lengths
    assert [part.begins_with for part in parts] == ["keep"] + ["redraw"] * (generations - 1)


def test_most_confident_rows_are_added_more_of_rare_classes(make_facts, make_hyper):
    one = make(crest.ClassRebalancingSelfTraining, make_facts, make_hyper)
    assert len(one.labeled_rows()[0]) == 0
    # Row 0 is a labeled one. Rates 1/4, 2/4, 4/4 of 4, 2 and 1 predictions: one of each class.
    one.begin_stage(1, ask(POOL, [0]))
    rows, labels = one.labeled_rows()
    np.testing.assert_array_equal(rows, [2, 6, 7])
    np.testing.assert_array_equal(labels, [0, 1, 2])
    assert rows.dtype == labels.dtype == np.int64
    np.testing.assert_array_equal(one.describe()["added_counts"], [1, 1, 1])


def test_each_generation_chooses_anew(make_facts, make_hyper):
    one = make(crest.ClassRebalancingSelfTraining, make_facts, make_hyper)
    one.begin_stage(1, ask(POOL))
    one.begin_stage(2, ask(POOL[::-1]))
    # Reversed, rows 0 to 7 are classes 2, 1, 1, 0, 0, 0, 0, 0: one of five 0, one of two 1.
    np.testing.assert_array_equal(one.labeled_rows()[0], [0, 1, 7])


def test_larger_alpha_adds_more(make_facts, make_hyper):
    one = make(crest.ClassRebalancingSelfTraining, make_facts, make_hyper, crest_alpha=2.0)
    one.begin_stage(1, ask(POOL))
    # Rates .5 and .707 of 5 and 2 predictions: 2 and 1.
    np.testing.assert_array_equal(one.labeled_rows()[0], [0, 2, 6, 7])


def network(kernel, bias):
    def build(heads):
        images = keras.Input([len(kernel)])
        dense = keras.layers.Dense(len(bias), name="head")
        made = keras.Model(images, {"logits": dense(images), "features": images})
        dense.set_weights([np.float32(kernel), np.float32(bias)])
        return made

    return build


@pytest.mark.parametrize("name", ["fixmatch_step_plain_noalign", "fixmatch_step_plain_align"])
def test_step_matches_the_published_code(name, golden, fixmatch_step, make_facts, make_hyper):
    (case,) = [c for c in golden("crest")["cases"] if c["id"] == name]
    inputs, outputs = case["inputs"], case["outputs"]
    kind = crest.AlignedSelfTraining if inputs["distalign"] else crest.ClassRebalancingSelfTraining
    facts = make_facts(1e6 * np.array(inputs["gt_p_data"]))
    # In the last of two generations the power is the smallest one.
    flags = FLAGS | {"crest_generations": 2, "crest_alignment_min": inputs["t"]}
    one = kind(make_hyper(**flags), facts)
    if inputs["distalign"]:
        one.generation.assign(1.0)
        one.predicted = running_mean.RunningMean(facts.num_classes, len(inputs["p_model_buffer"]))
        one.predicted.rows.assign(inputs["p_model_buffer"])
    views = {
        "labeled": inputs["x_l"],
        "weak": inputs["x_weak"],
        "strong": inputs["x_strong"],
    }
    terms, scalars, _, _ = fixmatch_step(
        network(inputs["W"], inputs["b"]), facts, [one], views, inputs["y_l"], inputs["threshold"]
    )
    np.testing.assert_allclose(terms["loss_labeled"], outputs["loss_xe"], rtol=1e-4)
    np.testing.assert_allclose(terms["loss_unlabeled"], outputs["loss_xeu"], rtol=1e-4)
    np.testing.assert_allclose(scalars["mask_rate"], outputs["mask_mean"], rtol=1e-6)
    if inputs["distalign"]:
        np.testing.assert_allclose(one.predicted.value(), outputs["p_model_after"], rtol=1e-4)


def test_target_gets_flatter_with_every_generation(make_facts, make_hyper):
    one = make(crest.AlignedSelfTraining, make_facts, make_hyper, counts=(16, 4, 1))
    np.testing.assert_allclose(one.target(), np.array([16, 4, 1]) / 21, rtol=1e-6)
    one.begin_stage(2, ask(POOL))
    np.testing.assert_allclose(one.target(), np.array([4, 2, 1]) / 7, rtol=1e-6)


def test_alignment_is_against_the_batches_before_this_one(make_facts, make_hyper):
    one = make(crest.AlignedSelfTraining, make_facts, make_hyper, counts=(8, 1, 1))
    weak = base.Weak(None, None, tf.constant(0, tf.int64), None, 100)
    # So far uniform, so that (1, 1, 1) / 3 becomes the prior itself.
    got = one.refine(tf.constant([[1 / 3, 1 / 3, 1 / 3]]), weak)
    np.testing.assert_allclose(got, [[0.8, 0.1, 0.1]], rtol=1e-4)
    # 128 batches that saw class 1 alone: its share is divided by 1, that of others by 1e-6.
    for step in range(128):
        one.refine(
            tf.constant([[0.0, 1.0, 0.0]]), base.Weak(None, None, tf.constant(step), None, 100)
        )
    got = one.refine(tf.constant([[0.5, 0.25, 0.25]]), weak)
    np.testing.assert_allclose(got, [[16 / 17, 0.0, 1 / 17]], atol=1e-5)


def test_mixmatch_sharpens_what_was_aligned(make_facts, make_hyper, mixmatch_targets):
    one = make(crest.AlignedSelfTraining, make_facts, make_hyper, counts=(8, 1, 1))
    predicted = np.array([[1 / 2, 1 / 4, 1 / 4]])
    got = mixmatch_targets(network(np.eye(3), np.zeros(3)), one, np.log(predicted))
    # Against a uniform mean, to (.8, .1, .1): 16 to 1 to 1, and squared.
    np.testing.assert_allclose(got, np.array([[256, 1, 1]]) / 258, rtol=1e-4)


def test_new_generation_forgets_what_the_old_network_predicted(make_facts, make_hyper):
    one = make(crest.AlignedSelfTraining, make_facts, make_hyper)
    one.predicted.add(tf.constant([[1.0, 0.0, 0.0]]), tf.constant(0, tf.int64))
    assert one.predicted.value()[0] > 0.335
    one.begin_stage(1, ask(POOL))
    np.testing.assert_allclose(one.predicted.value(), [1 / 3] * 3, rtol=1e-6)


def test_state_is_in_the_checkpoint(make_facts, make_hyper, tmp_path):
    one, other = (make(crest.AlignedSelfTraining, make_facts, make_hyper) for _ in range(2))
    one.begin_stage(2, ask(POOL))
    one.predicted.add(tf.constant([[1.0, 0.0, 0.0]]), tf.constant(0, tf.int64))
    path = tf.train.Checkpoint(one=one).write(str(tmp_path / "state"))
    tf.train.Checkpoint(one=other).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other.labeled_rows()[0], one.labeled_rows()[0])
    np.testing.assert_array_equal(other.labeled_rows()[1], one.labeled_rows()[1])
    np.testing.assert_array_equal(other.predicted.value(), one.predicted.value())
    np.testing.assert_array_equal(other.target(), one.target())
    assert float(other.generation) == 2


def test_logit_adjustment_removes_the_prior_of_the_set_with_the_added_ones(make_facts, make_hyper):
    one = make(crest.AlignedSelfTraining, make_facts, make_hyper)
    values = {"la_prior": "labeled", "la_strength": 1.0}
    adjustment = logit_adjustment.LogitAdjustment(make_hyper(**values), one.facts)
    adjustment.attach([one, adjustment])
    np.testing.assert_allclose(adjustment.prior(), np.array([4, 2, 1]) / 7, rtol=1e-6)
    one.begin_stage(1, ask(POOL))
    # Added: one of class 0, one of class 1, one of class 2.
    np.testing.assert_allclose(adjustment.prior(), np.array([5, 3, 2]) / 10, rtol=1e-6)
