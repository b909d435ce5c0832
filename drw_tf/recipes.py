"""The table of methods: what each name on the command line is made of.

A recipe is a method (how a batch becomes a loss) and an ordered list of rebalancers
(how class imbalance is countered). Components are named by their import path, so that
this table can be read, and a command line refused, before TensorFlow is imported.
A new method or rebalancer is one file, one line in METHODS or REBALANCERS, and a recipe.
"""

import dataclasses
import importlib

# Flags of every method that reads unlabeled pictures, and of those with strong views.
_POOL = ("unlabeled_ratio", "pool", "lambda_u")
_STRONG = ("randaugment_order",)
_STREAM = (*_POOL, *_STRONG)
# Of methods whose unlabeled loss gains its weight slowly, and of those with mixup.
_RAMP = (*_POOL, "ramp", "ramp_fraction")
_MIXUP = (*_RAMP, "mixup_alpha", "temperature", "forward", "pseudo_memory")


@dataclasses.dataclass(frozen=True)
class Component:
    """A class and the flags that it reads.

    Attributes:
        path: "package.module.Class".
        flags: names of the hyper-parameter flags that change what the class does.
        adjusts: whether it changes logits at test time.
        weighs_labeled: whether it has weights for the labeled loss.
        refines: whether it changes pseudo-labels before they are learned from.
        expects_labeled_tail: whether it takes the pool to have the labeled pictures' tail, without
            the flag `unlabeled_prior` that would tell it another.
    """

    path: str
    flags: tuple[str, ...] = ()
    adjusts: bool = False
    weighs_labeled: bool = False
    refines: bool = False
    expects_labeled_tail: bool = False

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
    def parts(self) -> tuple[Component, ...]:
        """Its rebalancers, in the order in which they are applied."""
        return tuple(REBALANCERS[key] for key in self.rebalancers)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the hyper-parameter flags that this recipe reads, sorted."""
        names = set(METHODS[self.method].flags)
        for part in self.parts:
            names.update(part.flags)
        return tuple(sorted(names))

    @property
    def adjusts(self) -> bool:
        """Whether logits are changed at test time."""
        return any(part.adjusts for part in self.parts)

    @property
    def weighs_labeled(self) -> bool:
        """Whether the labeled loss has class weights."""
        return any(part.weighs_labeled for part in self.parts)

    @property
    def refines(self) -> bool:
        """Whether pseudo-labels are changed before they are learned from."""
        return any(part.refines for part in self.parts)

    @property
    def reads_unlabeled(self) -> bool:
        """Whether the method has an unlabeled stream."""
        return "unlabeled_ratio" in METHODS[self.method].flags

    @property
    def has_strong_views(self) -> bool:
        """Whether pictures are changed by RandAugment."""
        return "randaugment_order" in METHODS[self.method].flags


METHODS = {
    "supervised": Component("drw_tf.methods.supervised.Supervised"),
    "fixmatch": Component(
        "drw_tf.methods.fixmatch.FixMatch",
        (*_STREAM, "threshold", "forward", "strong_views", "pseudo_count", "pseudo_memory"),
    ),
    "vat": Component(
        "drw_tf.methods.vat.VAT", (*_RAMP, "vat_radius", "vat_difference", "vat_iterations")
    ),
    "mean_teacher": Component("drw_tf.methods.mean_teacher.MeanTeacher", _RAMP),
    "mixmatch": Component("drw_tf.methods.mixmatch.MixMatch", _MIXUP),
    "remixmatch": Component(
        "drw_tf.methods.remixmatch.ReMixMatch",
        (
            *_MIXUP,
            *_STRONG,
            "strong_views",
            "align_distribution",
            "unlabeled_prior",
            "strong_weight",
            "rotation_weight",
        ),
    ),
}

_WEIGHTS = ("beta", "weight_normalization", "max_weight_ratio")
_CREST = ("crest_generations", "crest_alpha")

REBALANCERS = {
    "labeled_weights": Component(
        "drw_tf.rebalance.class_weights.LabeledWeights", _WEIGHTS, weighs_labeled=True
    ),
    "fixed_unlabeled_weights": Component(
        "drw_tf.rebalance.class_weights.FixedUnlabeledWeights",
        (*_WEIGHTS, "reweight_start", "unlabeled_prior"),
    ),
    "dynamic_weights": Component(
        "drw_tf.rebalance.class_weights.DynamicWeights",
        (*_WEIGHTS, "reweight_start", "pseudo_smoothing"),
    ),
    "logit_adjustment": Component(
        "drw_tf.rebalance.logit_adjustment.LogitAdjustment",
        ("la_prior", "la_strength"),
        adjusts=True,
    ),
    "class_balanced_sampling": Component("drw_tf.rebalance.resampling.ClassBalancedSampling"),
    "margin_loss": Component(
        "drw_tf.rebalance.ldam.MarginLoss",
        ("ldam_margin", "ldam_scale", "deferred_start", "deferred_beta"),
        weighs_labeled=True,
    ),
    "classifier_retraining": Component(
        "drw_tf.rebalance.crt.ClassifierRetraining",
        ("crt_balance", "crt_head_fraction", "crt_learning_rate"),
        weighs_labeled=True,
    ),
    "crest": Component(
        "drw_tf.rebalance.crest.ClassRebalancingSelfTraining", _CREST, expects_labeled_tail=True
    ),
    "crest_plus": Component(
        "drw_tf.rebalance.crest.AlignedSelfTraining",
        (*_CREST, "crest_alignment_min"),
        refines=True,
        expects_labeled_tail=True,
    ),
    "darp": Component(
        "drw_tf.rebalance.darp.DistributionAligningRefinery",
        ("darp_start", "darp_refresh", "darp_alpha", "unlabeled_prior"),
        refines=True,
    ),
    "focal": Component("drw_tf.rebalance.focal.FocalLoss", ("focal_gamma", "focal_apply")),
    "abc": Component(
        "drw_tf.rebalance.abc.AuxiliaryBalancedClassifier",
        ("threshold",),
        expects_labeled_tail=True,
    ),
    "cdmad": Component(
        "drw_tf.rebalance.cdmad.SolidColorDebiasing",
        ("cdmad_start", "cdmad_color"),
        adjusts=True,
        refines=True,
    ),
}

_MIXMATCH = {"lambda_u": 75.0, "pool": "unlabeled"}
_REMIXMATCH = {"lambda_u": 1.5, "pool": "unlabeled", "strong_views": 2}

# Smoothed adaptive weighting, as its code has it: counts over the whole pool, from the start.
_SAW = {"beta": "auto_mean", "pseudo_memory": "bank", "reweight_start": 0.0}

# The paper names no start for fixed weights.
_FIXED = {"reweight_start": 0.0}

# CReST's own code draws unlabeled pictures from all of them, for MixMatch too.
_MIXMATCH_CREST = {"crest_alpha": 2.0, "pool": "all"}

# CDMAD's soft pseudo-labels all count, and are not sharpened.
_SOFT = {"threshold": 0.0}

RECIPES = {
    "supervised": Recipe("cross-entropy on the labeled pictures alone", "supervised"),
    "fixmatch": Recipe("FixMatch, without any re-weighting", "fixmatch"),
    "nrw": Recipe("ablation: no re-weighting; the same as fixmatch", "fixmatch"),
    "frwl": Recipe("ablation: fixed weights on the labeled loss", "fixmatch", ("labeled_weights",)),
    "frwu": Recipe(
        "ablation: fixed weights on the unlabeled loss",
        "fixmatch",
        ("fixed_unlabeled_weights",),
        _FIXED,
    ),
    "frwlu": Recipe(
        "ablation: fixed weights on both losses",
        "fixmatch",
        ("labeled_weights", "fixed_unlabeled_weights"),
        _FIXED,
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
    "resampling": Recipe(
        "supervised, every class drawn equally often", "supervised", ("class_balanced_sampling",)
    ),
    "ldam_drw": Recipe(
        "supervised, LDAM margins and deferred re-weighting", "supervised", ("margin_loss",)
    ),
    "crt": Recipe(
        "supervised, then a new head alone on balanced batches",
        "supervised",
        ("classifier_retraining",),
    ),
    "fixmatch_crt": Recipe(
        "FixMatch, then a new head alone on balanced labeled batches",
        "fixmatch",
        ("classifier_retraining",),
    ),
    "drw_crt": Recipe(
        "DRw, then a new head alone on balanced labeled batches",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "classifier_retraining"),
    ),
    "vat": Recipe(
        "virtual adversarial training", "vat", (), {"lambda_u": 0.3, "ramp_fraction": 0.4}
    ),
    "mean_teacher": Recipe(
        "Mean Teacher: consistency with the averaged network",
        "mean_teacher",
        (),
        {"lambda_u": 50.0, "ramp_fraction": 0.4},
    ),
    "mixmatch": Recipe(
        "MixMatch: sharpened soft pseudo-labels and mixup", "mixmatch", (), _MIXMATCH
    ),
    "remixmatch": Recipe(
        "ReMixMatch: aligned soft pseudo-labels, mixup, strong views and rotations",
        "remixmatch",
        (),
        _REMIXMATCH,
    ),
    "saw": Recipe(
        "smoothed adaptive weighting: dynamic weights from the start, beta of the mean count",
        "fixmatch",
        ("labeled_weights", "dynamic_weights"),
        _SAW,
    ),
    "saw_la": Recipe(
        "the same, logits adjusted at test time",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "logit_adjustment"),
        _SAW,
    ),
    "saw_crt": Recipe(
        "smoothed adaptive weighting, then a new head alone on balanced labeled batches",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "classifier_retraining"),
        _SAW,
    ),
    "focal1": Recipe(
        "FixMatch with focal loss, gamma 1", "fixmatch", ("focal",), {"focal_gamma": 1.0}
    ),
    "focal2": Recipe(
        "FixMatch with focal loss, gamma 2", "fixmatch", ("focal",), {"focal_gamma": 2.0}
    ),
    "mixmatch_darp": Recipe(
        "MixMatch, pseudo-labels refined to the labeled prior", "mixmatch", ("darp",), _MIXMATCH
    ),
    "remixmatch_darp": Recipe(
        "ReMixMatch, pseudo-labels refined to the labeled prior",
        "remixmatch",
        ("darp",),
        _REMIXMATCH,
    ),
    "remixmatch_darp_crt": Recipe(
        "the same, then a new head alone on balanced labeled batches",
        "remixmatch",
        ("darp", "classifier_retraining"),
        _REMIXMATCH,
    ),
    "mixmatch_drw": Recipe(
        "MixMatch with DRw's weights, on each share of a soft target those of its class",
        "mixmatch",
        ("labeled_weights", "dynamic_weights"),
        _MIXMATCH,
    ),
    "remixmatch_drw": Recipe(
        "ReMixMatch with DRw's weights, on each share of a soft target those of its class",
        "remixmatch",
        ("labeled_weights", "dynamic_weights"),
        _REMIXMATCH,
    ),
    "fixmatch_darp": Recipe(
        "FixMatch, pseudo-labels refined to the labeled prior", "fixmatch", ("darp",)
    ),
    "fixmatch_darp_crt": Recipe(
        "the same, then a new head alone on balanced labeled batches",
        "fixmatch",
        ("darp", "classifier_retraining"),
    ),
    "nrw_darp": Recipe(
        "ablation: no re-weighting; the same as fixmatch_darp", "fixmatch", ("darp",)
    ),
    "frwl_darp": Recipe("frwl with DARP's refinement", "fixmatch", ("darp", "labeled_weights")),
    "frwu_darp": Recipe(
        "frwu with DARP's refinement", "fixmatch", ("darp", "fixed_unlabeled_weights"), _FIXED
    ),
    "frwlu_darp": Recipe(
        "frwlu with DARP's refinement",
        "fixmatch",
        ("darp", "labeled_weights", "fixed_unlabeled_weights"),
        _FIXED,
    ),
    "drw_darp": Recipe(
        "DRw, its weights from pseudo-labels that DARP refined",
        "fixmatch",
        ("darp", "labeled_weights", "dynamic_weights"),
    ),
    "fixmatch_crest": Recipe(
        "FixMatch in generations that label rare classes for the next one", "fixmatch", ("crest",)
    ),
    "fixmatch_crest_plus": Recipe(
        "the same, pseudo-labels aligned to the labeled prior", "fixmatch", ("crest_plus",)
    ),
    "fixmatch_crest_plus_la": Recipe(
        "the same, logits adjusted at test time", "fixmatch", ("crest_plus", "logit_adjustment")
    ),
    "mixmatch_crest": Recipe(
        "MixMatch in generations that label rare classes for the next one",
        "mixmatch",
        ("crest",),
        {**_MIXMATCH, **_MIXMATCH_CREST},
    ),
    "mixmatch_crest_plus": Recipe(
        "the same, pseudo-labels aligned to the labeled prior",
        "mixmatch",
        ("crest_plus",),
        {**_MIXMATCH, **_MIXMATCH_CREST, "crest_alignment_min": 0.8},
    ),
    "fixmatch_abc": Recipe("FixMatch with an auxiliary balanced head", "fixmatch", ("abc",)),
    "fixmatch_cdmad": Recipe(
        "FixMatch, debiased by the logits of a white picture", "fixmatch", ("cdmad",), _SOFT
    ),
    "remixmatch_cdmad": Recipe(
        "ReMixMatch, debiased by the logits of a white picture",
        "remixmatch",
        ("cdmad",),
        {**_REMIXMATCH, "temperature": 1.0},
    ),
    "drw_abc": Recipe(
        "DRw with an auxiliary balanced head",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "abc"),
    ),
    "drw_cdmad": Recipe(
        "DRw, debiased by the logits of a white picture",
        "fixmatch",
        ("labeled_weights", "dynamic_weights", "cdmad"),
        _SOFT,
    ),
}


def method_flags() -> frozenset[str]:
    """Names of all flags that belong to some method or rebalancer."""
    return frozenset(
        name for table in (METHODS, REBALANCERS) for part in table.values() for name in part.flags
    )
