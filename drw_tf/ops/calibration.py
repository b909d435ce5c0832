"""Temperature scaling: probabilities that are as often right as they say."""

import numpy as np
import tensorflow as tf

from drw_tf.ops import checks, metrics

# Beyond these a fit says that the pictures cannot tell, not how sure the network should be.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
_HALVINGS = 60


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
    that of the true class, is zero is found by halving.

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
    logits = np.asarray(logits, np.float64)
    if not len(logits) or not np.isfinite(logits).all():
        raise ValueError("logits must be finite numbers of at least one picture.")
    metrics.negative_log_likelihood(logits, labels)  # refuses wrong labels
    of_true = logits[np.arange(len(logits)), np.asarray(labels)]

    def slope(inverse: float) -> float:
        scaled = inverse * logits
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return float(((shares * logits).sum(axis=1) - of_true).mean())

    low, high = np.log(1 / MAX_TEMPERATURE), np.log(1 / MIN_TEMPERATURE)
    if slope(np.exp(low)) >= 0:
        return MAX_TEMPERATURE
    if slope(np.exp(high)) <= 0:
        return MIN_TEMPERATURE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
