"""One run of the trainer from its configuration to its record: wiring, no mathematics."""

import functools
import logging
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow import keras

from drw_tf import config as configuration
from drw_tf import flag_table, recipes
from drw_tf.data import data_service, pipeline, registry
from drw_tf.data import dataset as records
from drw_tf.methods import alarm
from drw_tf.report import evaluation, event_files, record, tensorboard
from drw_tf.serving import folders, run_export
from drw_tf.training import (
    assembly,
    checkpoint,
    cluster,
    devices,
    loop,
    rendezvous,
    stages,
    workdir,
)

Stopped = loop.Stopped
PeerLost = cluster.PeerLost
NotAllCame = rendezvous.NotAllCame
leave = cluster.leave
EXIT_STOPPED = loop.EXIT_STOPPED
# What a user can cause; anything else is a bug and keeps its traceback.
USER_ERRORS = (
    configuration.ConfigError,
    workdir.WorkdirError,
    checkpoint.CheckpointError,
    cluster.ClusterError,
    alarm.NonFiniteError,
    folders.ExportError,
    OSError,  # a full disk, a missing file
    ValueError,
)


class Run:
    """Everything of a run that is built from its configuration."""

    def __init__(
        self,
        config: configuration.Config,
        team: cluster.Team | None = None,
        data: tuple[records.Dataset, records.Split] | None = None,
    ):
        """Takes pictures and their split where they are not those that the flags name."""
        if config.deterministic:
            devices.set_determinism()
        self.config = config
        self.team = team or cluster.Team(devices.strategy(config.strategy))
        self.strategy = self.team.strategy
        self.recipe = recipes.RECIPES[config.method]
        self.dataset, self.split = data or registry.load(config)
        with self.strategy.scope():
            self.method = assembly.build_method(config, self.dataset, self.split)
        self._copies = {}
        if self.team.workers > 1:
            build = assembly.network_builder(config, self.dataset)
            self._copies = {name: build(self.method.all_heads()) for name in ("ema", "raw")}
        self.stages = stages.Stages(
            config, self.dataset, self.split, self.method, self.strategy, self.logits
        )

    def batches(self, stage: int, start_step: int) -> tf.distribute.DistributedDataset:
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

    def logits(self, images: records.ArrayImages) -> np.ndarray:
        """float32 [N, C] of the averaged network on pictures as they are."""
        return self.evaluator(images).logits(self.networks()["ema"], self.method.evaluated_head)

    def networks(self) -> dict[str, keras.Model]:
        """{"ema": averaged, "raw": in training}, for use outside of a step.

        With several workers copies: a batch statistic of the originals is the mean over all
        workers, who would have to read it together. So call this on all of them at once.
        """
        found = {"ema": self.method.ema_network, "raw": self.method.network}
        for name, copy in self._copies.items():
            copy.set_weights(found[name].get_weights())
        return self._copies or found

    def evaluator(
        self, images: records.ArrayImages, progress: bool = False, alone: bool = False
    ) -> evaluation.Evaluator:
        """A judge on these pictures; between epochs the bar of the training is enough.

        All workers judge a part each, and must all ask, unless this one is `alone`.
        """
        return evaluation.Evaluator(
            images,
            self.dataset.image_shape,
            self.method.facts.labeled_counts,
            self.config.eval_batch_size,
            progress,
            None if alone else self.team,
        )

    def evaluate(self, judge: evaluation.Evaluator) -> dict:
        """{"ema": ..., "raw": ...}; where logits are adjusted, "ema_unadjusted" too."""
        method, head = self.method, self.method.evaluated_head
        networks = self.networks()
        found = {
            name: judge.metrics(network, head, method.adjust) for name, network in networks.items()
        }
        if method.adjusts:
            found["ema_unadjusted"] = judge.metrics(networks["ema"], head)
        return found

    def judges(self) -> dict[str, evaluation.Evaluator | None]:
        """Judges of what is evaluated: the "test" pictures, and "validation" if there are any."""
        test, held_out = self.dataset.test, self.split.validation
        found = {"test": None if test is None else self.evaluator(test)}
        if len(held_out):
            found["validation"] = self.evaluator(records.take(self.dataset.train, held_out))
        return found

    def evaluations(self, judges: dict[str, evaluation.Evaluator | None]) -> dict[str, dict]:
        """What `evaluate` finds on each set; of validation pictures the single numbers alone."""
        found = {name: self.evaluate(judge) if judge else {} for name, judge in judges.items()}
        for network, metrics in found.get("validation", {}).items():
            numbers = {name: one for name, one in metrics.items() if isinstance(one, float)}
            found["validation"][network] = numbers
        return found


