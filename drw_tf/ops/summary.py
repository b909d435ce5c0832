"""What is reported of an evaluation, and of many in a row. NumPy and float64; fractions."""

import numpy as np

from drw_tf.ops import calibration, metrics, rows

# A confusion matrix of 10,000 classes is 800 MB, and several GB as Python's numbers.
MAX_CONFUSION_CLASSES = 1000


def summarize(labels: np.ndarray, logits: np.ndarray, train_counts: np.ndarray) -> dict:
    """Every number that is reported of one evaluation.

    Args:
        labels: int [N], true classes in [0, C).
        logits: float [N, C], finite.
        train_counts: [C], labeled training examples per class.

    Returns:
        "balanced_accuracy", "accuracy", "geometric_mean", "many", "medium", "few", "ece"
        (floats in [0, 1]); "loss" (nats); "recall", "precision" (C floats); "reliability"
        (`calibration.bin_rows`); up to `MAX_CONFUSION_CLASSES` "confusion" (C lists of C ints,
        `[true][predicted]`). nan is what the test set cannot tell.

    Raises:
        ValueError: logits that are not finite, or what the single functions refuse.
    """
    logits = np.asarray(logits)
    num_classes = logits.shape[1]
    labels = metrics.class_indices("labels", labels, num_classes)
    predictions, losses, confidence = rows.judge(logits, labels)
    right = labels == predictions
    recall, precision = metrics.found_and_right(labels, predictions, num_classes)
    many, medium, few = metrics.many_medium_few(recall, train_counts)
    bins = calibration.bin_rows(confidence, right)
    found = {
        "balanced_accuracy": metrics.balanced_accuracy(recall),
        "accuracy": float(right.mean()),
        "geometric_mean": metrics.geometric_mean(recall),
        "many": many,
        "medium": medium,
        "few": few,
        "recall": recall.tolist(),
        "precision": precision.tolist(),
        "loss": float(losses.mean()),
        "ece": calibration.calibration_error(bins),
        "reliability": bins,
    }
    if num_classes <= MAX_CONFUSION_CLASSES:
        pairs = metrics.confusion_matrix(labels, predictions, num_classes)
        found["confusion"] = pairs.tolist()
    return found


def summarize_history(values: list[float]) -> dict[str, float]:
    """What is reported of a quantity that was evaluated again and again.

    Args:
        values: at least one evaluation, in order; larger is better.

    Returns:
        "last", "best", "mean_last_20" and "median_last_20"; the latter two are of all
        evaluations where there are fewer than 20.

    Raises:
        ValueError: no evaluations.
    """
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError("values must hold at least one evaluation, got none.")
    return {
        "last": float(values[-1]),
        "best": float(values.max()),
        "mean_last_20": float(values[-metrics.WINDOW :].mean()),
        "median_last_20": float(np.median(values[-metrics.WINDOW :])),
    }
