"""DARP's refinery against the published numbers, SciPy, and its conditions of optimality."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special

from drw_tf.ops import refinement

GOLDEN = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden" / "darp.json").read_text(encoding="utf-8")
)
CASES = {case["id"]: case for case in GOLDEN["cases"]}
EXACT = {name: case for name, case in CASES.items() if "exact_refined" in case["outputs"]}
TOLERANCE = GOLDEN["tolerance"]


def arrays(case):
    inputs = case["inputs"]
    outputs = {name: np.asarray(value) for name, value in case["outputs"].items()}
    return np.asarray(inputs["P"]), np.asarray(inputs["target_counts"]), inputs["alpha"], outputs


def objective(refined, probabilities):
    """sum_n KL(X_n || P_n) / H_n in NumPy."""
    entropy = -(probabilities * np.log(probabilities + 1e-6)).sum(1)
    return (special.rel_entr(refined, probabilities).sum(1) / entropy).sum()


def random_rows(rows, classes, sharpness, seed=0):
    """float32, rows that sum to 1: the larger the sharpness, the more certain."""
    generator = np.random.default_rng(seed)
    logits = sharpness * generator.gumbel(size=[rows, classes])
    return tf.nn.softmax(tf.constant(logits, tf.float32)).numpy()


def long_tail(rows, classes, ratio=100):
    counts = ratio ** (-np.arange(classes) / (classes - 1))
    return counts * rows / counts.sum()


def assert_solved(found, targets):
    rows = len(found.probabilities)
    np.testing.assert_allclose(np.sum(found.probabilities, axis=1), 1, rtol=1e-12)
    wanted = targets * rows / np.sum(targets)
    np.testing.assert_allclose(np.sum(found.probabilities, axis=0), wanted, atol=2e-9 * rows)
    assert found.column_error <= refinement.TOLERANCE


# Noise removal


@pytest.mark.parametrize("name", CASES)
def test_noise_removal_matches_the_published_code(name):
    probabilities, targets, alpha, outputs = arrays(CASES[name])
    got = refinement.remove_noise(probabilities, targets, alpha).numpy()
    expected = outputs["P_after_noise_removal"]
    # Rows that were never seen are uniform, and so tie: which of them is kept is free.
    told_apart = np.ptp(probabilities, axis=1) > 0
    assert told_apart.sum() >= 20 or told_apart.all()
    np.testing.assert_allclose(
        got[told_apart],
        expected[told_apart],
        rtol=TOLERANCE["noise_rtol"],
        atol=TOLERANCE["noise_atol"],
    )


def test_noise_removal_by_hand():
    # q = (1, 1), alpha = 1: column 0 keeps .9, column 1 keeps .6. Scales 1 / .9 and 1 / .6.
    got = refinement.remove_noise([[0.9, 0.1], [0.4, 0.6]], [1.0, 1.0], 1.0)
    np.testing.assert_allclose(got, [[1, 1e-6], [1e-6, 1]], rtol=1e-5)


def test_of_equal_entries_the_earlier_row_keeps_the_class():
    got = refinement.remove_noise(np.full([4, 2], 0.5), [1.0, 3.0], 1.0).numpy()
    np.testing.assert_array_equal(got[:3] > 0.1, [[True, True], [False, True], [False, True]])
    np.testing.assert_allclose(got[3], [0.5, 0.5])  # kept by nobody


def test_large_alpha_keeps_all():
    rows = random_rows(20, 3, 1.0)
    got = refinement.remove_noise(rows, [10.0, 5.0, 5.0], 1e6)
    scaled = rows * np.array([10.0, 5.0, 5.0]) / rows.sum(0)
    np.testing.assert_allclose(got, scaled / scaled.sum(1, keepdims=True), atol=1e-5)


# Projection


@pytest.mark.parametrize("name", EXACT)
def test_projection_and_its_objective_match_the_exact_solution(name):
    _, targets, _, outputs = arrays(EXACT[name])
    rows = outputs["P_after_noise_removal"]
    found = refinement.project(rows, targets)
    assert_solved(found, targets)
    np.testing.assert_allclose(
        found.probabilities, outputs["exact_refined"], atol=TOLERANCE["exact_atol"]
    )
    np.testing.assert_allclose(
        objective(found.probabilities.numpy(), rows),
        outputs["exact_objective"],
        rtol=TOLERANCE["objective_rtol"],
    )


def test_class_that_is_hardly_predicted_but_wanted_equals_a_hundred_published_sweeps():
    # The published 10 sweeps miss a third of all pictures here.
    _, targets, _, outputs = arrays(CASES["one_confident_row_far_prior"])
    found = refinement.project(outputs["P_after_noise_removal"], targets)
    assert_solved(found, targets)
    np.testing.assert_allclose(
        found.probabilities, outputs["refined_100_sweeps"], atol=TOLERANCE["sweeps_atol"]
    )


# SciPy clips its own steps to the bounds and says so in some versions.
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
@pytest.mark.parametrize("seed", range(3))
def test_no_other_solver_finds_a_smaller_objective(seed):
    rows = random_rows(7, 3, 0.7, seed).astype(float)
    targets = np.array([4.0, 2.0, 1.0])

    def columns_are_right(flat):
        matrix = flat.reshape(rows.shape)
        return np.concatenate([matrix.sum(1) - 1, (matrix.sum(0) - targets)[:-1]])

    best = optimize.minimize(
        lambda flat: objective(flat.reshape(rows.shape), rows),
        np.tile(targets / targets.sum(), 7),
        bounds=[(1e-12, 1)] * 21,
        constraints={"type": "eq", "fun": columns_are_right},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert best.success
    got = objective(refinement.project(rows, targets).probabilities.numpy(), rows)
    np.testing.assert_allclose(got, best.fun, rtol=1e-4)


def test_rows_that_meet_the_targets_stay_as_they_are():
    rows = random_rows(50, 4, 1.0)
    found = refinement.project(rows, rows.sum(0))
    np.testing.assert_allclose(found.probabilities, rows, rtol=1e-5)


def test_only_ratios_of_the_targets_matter():
    rows = random_rows(30, 4, 1.0)
    one = refinement.project(rows, [4.0, 3.0, 2.0, 1.0])
    other = refinement.project(rows, [40.0, 30.0, 20.0, 10.0])
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=1e-9)


def test_order_of_rows_and_classes_does_not_matter():
    rows, targets = random_rows(40, 5, 2.0), long_tail(40, 5)
    order, classes = np.random.default_rng(0).permutation(40), np.array([3, 0, 4, 1, 2])
    plain = refinement.refine(rows, targets, 2.0)
    moved = refinement.refine(rows[order][:, classes], targets[classes], 2.0)
    np.testing.assert_allclose(
        moved.probabilities, plain.probabilities.numpy()[order][:, classes], atol=1e-7
    )


@pytest.mark.parametrize("start", [-1e3, 1e5])
def test_where_the_dual_starts_does_not_matter(start):
    rows, targets = random_rows(200, 5, 3.0), long_tail(200, 5)
    cold = refinement.refine(rows, targets, 2.0)
    dual = start * np.arange(5.0)
    again = refinement.refine(rows, targets, 2.0, dual)
    assert_solved(again, targets)
    np.testing.assert_allclose(again.probabilities, cold.probabilities, atol=1e-6)


# Where the published code divides by zero or does not converge


def certain(rows, classes):
    return np.eye(classes, dtype=np.float32)[np.arange(rows) % classes]


@pytest.mark.parametrize(
    "rows",
    [
        certain(60, 5),
        np.eye(5, dtype=np.float32)[np.zeros(60, int)],
        np.full([60, 5], 0.2, np.float32),
        np.concatenate([certain(59, 5), np.full([1, 5], 0.2, np.float32)]),
        np.concatenate([random_rows(30, 5, 0.3), random_rows(30, 5, 100.0)]),
    ],
    ids=["certain", "one_class", "uniform", "one_unsure", "two_kinds"],
)
@pytest.mark.parametrize("targets", [[30.0, 15, 8, 5, 2], [2.0, 5, 8, 15, 30], [57.0, 0, 1, 2, 0]])
def test_solved_whatever_the_rows(rows, targets):
    found = refinement.refine(rows, targets, 2.0)
    assert np.isfinite(found.probabilities).all()
    assert_solved(found, np.array(targets))


@pytest.mark.parametrize("ratio", [100, 1 / 20])
def test_many_classes_of_certain_rows_are_solved_though_newton_alone_is_thrown_about(ratio):
    rows, targets = random_rows(200, 20, 200.0), long_tail(200, 20, ratio)
    assert_solved(refinement.refine(rows, targets, 2.0), targets)


def test_entropy_that_rounds_below_zero_does_not_turn_the_problem_over():
    # -sum p log(p + 1e-6) is -1e-6 here. All rows are alike, so each gets the targets.
    found = refinement.project(np.array([[1 - 1e-9, 1e-9]] * 4), [3.0, 1.0])
    np.testing.assert_allclose(found.probabilities, [[0.75, 0.25]] * 4, rtol=1e-9)


def test_class_without_a_target_is_left_empty():
    found = refinement.refine(random_rows(30, 4, 1.0), [10.0, 0.0, 5.0, 15.0], 2.0)
    np.testing.assert_array_equal(found.probabilities[:, 1], np.zeros(30))


def test_one_class_has_everything():
    found = refinement.refine(np.ones([6, 1]), [3.0], 2.0)
    np.testing.assert_array_equal(found.probabilities, np.ones([6, 1]))


def test_not_a_number_comes_out_as_such_and_stops_nothing():
    rows = random_rows(20, 3, 1.0)
    rows[4] = np.nan
    found = refinement.refine(rows, [10.0, 6.0, 4.0], 2.0)
    assert np.isnan(found.column_error)


@pytest.mark.parametrize("ratio", [100, 1 / 50])
def test_pool_of_the_size_of_cifar10_in_a_graph(ratio):
    rows, targets = random_rows(11163, 10, 8.0), long_tail(11163, 10, ratio)
    found = tf.function(lambda rows: refinement.refine(rows, targets, 2.0))(tf.constant(rows))
    assert_solved(found, targets)
    assert found.probabilities.dtype == tf.float64


# Refusals


def test_alpha_must_be_positive():
    with pytest.raises(ValueError, match=r"alpha must be > 0, got 0\.0\."):
        refinement.remove_noise([[0.5, 0.5]], [1.0, 1.0], 0.0)


def test_targets_must_not_be_negative():
    for step in (refinement.project, lambda p, q: refinement.remove_noise(p, q, 1.0)):
        with pytest.raises(ValueError, match=r"target_counts must be >= 0, got -1\.0\."):
            step([[0.5, 0.5]], [-1.0, 1.0])
