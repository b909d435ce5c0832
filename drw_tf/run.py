"""One run, built from its configuration: data, networks, method, stages, judges. No mathematics."""

import functools
import os
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf import config as configuration
from drw_tf import flag_table, places, run_folder
from drw_tf.data import data_service, identity, pipeline, registry
from drw_tf.data import dataset as records
from drw_tf.models import spread
from drw_tf.training import (
    assembly,
    checkpoint,
    cluster,
    devices,
    evaluation,
    stages,
    warm_start,
)
from drw_tf.training import workdir as workdirs


class Run:
    """Everything of a run that is built from its configuration."""

    def __init__(
        self,
        config: configuration.Config,
        team: cluster.Team | None = None,
        data: tuple[records.Dataset, records.Split] | None = None,
        begun_with: Mapping = types.MappingProxyType({}),
    ):
        """Takes data where they are read already, or are not those that the flags name.

        Of a run whose state a checkpoint has, `begun_with` are the `identity.facts` of the data
        that it was begun with.
        """
        if config.deterministic:
            devices.set_determinism()
        if config.vat_difference is not None:
            devices.forbid_tensor_float_32()
        self.config = config
        self.team = team or cluster.Team(devices.strategy(config.strategy))
        self.strategy = self.team.strategy
        self.dataset, self.split = data or registry.load(config)
        self.start = _start(config, self.dataset, begun_with)
        with self.strategy.scope():
            self.method = assembly.build_method(
                config, self.dataset, self.split, begun_with, self.start
            )
        self._copies = {}
        self._graphs = {}  # of networks that are judged
        self._judging = 1  # devices of this process that evaluate
        if self.strategy.num_replicas_in_sync > 1:
            own = self.strategy.extended.worker_devices
            self._judging = len(own)
            build = functools.partial(
                assembly.network_builder(config, self.dataset, starts=False, start=self.start),
                self.method.all_heads(),
            )
            self._copies = {name: spread.SpreadNetwork(build, own) for name in ("ema", "raw")}
        self.stages = stages.Stages(
            config, self.dataset, self.split, self.method, self.strategy, self.logits, self.start
        )

    def facts(self) -> dict:
        """What tells the run's data from others and what it starts from; JSON-serialisable."""
        start = {"start": self.start.facts()} if self.start else {}
        return {**identity.facts(self.dataset, self.split), **start}

    def batches(self, stage: int, start_step: int) -> devices.Batches:
        """The distributed training batches of a stage, from one of its steps on."""
        return devices.distribute(
            self.strategy, lambda shard: self.local_batches(stage, start_step, shard)
        )

    def local_batches(self, stage: int, start_step: int, shard: pipeline.Shard) -> tf.data.Dataset:
        """One shard of the same batches, not distributed."""
        service = self.config.data_service
        make = functools.partial(data_service.batches, service) if service else None
        return (make or pipeline.training_batches)(
            self.dataset.train,
            self.stages.streams(stage),
            assembly.views(self.config, self.dataset),
            self.config.seed,
            start_step,
            shard,
        )

    def logits(self, images: records.RowsOf | records.FileImages) -> np.ndarray:
        """float32 [N, C] of the averaged network on pictures as they are."""
        return self.evaluator(images).logits(self.networks()["ema"], self.method.evaluated_head)

    def networks(self) -> dict[str, evaluation.Network]:
        """{"ema": averaged, "raw": in training}, for use outside of a step.

        With several replicas copies on all devices of this process: a batch statistic of the
        originals is the mean over all replicas. With several workers they have to read it
        together, so call this on all of them at once.
        """
        found = {"ema": self.method.ema_network, "raw": self.method.network}
        for name, copy in self._copies.items():
            copy.set_weights(found[name].get_weights())
        return self._copies or found

    def averaged_network(self) -> keras.Model:
        """The averaged one of `networks`, on one device; to be asked for as those are."""
        found = self.networks()["ema"]
        return found.single if self._copies else found

    def evaluator(
        self,
        images: records.ArrayImages | records.FileImages | records.RowsOf,
        progress: bool = False,
        alone: bool = False,
    ) -> evaluation.Evaluator:
        """A judge on these pictures; between epochs the bar of the training is enough.

        All workers judge a part each, on all their devices, and must all ask, unless this one is
        `alone`, with a network on one device.
        """
        return evaluation.Evaluator(
            images,
            self.dataset.image_shape,
            self.method.facts.labeled_counts,
            self.config.eval_batch_size * (1 if alone else self._judging),
            progress,
            None if alone else self.team,
            self._graphs,
        )

    def evaluate(
        self, judge: evaluation.Evaluator, between: Callable[[], None] = lambda: None
    ) -> dict:
        """{"ema": ..., "raw": ...}; where logits are adjusted, "ema_unadjusted" too.

        `between` is called before each batch; what it raises ends the evaluation.
        """
        method, head = self.method, self.method.evaluated_head
        networks = self.networks()
        found = judge.logits_of_each(list(networks.values()), head, between)
        logits = dict(zip(networks, found, strict=True))
        found = {
            name: judge.metrics(method.adjust(logits[name], network))
            for name, network in networks.items()
        }
        if method.adjusts:
            found["ema_unadjusted"] = judge.metrics(logits["ema"])
        return found

    def judges(self, progress: bool = False) -> dict[str, evaluation.Evaluator | None]:
        """Judges of what is evaluated: the "test" pictures, and "validation" if there are any."""
        test, held_out = self.dataset.test, self.split.validation
        found = {"test": None if test is None else self.evaluator(test, progress)}
        if len(held_out):
            images = records.take(self.dataset.train, held_out)
            found["validation"] = self.evaluator(images, progress)
        return found

    def evaluations(
        self,
        judges: dict[str, evaluation.Evaluator | None],
        between: Callable[[], None] = lambda: None,
    ) -> dict[str, dict]:
        """What `evaluate` finds on each set; of validation pictures the single numbers alone."""
        found = {
            name: self.evaluate(judge, between) if judge else {} for name, judge in judges.items()
        }
        return as_recorded(found)


