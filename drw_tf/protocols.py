"""Training defaults: of each protocol, and of each data set.

Published results of the two families, `darp` and `modern`, differ; neither full protocol was run
here. So that only like is compared with like, a run has exactly one protocol, by name.
"""

import re

from drw_tf.data import mirrored

# The code lineage of DARP, from which Table 1's MixMatch, ReMixMatch, FixMatch and DARP rows are:
# Adam, no schedule, decay of the whole state, weak views in a forward pass of their own, two
# strong views.
# Its networks declare batch-norm constants of 1e-3 but do not pass them on, so PyTorch's
# defaults are what ran: momentum .1 (.9 in Keras' sense), epsilon 1e-5.
DARP = {
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay_kind": "decoupled",
    "weight_decay": 0.02,
    "batch_norm_momentum": 0.9,
    "batch_norm_epsilon": 1e-5,
    "batch_size": 64,
    "unlabeled_ratio": 1,
    "strong_views": 2,
    "forward": "separate",
    "steps": 250_000,
    "steps_per_epoch": 500,
    "ema_decay": 0.999,
    "ema_warmup": False,
    "threshold": 0.95,
    "lambda_u": 1.0,
    "reweight_start": 0.4,
    "steps_per_execution": 10,
    "checkpoint_steps": 500,
}

# FixMatch nearer to most later code: SGD with a cosine, one joint forward pass. Augmentation and
# pool stay those of the data set; EMA's warm-up is ours, DASO has another and the rest none.
MODERN = {
    **DARP,
    "optimizer": "sgd",
    "learning_rate": 0.03,
    "schedule": "cosine_7_16",
    "weight_decay_kind": "l2",
    "weight_decay": 5e-4,
    "unlabeled_ratio": 2,
    "strong_views": 1,
    "forward": "joint",
    "ema_warmup": True,
}

# FixMatch's ImageNet settings, for one GPU; the learning rate is .1 * B / 256. Its code warms up
# for 50 of 3000 passes over the labeled pictures.
IMAGENET = {
    **MODERN,
    "learning_rate": None,
    "schedule": "step_sixths",
    # Published as 3e-4 |w|^2 (Keras' l2); ours is weight_decay / 2 |w|^2.
    "weight_decay": 6e-4,
    "unlabeled_ratio": 5,
    "threshold": 0.7,
    "lambda_u": 10.0,
    "steps": 500_000,
    "steps_per_epoch": 5_000,
    "warmup_steps": 8_333,
    "ema_warmup": False,
    "steps_per_execution": 1,
    "checkpoint_steps": 1_000,
}

# For comparing methods on CIFAR-10-LT with two CPU cores, with a small network: at a threshold
# of .95 so short a run hardly uses its pool. An epoch reads 32,000 unlabeled pictures, as the
# paper's does.
SMALL_BUDGET = {**MODERN, "steps": 10_000, "steps_per_epoch": 250, "threshold": 0.8}

PROTOCOLS = {"darp": DARP, "modern": MODERN, "imagenet": IMAGENET, "small_budget": SMALL_BUDGET}

# Which flags of the group "data" each kind of data set reads.
_LONG_TAIL = (
    "labeled_max",
    "unlabeled_max",
    "imbalance_ratio",
    "unlabeled_imbalance_ratio",
    "unlabeled_order",
    "validation_per_class",
)
_TFDS = (*_LONG_TAIL, "data_dir", "download", "image_size")
# Where the unlabeled pictures are a split of their own, whose classes nobody knows.
_TFDS_UNLABELED = tuple(name for name in _TFDS if not name.startswith("unlabeled_"))
_FILES = ("image_size", "crop", "on_bad_image", "decode_all", "max_megapixels")
_OWN = (*_FILES, "flip", "in_memory_gigabytes", "validation_per_class")
_IMAGENET = ("data_dir", "cache_dir", "labeled_fraction", "validation_per_class")

_CIFAR10 = {
    "reads": _TFDS,
    "protocol": "darp",
    "model": "wide_resnet_28_2",
    "labeled_max": 1500,
    "unlabeled_max": 3000,
    "imbalance_ratio": 100.0,
    "randaugment": "darp_cifar10",
}

