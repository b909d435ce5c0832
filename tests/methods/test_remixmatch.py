"""ReMixMatch's losses against the published code's, from stored outputs of a network."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from drw_tf.methods import remixmatch

HYPER = {
    "temperature": 0.5,
    "lambda_u": 1.5,
    "mixup_alpha": 0.75,
    "ramp": "linear",
    "ramp_fraction": 1.0,
    "forward": "joint",
    "pseudo_memory": "epoch",
    "strong_views": 2,
    "align_distribution": True,
    "strong_weight": 0.5,
    "rotation_weight": 0.5,
}


class Stored(keras.Model):
    """Gives stored outputs, one after the other, whatever it is asked."""

    input_shape = (None, 4, 4, 1)

    def __init__(self):
        super().__init__()
        self.unused = self.add_weight(shape=[1], name="unused")
        self.answers = []

    def call(self, images, training=False):
        return self.answers.pop(0)


def joined(mixed, turned, strong):
    """One head's rows of the joint pass; numbers stand for as many rows of zeros."""
    parts = (mixed, turned, strong)
    (width,) = {np.shape(part)[1] for part in parts if np.ndim(part)}
    return np.concatenate([part if np.ndim(part) else np.zeros([part, width]) for part in parts])


def cases(golden, *names):
    found = {case["id"]: case for case in golden("remixmatch")["cases"]}
    return [(found[name]["inputs"], found[name]["outputs"]) for name in names]


def error(logits, targets):
    """Gradient of mean cross-entropy by its logits."""
    shifted = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return (shifted / shifted.sum(1, keepdims=True) - targets) / len(logits)


def gradients(inputs, expected):
    """Of the published loss by both heads of the joint pass, from its own targets."""
    rows = len(inputs["y"])
    ramp = expected["ramped_weight_u"] / inputs["lambda_u"]
    mixed, targets = np.array(inputs["logits_mixed"]), np.array(expected["mixed_targets"])
    unlabeled = expected["ramped_weight_u"] * error(mixed[rows:], targets[rows:])
    turns = np.eye(4)[inputs["rot_labels"]]
    strong = error(np.array(inputs["logits_strong1"]), expected["aligned_sharpened_targets_u"])
    return {
        "logits": joined(
            np.concatenate([error(mixed[:rows], targets[:rows]), unlabeled]),
            rows,
            ramp * inputs["w_ent"] * strong,
        ),
        "rotation": joined(
            len(mixed), inputs["w_rot"] * error(np.array(inputs["logits_rot"]), turns), rows
        ),
    }


# The aligned cases share a window, so they run one after the other.
@pytest.mark.parametrize(
    "names",
    [
        ["darp_first_batches_0", "darp_first_batches_1", "darp_first_batches_2"],
        ["darp_later_window128_0", "darp_later_window128_1"],
        ["darp_no_align_0", "darp_no_align_1"],
    ],
    ids=["first_batches", "full_window", "no_alignment"],
)
def test_steps_equal_the_published_codes(golden, bench, monkeypatch, names):
    steps = cases(golden, *names)
    inputs = steps[0][0]
    counts = np.array(inputs["target_dist"])
    method = bench.make(
        remixmatch.ReMixMatch,
        Stored,
        HYPER | {"align_distribution": inputs["align"], "lambda_u": inputs["lambda_u"]},
        counts=counts,
        steps=inputs["epochs"] * inputs["val_iteration"],
    )
    # There the target are counts scaled to the pool already; only the 1e-6 would notice.
    method.facts = method.facts.__class__(**vars(method.facts) | {"pool_size": counts.sum()})
    for inputs, expected in steps:
        done = inputs["epoch"] * inputs["val_iteration"] + inputs["batch_idx"]
        if "emp_dist_before_this_run" in inputs:
            rows = np.array(inputs["emp_dist_before_this_run"])
            method.predicted.rows.assign(np.roll(rows, done % 128, axis=0))
        method.optimizer.iterations.assign(done)
        check_step(method, bench, monkeypatch, inputs, expected)


