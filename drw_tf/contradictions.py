"""Flags that contradict each other: what is known before any data are read."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence

from drw_tf import flag_table, places, recipes
from drw_tf.ops import crt_steps

# Flags of the trainer that only the export reads.
EXPORT_FLAGS = ("export_logit_adjustment", "export_temperature")
# Flags that are read only where another one has a certain value.
READ_WITH = {
    **dict.fromkeys(EXPORT_FLAGS, ("export", True)),
    **dict.fromkeys(
        ("cluster_hosts", "cluster_port", "cluster_timeout"), ("strategy", "multi_worker")
    ),
    "max_skipped_steps": ("on_nonfinite", "skip"),
    "in_memory_gigabytes": ("crop", "shift"),
}


def found(values: Mapping) -> Iterator[str]:
    """One line for each contradiction between the flags of a run, each naming the flags.

    Args:
        values: every flag's value by name, None for those that the run does not read.
    """
    if values["dataset"] == "folder" and not values["labeled_dir"]:
        yield "--labeled_dir must be given with --dataset=folder."
    if values["dataset"] == "csv" and not values["labels_csv"]:
        yield "--labels_csv must be given with --dataset=csv."
    if values["steps"] % values["steps_per_epoch"]:
        yield (
            f"--steps must be a multiple of --steps_per_epoch={values['steps_per_epoch']}, "
            f"got {values['steps']}; give another one, or --steps_per_epoch as well."
        )
    end = values["stop_at_step"]
    if end % values["steps_per_epoch"] or end > values["steps"]:
        yield (
            f"--stop_at_step must be a multiple of --steps_per_epoch={values['steps_per_epoch']} "
            f"and at most --steps={values['steps']}, got {end}."
        )
    if values["steps_per_epoch"] % values["steps_per_execution"]:
        yield (
            f"--steps_per_execution must divide --steps_per_epoch={values['steps_per_epoch']}, "
            f"got {values['steps_per_execution']}."
        )
    if values["checkpoint_steps"] % values["steps_per_execution"]:
        yield (
            f"--checkpoint_steps must be a multiple of --steps_per_execution="
            f"{values['steps_per_execution']}, got {values['checkpoint_steps']}."
        )
    if values["vat_difference"] is not None and values["precision"] != "float32":
        yield (
            f"--precision must be float32 for --method={values['method']}, whose finite "
            f"differences vanish in 16 bits, got {values['precision']}."
        )
    if values["unlabeled_prior"] == "true" and values["dataset"] in ("folder", "csv"):
        yield (
            "--unlabeled_prior must be labeled for own pictures, as nobody knows the classes of "
            "the unlabeled ones, got true."
        )
    if values["unlabeled_prior"] == "true" and not _reads_prior(values):
        yield (
            "--unlabeled_prior is read with --align_distribution=true alone by "
            f"--method={values['method']}, got true and --align_distribution=false."
        )
    if values["la_prior"] == "effective" and not recipes.RECIPES[values["method"]].weighs_labeled:
        yield (
            "--la_prior must be labeled or pseudo for methods without weights on the labeled loss, "
            f"got effective with --method={values['method']}."
        )
    if values["pseudo_count"] == "unrefined" and not recipes.RECIPES[values["method"]].refines:
        yield (
            "--pseudo_count must be all or confident for methods that refine no pseudo-labels, "
            f"got unrefined with --method={values['method']}."
        )
    if values["data_service"] and values["deterministic"]:
        yield (
            "--data_service hands over steps in the order in which they are ready, so it cannot "
            "be used with --deterministic."
        )
    if values["warmup_steps"] >= values["steps"]:
        yield (
            f"--warmup_steps must be less than --steps={values['steps']}, "
            f"got {values['warmup_steps']}."
        )
    if values["init_weights"] == "imagenet" and not flag_table.is_application(values["model"]):
        yield (
            "--init_weights=imagenet is for --model=applications/... only, "
            f"not for {values['model']}."
        )
    if values["jit_compile"] == "on" and values["mixup_alpha"] is not None:
        yield (
            "--jit_compile must be auto or off for methods with mixup, got on: XLA has no "
            "random numbers of a Gamma distribution."
        )
    for name, (other, needed) in READ_WITH.items():
        not_typed = (None, flag_table.BY_NAME[name].default)
        if values[other] != needed and values[name] not in not_typed:
            yield f"--{name} is not read with --{other}={_typed(values[other])}."
    yield from _in_tails(values)
    yield from _in_stages(values)
    yield from _in_export(values)


def doubts(values: Mapping) -> Iterator[str]:
    """One line for what the flags of a run may not be meant to say; nothing is refused for it.

    Args:
        values: see `found`.
    """
    if values["validation_per_class"] and places.is_run(values["init_weights"]):
        yield (
            "--validation_per_class may hold out pictures that the run of --init_weights learned "
            "from, which makes their scores too good; --validation_dir or the table's own "
            "validation rows name others."
        )
    if values["weight_normalization"] == "none":
        yield from _on_one_side(values)
    yield from _too_late(values)
    # A pool that is not cut by class has a tail that nobody knows.
    if values["unlabeled_max"] is None or _has_one_tail(values):
        return
    can_be_told = _reads_prior(values)
    expects = any(part.expects_labeled_tail for part in recipes.RECIPES[values["method"]].parts)
    if expects or (can_be_told and values["unlabeled_prior"] == "labeled"):
        remedy = "; --unlabeled_prior=true tells it the true numbers" if can_be_told else ""
        yield (
            f"{values['method']} takes the pool to be as long-tailed as the labeled pictures, "
            f"which it is not{remedy}."
        )


def _reads_prior(values: Mapping) -> bool:
    """Whether a rebalancer reads `--unlabeled_prior`, or the method's alignment does."""
    parts = recipes.RECIPES[values["method"]].parts
    return bool(values["align_distribution"]) or any(
        "unlabeled_prior" in part.flags for part in parts
    )


