"""Training defaults: of each protocol, and of each data set.

The same method scores some six points higher or lower with the protocol, so a run always
has exactly one, by name.
"""

# What Table 1's baselines were run with (the code lineage of DARP): Adam, no schedule,
# decay of the whole state, weak views in a forward pass of their own, two strong views.
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

# FixMatch as most later code runs it: SGD with a cosine, one joint forward pass.
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

# FixMatch's ImageNet settings, for one GPU; the learning rate is .1 * B / 256.
IMAGENET = {
    **MODERN,
    "learning_rate": None,
    "schedule": "step",
    "weight_decay": 3e-4,
    "unlabeled_ratio": 5,
    "threshold": 0.7,
    "lambda_u": 10.0,
    "steps": 500_000,
    "steps_per_epoch": 5_000,
    "warmup_steps": 10_000,
    "ema_warmup": True,
    "steps_per_execution": 1,
    "checkpoint_steps": 1_000,
}

PROTOCOLS = {"darp": DARP, "modern": MODERN, "imagenet": IMAGENET}

_CIFAR10 = {
    "protocol": "darp",
    "model": "wide_resnet_28_2",
    "labeled_max": 1500,
    "unlabeled_max": 3000,
    "imbalance_ratio": 100.0,
    "randaugment": "darp_cifar10",
}

DATASETS = {
    "digits": {
        "protocol": "modern",
        "model": "small_resnet",
        "labeled_max": 40,
        "unlabeled_max": 80,
        "imbalance_ratio": 20.0,
        "randaugment": "digits",
        "steps": 3000,
        "steps_per_epoch": 50,
        "reweight_start": 0.3,
        "steps_per_execution": 10,
    },
    "cifar10": _CIFAR10,
    "svhn": _CIFAR10,
    "fashion_mnist": _CIFAR10,
    "cifar100": {
        **_CIFAR10,
        "labeled_max": 150,
        "unlabeled_max": 300,
        "imbalance_ratio": 10.0,
        "randaugment": "darp_cifar100",
    },
}