def train(config: configuration.Config, command: list[str]) -> dict | None:
    """Trains to the end, from the newest checkpoint if there is one; returns the record.

    Args:
        config: the run's flags.
        command: what was typed, for the record.

    Returns:
        The record; None on workers that are not the chief.
    """
    if config.strategy != "multi_worker":
        return _train(config, command, devices.strategy(config.strategy))
    workers = cluster.resolver(os.environ, config.cluster_hosts, config.cluster_port)
    # Before anything else: TensorFlow forms no cluster once an operation has run.
    strategy = cluster.join(workers, config.cluster_timeout)
    return cluster.watched(lambda: _train(config, command, strategy))


def _train(config, command, strategy) -> dict | None:
    team = cluster.Team(strategy)
    team.require_same(config.to_json(), "flags")
    folder = workdir.Layout(config.workdir)

    def claim():
        nonlocal folder
        folder = workdir.Workdir(config.workdir)
        if config.fresh:
            aside = folder.set_aside()
            if aside:
                logging.getLogger("drw_tf").warning("the earlier run was moved to %s", aside)
        _agree_with_earlier(config, folder)
        return _is_finished(config, folder)

    try:
        if not team.from_chief(claim):
            _train_on(config, command, folder, team)
        result = record.read_record(folder.record) if team.is_chief else None
        # The chief writes on when the others are done, who wait: leaving looks like a failure.
        team.total(0)
        return result
    finally:
        folder.release()


def _train_on(config, command, folder: workdir.Layout, team) -> None:
    run_export.refuse_unread(config)
    run = Run(config, team)
    if config.export:
        run_export.refuse(run)
    judges = run.judges()
    plan = loop.Plan(
        config.steps,
        config.steps_per_epoch,
        config.checkpoint_steps,
        sum(stream.batch for stream in run.stages.streams(0)),
        config.max_skipped_steps if config.on_nonfinite == "skip" else 0,
    )
    log = _TensorBoard(run, folder.tensorboard) if config.tensorboard and team.is_chief else None
    history = loop.run(
        run.method,
        run.stages.all,
        run.stages.prepare,
        run.stages.begin,
        run.batches,
        lambda: run.evaluations(judges),
        checkpoint.Checkpoints(folder.checkpoints, run.method, config.keep_checkpoints, team),
        plan,
        [log.write] if log else [],
        log.start if log else lambda step: None,
        team,
    )
    network = run.networks()["ema"]
    if not team.is_chief:
        return
    result = record.build_record(
        command_line=command,
        configuration=config,
        dataset=facts(run),
        history=history,
        steps=history[-1]["step"],
        seconds=history[-1]["seconds"],
        images_per_second=history[-1]["step"] * plan.images_per_step / history[-1]["seconds"],
    )
    result["machine"] |= {"workers": team.workers, "replicas": team.strategy.num_replicas_in_sync}
    if config.export:
        run_export.export_run(run, folder.export, result, network)
    if log:
        log.finish(result)
    record.write_record(folder.record, result)


def _is_finished(config: configuration.Config, folder: workdir.Workdir) -> bool:
    """Whether nothing is left to do; the record is the last thing that a run writes."""
    if not folder.record.exists():
        return False
    earlier = record.read_record(folder.record)["configuration"]
    same = all(
        earlier.get(name, flag_table.BY_NAME[name].default) == config[name]
        for name in run_export.FLAGS
    )
    return not config.export or (folder.export.exists() and same)