def _too_late(values: Mapping) -> Iterator[str]:
    """Of weights that come when no step is left that they could weigh."""
    every, end = values["steps_per_epoch"], values["steps"]
    if values["crt_head_fraction"] is not None:  # the new head learns without them
        end -= crt_steps.head_steps(end, every, values["crt_head_fraction"])
    # Of what an epoch has counted; all others are there before the first step.
    earliest = int("dynamic_weights" in recipes.RECIPES[values["method"]].rebalancers)
    for name, loss in (("reweight_start", "unlabeled"), ("deferred_start", "labeled")):
        start = values[name]
        if start in (None, 1):  # not read, or meant never to come
            continue
        epochs = math.ceil(round(start * values["steps"]) / every)
        first = max(earliest, epochs) * every
        if first >= end:
            yield (
                f"the {loss} loss is never weighted: weights come at the end of an epoch, first "
                f"after step {first} (--{name}={start:g}, --steps_per_epoch={every}), and step "
                f"{end} is the last that they are for; more --steps, or a smaller "
                f"--steps_per_epoch or --{name}, changes that."
            )


def _on_one_side(values: Mapping) -> Iterator[str]:
    """Of weights that are mostly far below 1, on one of two losses alone."""
    recipe = recipes.RECIPES[values["method"]]
    labeled = "labeled_weights" in recipe.rebalancers
    unlabeled = bool({"fixed_unlabeled_weights", "dynamic_weights"} & {*recipe.rebalancers})
    waits = unlabeled and values["reweight_start"] > 0
    if not recipe.reads_unlabeled or (labeled and unlabeled and not waits):
        return
    heavy, light = ("unlabeled", "labeled") if labeled else ("labeled", "unlabeled")
    start = values["reweight_start"]
    when = f" up to --reweight_start={start:g} of the steps" if labeled and waits else ""
    yield (
        f"--weight_normalization=none makes weights mostly far below 1, and the {heavy} loss has "
        f"none{when}: it counts many times as much as the {light} one, where class keeps both "
        "within a few times of each other."
    )


