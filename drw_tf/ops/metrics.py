"""Numbers that describe a classifier on a test set. NumPy and float64; fractions, not percent."""

import numpy as np

# Evaluations at the end of a run that "mean_last_20" and "median_last_20" are of.
WINDOW = 20
# Metrics that are kept of the last evaluation alone: C² numbers, and bins.
LAST_ONLY = ("confusion", "reliability")


def class_indices(name: str, values: np.ndarray, num_classes: int) -> np.ndarray:
    """`values` as int64 [N]; ValueError with their `name` where one is outside [0, C)."""
    values = np.asarray(values, np.int64)
    broken = values[(values < 0) | (values >= num_classes)]
    if broken.size:
        raise ValueError(f"{name} must be in [0, {num_classes}), got {broken[0]}.")
    return values


def _pairs(labels, predictions, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as int64 [N], refused where they do not fit together."""
    labels = class_indices("labels", labels, num_classes)
    predictions = class_indices("predictions", predictions, num_classes)
    if labels.shape != predictions.shape:
        raise ValueError(
            f"predictions must have the shape of labels, {labels.shape}, got {predictions.shape}."
        )
    if not labels.size:
        raise ValueError("labels must hold at least one row, got none.")
    return labels, predictions


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Rows of each true class that were taken for each class.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]

    Args:
        labels: int [N], true classes in [0, C).
        predictions: int [N], predicted classes in [0, C).
        num_classes: C.

    Returns:
        int64 [C, C], `[true, predicted]`.

    Raises:
        ValueError: no rows, different shapes, or a class outside [0, C).
    """
    labels, predictions = _pairs(labels, predictions, num_classes)
    pairs = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """float64 [C] or [C, C], parts / wholes, nan where the whole is 0; wholes may broadcast."""
    return np.divide(parts, wholes, out=np.full(np.shape(parts), np.nan), where=wholes > 0)


def found_and_right(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision: share of each class's rows found, of its predictions right.

    >>> [one.tolist() for one in found_and_right([0, 0, 0, 1], [0, 0, 1, 1], 2)]
    [[0.6666666666666666, 1.0], [1.0, 0.5]]

    Args:
        labels: int [N], true classes in [0, C).
        predictions: int [N], predicted classes in [0, C).
        num_classes: C.

    Returns:
        Two float64 [C] in [0, 1]: recall, nan for a class without rows, and precision, nan
        for a class that was never predicted.

    Raises:
        ValueError: no rows, different shapes, or a class outside [0, C).
    """
    labels, predictions = _pairs(labels, predictions, num_classes)
    hits, true, said = (
        np.bincount(values, minlength=num_classes)
        for values in (labels[labels == predictions], labels, predictions)
    )
    return shares(hits, true), shares(hits, said)


def _mean_of_present(values: np.ndarray) -> float:
    """Mean of what is not nan; nan if nothing is left."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def balanced_accuracy(recall: np.ndarray) -> float:
    """Mean recall of the classes present in the test set, in [0, 1].

    >>> balanced_accuracy([0.75, 0.25])
    0.5

    Args:
        recall: float [C], nan for absent classes.

    Source:
        The paper's Sec. 6.1.1. Equal to the accuracy where all classes have as many rows.
    """
    return _mean_of_present(np.asarray(recall, np.float64))


def geometric_mean(recall: np.ndarray) -> float:
    """Geometric mean of the recalls of the classes present in the test set.

        prod_c r_c ** (1/C),  r_c = 1 / (100 C) where the recall is 0

    Args:
        recall: float [C], nan for absent classes.

    Returns:
        In (0, 1].

    Source:
        Kim et al., NeurIPS 2020 (arXiv:2007.08844), their code.
    """
    # Differs from that code, where one absent class makes the whole nan.
    recall = np.asarray(recall, np.float64)
    floored = np.where(recall == 0, 1.0 / (100.0 * len(recall)), recall)
    return float(np.exp(_mean_of_present(np.log(floored))))


def many_medium_few(
    recall: np.ndarray, train_counts: np.ndarray, whole: bool = False
) -> tuple[float, float, float]:
    """Mean recall of the frequent, the middle and the rare classes.

    The floor(C/3) classes with the most training examples are "many", the floor(C/3) with
    the fewest "few", the others "medium"; among equal counts the lower class comes first.

    Args:
        recall: float [C], nan for classes absent from the test set; they are left out.
        train_counts: [C], labeled training examples per class.
        whole: whether a group with an absent class is nan.

    Returns:
        Three floats in [0, 1]; nan for a group without a class, as "many" and "few" of
        fewer than three classes.

    Raises:
        ValueError: the counts are of another number of classes.

    Source:
        Kim et al., NeurIPS 2020 (arXiv:2007.08844), whose classes are sorted already.
    """
    recall = np.asarray(recall, np.float64)
    train_counts = np.asarray(train_counts)
    if len(train_counts) != len(recall):
        raise ValueError(f"train_counts must hold {len(recall)} classes, got {len(train_counts)}.")
    descending = np.argsort(-train_counts.astype(np.float64), kind="stable")
    third = len(recall) // 3
    edges = [third, len(recall) - third]
    parts = [recall[part] for part in np.split(descending, edges)]
    many, medium, few = (
        float("nan") if whole and np.isnan(part).any() else _mean_of_present(part) for part in parts
    )
    return many, medium, few
