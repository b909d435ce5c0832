"""Calibration: probabilities that are as often right as they say, and how far off they are."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from scipy import special

from drw_tf.ops import checks, metrics

# Beyond these a fit says that the pictures cannot tell, not how sure the network should be.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def scale_logits(logits: tf.Tensor, temperature: float) -> tf.Tensor:
    """Logits whose softmax is softer (T > 1) or sharper (T < 1); the order stays.

        f_c / T

    >>> scale_logits(tf.constant([[2.0, -1.0]]), 2.0).numpy().tolist()
    [[1.0, -0.5]]

    Args:
        logits: [B, C].
        temperature: T, dimensionless, > 0; 1 changes nothing.

    Returns:
        float32 [B, C].

    Raises:
        ValueError: `temperature` is not positive.

    Source:
        Guo et al., ICML 2017 (arXiv:1706.04599), Eq. 9.
    """
    temperature = tf.cast(temperature, tf.float32)
    checks.require("temperature", temperature, lambda known: known > 0, "> 0")
    return tf.cast(logits, tf.float32) / temperature


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least cross-entropy on pictures that were not trained on.

        T = argmin_T 1/N sum_i -log softmax(f(x_i) / T)_{y_i}

    The sum is convex in 1 / T; where its derivative, the mean of the expected logit less
    that of the true class, is zero is found by Brent's method.

    >>> f"{fit_temperature([[2.0, 0.0]] * 4, [0, 0, 0, 1]):.4f}"  # softmax is 3/4: 2 / log 3
    '1.8205'

    Args:
        logits: float [N, C], N >= 1, finite; of the network as it is served.
        labels: int [N], true classes in [0, C).

    Returns:
        In [`MIN_TEMPERATURE`, `MAX_TEMPERATURE`]. The lower end where all pictures are
        right, however sure; the upper end where the logits tell nothing.

    Raises:
        ValueError: there are no rows, logits are not finite, or a label is outside [0, C).

    Source:
        Guo et al., ICML 2017 (arXiv:1706.04599), Sec. 4.2.
    """
    from scipy import optimize  # takes a second, which whoever fits nothing need not wait

    logits = np.asarray(logits, np.float64)
    if not len(logits) or not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers of at least one picture.")
    of_true = logits[
        np.arange(len(logits)), metrics.class_indices("labels", labels, logits.shape[1])
    ]

    def slope(inverse: float) -> float:
        shares = special.softmax(inverse * logits, axis=1)
        return float(((shares * logits).sum(axis=1) - of_true).mean())

    if slope(1 / MAX_TEMPERATURE) >= 0:
        return MAX_TEMPERATURE
    if slope(1 / MIN_TEMPERATURE) <= 0:
        return MIN_TEMPERATURE
    return 1 / optimize.brentq(slope, 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE)


def bin_rows(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> dict[str, list]:
    """Confidence and accuracy of the rows in each of K bins of confidence of equal width.

    An edge belongs to the bin below it.

    >>> bin_rows(np.array([0.75, 0.25]), np.array([True, False]), bins=2)["accuracy"]
    [0.0, 1.0]

    Args:
        confidence: float [N] in [0, 1], largest probability of each row.
        right: bool [N], whether the class of that probability is the true one.
        bins: K, >= 1.

    Returns:
        "count" (K ints, rows), "confidence" and "accuracy" (K floats, means over the rows of
        the bin in [0, 1], nan for an empty one).

    Raises:
        ValueError: `bins` is below 1.

    Source:
        Guo et al., ICML 2017 (arXiv:1706.04599), Sec. 2.
    """
    if bins < 1:
        raise ValueError(f"bins must be >= 1, got {bins}.")
    # Clipped: a softmax may be 1 + 1e-16.
    bin_of_row = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(bin_of_row, minlength=bins)
    sums = (np.bincount(bin_of_row, weights=part, minlength=bins) for part in (confidence, right))
    confidence, accuracy = (metrics.shares(part, count).tolist() for part in sums)
    return {"count": count.tolist(), "confidence": confidence, "accuracy": accuracy}


def calibration_error(bins: Mapping[str, Sequence]) -> float:
    """Expected calibration error: mean gap between confidence and accuracy, in [0, 1].

        sum_b n_b / N |accuracy_b - confidence_b|

    >>> calibration_error({"count": [1, 3], "confidence": [0.5, 1.0], "accuracy": [0.5, 0.0]})
    0.75

    Args:
        bins: as `bin_rows` returns them, at least one row in all.

    Source:
        Guo et al., ICML 2017 (arXiv:1706.04599), Eq. 3.
    """
    count = np.asarray(bins["count"])
    confidence, accuracy = (
        np.asarray(bins[key], np.float64)[count > 0] for key in ("confidence", "accuracy")
    )
    return float(np.sum(count[count > 0] * np.abs(accuracy - confidence)) / count.sum())