def _has_one_tail(values: Mapping) -> bool:
    """Whether a pool that is cut by class has the shape of the labeled pictures."""
    ratio, order = values["unlabeled_imbalance_ratio"], values["unlabeled_order"]
    if values["imbalance_ratio"] == 1:
        return order == "uniform" or ratio == 1
    return order in (None, "same") and ratio == values["imbalance_ratio"]


def adjustment_in_export(values: Mapping) -> str:
    """The line that says whether an export of a method that adjusts logits has them adjusted."""
    if values["export_logit_adjustment"]:
        return "logit adjustment: in the exported model"
    return "logit adjustment: not in the exported model; --export_logit_adjustment puts it there"


def among_pictures(
    flag: str,
    folder: str | os.PathLike,
    values: Mapping,
    among: Sequence[str] = ("labeled_dir", "validation_dir", "test_dir"),
) -> Iterator[str]:
    """One line for each folder of the user's pictures that a folder to write to lies in.

    What is written into a folder of classes would become a class. That of unlabeled pictures
    may hold all, and runs are no pictures.

    Args:
        flag: that named the folder to write to.
        folder: its value; need not exist.
        values: flags that say where pictures are.
        among: names of those flags.
    """
    for name in among:
        if values[name] and places.lies_in(folder, values[name]):
            yield f"--{flag} must lie outside --{name}={values[name]}, got {folder}."


def _typed(value: object) -> str:
    """A value as it is typed on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_tails(values: Mapping) -> Iterator[str]:
    """Tails whose last class would be empty, and a ratio of what has no tail."""
    typed = values["unlabeled_imbalance_ratio"]
    if values["unlabeled_order"] == "uniform" and typed is not None:
        yield (
            "--unlabeled_imbalance_ratio must be 1 or left out with --unlabeled_order=uniform, "
            f"got {typed:g}."
        )
    for kind, ratio in (("labeled", "imbalance_ratio"), ("unlabeled", "unlabeled_imbalance_ratio")):
        largest = values[f"{kind}_max"]
        if largest is not None and values[ratio] is not None and values[ratio] > largest:
            yield (
                f"--{ratio} must be at most --{kind}_max={largest}, got {values[ratio]:g}: the "
                "smallest class would be empty."
            )


def _in_stages(values: Mapping) -> Iterator[str]:
    """A run that is too short for its stages, of at least an epoch each."""
    parts = values["crest_generations"] or (1 if values["crt_head_fraction"] is None else 2)
    every = values["steps_per_epoch"]
    if values["steps"] < parts * every:
        yield (
            f"--steps must be at least {parts * every}, one epoch of --steps_per_epoch={every} for "
            f"each of the {parts} stages of --method={values['method']}, got {values['steps']}."
        )
    # cRT's head needs no warm-up; its fraction is rounded to whole epochs elsewhere.
    shortest = values["steps"] // every // parts * every
    if values["crest_generations"] and values["warmup_steps"] >= shortest:
        yield (
            f"--warmup_steps must be less than {shortest}, the steps of the shortest of "
            f"--crest_generations={parts}, got {values['warmup_steps']}."
        )


def _in_export(values: Mapping) -> Iterator[str]:
    """What no export can have."""
    if values["export_logit_adjustment"] and not recipes.RECIPES[values["method"]].adjusts:
        yield (
            "--export_logit_adjustment needs a method that adjusts logits at test time, "
            f"got --method={values['method']}."
        )
    # A table may have some, which is known when it is read.
    held_out = values["validation_per_class"] or values["validation_dir"] or values["labels_csv"]
    if values["export_temperature"] == "fit" and not held_out:
        also = ", --validation_dir" if values["dataset"] == "folder" else ""
        yield (
            "--export_temperature=fit needs pictures that were held out: give "
            f"--validation_per_class{also} or a number."
        )
