"""Pseudo-labels whose class counts are those of a prior: the refinery of DARP.

    1. `remove_noise`   of each class only the most probable pictures keep it
    2. `project`        the nearest labels whose columns sum to the targets

The second step is a convex problem. Its dual has one variable a class, so it is solved by
Newton's method on [C, C] systems; each iteration is one pass over the [N, C] rows. Loops
are bounded and inside the graph; all arithmetic is float64.

Source:
    Kim et al., NeurIPS 2020 (arXiv:2007.08844); bbuing9/DARP:common.py, training_functions.py.
"""

from typing import NamedTuple

import tensorflow as tf

from drw_tf.ops import checks

# Where the solver stops: the largest error of a column, as a share of all rows.
TOLERANCE = 1e-9
# Least entropy, nats; a row weighs 1 / entropy.
MIN_ENTROPY = 1e-6

_STEPS = 20
_SEARCH_STEPS = 20
_MAX_LEVELS = 20


class Projection(NamedTuple):
    """What `project` and `refine` return.

    Attributes:
        probabilities: float64 [N, C], rows that sum to 1.
        dual: float64 [C], a start for the next call on similar rows.
        column_error: float64 scalar, largest error of a column, as a share of N.
    """

    probabilities: tf.Tensor
    dual: tf.Tensor
    column_error: tf.Tensor


