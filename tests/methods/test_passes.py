"""Which rows share a pass in training mode, in which order: by what batch statistics become."""

import numpy as np
import pytest
from tensorflow import keras

from drw_tf import flag_table, recipes

EPSILON = 1e-3
# Nothing is mixed or aligned, and no weight rises.
HYPER = {
    "lambda_u": 1.0,
    "ramp": "linear",
    "ramp_fraction": 0.0,
    "temperature": 0.5,
    "mixup_alpha": 0.0,
    "threshold": 0.0,
    "pseudo_count": "all",
    "pseudo_memory": "epoch",
    "strong_views": 1,
    "strong_weight": 1.0,
    "rotation_weight": 1.0,
    "align_distribution": False,
    "vat_radius": 1.0,
    "vat_difference": 1e-2,
    "vat_iterations": 1,
}


def network():
    """The four pixels of 2 x 2 pictures, normalised; half of the moving statistics stays."""
    images = keras.Input([2, 2, 1])
    norm = keras.layers.BatchNormalization(momentum=0.5, epsilon=EPSILON)
    outputs = norm(keras.layers.Flatten()(images))
    return keras.Model(images, {"logits": outputs, "rotation": outputs})


def normal(rows):
    return (rows - rows.mean(0)) / np.sqrt(rows.var(0) + EPSILON)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def sharp(probabilities):
    return probabilities**2 / (probabilities**2).sum(1, keepdims=True)


def interleaved(one, two, three):
    """Three passes of three rows: k >= 1 has given its row k to the first for that one's."""
    return [
        np.stack([one[0], two[1], three[2]]),
        np.stack([two[0], one[1], two[2]]),
        np.stack([three[0], three[1], one[2]]),
    ]


def expected(name, forward, x, views, turned):
    """Passes that move batch statistics, and what the step says by name; of [3, 4] pixels."""
    weak, second, strong = views.values()
    joint = forward == "joint"
    if name == "supervised":
        return [x], {}
    if name == "vat":
        return [x], {"logits": normal(weak)}
    if name == "mean_teacher":
        targets = softmax(normal(weak))
        error = (softmax(normal(second)) - targets) ** 2
        return [x], {"targets": targets, "loss_unlabeled": error.mean()}
    if name == "mixmatch":
        both = np.concatenate([weak, second])
        logits = np.split(normal(both), 2) if joint else [normal(weak), normal(second)]
        targets = sharp(np.mean([softmax(one) for one in logits], axis=0))
        mixed = np.concatenate([x, both])
        passes = [both, mixed] if joint else [weak, second, *interleaved(x, weak, second)]
        return passes, {"targets": targets}
    if name == "remixmatch":
        rest = [*interleaved(x, weak, strong), turned, strong]
        if joint:
            rest = [np.concatenate([x, weak, strong, turned, strong])]
        return [weak, *rest], {"targets": sharp(softmax(normal(weak)))}
    assert name == "fixmatch", f"which passes {name} makes must be said here"
    together = np.concatenate([x, weak, strong])
    logits = normal(together)[3:6] if joint else normal(weak)
    passes = [together] if joint else [weak, np.concatenate([x, strong])]
    return passes, {"confidence": softmax(logits).max(1).mean()}


CASES = [
    (name, forward)
    for name, component in recipes.METHODS.items()
    for forward in (("joint", "separate") if "forward" in component.flags else (None,))
]


@pytest.mark.parametrize(("name", "forward"), CASES)
def test_these_passes_move_batch_statistics_and_the_others_are_normalised_alone(
    bench, name, forward
):
    flags = recipes.METHODS[name].flags
    values = {flag: HYPER.get(flag, flag_table.BY_NAME[flag].default) for flag in flags}
    values["forward"] = forward
    method = bench.make(recipes.METHODS[name].load(), network, values, counts=np.ones(4))
    generator = np.random.default_rng(0)
    x = generator.uniform(size=[3, 4])
    # Each view is far from the others, so that statistics of any other rows would be others.
    views = {
        view: generator.uniform(size=[3, 4]) + 2 * number
        for number, view in enumerate(("weak", "weak_2", "strong"), 1)
    }
    pictures = {view: rows.reshape(3, 2, 2, 1) for view, rows in views.items()}
    batch = bench.batch({method.labeled_views[0]: x.reshape(3, 2, 2, 1)}, [0, 1, 3], pictures)
    prepared = method.prepare(batch)
    terms, scalars = method.loss_terms(batch, prepared)

    turns = np.asarray(prepared.get("turns", [0, 0, 0]))
    turned = [np.rot90(picture, k) for picture, k in zip(pictures["strong"], turns, strict=True)]
    passes, said = expected(name, forward, x, views, np.reshape(turned, [3, 4]))
    mean, variance = np.zeros(4), np.ones(4)
    for rows in passes:
        mean, variance = (mean + rows.mean(0)) / 2, (variance + rows.var(0)) / 2
    got_mean, got_variance = method.network.non_trainable_variables
    np.testing.assert_allclose(got_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(got_variance, variance, rtol=1e-4)
    # The averaged network's follow in another part of the step.
    for variable, start in zip(method.ema_network.variables[-2:], (0, 1), strict=True):
        np.testing.assert_array_equal(variable, np.full(4, start))

    found = {**prepared, **terms, **scalars}
    for what, value in said.items():
        np.testing.assert_allclose(found[what], value, rtol=1e-4, atol=1e-5, err_msg=what)
