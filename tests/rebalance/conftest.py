"""Facts, flags and whole FixMatch steps on networks small enough for arithmetic."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import base as methods
from drw_tf.methods import fixmatch, mixmatch
from drw_tf.rebalance import base


@pytest.fixture(scope="session")
def make_facts():
    """make_facts(counts, total_steps=100, ...): what a method may know."""

    def make(counts, **values):
        counts = np.asarray(counts, float)
        values = {"pool_size": 12, "total_steps": 100, "steps_per_epoch": 10} | values
        return base.Facts(len(counts), counts, **values)

    return make


@pytest.fixture(scope="session")
def make_hyper():
    """make_hyper(threshold=.95, ...): flags."""
    return lambda **values: base.Hyperparameters(values, tuple(values))


@pytest.fixture
def fixmatch_step(make_hyper):
    """fixmatch_step(...): terms, scalars and gradients by name of one step, and the method."""

    def step(build_network, facts, rebalancers, views, labels, threshold, done=0, **flags):
        strong = [name for name in views if name.startswith("strong")]
        hyper = make_hyper(
            threshold=threshold,
            lambda_u=1.0,
            strong_views=len(strong),
            **{"forward": "joint", "pseudo_count": "all", "pseudo_memory": "epoch", **flags},
        )
        training = methods.Training(0.999, False, 0.0, "l2")
        method = fixmatch.FixMatch(build_network, hyper, facts, rebalancers, training)
        method.compile(optimizer=keras.optimizers.SGD(0.1))
        method.optimizer.iterations.assign(done)
        views = {name: tf.constant(value, tf.float32) for name, value in views.items()}
        rows = len(views["weak"])
        batch = {
            "labeled": {"weak": views.pop("labeled"), "label": tf.constant(labels, tf.int32)},
            "unlabeled": {**views, "index": tf.range(rows, dtype=tf.int64)},
        }
        with tf.GradientTape() as tape:
            terms, scalars = method.loss_terms(batch, method.prepare(batch))
            loss = tf.add_n(list(terms.values()))
        variables = method.network.trainable_variables
        gradients = tape.gradient(loss, variables)
        found = {v.name: g for v, g in zip(variables, gradients, strict=True)}
        return terms, scalars, found, method

    return step


@pytest.fixture
def mixmatch_targets(make_hyper):
    """mixmatch_targets(...): what MixMatch with a rebalancer makes of two views that agree."""

    def targets(build_network, rebalancer, logits):
        hyper = make_hyper(
            lambda_u=1.0,
            ramp="linear",
            ramp_fraction=0.0,
            mixup_alpha=0.75,
            temperature=0.5,
            forward="joint",
            pseudo_memory="epoch",
        )
        training = methods.Training(0.999, False, 0.0, "l2")
        method = mixmatch.MixMatch(build_network, hyper, rebalancer.facts, [rebalancer], training)
        logits = tf.constant(logits, tf.float32)
        return method.targets([logits] * 2, tf.range(len(logits), dtype=tf.int64))

    return targets
