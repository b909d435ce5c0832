"""Whole ABC steps against the published code; its masks and its gradients."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.rebalance import abc, base, draws


def network(inputs):
    """features = tanh(x W), two linear heads."""

    def build(heads):
        images = keras.Input([len(inputs["W_feat"])])
        size = len(inputs["W_feat"][0])
        features = keras.layers.Dense(size, "tanh", use_bias=False, name="features")
        made = {"features": features(images)}
        made |= {name: head()(made["features"]) for name, head in heads.items()}
        model = keras.Model(images, made)
        features.set_weights([np.float32(inputs["W_feat"])])
        for name, key in (("logits", "base"), ("abc", "abc")):
            weights = [np.float32(inputs[f"{w}_{key}"]) for w in ("W", "b")]
            model.get_layer(name).set_weights(weights)
        return model

    return build


def run(case, fixmatch_step, make_facts, make_hyper, monkeypatch, forward):
    inputs = case["inputs"]
    drawn = {f"abc/{name}": inputs[f"uniform_{name}"] for name in ("labeled", "unlabeled")}
    monkeypatch.setattr(
        draws, "uniform_rows", lambda seed, name, step, rows: tf.constant(drawn[name])
    )
    facts = make_facts(inputs["class_counts"], total_steps=inputs["total_epochs"])
    views = {
        "labeled": inputs["x"],
        "weak": inputs["u_weak"],
        "strong": inputs["u_strong1"],
        "strong_2": inputs["u_strong2"],
    }
    one = abc.AuxiliaryBalancedClassifier(make_hyper(threshold=inputs["tau"]), facts)
    return fixmatch_step(
        network(inputs),
        facts,
        [one],
        views,
        inputs["y"],
        inputs["tau"],
        inputs["epoch"],
        forward=forward,
    )


@pytest.mark.parametrize("forward", ["joint", "separate"])
@pytest.mark.parametrize("name", ["step_e0", "step_e250", "step_e499"])
def test_step_matches_the_published_code(
    name, forward, golden, fixmatch_step, make_facts, make_hyper, monkeypatch
):
    (case,) = [c for c in golden("abc_cdmad")["cases"] if c["id"] == name]
    terms, _, gradients, method = run(
        case, fixmatch_step, make_facts, make_hyper, monkeypatch, forward
    )
    expected = case["outputs"]
    for term, key in (
        ("loss_labeled", "loss_base_x"),
        ("loss_unlabeled", "loss_base_u"),
        ("loss_abc_labeled", "loss_abc_labeled"),
        ("loss_abc_unlabeled", "loss_abc_unlabeled"),
    ):
        np.testing.assert_allclose(terms[term], expected[key], rtol=1e-4, atol=1e-7, err_msg=term)
    for variable, key in (
        ("features/kernel:0", "grad_W_feat"),
        ("logits/kernel:0", "grad_W_base"),
        ("logits/bias:0", "grad_b_base"),
        ("abc/kernel:0", "grad_W_abc"),
        ("abc/bias:0", "grad_b_abc"),
    ):
        np.testing.assert_allclose(
            gradients[variable], expected[key], rtol=1e-3, atol=1e-5, err_msg=variable
        )
    assert method.evaluated_head == "abc"


def outputs_of(logits_weak, logits_strong, labels=(0,), step=0, stage_steps=100):
    return base.Outputs(
        labels=tf.constant(labels),
        labeled={"abc": tf.zeros([len(labels), 2])},
        weak={"abc": logits_weak},
        strong=[{"abc": logits_strong}],
        step=tf.constant(step, tf.int64),
        stage_steps=stage_steps,
    )


def test_no_gradient_flows_into_the_weak_views(make_facts, make_hyper):
    one = abc.AuxiliaryBalancedClassifier(make_hyper(threshold=0.5), make_facts([1, 1]))
    weak, strong = tf.constant([[2.0, 0.0]]), tf.constant([[0.5, 0.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([weak, strong])
        loss = one.extra_terms(outputs_of(weak, strong))["loss_abc_unlabeled"]
    assert tape.gradient(loss, weak) is None
    assert abs(tape.gradient(loss, strong)).numpy().max() > 0.1


def test_unsure_rows_do_not_count(make_facts, make_hyper):
    one = abc.AuxiliaryBalancedClassifier(make_hyper(threshold=0.9), make_facts([1, 1]))
    terms = one.extra_terms(outputs_of(tf.constant([[2.0, 0.0]]), tf.constant([[0.5, 0.0]])))
    assert float(terms["loss_abc_unlabeled"]) == 0  # softmax (.88, .12)


@pytest.mark.parametrize(
    ("step", "stage_steps", "share"),
    [(0, 100, 1.0), (50, 100, 0.625), (100, 100, 0.25), (10, 20, 0.625)],
)
def test_shares_kept_are_the_rates(step, stage_steps, share, make_facts, make_hyper):
    # b_0 = 10 / 40; halfway 1 - (1 - 1/4) / 2. With 4000 rows a standard error is .008.
    one = abc.AuxiliaryBalancedClassifier(make_hyper(threshold=0.5), make_facts([40, 10]))
    weak = tf.tile([[9.0, 0.0]], [4000, 1])
    terms = one.extra_terms(outputs_of(weak, tf.zeros([4000, 2]), [0] * 4000, step, stage_steps))
    assert float(terms["loss_abc_unlabeled"]) / np.log(2) == pytest.approx(share, abs=0.03)
    assert float(terms["loss_abc_labeled"]) / np.log(2) == pytest.approx(0.25, abs=0.03)
