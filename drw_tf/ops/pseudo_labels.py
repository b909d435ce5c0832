"""Targets made from the network's own predictions. No gradient flows into any of them."""

from typing import NamedTuple

import tensorflow as tf

from drw_tf.ops import checks


class HardPseudoLabels(NamedTuple):
    """What `hard_pseudo_labels` returns.

    Attributes:
        pseudo_label: int32 [U], the most probable class.
        confidence: [U], its probability.
        mask: float32 [U] in {0, 1}, whether the confidence reaches the threshold.
    """

    pseudo_label: tf.Tensor
    confidence: tf.Tensor
    mask: tf.Tensor


def _stopped(probabilities: tf.Tensor) -> tf.Tensor:
    """Probabilities without gradient, in float32 unless they are float64."""
    probabilities = tf.convert_to_tensor(probabilities)
    if probabilities.dtype != tf.float64:
        probabilities = tf.cast(probabilities, tf.float32)
    return tf.stop_gradient(probabilities)


def hard_pseudo_labels(probabilities: tf.Tensor, threshold: float) -> HardPseudoLabels:
    """Most probable class of each row, its probability, and whether that reaches the threshold.

        y^_j = argmax_c p_jc,  mask_j = 1(max_c p_jc >= tau)

    >>> label, confidence, mask = hard_pseudo_labels([[0.25, 0.75], [0.5, 0.5]], threshold=0.7)
    >>> label.numpy().tolist(), mask.numpy().tolist()
    ([1, 0], [1.0, 0.0])

    Args:
        probabilities: float [U, C], of the weak view, rows that sum to 1; in float64 the
            threshold is compared in float64, else in float32.
        threshold: tau, in [0, 1]. A confidence equal to it passes.

    Returns:
        `HardPseudoLabels`; it can be unpacked.

    Raises:
        ValueError: `threshold` is outside [0, 1].

    Source:
        Eq. 2 and 3, where y^ stands for both the class and its probability; Sohn et al.,
        NeurIPS 2020 (arXiv:2001.07685).
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in [0, 1], got {threshold}.")
    probabilities = _stopped(probabilities)
    confidence = tf.reduce_max(probabilities, axis=-1)
    return HardPseudoLabels(
        pseudo_label=tf.argmax(probabilities, axis=-1, output_type=tf.int32),
        confidence=confidence,
        mask=tf.cast(confidence >= tf.constant(threshold, confidence.dtype), tf.float32),
    )


def sharpen(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """Soft labels of lower entropy.

        p_c ** (1/T) / sum_k p_k ** (1/T)

    Args:
        probabilities: float [U, C], rows that sum to 1.
        temperature: T, > 0; 1 changes nothing, T -> 0 gives the most probable class.

    Returns:
        float32 [U, C] (float64 for float64), rows that sum to 1.

    Raises:
        ValueError: `temperature` is not positive.

    Source:
        Berthelot et al., NeurIPS 2019 (arXiv:1905.02249), Eq. 7.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}.")
    # Through the logarithm: for small T all powers of a row underflow.
    return tf.nn.softmax(tf.math.log(_stopped(probabilities)) / temperature)


def align_distribution(
    probabilities: tf.Tensor, target: tf.Tensor, running: tf.Tensor
) -> tf.Tensor:
    """Soft labels whose average moves from what the model predicts to a target.

        q_c = p_c (target_c + 1e-6) / (running_c + 1e-6),  divided by sum_k q_k

    Args:
        probabilities: float [U, C], rows that sum to 1.
        target: [C], class prior to reach, >= 0. Counts will do: a factor common to all
            classes cancels, but for the 1e-6.
        running: [C], what the model predicted lately on average, >= 0.

    Returns:
        float32 [U, C] (float64 for float64), rows that sum to 1.

    Raises:
        ValueError: a known number in `target` or `running` is negative.

    Source:
        Berthelot et al., ICLR 2020 (arXiv:1911.09785), Sec. 3.1; the 1e-6 is that of
        their code.
    """
    probabilities = _stopped(probabilities)
    smoothed = []
    for name, numbers in (("target", target), ("running", running)):
        numbers = tf.cast(numbers, probabilities.dtype)
        checks.require(name, numbers, lambda known: known >= 0, ">= 0")
        smoothed.append(numbers + 1e-6)
    aligned = probabilities * smoothed[0] / smoothed[1]
    return aligned / tf.reduce_sum(aligned, axis=-1, keepdims=True)