def summary(config: configuration.Config, result: dict) -> str:
    """What came out of a run, and where it lies."""
    folder = pathlib.Path(config.workdir)
    lines = []
    for network, title in (("ema", "averaged network"), ("ema_unadjusted", "without adjustment")):
        last = {name: one["last"] for name, one in result["final"].get(network, {}).items()}
        if last:
            lines.append(
                f"{title}, last evaluation: bACC {_percent(last['balanced_accuracy'])}, accuracy "
                f"{_percent(last['accuracy'])}, GM {_percent(last['geometric_mean'])}, Many / "
                f"Medium / Few {_percent(last['many'])} / {_percent(last['medium'])} / "
                f"{_percent(last['few'])}"
            )
    places = ("record.json", "checkpoints", "tensorboard", "export")
    found = ", ".join(str(folder / place) for place in places if (folder / place).exists())
    return "\n".join([*lines, f"written: {found}"])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def facts(run: Run) -> dict:
    """What the record says about the data."""
    train, test = run.dataset.train.labels, run.dataset.test

    def counts(labels):
        """[C], or None where nobody knows the classes."""
        if (labels == records.UNKNOWN_LABEL).any():
            return None
        return records.class_counts(labels, run.dataset.num_classes).tolist()

    return {
        "name": run.dataset.name,
        "class_names": list(run.dataset.class_names),
        "split_checksum": run.split.checksum(),
        "labeled_counts": counts(train[run.split.labeled]),
        "unlabeled_counts": counts(train[run.split.unlabeled]),
        "test_counts": None if test is None else counts(test.labels),
    }


def _agree_with_earlier(config: configuration.Config, folder: workdir.Workdir) -> None:
    """Refuses to go on with flags that would make it another run."""
    if folder.config.exists():
        lines = configuration.differences(configuration.read(folder.config), config)
        if lines:
            raise configuration.ConfigError(
                f"--workdir={folder.path} holds a run with other flags ({'; '.join(lines)}); "
                "give the same flags, another --workdir, or --fresh to start over."
            )
    folder.write_config(config.to_json())


class _TensorBoard:
    """Hands the run's events to the log."""

    def __init__(self, run: Run, logdir: pathlib.Path):
        self.run = run
        self.logdir = logdir
        self.log = None

    def start(self, step: int) -> None:
        # What a run that has not saved yet has logged at step 0 is logged again.
        event_files.truncate(self.logdir, step or -1, tensorboard.FINAL_TAGS)
        self.log = tensorboard.TensorBoardLog(self.logdir, self.run.dataset.class_names)
        if step == 0:
            self.log.log_text(self.run.config)

    def _first_batch(self) -> None:
        parts = self.run.strategy.num_replicas_in_sync
        first = next(iter(self.run.local_batches(0, 0, pipeline.Shard(workers=parts))))
        for stream, views in first.items():
            for name, values in views.items():
                if values.dtype == tf.uint8:
                    self.log.log_images(f"{stream}/{name}", values.numpy()[:16], 0)

    def write(self, entry: dict) -> None:
        self.log.log_evaluation(entry)
        config = self.run.config
        if entry["epoch"] == 1:
            # Not at the start: a second pipeline takes seconds to build.
            self._first_batch()
        evaluations = config.steps // config.steps_per_epoch
        # Drawing takes longer than a small epoch does: ten pictures a run.
        confusion = entry["test"].get("ema", {}).get("confusion")
        if confusion is not None and entry["epoch"] % max(1, evaluations // 10) == 0:
            self.log.log_confusion(confusion, entry["step"])

    def finish(self, result: dict) -> None:
        metrics = {name: one["last"] for name, one in result["final"].get("ema", {}).items()}
        self.log.log_hparams(self.run.config, metrics, result["steps"])
        self.log.close()
