"""Losses of single rows, in nats; what is done with them (weights, masks, means) is elsewhere."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each row.

        H(y, f) = -sum_c y_c log softmax(f)_c

    >>> each = cross_entropy(tf.zeros([2, 4]), tf.constant([3, 0]))  # log 4
    >>> each.numpy().tolist() == [np.float32(np.log(4))] * 2
    True

    Args:
        logits: [B, C], any float dtype; computed in float32 from the logarithm of the
            softmax, so that certain rows stay finite.
        labels: int [B] in [0, C), or float [B, C], rows that sum to 1.

    Returns:
        float32 [B], nats.

    Raises:
        ValueError: labels of neither form.
    """
    logits = tf.cast(logits, tf.float32)
    labels = tf.convert_to_tensor(labels)
    if labels.dtype.is_integer and labels.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if labels.dtype.is_floating and labels.shape.rank == 2:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    raise ValueError(
        "labels must be integers [B] or floats [B, C], "
        f"got {labels.dtype.name} of rank {labels.shape.rank}."
    )


def focal(logits: tf.Tensor, labels: tf.Tensor, focal_gamma: float) -> tf.Tensor:
    """Focal loss of each row, on the softmax.

        -(1 - p_y) ** gamma log p_y

    Args:
        logits: [B, C], any float dtype.
        labels: int [B] in [0, C).
        focal_gamma: the exponent gamma, >= 0; 0 gives cross-entropy.

    Returns:
        float32 [B], nats.

    Raises:
        ValueError: `focal_gamma` is negative, or labels are not integers [B].

    Source:
        The paper's Sec. 6.4; Lin et al., ICCV 2017 (arXiv:1708.02002), there on the sigmoid.
    """
    if not focal_gamma >= 0:
        raise ValueError(f"focal_gamma must be >= 0, got {focal_gamma}.")
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise ValueError(f"labels of a focal loss must be integers [B], got {labels.dtype.name}.")
    rows = cross_entropy(logits, labels)
    # Above zero: the derivative of x ** gamma at 0 is infinite or undefined for gamma < 1.
    others = tf.maximum(-tf.math.expm1(-rows), 1e-12)
    return others**focal_gamma * rows


def kl_divergence(logits_p: tf.Tensor, logits_q: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of each row, KL(p || q).

        sum_c p_c (log p_c - log q_c)

    Args:
        logits_p: [B, C], any float dtype.
        logits_q: [B, C].

    Returns:
        float32 [B], nats, >= 0 up to rounding.
    """
    log_p = tf.nn.log_softmax(tf.cast(logits_p, tf.float32))
    log_q = tf.nn.log_softmax(tf.cast(logits_q, tf.float32))
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def squared_error(probabilities: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Squared error of each row, a mean over the classes.

        1/C sum_c (p_c - q_c) ** 2

    >>> squared_error([[0.5, 0.5]], [[1.0, 0.0]]).numpy().tolist()
    [0.25]

    Args:
        probabilities: float [B, C].
        targets: float [B, C].

    Returns:
        float32 [B].

    Raises:
        ValueError: the shapes differ (they would broadcast).

    Source:
        Mean Teacher (arXiv:1703.01780) and MixMatch (arXiv:1905.02249), Eq. 4.
    """
    probabilities = tf.cast(probabilities, tf.float32)
    targets = tf.cast(targets, tf.float32)
    if not probabilities.shape.is_compatible_with(targets.shape):
        raise ValueError(
            f"targets must have the shape of probabilities, {probabilities.shape}, "
            f"got {targets.shape}."
        )
    return tf.reduce_mean(tf.math.squared_difference(probabilities, targets), axis=-1)
