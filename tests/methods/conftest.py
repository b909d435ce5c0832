"""A linear network, and one step of a method on it."""

import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import base
from drw_tf.ops import mixup
from drw_tf.rebalance import base as rebalance


def linear_network(kernel, bias):
    """f(x) = x W + b."""
    kernel = np.asarray(kernel, np.float32)
    images = keras.Input([kernel.shape[0]])
    dense = keras.layers.Dense(kernel.shape[1], name="logits")
    network = keras.Model(images, {"logits": dense(images), "features": images})
    dense.set_weights([kernel, np.asarray(bias, np.float32)])
    return network


def make(
    method, network, values, *, rebalancers=(), counts=(1.0, 1.0), steps=10, step=0, optimizer=None
):
    """A method about to do step `step` of `steps`; `network` is a function without arguments."""
    made = method(
        lambda heads: network(),
        rebalance.Hyperparameters(values, tuple(values)),
        rebalance.Facts(len(counts), np.asarray(counts, np.float64), 100, steps, 5),
        list(rebalancers),
        base.Training(0.999, False, 0.0, "l2"),
    )
    optimizer = optimizer or keras.optimizers.SGD(0.0)
    optimizer.build(made.network.trainable_variables)
    made.compile(optimizer=optimizer)
    optimizer.iterations.assign(step)
    return made


def step(method, batch):
    """Terms, scalars and gradients by variable name, without a change of weights."""
    with tf.GradientTape() as tape:
        terms, scalars = method.loss_terms(batch, method.prepare(batch))
        loss = tf.add_n(list(terms.values()))
    variables = method.network.trainable_variables
    gradients = tape.gradient(loss, variables)
    named = zip(variables, gradients, strict=True)
    return terms, scalars, {v.name.split(":")[0]: gradient for v, gradient in named}


def batch(labeled, labels, unlabeled):
    """A batch of these views, float32, with indices from 0."""

    def stream(views):
        views = {name: tf.constant(value, tf.float32) for name, value in views.items()}
        rows = len(next(iter(views.values())))
        return views | {"index": tf.range(rows, dtype=tf.int64)}

    return {
        "labeled": stream(labeled) | {"label": tf.constant(labels, tf.int32)},
        "unlabeled": stream(unlabeled),
    }


def fix_draws(monkeypatch, coefficient, partners):
    """Mixup keeps this share of each row and takes the rest of that partner."""
    monkeypatch.setattr(mixup, "draw_coefficient", lambda *_: tf.constant(coefficient, tf.float32))
    monkeypatch.setattr(mixup, "draw_partners", lambda *_: tf.constant(partners, tf.int32))


class Weights(rebalance.Rebalancer):
    """Class weights 1 and 3 on labeled pictures, 2 and 4 on unlabeled ones."""

    def __init__(self):
        super().__init__(None, None)

    def labeled_weights(self, labels):
        return tf.gather([1.0, 3.0], labels)

    def unlabeled_weights(self, pseudo_label):
        return tf.gather([2.0, 4.0], pseudo_label)


class Swap(rebalance.Rebalancer):
    """Refines by swapping two classes; remembers what it was given."""

    def __init__(self, refines):
        super().__init__(None, None)
        self.refines = refines
        self.given = None

    def refine(self, probabilities, weak):
        self.given = (probabilities, weak)
        return probabilities[:, ::-1]


@pytest.fixture(scope="session")
def bench():
    """What tests of single steps are made with."""
    return types.SimpleNamespace(
        linear_network=linear_network,
        make=make,
        step=step,
        batch=batch,
        fix_draws=fix_draws,
        Weights=Weights,
        Swap=Swap,
    )