# VAT's 6 was tuned on 32 x 32 x 3 values; a norm for the same change of each value grows with
# the square root of their number. SVHN has a published value of its own. Where all pictures are
# coloured and of a size that is typed, `config` fills it in.
_VAT_DIGITS, _VAT_FASHION_MNIST, _VAT_SVHN, _VAT_64 = 0.9, 3.0, 1.0, 12.0
_VAT_BY_SIZE = None

# Small-ImageNet-127 as its lineage runs it; all training pictures are in the pool.
_SMALL_IMAGENET127 = {
    "reads": _IMAGENET,
    "protocol": "darp",
    "model": "resnet50_small_images",
    "labeled_fraction": 0.1,
    "randaugment": "darp_cifar10",
    "beta": "0.999",
    "darp_refresh": 100,
}

# Own pictures: what a laptop carries in an evening and a GPU in minutes. The threshold is that of
# the small budget, for its reason.
_OWN_PICTURES = {
    "protocol": "modern",
    "model": "wide_resnet_16_2",
    "image_size": 64,
    "randaugment": "fixmatch",
    "batch_size": 32,
    "steps": 5000,
    "steps_per_epoch": 250,
    "threshold": 0.8,
    "reweight_start": 0.3,
    "checkpoint_steps": 250,
    "vat_radius": _VAT_BY_SIZE,
}

DATASETS = {
    "digits": {
        "reads": _LONG_TAIL,
        "protocol": "modern",
        "model": "small_resnet",
        "labeled_max": 40,
        "unlabeled_max": 80,
        "imbalance_ratio": 20.0,
        "randaugment": "digits",
        "steps": 3000,
        "steps_per_epoch": 50,
        "reweight_start": 0.3,
        "vat_radius": _VAT_DIGITS,
    },
    "cifar10": _CIFAR10,
    "svhn": {**_CIFAR10, "vat_radius": _VAT_SVHN},
    "fashion_mnist": {**_CIFAR10, "vat_radius": _VAT_FASHION_MNIST},
    "cifar100": {
        **_CIFAR10,
        "labeled_max": 150,
        "unlabeled_max": 300,
        "imbalance_ratio": 10.0,
        "randaugment": "darp_cifar100",
        "darp_refresh": 100,
    },
    "imagenet127": {
        "reads": (*_IMAGENET, *_FILES, "val_labels"),
        "protocol": "imagenet",
        "model": "resnet50",
        "image_size": 224,
        "labeled_fraction": 0.1,
        "randaugment": "fixmatch",
        "beta": "0.999",
        "darp_refresh": 100,
        "vat_radius": _VAT_BY_SIZE,
    },
    "small_imagenet127_32": _SMALL_IMAGENET127,
    "small_imagenet127_64": {**_SMALL_IMAGENET127, "vat_radius": _VAT_64},
    "folder": {
        **_OWN_PICTURES,
        "reads": (*_OWN, "labeled_dir", "unlabeled_dir", "validation_dir", "test_dir"),
    },
    "csv": {**_OWN_PICTURES, "reads": (*_OWN, "labels_csv", "allow_outside_paths")},
}

TFDS_PREFIX = "tfds:"
# Any other set of TensorFlow Datasets: a tail that fits in most of them.
_ANY_TFDS = {
    **_CIFAR10,
    "protocol": "modern",
    "labeled_max": 100,
    "unlabeled_max": 200,
    "imbalance_ratio": 10.0,
    "randaugment": "fixmatch",
}
# Sets of TensorFlow Datasets with a split of unlabeled pictures: it is what there is unlabeled.
_WITH_UNLABELED_SPLIT = frozenset(["stl10"])


def dataset(name: str) -> dict | None:
    """Defaults of a data set, and under "reads" the data flags it reads; None if unknown."""
    if name.startswith(TFDS_PREFIX):
        # The name of its config, and its version, may follow.
        parts = re.split("[/:]", name.removeprefix(TFDS_PREFIX))
        flips = ("flip",) if mirrored.NOT_MIRRORED.isdisjoint(parts) else ()
        if parts[0] in _WITH_UNLABELED_SPLIT:
            return {**_ANY_TFDS, "reads": (*_TFDS_UNLABELED, *flips), "darp_refresh": 100}
        return {**_ANY_TFDS, "reads": (*_TFDS, *flips)}
    return DATASETS.get(name)
