"""Masks and weights that balance classes in expectation (ABC, cRT)."""

import numpy as np
import tensorflow as tf


def keep_rates(counts: np.ndarray) -> np.ndarray:
    """Probability with which a row of each class is kept, so that all classes weigh the same.

        b_c = min_k N_k / N_c

    A count below 1 is taken as 1.

    >>> keep_rates([4, 1]).tolist()
    [0.25, 1.0]

    Args:
        counts: [C], labeled examples per class, >= 0.

    Returns:
        float32 [C], in (0, 1].

    Raises:
        ValueError: a count is negative.

    Source:
        Lee et al., NeurIPS 2021 (arXiv:2110.10368); LeeHyuck/ABC:ABCcode0920/ABCfix.py.
    """
    counts = np.asarray(counts, np.float64)
    if not (counts >= 0).all():
        raise ValueError(f"counts must be >= 0, got {counts.tolist()}.")
    counts = np.maximum(counts, 1.0)
    return (counts.min() / counts).astype(np.float32)


def inverse_frequency_weights(counts: np.ndarray) -> np.ndarray:
    """Weights of a loss in which all classes weigh the same over a pass.

        w_c = C (1 / N_c) / sum_k (1 / N_k)

    A count below 1 is taken as 1.

    >>> inverse_frequency_weights([3, 1]).tolist()
    [0.5, 1.5]

    Args:
        counts: [C], labeled examples per class, >= 0.

    Returns:
        float32 [C], > 0, of mean 1.

    Raises:
        ValueError: a count is negative.

    Source:
        bbuing9/DARP:train_crt.py.
    """
    rates = keep_rates(counts).astype(np.float64)
    return (rates / rates.mean()).astype(np.float32)


def annealed_keep_rates(rates: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
    """Probability of being kept that falls from 1 to the balancing rate.

        1 - t (1 - b_c)

    Args:
        rates: float [C], b, in (0, 1].
        progress: t, scalar in [0, 1], part of the training that is over.

    Returns:
        float32 [C], in (0, 1].

    Source:
        Lee et al., NeurIPS 2021 (arXiv:2110.10368); LeeHyuck/ABC:ABCcode0920/ABCfix.py.
    """
    return 1.0 - tf.cast(progress, tf.float32) * (1.0 - tf.cast(rates, tf.float32))
