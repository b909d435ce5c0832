"""Dynamic re-weighting: the equations of the paper, in its order.

    Eq. 1, 9        labeled loss            `weighted_labeled_loss` (Eq. 1: weights 1)
    Eq. 2, 3        pseudo-labels           `drw_tf.ops.pseudo_labels.hard_pseudo_labels`
    Eq. 4, 8, 10    unlabeled loss          `weighted_unlabeled_loss` (Eq. 4: weights 1)
    Sec. 3.3        pseudo number, R^u      `pseudo_numbers`, `imbalance_ratio`
    Def. 1, 2       effective number, beta  `effective_number`, `resolve_beta`
    Eq. 7           1 / e_c                 `class_weights`
    Sec. 6.2        logit adjustment        `drw_tf.ops.logit_adjustment`
    Fig. 1          loss of each class      `sum_by_class`

Labeled weights come from the labeled counts, once; unlabeled weights come from the
pseudo numbers, again and again. The functions are the same for both, and for tensors in
a graph and NumPy arrays outside one.

Source:
    Peng, Pian, Sun, Li: Dynamic Re-weighting for Long-tailed Semi-supervised Learning,
    WACV 2023.
"""

import math

import tensorflow as tf

from drw_tf.ops import checks

NORMALIZATIONS = ("class", "sample", "none")


def _checked_beta(beta: float | tf.Tensor) -> tf.Tensor:
    """Beta as float64, refused outside [0, 1)."""
    beta = tf.convert_to_tensor(beta, tf.float64)
    checks.require("beta", beta, lambda known: (known >= 0) & (known < 1), "in [0, 1)")
    return beta


def pseudo_numbers(
    histogram: tf.Tensor, rows_counted: tf.Tensor, pool_size: tf.Tensor
) -> tf.Tensor:
    """Pseudo number of each class: the size it seems to have in the unlabeled pool.

        N^_c = max(1, histogram_c * pool_size / rows_counted)

    The divisor is the number of rows looked at, not the histogram's own sum: where only
    confident rows enter the histogram, the others belong to no class yet. Before any row
    was looked at, every class has `pool_size / C`.

    >>> pseudo_numbers([6, 3, 0], rows_counted=9, pool_size=90).numpy().tolist()
    [60.0, 30.0, 1.0]

    Args:
        histogram: [C], rows that carry each pseudo-label, >= 0.
        rows_counted: scalar, rows looked at, confident or not, >= 0.
        pool_size: scalar, rows of the unlabeled pool, >= 1.

    Returns:
        float32 [C], rows, >= 1.

    Raises:
        ValueError: an argument is below its minimum.

    Source:
        Sec. 3.3.
    """
    histogram = checks.at_least(0, "histogram", histogram)
    rows_counted = checks.at_least(0, "rows_counted", rows_counted)
    pool_size = checks.at_least(1, "pool_size", pool_size)
    scaled = histogram * pool_size / tf.maximum(rows_counted, 1.0)
    uniform = pool_size / tf.cast(tf.size(histogram), tf.float64)
    numbers = tf.where(rows_counted > 0, scaled, uniform)
    # Differs from the paper, Sec. 3.3: no class is below 1, where e_c = 0 and R^u is infinite.
    return tf.cast(tf.maximum(numbers, 1.0), tf.float32)


def imbalance_ratio(numbers: tf.Tensor) -> tf.Tensor:
    """Imbalance ratio, R^l of labeled counts or R^u of pseudo numbers.

        R = max_c N_c / min_c N_c

    >>> float(imbalance_ratio([60.0, 30.0, 1.0]))
    60.0

    Args:
        numbers: [C], > 0.

    Returns:
        float32 scalar, >= 1.

    Raises:
        ValueError: a number is not positive.

    Source:
        Sec. 3.2 and 3.3.
    """
    numbers = checks.as_float64(numbers)
    checks.require("numbers", numbers, lambda known: known > 0, "> 0")
    return tf.cast(tf.reduce_max(numbers) / tf.reduce_min(numbers), tf.float32)


