"""Small histories whose numbers can be told from step and class."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from drw_tf.report import record as run_record


def history_entry(step, num_classes, *, dynamic=True, weighted=False):
    """Pseudo number of class c at step s: 100 * (C - c) + s / 100; recall (c + 1) / (2 C)."""
    classes = np.arange(num_classes)
    recall = (classes + 1) / (2 * num_classes)
    confusion = np.diag(classes + 1) + np.roll(np.diag(2 * num_classes - classes - 1), 1, axis=1)
    metrics = {
        "balanced_accuracy": recall.mean() + step / 10000,
        "accuracy": recall.mean(),
        "geometric_mean": 0.25,
        "many": 0.1,
        "medium": 0.3,
        "few": 0.5,
        "recall": recall,
        "precision": recall / 2,
        "loss": 1.0 / step,
        "ece": 0.05,
        "confusion": confusion,
        "reliability": {"count": [0, 8], "confidence": [None, 0.75], "accuracy": [None, 0.5]},
    }
    entry = {
        "step": step,
        "epoch": step // 50,
        "seconds": step * 0.5,
        "images_per_second": 400.0,
        "learning_rate": 0.03,
        "train": {
            "loss": 2.0 / step,
            "loss_labeled": 1.5 / step,
            "loss_unlabeled": 0.5 / step,
            "mask_rate": 0.75,
        },
        "pseudo_numbers": 100.0 * (num_classes - classes) + step / 100,
        "pseudo_imbalance_ratio": 5.0 + step / 50,
        "unlabeled_loss_by_class": 10.0 * (num_classes - classes),
        "pseudo_precision": np.where(classes == 1, np.nan, 0.5),
        "pseudo_recall": (classes + 1) / num_classes,
        "confident_precision": np.full(num_classes, 0.75),
        "confident_recall": (classes + 1) / (2 * num_classes),
        "confident_rate": np.full(num_classes, 0.5),
        "test": {"ema": metrics, "raw": {**metrics, "balanced_accuracy": 0.125}},
    }
    if dynamic:
        ones = np.ones(num_classes)
        entry["labeled_weights"] = ones
        entry["unlabeled_weights"] = (classes + 1.0) / ones.sum() if weighted else ones
    return entry


@pytest.fixture(scope="session")
def make_record():
    """A function that makes a record: method, classes, evaluations every 50 steps."""

    def make(method="drw", num_classes=4, evaluations=4, counts=None, done=None, **settings):
        dynamic = method == "drw"
        history = [
            history_entry(
                50 * (index + 1),
                num_classes,
                dynamic=dynamic,
                weighted=dynamic and index + 1 >= evaluations / 2,
            )
            for index in range(evaluations)
        ]
        counts = list(range(10 * num_classes, 0, -10)) if counts is None else counts
        return run_record.build_record(
            command_line=["python", "-m", "drw_tf.train", f"--method={method}"],
            configuration={
                "method": method,
                "seed": 0,
                "steps": 50 * evaluations,
                "reweight_start": 0.5,
                **settings,
            },
            dataset={
                "name": "digits",
                "split_checksum": "0123456789abcdef",
                "class_names": [f"class {index}" for index in range(num_classes)],
                "labeled_counts": counts,
                "unlabeled_counts": None,
                "test_counts": [2 * num_classes] * num_classes,
            },
            history=history,
            steps=done or settings.get("steps", 50 * evaluations),
            seconds=25.0 * evaluations,
            images_per_second=400.0,
        )

    return make


@pytest.fixture(scope="session")
def make_entry():
    """The function that makes one entry of a history."""
    return history_entry
