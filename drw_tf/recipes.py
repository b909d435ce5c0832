"""The table of methods: what each name on the command line is made of.

A recipe is a method (how a batch becomes a loss) and an ordered list of rebalancers
(how class imbalance is countered). Components are named by their import path, so that
this table can be read, and a command line refused, before TensorFlow is imported.
A new method or rebalancer is one file, one line in METHODS or REBALANCERS, and a recipe.
"""

import dataclasses
import importlib

# Flags of every method that reads unlabeled pictures.
_STREAM = ("unlabeled_ratio", "pool", "lambda_u", "randaugment")


@dataclasses.dataclass(frozen=True)
class Component:
    """A class and the flags that it reads.

    Attributes:
        path: "package.module.Class".
        flags: names of the hyper-parameter flags that change what the class does.
    """

    path: str
    flags: tuple[str, ...] = ()

    def load(self) -> type:
        """The class itself; imports its module."""
        module, name = self.path.rsplit(".", 1)
        return getattr(importlib.import_module(module), name)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One row of the comparison.

    Attributes:
        help: one line for `--helpmethods`.
        method: key of METHODS.
        rebalancers: keys of REBALANCERS, in the order in which they are applied.
        defaults: flag values that belong to the recipe whatever the protocol says.
    """

    help: str
    method: str
    rebalancers: tuple[str, ...] = ()
    defaults: dict = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the hyper-parameter flags that this recipe reads, sorted."""
        names = set(METHODS[self.method].flags)
        for key in self.rebalancers:
            names.update(REBALANCERS[key].flags)
        return tuple(sorted(names))

    @property
    def reads_unlabeled(self) -> bool:
        """Whether the method has an unlabeled stream."""
        return "unlabeled_ratio" in METHODS[self.method].flags


METHODS = {
    "supervised": Component("drw_tf.methods.supervised.Supervised"),
    "fixmatch": Component(
        "drw_tf.methods.fixmatch.FixMatch",
        (*_STREAM, "threshold", "forward", "strong_views", "pseudo_count", "pseudo_memory"),
    ),
}

_WEIGHTS = ("beta", "weight_normalization")

REBALANCERS = {
    "labeled_weights": Component("drw_tf.rebalance.class_weights.LabeledWeights", _WEIGHTS),
    "fixed_unlabeled_weights": Component(
        "drw_tf.rebalance.class_weights.FixedUnlabeledWeights", _WEIGHTS
    ),
    "dynamic_weights": Component(
        "drw_tf.rebalance.class_weights.DynamicWeights", (*_WEIGHTS, "reweight_start")
    ),
    "logit_adjustment": Component(
        "drw_tf.rebalance.logit_adjustment.LogitAdjustment", ("la_prior", "la_strength")
    ),
}

RECIPES = {
    "supervised": Recipe("cross-entropy on the labeled pictures alone", "supervised"),
    "fixmatch": Recipe("FixMatch, without any re-weighting", "fixmatch"),
    "nrw": Recipe("ablation: no re-weighting; the same as fixmatch", "fixmatch"),
    "frwl": Recipe("ablation: fixed weights on the labeled loss", "fixmatch", ("labeled_weights",)),
    "frwu": Recipe(
        "ablation: fixed weights on the unlabeled loss", "fixmatch", ("fixed_unlabeled_weights",)
    ),
    "frwlu": Recipe(
        "ablation: fixed weights on both losses",
        "fixmatch",
        ("labeled_weights", "fixed_unlabeled_weights"),
    ),
    "drw": Recipe(
        "DRw: fixed weights on the labeled loss, dynamic ones on the unlabeled loss",
        "fixmatch",
        ("labeled_weights", "dynamic_weights"),
    ),
    "fixmatch_la": Recipe(
        "FixMatch, logits adjusted at test time", "fixmatch", ("logit_adjustment",)
    ),
    "drw_la": Recipe(
        "DRw, logits adjusted at test time",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "logit_adjustment"),
    ),
}


def method_flags() -> frozenset[str]:
    """Names of all flags that belong to some method or rebalancer."""
    return frozenset(
        name for table in (METHODS, REBALANCERS) for part in table.values() for name in part.flags
    )
