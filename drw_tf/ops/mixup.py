"""Mixup: pairs of rows blended into one, with their targets; and what follows from it."""

import numpy as np
import tensorflow as tf


def draw_coefficient(seed: tf.Tensor, mixup_alpha: float) -> tf.Tensor:
    """Share that each row keeps of itself when it is mixed with its partner.

        lambda = max(l, 1 - l),  l ~ Beta(alpha, alpha)

    Args:
        seed: int64 [2]; the same seed draws the same number.
        mixup_alpha: alpha, >= 0; 0 gives 1 (nothing is mixed), large values give 1/2.

    Returns:
        float32 scalar in [1/2, 1].

    Raises:
        ValueError: `mixup_alpha` is negative.

    Source:
        Berthelot et al., NeurIPS 2019 (arXiv:1905.02249), Eqs. 8 and 9.
    """
    if not mixup_alpha >= 0:
        raise ValueError(f"mixup_alpha must be >= 0, got {mixup_alpha}.")
    if mixup_alpha == 0:
        return tf.ones([])
    # l is the share of one of two Gamma(alpha), each of them Gamma(alpha + 1) U ** (1 / alpha);
    # as logarithms, because for small alpha the numbers themselves underflow.
    gammas = tf.random.stateless_gamma([2], seed, alpha=mixup_alpha + 1.0, dtype=tf.float64)
    other = seed + tf.constant([0, 1 << 62], tf.int64)
    uniforms = 1 - tf.random.stateless_uniform([2], other, dtype=tf.float64)
    logs = tf.math.log(gammas) + tf.math.log(uniforms) / mixup_alpha
    return tf.cast(tf.sigmoid(tf.abs(logs[0] - logs[1])), tf.float32)


def draw_partners(seed: tf.Tensor, rows: int) -> tf.Tensor:
    """A random permutation: row i is mixed with row `partners[i]`, which may be itself.

    Args:
        seed: int64 [2].
        rows: N.

    Returns:
        int32 [N].
    """
    return tf.random.experimental.stateless_shuffle(tf.range(rows), seed)


def mix(values: tf.Tensor, partners: tf.Tensor, coefficient: tf.Tensor) -> tf.Tensor:
    """Blends of rows, of images or of targets.

        lambda v_i + (1 - lambda) v'_i

    >>> mix(tf.constant([[0.0]]), tf.constant([[4.0]]), tf.constant([0.75])).numpy().tolist()
    [[1.0]]

    Args:
        values: float [N, ...].
        partners: v', the type and shape of `values`.
        coefficient: lambda, scalar in [0, 1].

    Returns:
        The type and shape of `values`.

    Source:
        Berthelot et al., NeurIPS 2019 (arXiv:1905.02249), Eqs. 10 and 11.
    """
    coefficient = tf.cast(coefficient, values.dtype)
    return coefficient * values + (1 - coefficient) * partners


def interleaving(batches: int, rows: int) -> np.ndarray:
    """An order of rows whose first batch holds rows of all batches; its own inverse.

    Each batch is cut into as many groups as there are batches, the last ones larger by one
    where they cannot be equal. Batch k >= 1 swaps its group k with group k of batch 0. So
    batch 0 holds a group of every batch, and batch statistics differ less between them.

    Args:
        batches: n, >= 1.
        rows: R, of each batch, >= 1.

    Returns:
        int32 [n R], rows of the batches one after another: take `values[order]`, and again
        `result[order]` to put them back.

    Source:
        `interleave` in the code of Berthelot et al., NeurIPS 2019, and of its descendants.
    """
    order = np.arange(batches * rows, dtype=np.int32).reshape(batches, rows)
    sizes = [rows // batches + (k >= batches - rows % batches) for k in range(batches)]
    ends = np.cumsum(sizes)
    for k in range(1, batches):
        group = slice(ends[k] - sizes[k], ends[k])
        first = order[0, group].copy()
        order[0, group] = order[k, group]
        order[k, group] = first
    return order.reshape(-1)


def weighted_shares(targets: tf.Tensor, class_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Soft targets in which each class's share carries that class's weight, and their size.

        s_i = sum_c w_c t_ic,  t'_ic = w_c t_ic / s_i,  so that
        s_i H(t'_i, f_i) = -sum_c w_c t_ic log softmax(f_i)_c

    A mixed row so weighs what its parts weigh. For a one-hot row t' = t and s = w_y.

    Args:
        targets: float32 [N, C], rows that sum to 1.
        class_weights: w, float32 [C], > 0.

    Returns:
        t' float32 [N, C], rows that sum to 1, and s float32 [N].

    Source:
        The weighted losses on mixed targets in the code of SAW (Lai et al., ICML 2022).
    """
    weighted = targets * class_weights
    size = tf.reduce_sum(weighted, axis=-1)
    return weighted / size[:, None], size
