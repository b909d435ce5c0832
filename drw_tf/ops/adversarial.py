"""Virtual adversarial perturbations: where a small change of the input changes most."""

from collections.abc import Callable

import tensorflow as tf


def unit_rows(values: tf.Tensor) -> tf.Tensor:
    """Each row divided by its L2 norm; rows of zeros stay zeros.

        v / |v|

    Args:
        values: float [N, ...].

    Returns:
        The type and shape of `values`.
    """
    axes = list(range(1, values.shape.rank))
    # Gradients of certain predictions are so small that their squares underflow.
    largest = tf.reduce_max(tf.abs(values), axis=axes, keepdims=True)
    scaled = tf.math.divide_no_nan(values, largest)
    norm = tf.sqrt(tf.reduce_sum(tf.square(scaled), axis=axes, keepdims=True))
    return tf.math.divide_no_nan(scaled, norm)


def perturbation(
    forward: Callable[[tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    logits: tf.Tensor,
    start: tf.Tensor,
    *,
    radius: float,
    difference: float,
    iterations: int,
) -> tf.Tensor:
    """Perturbations of a given length in the direction that changes predictions most.

        d <- start / |start|;  repeat:  d <- g / |g|,  g = grad_r KL(p(x) || p(x + r)) at r = xi d
        result: eps d

    By power iteration d comes near the largest eigenvector of the divergence's Hessian at
    r = 0, one backward pass each time. No gradient flows into the result.

    Args:
        forward: images to logits, float [N, C].
        images: x, float [N, ...].
        logits: of `images`, [N, C].
        start: random, not 0, shape of `images`.
        radius: eps, L2 norm of the result in units of `images`, >= 0.
        difference: xi, L2 norm of the step of the finite difference, > 0. In float32, 1e-6
            drowns in rounding (cosine to the true direction down to .2), 1e-2 does not.
        iterations: >= 1.

    Returns:
        The type and shape of `images`; rows where the gradient vanishes are 0.

    Raises:
        ValueError: `radius`, `difference` or `iterations` is out of range.

    Source:
        Miyato et al., TPAMI 2018 (arXiv:1704.03976), Eqs. 9 to 12 and Algorithm 1.
    """
    if not radius >= 0:
        raise ValueError(f"radius must be >= 0, got {radius}.")
    if not difference > 0:
        raise ValueError(f"difference must be > 0, got {difference}.")
    if not iterations >= 1:
        raise ValueError(f"iterations must be >= 1, got {iterations}.")
    target = tf.stop_gradient(tf.nn.softmax(logits))
    direction = unit_rows(start)
    for _ in range(iterations):
        small = difference * direction
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(small)
            # KL up to a constant, the entropy of the target.
            divergence = -tf.reduce_sum(target * tf.nn.log_softmax(forward(images + small)))
        direction = unit_rows(tf.stop_gradient(tape.gradient(divergence, small)))
    return tf.stop_gradient(radius * direction)