def remove_noise(probabilities: tf.Tensor, target_counts: tf.Tensor, alpha: float) -> tf.Tensor:
    """Probabilities in which each class is left to its most probable pictures.

        row_n proportional to  P_nc K_nc (q_c + 1e-6) / (k_c + 1e-6) + 1e-6

    K is 1 for the floor(alpha q_c) largest entries of column c and 0 for the others, k_c
    the sum of those kept. Of equal entries the one in the earlier row is kept.

    Args:
        probabilities: P, float [N, C], rows that sum to 1.
        target_counts: q, [C], pictures that each class should have, >= 0.
        alpha: > 0; 1 keeps as many as the target, a large one all.

    Returns:
        float64 [N, C], > 0, rows that sum to 1.

    Raises:
        ValueError: `alpha` is not positive or a target is negative.

    Source:
        Kim et al.; bbuing9/DARP:common.py, estimate_pseudo, whose constants these are.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be > 0, got {alpha}.")
    columns = tf.transpose(checks.as_float64(probabilities))
    targets = checks.at_least(0, "target_counts", target_counts)
    shape = tf.shape(columns)
    # Of equal entries `top_k` puts the one of lower index first.
    largest, row = tf.math.top_k(columns, shape[1])
    place = tf.cast(tf.range(shape[1]), tf.float64)
    largest = tf.where(place < tf.floor(alpha * targets)[:, None], largest, 0.0)
    scale = (targets + 1e-6) / (tf.reduce_sum(largest, axis=1) + 1e-6)
    flat = tf.reshape(row + tf.range(shape[0])[:, None] * shape[1], [-1, 1])
    scaled = tf.reshape(largest * scale[:, None], [-1])
    kept = tf.reshape(tf.scatter_nd(flat, scaled, shape[:1] * shape[1:]), shape)
    rows = tf.transpose(kept) + 1e-6
    return rows / tf.reduce_sum(rows, axis=1, keepdims=True)


def project(
    probabilities: tf.Tensor, target_counts: tf.Tensor, dual: tf.Tensor | None = None
) -> Projection:
    """Nearest labels that have the wanted number of each class.

        min_X  sum_n w_n KL(X_n || P_n),   w_n = 1 / H_n
        rows of X sum to 1, column c to q_c N / sum_k q_k

    The solution is X_n = softmax(log P_n - H_n nu); nu, [C], minimises the smooth convex
    function sum_n w_n log sum_c P_nc exp(-H_n nu_c) + q . nu. A class with target 0 is left
    empty. Rows that the network is sure of hardly move unless the targets force them to.

    Args:
        probabilities: P, float [N, C], > 0, rows that sum to 1.
        target_counts: q, [C], >= 0, not all 0; only their ratios matter.
        dual: nu to start from, float64 [C]; None for zeros. It changes the time that the
            solution takes, not the solution.

    Returns:
        `Projection`.

    Raises:
        ValueError: a target is negative.

    Source:
        Kim et al. Differs from bbuing9/DARP:common.py, opt_solver: its 10 sweeps of a loose
        secant method leave columns wrong by up to a third of all pictures where a wanted
        class is hardly predicted; and its H_n can be 0 or negative.
    """
    problem = _problem(probabilities, target_counts)
    if dual is None:
        dual = tf.zeros_like(problem.targets)
    dual, rows = _newton(problem, dual, TOLERANCE)
    error = _column_error(problem, rows)

    def again():
        second, second_rows = _newton(problem, _annealed_dual(problem), TOLERANCE)
        second_error = _column_error(problem, second_rows)
        better = second_error < error
        return (
            tf.where(better, second_rows, rows),
            tf.where(better, second, dual),
            tf.where(better, second_error, error),
        )

    return Projection(*tf.cond(error > TOLERANCE, again, lambda: (rows, dual, error)))


def refine(
    probabilities: tf.Tensor,
    target_counts: tf.Tensor,
    alpha: float,
    dual: tf.Tensor | None = None,
) -> Projection:
    """Labels of both steps: `project` after `remove_noise`.

    Args:
        probabilities: float [N, C], rows that sum to 1.
        target_counts: [C], >= 0, pictures that each class should have.
        alpha: > 0, see `remove_noise`.
        dual: float64 [C], see `project`.

    Returns:
        `Projection`.

    Raises:
        ValueError: `alpha` is not positive or a target is negative.
    """
    return project(remove_noise(probabilities, target_counts, alpha), target_counts, dual)


# The solver. Rows are softmax((scores - nu) * entropy), scores = log P / entropy.


class _Problem(NamedTuple):
    scores: tf.Tensor
    entropy: tf.Tensor
    targets: tf.Tensor


def _problem(probabilities, target_counts) -> _Problem:
    probabilities = checks.as_float64(probabilities)
    targets = checks.at_least(0, "target_counts", target_counts)
    total = tf.reduce_sum(targets)
    targets = tf.where(targets > TOLERANCE * total, targets, 0.0)
    targets *= tf.cast(tf.shape(probabilities)[0], tf.float64) / tf.reduce_sum(targets)
    # Differs from the published code, where the 1e-6 makes the entropy of a certain row
    # 0 or negative and its weight infinite or negative.
    entropy = -tf.reduce_sum(probabilities * tf.math.log(probabilities + 1e-6), axis=1)
    entropy = tf.maximum(entropy, MIN_ENTROPY)
    scores = tf.math.log(probabilities) / entropy[:, None]
    scores = tf.where(targets > 0, scores, tf.constant(-float("inf"), tf.float64))
    return _Problem(scores, entropy, targets)


def _rows(problem, dual):
    return tf.nn.softmax((problem.scores - dual) * problem.entropy[:, None])


def _gradient(problem, rows):
    return problem.targets - tf.reduce_sum(rows, axis=0)


def _column_error(problem, rows):
    return tf.reduce_max(tf.abs(_gradient(problem, rows))) / tf.reduce_sum(problem.targets)


def _newton(problem, dual, tolerance):
    """(dual, its rows) after Newton steps with line search, until the columns are right."""

    def is_wrong(dual, rows):
        return _column_error(problem, rows) > tolerance

    def improve(dual, rows):
        return _line_search(problem, dual, rows, _direction(problem, rows))

    start = (dual, _rows(problem, dual))
    return tf.while_loop(is_wrong, improve, start, maximum_iterations=_STEPS)


def _direction(problem, rows):
    """float64 [C], the Newton step: minus the inverse Hessian times the gradient.

    The Hessian is sum_n H_n (diag(X_n) - X_n X_n^T). It is scaled to a unit diagonal, and
    its null vector (1, ..., 1) is filled in. A class whose diagonal is 0 stays on its own.
    """
    weighted = rows * problem.entropy[:, None]
    diagonal = tf.reduce_sum(weighted, axis=0)
    hessian = tf.linalg.diag(diagonal) - tf.matmul(rows, weighted, transpose_a=True)
    curvature = tf.linalg.diag_part(hessian)
    curved = curvature > 0
    scale = tf.where(curved, tf.sqrt(tf.abs(curvature)), 1.0)
    null = tf.math.l2_normalize(tf.where(curved, scale, 0.0), epsilon=1e-300)
    system = hessian / (scale * scale[:, None]) + null * null[:, None]
    system += tf.linalg.diag(tf.where(curved, tf.constant(1e-12, tf.float64), 1.0))
    slope = _gradient(problem, rows) / scale
    step = -tf.linalg.solve(system, slope[:, None])[:, 0] / scale
    return step - tf.reduce_mean(step)


def _line_search(problem, dual, rows, direction):
    """(dual, its rows) at a point along the direction where the slope is at most halved.

    Near the solution that is the full step. Far from it, where rows are saturated, the right
    length is anything from 1e-6 to 100 times that, so it is bracketed on a logarithmic scale.
    """

    def slope_of(rows):
        return tf.reduce_sum(_gradient(problem, rows) * direction)

    steepest = tf.abs(slope_of(rows))

    def is_steep(length, low, high, rows):
        return tf.abs(slope_of(rows)) > 0.5 * steepest

    def move(length, low, high, rows):
        too_short = slope_of(rows) < 0
        low = tf.where(too_short, length, low)
        high = tf.where(too_short, high, length)
        inside = tf.where(low > 0, tf.sqrt(low) * tf.sqrt(high), high / 16)
        length = tf.where(tf.math.is_inf(high), 4 * length, inside)
        return length, low, high, _rows(problem, dual + length * direction)

    one, zero, infinity = (tf.constant(number, tf.float64) for number in (1, 0, float("inf")))
    start = (one, zero, infinity, _rows(problem, dual + direction))
    length, _, _, rows = tf.while_loop(is_steep, move, start, maximum_iterations=_SEARCH_STEPS)
    return dual + length * direction, rows


def _annealed_dual(problem):
    """float64 [C], near the solution, from wherever that is.

    Where most rows are certain, Newton steps from afar are thrown about. So the problem is
    solved first with every entropy cut to a small cap, which makes the rows soft, and then
    with caps four times as large each time, until none is cut.
    """
    finite = tf.math.is_finite(problem.scores)
    largest = tf.reduce_max(tf.where(finite, tf.abs(problem.scores), 0.0))
    top = tf.reduce_max(problem.entropy)

    share = problem.targets / tf.reduce_sum(problem.targets)
    loose = tf.minimum(0.1 * tf.reduce_min(tf.where(share > 0, share, 1.0)), 1e-3)

    def is_cut(cap, dual):
        return cap < top

    def warm(cap, dual):
        softer = problem._replace(entropy=tf.minimum(problem.entropy, cap))
        return 4 * cap, _newton(softer, dual, loose)[0]

    start = (2 / tf.maximum(largest, 1.0), tf.zeros_like(problem.targets))
    return tf.while_loop(is_cut, warm, start, maximum_iterations=_MAX_LEVELS)[1]
