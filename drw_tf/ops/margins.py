"""Margins that are wider for rare classes (LDAM)."""

import tensorflow as tf

from drw_tf.ops import checks, losses


def class_margins(counts: tf.Tensor, largest: float) -> tf.Tensor:
    """Margin of each class, wider for rare ones.

        m_c = m N_c ** (-1/4) / max_k N_k ** (-1/4)

    A count below 1 is taken as 1.

    >>> class_margins([1, 16], largest=0.5).numpy().tolist()
    [0.5, 0.25]

    Args:
        counts: [C], labeled examples per class, >= 0.
        largest: m, the margin of the rarest class, >= 0, in units of the cosine.

    Returns:
        float32 [C], in (0, m]; 0 where m is 0.

    Raises:
        ValueError: a count or `largest` is negative.

    Source:
        Cao et al., NeurIPS 2019 (arXiv:1906.07413); kaidic/LDAM-DRW:losses.py.
    """
    if not largest >= 0:
        raise ValueError(f"largest must be >= 0, got {largest}.")
    roots = tf.maximum(checks.at_least(0, "counts", counts), 1.0) ** -0.25
    return tf.cast(largest * roots / tf.reduce_max(roots), tf.float32)


def margin_cross_entropy(logits: tf.Tensor, labels: tf.Tensor, margins: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each row, after its own class has lost its margin.

        H(y, f - m_y e_y),  e_y the unit vector of class y

    Args:
        logits: float [B, C].
        labels: int [B] in [0, C).
        margins: float [C], in units of the logits, >= 0; 0 gives cross-entropy.

    Returns:
        float32 [B], nats.

    Source:
        Cao et al., NeurIPS 2019 (arXiv:1906.07413), where logits are 30 cosines.
    """
    logits = tf.cast(logits, tf.float32)
    own = tf.one_hot(labels, tf.shape(logits)[1])
    lost = own * tf.gather(tf.cast(margins, tf.float32), labels)[:, None]
    return losses.cross_entropy(logits - lost, labels)
