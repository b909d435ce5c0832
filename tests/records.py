"""Records as the trainer writes them, with little in them."""

from drw_tf.report import record as run_record


def metrics_of(balanced_accuracy, classes=("a", "b")):
    """What an evaluation has of a network that finds this share of each class."""
    shares = ("balanced_accuracy", "accuracy", "geometric_mean", "many", "medium", "few")
    by_class = [balanced_accuracy] * len(classes)
    found = dict.fromkeys(shares, balanced_accuracy)
    return {**found, "recall": by_class, "precision": by_class, "loss": 1.0, "ece": 0.1}


def record_of(config, history, seconds=60.0, classes=("a", "b"), steps=None):
    """The record of a run with this configuration, as long as it asks for if not said."""
    counts = list(range(10 * len(classes), 0, -10))
    return run_record.build_record(
        command_line=["python", "-m", "drw_tf.train"],
        configuration=config,
        dataset={
            "name": config["dataset"],
            "class_names": list(classes),
            "split_checksum": "0123456789abcdef",
            "labeled_counts": counts,
            "unlabeled_counts": counts,
            "test_counts": counts,
        },
        history=history,
        steps=config["stop_at_step"] if steps is None else steps,
        seconds=seconds,
        images_per_second=100.0,
    )