def effective_number(counts: tf.Tensor, beta: float | tf.Tensor) -> tf.Tensor:
    """Effective number of examples of each class.

        E_c = (1 - beta ** n_c) / (1 - beta)

    `beta = 0` gives 1 for every seen class; `beta -> 1` gives `n_c` itself.

    >>> effective_number([1, 2, 3], beta=0.5).numpy().tolist()
    [1.0, 1.5, 1.75]

    Args:
        counts: [C], examples per class, >= 0. Need not be whole numbers: pseudo numbers
            are scaled counts.
        beta: dimensionless, in [0, 1): a Python float, or a float64 scalar or [C] tensor.

    Returns:
        float32 [C], examples. 0 where `counts` is 0.

    Raises:
        ValueError: `beta` is outside [0, 1) or a count is negative.

    Source:
        Definitions 1 and 2; Cui et al., CVPR 2019, Eq. 2 (arXiv:1901.05555).
    """
    # float64: in float32 1 - beta itself rounds, 1.7e-4 off at beta = 0.9999, n = 1e7.
    beta = _checked_beta(beta)
    counts = checks.at_least(0, "counts", counts)
    one_minus_power = -tf.math.expm1(tf.math.xlogy(counts, beta))
    return tf.cast(one_minus_power / (1.0 - beta), tf.float32)


def resolve_beta(beta_setting: float | str, counts: tf.Tensor) -> tf.Tensor:
    """Beta that a setting stands for, given the counts.

        a number     itself
        "auto_mean"  (N - 1) / N, N the mean count of a class, at least 1
        "literal"    (N_c - 1) / N_c for each class, N_c at least 1

    "literal" is what Definitions 1 and 2 print. It makes `E_c` nearly proportional to
    `N_c` (0.63 to 1 of it) and leaves nothing to tune, whereas Sec. 6.3 tunes one number.

    >>> resolve_beta("literal", [1, 2, 4]).numpy().tolist()
    [0.0, 0.5, 0.75]

    Args:
        beta_setting: in [0, 1), "auto_mean" or "literal".
        counts: [C], examples per class, >= 0.

    Returns:
        float64, scalar or ("literal") [C], in [0, 1).

    Raises:
        ValueError: the setting is none of the three.

    Source:
        Definitions 1 and 2; "auto_mean": Lai et al., ICML 2022 (smoothed adaptive weighting).
    """
    counts = checks.at_least(0, "counts", counts)
    if not isinstance(beta_setting, str):
        return _checked_beta(beta_setting)
    if beta_setting == "auto_mean":
        size = tf.reduce_mean(counts)
    elif beta_setting == "literal":
        size = counts
    else:
        raise ValueError(
            f'beta must be a number in [0, 1), "auto_mean" or "literal", got {beta_setting!r}.'
        )
    size = tf.maximum(size, 1.0)
    return (size - 1.0) / size


def class_weights(
    counts: tf.Tensor,
    beta_setting: float | str,
    normalization: str = "class",
    max_ratio: float = math.inf,
) -> tf.Tensor:
    """Weight of each class in the loss, the inverse of its effective number.

        w_c = s min(1 / E_c, r min_k 1 / E_k)

        "class"   s such that sum_c w_c = C
        "sample"  s such that sum_c N_c w_c = sum_c N_c: an example weighs 1 on average
        "none"    s = 1, as the paper prints it

    A count below 1 is taken as 1, but not in the mean of "auto_mean"; pseudo numbers are at least 1
    before they come here. Where weights sum to C, a class that is so rare takes most of that sum
    from all others, unless r bounds it.

    >>> print(class_weights([1, 2], 0.5).numpy())  # E is 1 and 1.5
    [1.2 0.8]
    >>> print(class_weights([1, 99], 0.5, max_ratio=1.5).numpy())  # E is 1 and 2
    [1.2 0.8]
    >>> class_weights([1, 4], 0.0).numpy().tolist()
    [1.0, 1.0]

    Args:
        counts: [C], examples per class or pseudo numbers, >= 0.
        beta_setting: see `resolve_beta`.
        normalization: one of `NORMALIZATIONS`.
        max_ratio: r, largest weight over the smallest at most, >= 1; infinity bounds nothing.

    Returns:
        float32 [C], dimensionless, > 0.

    Raises:
        ValueError: an unknown setting or normalization, beta outside [0, 1), or `max_ratio`
            below 1.

    Source:
        Eq. 7; "class" is that of Cui et al., CVPR 2019 (arXiv:1901.05555), Sec. 4.
    """
    if normalization not in NORMALIZATIONS:
        known = ", ".join(NORMALIZATIONS)
        raise ValueError(f"normalization must be one of {known}, got {normalization!r}.")
    counts = checks.at_least(0, "counts", counts)
    max_ratio = checks.at_least(1, "max_ratio", max_ratio)
    # Differs from the paper, Definition 1: no class is below 1, where the weight is infinite.
    floored = tf.maximum(counts, 1.0)
    beta = resolve_beta(beta_setting, counts)
    weights = 1.0 / tf.cast(effective_number(floored, beta), tf.float64)
    weights = tf.minimum(weights, max_ratio * tf.reduce_min(weights))
    # Differs from the paper, Eq. 7, which prints none: raw weights are about 0.003 for an
    # average example at beta = 0.999 and so rescale the learning rate.
    if normalization == "class":
        weights *= tf.cast(tf.size(weights), tf.float64) / tf.reduce_sum(weights)
    elif normalization == "sample":
        weights *= tf.reduce_sum(floored) / tf.reduce_sum(floored * weights)
    return tf.cast(weights, tf.float32)


