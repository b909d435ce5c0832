"""Choosing pseudo-labeled rows for the labeled set between generations (CReST)."""

import numpy as np
import tensorflow as tf

from drw_tf.ops import checks
from drw_tf.ops import rows as row_blocks


def selection_rates(counts: np.ndarray, alpha: float) -> np.ndarray:
    """Share of each class's pseudo-labels that joins the labeled set.

        mu_c = (N_(C + 1 - r) / N_(1)) ** (1 / alpha),  r the rank of class c

    N_(1) >= ... >= N_(C) are the sorted counts: the rarest class gets 1, the most frequent
    one the ratio of the rarest to it. Classes of equal count are ranked by their index.

    Args:
        counts: [C], labeled examples per class, >= 0; not all 0.
        alpha: > 0; larger ones add more.

    Returns:
        float64 [C], in [0, 1].

    Raises:
        ValueError: an argument is out of range.

    Source:
        Wei et al., CVPR 2021 (arXiv:2102.09559). Differs from
        google-research/crest:util/semisup.py, where r is the class's index: that is its rank
        in the data sets it was written for alone.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be > 0, got {alpha}.")
    counts = np.asarray(counts, np.float64)
    if not (counts >= 0).all() or not counts.any():
        raise ValueError(f"counts must be >= 0 and not all 0, got {counts.tolist()}.")
    descending = np.argsort(-counts, kind="stable")
    rates = np.empty_like(counts)
    rates[descending] = (counts[descending[::-1]] / counts.max()) ** (1.0 / alpha)
    return rates


def most_confident(logits: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows chosen for the labeled set, and the classes predicted for them.

    Of the n_c rows predicted as class c, the floor(n_c mu_c) with the most probable
    prediction; of equally probable ones those that come first.

    Args:
        logits: float [N, C].
        rates: float [C], mu, in [0, 1].

    Returns:
        (int64 [K] rows, int64 [K] classes), by class and then by falling confidence.

    Source:
        Wei et al., CVPR 2021 (arXiv:2102.09559); google-research/crest:util/semisup.py.
    """
    logits = np.asarray(logits)
    predicted, others = np.zeros(len(logits), np.int64), np.zeros(len(logits))
    for part, block in row_blocks.blocks(logits):
        best = block.argmax(axis=1)
        relative = np.exp(block - block.max(axis=1, keepdims=True))
        relative[np.arange(len(block)), best] = 0.0
        predicted[part], others[part] = best, relative.sum(axis=1)
    # The confidence is 1 / (1 + sum): ranked by the sum, which is not lost beside the 1.
    order = np.argsort(others, kind="stable")
    chosen = []
    for c, rate in enumerate(rates):
        rows = order[predicted[order] == c]
        # 1e-9: 10 * 0.7 is 7 rows, though the product of the two doubles may be below it.
        chosen.append(rows[: int(len(rows) * rate + 1e-9)])
    rows = np.concatenate(chosen).astype(np.int64)
    return rows, predicted[rows]


def alignment_power(generation: tf.Tensor, generations: int, smallest: float) -> tf.Tensor:
    """Exponent of the prior to which a generation aligns its pseudo-labels.

        t_g = 1 - (1 - t_min) g / (G - 1)

    Args:
        generation: g, scalar in [0, G - 1].
        generations: G, >= 2.
        smallest: t_min, in [0, 1]; 1 aligns to the prior itself in every generation.

    Returns:
        float32 scalar in [t_min, 1].

    Raises:
        ValueError: `generations` or `smallest` is out of range.

    Source:
        Wei et al., CVPR 2021 (arXiv:2102.09559); google-research/crest:util/semisup.py.
    """
    if generations < 2:
        raise ValueError(f"generations must be >= 2, got {generations}.")
    if not 0 <= smallest <= 1:
        raise ValueError(f"smallest must be in [0, 1], got {smallest}.")
    share = tf.cast(generation, tf.float64) / (generations - 1)
    return tf.cast(1.0 - (1.0 - smallest) * share, tf.float32)


def tempered_prior(prior: tf.Tensor, power: tf.Tensor) -> tf.Tensor:
    """Class prior made flatter.

        pi_c ** t / sum_k pi_k ** t

    Args:
        prior: [C], > 0; counts will do.
        power: t, scalar in [0, 1]; 0 gives the uniform distribution.

    Returns:
        float32 [C], sums to 1.

    Raises:
        ValueError: a known number in `prior` is not positive.

    Source:
        Wei et al., CVPR 2021 (arXiv:2102.09559); google-research/crest:util/semisup.py.
    """
    prior = checks.as_float64(prior)
    checks.require("prior", prior, lambda known: known > 0, "> 0")
    logs = tf.cast(power, tf.float64) * tf.math.log(prior)
    return tf.cast(tf.nn.softmax(logs), tf.float32)
