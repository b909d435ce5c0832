"""From a configuration and data to a method ready to train or to be evaluated."""

import dataclasses
import types
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf import flag_table, recipes
from drw_tf.augment import presets
from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import identity, seeds
from drw_tf.methods import base, truth
from drw_tf.models import network, precision, registry
from drw_tf.ops import schedules
from drw_tf.rebalance import base as rebalance
from drw_tf.training import devices, warm_start
from drw_tf.training import optimizer as optimizers


def build_method(
    config,
    dataset: records.Dataset,
    split: records.Split,
    begun_with: Mapping = types.MappingProxyType({}),
    start: warm_start.WarmStart | None = None,
) -> base.Method:
    """The method that a configuration names, not yet compiled; call inside the scope.

    Args:
        config: the run's flags.
        dataset: pictures.
        split: which rows are labeled.
        begun_with: of a run that goes on or is read, what `identity.facts` said when it was begun,
            whose numbers of pictures count where the data are others now; {} for a new run.
        start: what `--init_weights` names, where it is a run.

    Raises:
        ValueError: parts of the recipe do not fit one another.
        weights.WeightsError: what a new run is to start from does not fit.
    """
    recipe = recipes.RECIPES[config.method]
    found = {**identity.numbers(dataset, split), **begun_with}
    labeled, pool = np.array(found["labeled_counts"], np.float64), 0
    if recipe.reads_unlabeled:
        pool = found["unlabeled_pictures"] + int(labeled.sum()) * (config.pool == "all")
    facts = rebalance.Facts(
        num_classes=dataset.num_classes,
        labeled_counts=labeled,
        pool_size=pool,
        total_steps=config.steps,
        steps_per_epoch=config.steps_per_epoch,
        seed=config.seed,
        pool_counts=_pool_counts(config, dataset, split),
    )
    rebalancers = [_make(part, config, facts) for part in recipe.parts]
    component = recipes.METHODS[recipe.method]
    method = component.load()(
        network_builder(config, dataset, starts=not begun_with, start=start),
        rebalance.Hyperparameters(config, component.flags),
        facts,
        rebalancers,
        _training_rules(config),
    )
    views_read = (*method.labeled_views, *method.unlabeled_views)
    has_strong = any(view.startswith(augment_views.STRONG) for view in views_read)
    if has_strong != recipe.has_strong_views:
        raise ValueError(
            f"randaugment_order must {'be' if has_strong else 'not be'} among the flags of "
            f"{recipe.method} in recipes.METHODS: {type(method).__name__} reads "
            f"{', '.join(views_read)}."
        )
    for one in rebalancers:
        if one.needs_pseudo_numbers and method.histogram is None:
            raise ValueError(
                f"{type(one).__name__} needs pseudo numbers, which {type(method).__name__} does "
                "not count: it has no histogram."
            )
    if method.histogram is not None:
        known = _pool_truth(dataset, split, split.pool(config.pool == "all"))
        if (known != records.UNKNOWN_LABEL).any():
            method.histogram.truth = truth.PseudoLabelTruth(dataset.num_classes, known)
    return method


def _pool_counts(config, dataset: records.Dataset, split: records.Split) -> np.ndarray | None:
    """float64 [C] of the pool where `--unlabeled_prior` asks for it, else None."""
    if config.unlabeled_prior != "true":
        return None
    labels = dataset.train.labels[split.pool(config.pool == "all")]
    if (labels == records.UNKNOWN_LABEL).any():
        raise ValueError(
            "--unlabeled_prior must be labeled where nobody knows the classes of unlabeled "
            "pictures, got true."
        )
    return records.class_counts(labels, dataset.num_classes).astype(np.float64)


def _pool_truth(dataset: records.Dataset, split: records.Split, pool: np.ndarray) -> np.ndarray:
    """int64 [P], class of each picture of the pool that is not labeled itself."""
    known = dataset.train.labels[pool]
    return np.where(~np.isin(pool, split.labeled), known, records.UNKNOWN_LABEL)


def compile_method(config, method: base.Method, stage: rebalance.Stage) -> None:
    """Gives the method a new optimizer, as long as the stage; call inside the scope."""
    settings = {**config, **stage.settings}
    schedule = schedules.LearningRate(
        settings["schedule"], settings["learning_rate"], stage.steps, settings["warmup_steps"]
    )
    optimizer = optimizers.build(settings["optimizer"], schedule, config.precision)
    optimizer.build(method.network.trainable_variables)
    method.training_rules = rules = _training_rules(settings)
    method.average.decay, method.average.warmup = rules.ema_decay, rules.ema_warmup
    method.stage = stage
    method.schedule = schedule
    method.compile(
        optimizer=optimizer,
        steps_per_execution=config.steps_per_execution,
        jit_compile=devices.compiles(
            config.jit_compile,
            tf.distribute.get_strategy(),
            method.compilable,
            config.deterministic,
        ),
    )


def _training_rules(settings: Mapping) -> base.Training:
    return base.Training(
        **{field.name: settings[field.name] for field in dataclasses.fields(base.Training)}
    )


def _make(component: recipes.Component, config, facts) -> rebalance.Rebalancer:
    return component.load()(rebalance.Hyperparameters(config, component.flags), facts)


def network_builder(
    config,
    dataset: records.Dataset,
    restarts: int = 0,
    starts: bool = True,
    start: warm_start.WarmStart | None = None,
):
    """A function from heads to a network; each call draws the same weights.

    Args:
        config: the run's flags.
        dataset: for its shape and normalisation.
        restarts: how often weights were drawn before in this run.
        starts: whether the backbone's weights count; where others follow, a file of them is not
            read, as it may be gone by then.
        start: what `--init_weights` names, where it is a run.
    """
    init_weights = start.built_with if start else config.init_weights
    # That Keras's weights are used changes the network that it makes.
    needed = starts or init_weights == "imagenet"

    @network.drawing_from_generators()
    def build(heads):
        keras.utils.set_random_seed(seeds.seed_for(config.seed, f"weights/{restarts}") % 2**31)
        with precision.computing_in(config.precision):
            backbone = registry.build_backbone(
                config.model,
                dataset.image_shape,
                batch_norm=network.BatchNorm(
                    config.batch_norm_momentum, config.batch_norm_epsilon, config.sync_batch_norm
                ),
                normalization=(dataset.mean, dataset.std),
                init_weights=init_weights if needed else "none",
            )
        layers = {name: make() for name, make in heads.items()}
        for name, layer in layers.items():
            if layer.name != name:
                raise ValueError(f"head {name} must be a layer of that name, got {layer.name}.")
        made = network.build_network(backbone, layers)
        if start and starts:
            start.set_weights(made, layers)
        return made

    return build


def views(config, dataset: records.Dataset) -> augment_views.Views:
    """How views of this data set are made."""
    # A method without strong views reads no order, and of a preset only whether crops are padded
    # with black; where it has none they reflect, as those of this one.
    policy = presets.preset(
        config.randaugment or "fixmatch", config.randaugment_order or "composed"
    )
    padding = min(dataset.image_shape[:2]) // 8
    resized = config.crop in flag_table.RESIZED
    return augment_views.Views(
        dataset.image_shape,
        dataset.flip,
        padding,
        policy,
        geometry=augment_views.RESIZED_CROP if resized else augment_views.CROP,
        one_place=config.crop == "resized_once",
    )