def weighted_labeled_loss(cross_entropy: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Loss of the labeled batch.

        L_s = 1/B sum_i w_{y_i} H(y_i, f(a(x_i)))

    The divisor is the batch size, not the sum of the weights. The paper's factor
    1(y_i = c) in Eq. 9 picks the weight of the row's own class.

    >>> float(weighted_labeled_loss([1.0, 3.0], [0.5, 1.5]))
    2.5

    Args:
        cross_entropy: float32 [B], nats.
        weights: float32 [B], weight of each row's class, >= 0.

    Returns:
        float32 scalar, nats.

    Source:
        Eq. 9; Eq. 1 where all weights are 1.
    """
    return tf.reduce_mean(weights * tf.convert_to_tensor(cross_entropy))


def weighted_unlabeled_loss(
    cross_entropy: tf.Tensor, weights: tf.Tensor, mask: tf.Tensor
) -> tf.Tensor:
    """Loss of the unlabeled batch.

        L_u = 1/U sum_j w_{y^_j} 1(max p_j >= tau) H(y^_j, f(A(u_j)))

    The divisor is the number of rows, confident or not.

    >>> float(weighted_unlabeled_loss([1.0, 3.0], weights=[0.5, 1.5], mask=[1.0, 0.0]))
    0.25

    Args:
        cross_entropy: float32 [U], nats, of the strong view against the pseudo-label.
        weights: float32 [U], weight of each row's pseudo-label, >= 0.
        mask: float32 [U] in {0, 1}, whether the row passes the threshold.

    Returns:
        float32 scalar, nats. 0 where the mask is empty.

    Source:
        Eqs. 8 and 10; Eq. 4 where all weights are 1.
    """
    cross_entropy = tf.convert_to_tensor(cross_entropy)
    return tf.reduce_mean(weights * tf.cast(mask, cross_entropy.dtype) * cross_entropy)


def smoothed_numbers(earlier: tf.Tensor, numbers: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Exponential mean over epochs of pseudo numbers.

        m <- s m + (1 - s) N^,  from m = N^ of the first epoch on

    >>> smoothed_numbers([8.0, 2.0], [4.0, 6.0], smoothing=0.75).numpy().tolist()
    [7.0, 3.0]

    Args:
        earlier: [C], m after the epoch before; all 0 where there was none.
        numbers: [C], N^ of this epoch, > 0.
        smoothing: s, in [0, 1); 0 gives N^ itself.

    Returns:
        float32 [C].

    Raises:
        ValueError: `smoothing` is outside [0, 1).
    """
    smoothing = checks.as_float64(smoothing)
    checks.require("smoothing", smoothing, lambda known: (known >= 0) & (known < 1), "in [0, 1)")
    earlier, numbers = checks.as_float64(earlier), checks.as_float64(numbers)
    mean = smoothing * earlier + (1.0 - smoothing) * numbers
    return tf.cast(tf.where(tf.reduce_any(earlier > 0), mean, numbers), tf.float32)


def sum_by_class(values: tf.Tensor, pseudo_label: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Sums over the rows of each pseudo-label, of their loss or of anything else.

    >>> sum_by_class(tf.constant([1.0, 2.0, 4.0]), tf.constant([2, 0, 2]), 3).numpy().tolist()
    [2.0, 0.0, 5.0]

    Args:
        values: float32 [U] or [U, K], what each row contributes.
        pseudo_label: int [U], in [0, C).
        num_classes: C.

    Returns:
        float32 [C] or [C, K]; 0 for a class without rows.

    Source:
        Fig. 1, where the values are losses.
    """
    return tf.math.unsorted_segment_sum(values, pseudo_label, num_classes)
