"""The data sets by name: `--dataset=` to pictures and a split."""

from drw_tf.data import dataset as records
from drw_tf.data import digits, long_tail, splits


def load(config) -> tuple[records.Dataset, records.Split]:
    """The data set and split that a configuration names.

    Args:
        config: the run's flags, read as attributes.

    Raises:
        FileNotFoundError: the data are not where they should be; the message says how to
            get them.
        ValueError: the split asked for cannot be drawn from these data.
    """
    if config.dataset == "digits":
        dataset = digits.load()
    else:
        from drw_tf.data import tfds_images  # importing TensorFlow Datasets takes seconds

        dataset = tfds_images.load(
            config.dataset,
            config.data_dir,
            image_size=config.image_size,
            download=config.download,
        )
    return dataset, long_tailed_split(dataset, config)


def long_tailed_split(dataset: records.Dataset, config) -> records.Split:
    """The split of the long-tail protocol for N1, M1 and both ratios."""
    labeled = long_tail.class_counts(
        dataset.num_classes, config.labeled_max, config.imbalance_ratio
    )
    unlabeled = long_tail.class_counts(
        dataset.num_classes,
        config.unlabeled_max,
        config.unlabeled_imbalance_ratio,
        config.unlabeled_order,
    )
    return splits.draw_split(
        dataset.train.labels,
        dataset.num_classes,
        labeled_counts=labeled,
        unlabeled_counts=unlabeled,
        seed=config.seed,
        validation_per_class=config.validation_per_class,
    )
