"""One run of the trainer from its configuration to its record: wiring, no mathematics."""

import logging
import pathlib

import numpy as np
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf import flag_table, recipes
from drw_tf.data import dataset as records
from drw_tf.data import pipeline, registry
from drw_tf.methods import alarm
from drw_tf.report import evaluation, event_files, record, tensorboard
from drw_tf.serving import folders, run_export
from drw_tf.training import assembly, checkpoint, devices, loop, stages, workdir

Stopped = loop.Stopped
EXIT_STOPPED = loop.EXIT_STOPPED
# What a user can cause; anything else is a bug and keeps its traceback.
USER_ERRORS = (
    configuration.ConfigError,
    workdir.WorkdirError,
    checkpoint.CheckpointError,
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
        data: tuple[records.Dataset, records.Split] | None = None,
    ):
        """Takes pictures and their split where they are not those that the flags name."""
        if config.deterministic:
            devices.set_determinism()
        self._made = (None, None)
        self.config = config
        self.recipe = recipes.RECIPES[config.method]
        self.dataset, self.split = data or registry.load(config)
        self.strategy = devices.strategy(config.strategy)
        with self.strategy.scope():
            self.method = assembly.build_method(config, self.dataset, self.split)
        self.stages = stages.Stages(
            config, self.dataset, self.split, self.method, self.strategy, self.logits
        )

    def batches(self, stage: int, start_step: int) -> tf.distribute.DistributedDataset:
        """The distributed training batches of a stage, from one of its steps on."""
        # The first pictures are logged and then trained with; tracing takes seconds.
        if self._made[0] != (stage, start_step):
            self._made = (stage, start_step), self._batches(stage, start_step)
        return self._made[1]

    def _batches(self, stage: int, start_step: int) -> tf.distribute.DistributedDataset:
        streams = self.stages.streams(stage)
        return devices.distribute(
            self.strategy,
            lambda shard: pipeline.training_batches(
                self.dataset.train,
                streams,
                assembly.views(self.config, self.dataset),
                self.config.seed,
                start_step,
                shard,
            ),
        )

    def logits(self, images: records.ArrayImages) -> np.ndarray:
        """float32 [N, C] of the averaged network on pictures as they are."""
        method = self.method
        return self.evaluator(images).logits(method.ema_network, method.evaluated_head)

    def evaluator(
        self, images: records.ArrayImages, progress: bool = False
    ) -> evaluation.Evaluator:
        """A judge on these pictures; between epochs the bar of the training is enough."""
        return evaluation.Evaluator(
            images,
            self.dataset.image_shape,
            self.method.facts.labeled_counts,
            self.config.eval_batch_size,
            progress,
        )

    def evaluate(self, judge: evaluation.Evaluator) -> dict:
        """{"ema": ..., "raw": ...}; where logits are adjusted, "ema_unadjusted" too."""
        method, head = self.method, self.method.evaluated_head
        found = {
            "ema": judge.metrics(method.ema_network, head, method.adjust),
            "raw": judge.metrics(method.network, head, method.adjust),
        }
        if method.adjusts:
            found["ema_unadjusted"] = judge.metrics(method.ema_network, head)
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


def train(config: configuration.Config, command: list[str]) -> dict:
    """Trains to the end, from the newest checkpoint if there is one; returns the record.

    Args:
        config: the run's flags.
        command: what was typed, for the record.
    """
    folder = workdir.Workdir(config.workdir)
    try:
        return _train(config, command, folder)
    finally:
        folder.release()


def _train(config, command, folder: workdir.Workdir) -> dict:
    if config.fresh:
        aside = folder.set_aside()
        if aside:
            logging.getLogger("drw_tf").warning("the earlier run was moved to %s", aside)
    _agree_with_earlier(config, folder)
    if _is_finished(config, folder):
        return record.read_record(folder.record)
    run_export.refuse_unread(config)
    run = Run(config)
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
    log = _TensorBoard(run, folder.tensorboard) if config.tensorboard else None
    history = loop.run(
        run.method,
        run.stages.all,
        run.stages.prepare,
        run.stages.begin,
        run.batches,
        lambda: run.evaluations(judges),
        checkpoint.Checkpoints(folder.checkpoints, run.method, config.keep_checkpoints),
        plan,
        [log.write] if log else [],
        log.start if log else lambda step: None,
    )
    result = record.build_record(
        command_line=command,
        configuration=config,
        dataset=facts(run),
        history=history,
        steps=history[-1]["step"],
        seconds=history[-1]["seconds"],
        images_per_second=history[-1]["step"] * plan.images_per_step / history[-1]["seconds"],
    )
    if config.export:
        run_export.export_run(run, folder.export, result)
    if log:
        log.finish(result)
    record.write_record(folder.record, result)
    return result


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
        event_files.truncate(self.logdir, step or -1)
        self.log = tensorboard.TensorBoardLog(self.logdir, self.run.dataset.class_names)
        if step == 0:
            self.log.log_text(self.run.config)

    def _first_batch(self) -> None:
        batches = iter(self.run.batches(0, 0))
        first = self.run.strategy.experimental_local_results(next(batches))[0]
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