def _start(config, dataset, begun_with: Mapping) -> warm_start.WarmStart | None:
    """The run that `--init_weights` names, as it was found when this one began."""
    if begun_with:
        told = begun_with.get("start")
        return warm_start.WarmStart(**told) if told else None
    if not places.is_run(config.init_weights):
        return None
    return start_from(config, dataset.class_names)


def start_from(config: configuration.Config, class_names: Sequence[str]) -> warm_start.WarmStart:
    """The averaged network of the run that `--init_weights` names, for a new run to start from.

    Args:
        config: of the new run.
        class_names: its classes.

    Returns:
        Of its newest sound checkpoint.

    Raises:
        ConfigError: it is no trained run, the new one itself, or one of another network.
        DiskGone: its checkpoints cannot be read now.
    """
    named = f"--init_weights={config.init_weights}"
    folder = workdirs.Layout(os.path.realpath(os.path.expanduser(config.init_weights)))
    if not folder.path.is_dir():
        raise configuration.ConfigError(
            f"--init_weights must be {flag_table.BY_NAME['init_weights'].allowed}, there is no "
            f"folder {config.init_weights!r}."
        )
    if folder.path == pathlib.Path(os.path.realpath(config.workdir)):
        raise configuration.ConfigError(f"{named} must be another run than --workdir.")
    earlier = run_folder.configuration_of(folder.path, flag="init_weights")
    if earlier.model != config.model:
        raise configuration.ConfigError(
            f"{named} is a run of --model={earlier.model}, so that must be given, "
            f"got {config.model}."
        )
    checkpoints = checkpoint.of_folder(folder.checkpoints)
    try:
        step = checkpoints.newest()["step"]
    except checkpoint.CheckpointError:
        raise configuration.ConfigError(f"{named}: all its checkpoints are damaged.") from None
    begun = run_folder.data_of(folder.path)
    own = "imagenet" if earlier.init_weights == "imagenet" else "none"
    return warm_start.WarmStart(
        str(checkpoints.folder_of(step)),
        takes_heads=begun.get("class_names") == list(class_names),
        built_with=begun.get("start", {}).get("built_with", own),
    )


def as_recorded(found: Mapping[str, Mapping]) -> dict[str, dict]:
    """Metrics of each set as a history has them: of "validation" the single numbers alone."""

    def numbers(metrics):
        return {name: one for name, one in metrics.items() if isinstance(one, float)}

    return {
        name: {
            network: numbers(metrics) if name == "validation" else metrics
            for network, metrics in of_set.items()
        }
        for name, of_set in found.items()
    }