def check_step(method, bench, monkeypatch, inputs, expected):
    coefficient = max(inputs["beta_draw"], 1 - inputs["beta_draw"])
    bench.fix_draws(monkeypatch, coefficient, inputs["permutation"])
    turns = tf.constant(inputs["rot_labels"], tf.int32)
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_: turns)
    rows = len(inputs["y"])
    pictures = np.zeros([rows, 4, 4, 1])
    views = {"weak": pictures, "strong": pictures, "strong_2": pictures}
    batch = bench.batch({"strong": pictures}, inputs["y"], views)
    outputs = {
        "logits": joined(inputs["logits_mixed"], rows, inputs["logits_strong1"]),
        "rotation": joined(len(inputs["logits_mixed"]), inputs["logits_rot"], rows),
    }
    outputs = {name: tf.constant(value, tf.float32) for name, value in outputs.items()}
    weak = tf.constant(inputs["logits_weak"], tf.float32)
    method.network.answers = [{"logits": weak}, outputs]
    with tf.GradientTape() as tape:
        tape.watch([weak, outputs])
        prepared = method.prepare(batch)
        terms, _ = method.loss_terms(batch, prepared)
        loss = tf.add_n(list(terms.values()))
    by_weak, by_outputs = tape.gradient(loss, [weak, outputs])
    assert by_weak is None
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(
        prepared["targets"], expected["aligned_sharpened_targets_u"], **close
    )
    np.testing.assert_allclose(prepared["mixed_targets"], expected["mixed_targets"], **close)
    for term, theirs in (
        ("loss_labeled", "loss_x"),
        ("loss_unlabeled", "loss_u_weighted"),
        ("loss_rotation", "loss_rot_weighted"),
        ("loss_strong", "loss_ent_weighted"),
    ):
        np.testing.assert_allclose(terms[term], expected[theirs], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(loss, expected["loss"], rtol=1e-5)
    for name, gradient in gradients(inputs, expected).items():
        np.testing.assert_allclose(by_outputs[name], gradient, **close, err_msg=name)


def square_network(classes=2, width=2):
    """A linear head on 2 x 2 pictures, and the rotation head."""
    images = keras.Input([2, width, 1])
    features = keras.layers.Flatten()(images)
    heads = {
        name: keras.layers.Dense(units, name=name)(features)
        for name, units in (("logits", classes), ("rotation", 4))
    }
    return keras.Model(images, heads)


def small_batch(bench, rows=5):
    generator = np.random.default_rng(0)
    draw = lambda: generator.uniform(size=[rows, 2, 2, 1])  # noqa: E731
    views = {name: draw() for name in ("weak", "strong", "strong_2")}
    return bench.batch({"strong": draw()}, np.arange(rows) % 2, views)


def test_turned_pictures_are_the_first_strong_views_turned_by_their_label(bench):
    method = bench.make(remixmatch.ReMixMatch, square_network, HYPER)
    batch = small_batch(bench, rows=32)
    prepared = method.prepare(batch)
    turns = prepared["turns"].numpy()
    assert set(turns) == {0, 1, 2, 3}
    for turned, strong, k in zip(
        prepared["turned"], batch["unlabeled"]["strong"], turns, strict=True
    ):
        np.testing.assert_array_equal(turned, np.rot90(strong, k))


def test_oblong_pictures_are_refused(bench):
    with pytest.raises(ValueError, match="must be square, got 2 x 3"):
        bench.make(remixmatch.ReMixMatch, lambda: square_network(width=3), HYPER)


def test_draws_change_with_the_step_and_with_nothing_else(bench):
    batch = small_batch(bench, rows=32)

    def draws(step, seed=0):
        method = bench.make(remixmatch.ReMixMatch, square_network, HYPER, step=step)
        method.facts = method.facts.__class__(**vars(method.facts) | {"seed": seed})
        prepared = method.prepare(batch)
        return prepared["turns"].numpy(), prepared["images"].numpy()

    for ours, theirs in zip(draws(3), draws(3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for other in (draws(4), draws(3, seed=1)):
        for ours, theirs in zip(draws(3), other, strict=True):
            assert (ours != theirs).any()


def test_separate_and_joint_passes_agree_without_batch_statistics(bench):
    results = []
    for forward in ("joint", "separate"):
        method = bench.make(remixmatch.ReMixMatch, square_network, HYPER | {"forward": forward})
        for variable in method.network.variables:
            variable.assign(tf.random.stateless_normal(variable.shape, [0, variable.shape[-1]]))
        results.append(bench.step(method, small_batch(bench)))
    for ours, theirs in zip(*results, strict=True):
        for name, value in ours.items():
            np.testing.assert_allclose(theirs[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def sharp(probabilities):
    """With temperature 1/2."""
    return probabilities**2 / (probabilities**2).sum(1, keepdims=True)


def test_predictions_are_refined_before_they_are_aligned_and_finished_targets_after(bench):
    p = np.array([[2, 1], [2, 3]]) / [[3], [5]]
    logits = tf.constant(np.log(p), tf.float32)

    def targets(swap):
        """Of a first step, labeled pictures being three to one."""
        method = bench.make(
            remixmatch.ReMixMatch, square_network, HYPER, rebalancers=[swap], counts=(3.0, 1.0)
        )
        found = method.targets(logits, tf.range(2, dtype=tf.int64))
        np.testing.assert_array_equal(swap.given[1].logits, logits)
        return found

    def aligned(probabilities):
        """To (3/4, 1/4) from the mean of this batch, the only one so far."""
        shares = probabilities * [3, 1] / probabilities.mean(0)
        return shares / shares.sum(1, keepdims=True)

    swap = bench.Swap("predictions")
    np.testing.assert_allclose(targets(swap), sharp(aligned(p[:, ::-1])), rtol=1e-4)
    np.testing.assert_allclose(swap.given[0], p, rtol=1e-5)
    swap = bench.Swap("targets")
    np.testing.assert_allclose(targets(swap), sharp(aligned(p))[:, ::-1], rtol=1e-4)
    np.testing.assert_allclose(swap.given[0], sharp(aligned(p)), rtol=1e-4)


def test_predictions_are_aligned_to_the_true_counts_of_the_pool_where_they_are_known(bench):
    method = bench.make(remixmatch.ReMixMatch, square_network, HYPER, counts=(3.0, 1.0))
    known = {"pool_counts": np.array([20.0, 80.0])}
    method.facts = method.facts.__class__(**vars(method.facts) | known)
    logits = tf.constant(np.log([[2 / 3, 1 / 3]]), tf.float32)
    got = method.targets(logits, tf.range(1, dtype=tf.int64))
    # One picture is the mean of its batch, so that it becomes (1/5, 4/5).
    np.testing.assert_allclose(got, sharp(np.array([[0.2, 0.8]])), rtol=1e-4)


def test_each_share_of_a_soft_target_weighs_what_its_class_weighs(bench, monkeypatch):
    # Every row is 3/4 of itself; the labeled and the weak one are each other's partner.
    bench.fix_draws(monkeypatch, 0.75, (1, 0, 2))
    hyper = {"strong_views": 1, "align_distribution": False, "ramp_fraction": 0.0}
    method = bench.make(remixmatch.ReMixMatch, Stored, HYPER | hyper, rebalancers=[bench.Weights()])
    picture = np.zeros([1, 4, 4, 1])
    batch = bench.batch({"strong": picture}, [1], {"weak": picture, "strong": picture})
    # p = (2/3, 1/3), sharpened q = (4/5, 1/5); then what is said of the three mixed pictures,
    # of the turned and of the strong one.
    weak = np.array([[2, 1]]) / 3
    p = np.array([[1, 3], [2, 3], [5, 2], [1, 1], [1, 7]]) / [[4], [5], [7], [2], [8]]
    said = {"logits": tf.constant(np.log(p), tf.float32), "rotation": tf.zeros([5, 4])}
    method.network.answers = [{"logits": tf.constant(np.log(weak), tf.float32)}, said]
    terms, _ = method.loss_terms(batch, method.prepare(batch))
    logs = -np.log(p)
    # Mixed targets: 3/4 (0, 1) + 1/4 q = (1/5, 4/5); 3/4 q + 1/4 (0, 1) = (3/5, 2/5); q.
    each = [
        2 * 3 / 5 * logs[1, 0] + 4 * 2 / 5 * logs[1, 1],
        8 / 5 * logs[2, 0] + 4 / 5 * logs[2, 1],
    ]
    expected = {
        "loss_labeled": 1 / 5 * logs[0, 0] + 3 * 4 / 5 * logs[0, 1],
        "loss_unlabeled": 1.5 * np.mean(each),
        "loss_strong": 0.5 * (2 * 4 / 5 * logs[4, 0] + 4 * 1 / 5 * logs[4, 1]),
        "loss_rotation": 0.5 * np.log(4),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(method.histogram.loss_by_class(), [np.mean(each), 0], rtol=1e-5)


@pytest.mark.parametrize("seam", ["supervised_loss", "extra_terms", "pseudo_target"])
def test_a_rebalancer_at_a_seam_that_is_not_read_is_refused(bench, seam):
    kind = type("Needs", (bench.Weights,), {seam: lambda self, *_: None})
    with pytest.raises(ValueError, match=f"needs {seam}, which ReMixMatch does not read"):
        bench.make(remixmatch.ReMixMatch, square_network, HYPER, rebalancers=[kind()])


def test_a_rebalancer_that_asks_for_what_is_so_anyway_is_not_refused(bench):
    kind = type(
        "Softens",
        (bench.Weights,),
        {"pseudo_target": lambda self, *_: None, "optional_seams": ("pseudo_target",)},
    )
    bench.make(remixmatch.ReMixMatch, square_network, HYPER, rebalancers=[kind()])
