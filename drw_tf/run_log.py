"""What a run sends to TensorBoard, and when."""

import logging
import pathlib

import tensorflow as tf

from drw_tf import run as runs
from drw_tf.data import pipeline
from drw_tf.report import event_files, tensorboard

_LOG = logging.getLogger("drw_tf")


class RunLog:
    """Hands the run's events to the log."""

    def __init__(self, run: runs.Run, logdir: pathlib.Path):
        self.run = run
        self.logdir = logdir
        self.log = None

    def start(self, step: int) -> None:
        # What a run that has not saved yet has logged at step 0 is logged again.
        damaged = event_files.truncate(self.logdir, step or -1, tensorboard.FINAL_TAGS)
        for name in damaged:
            _LOG.warning("the end of %s was damaged and is cut off", self.logdir / name)
        self.log = tensorboard.TensorBoardLog(self.logdir, self.run.dataset.class_names)
        if step == 0:
            self.log.log_text(self.run.config)

    def _first_batch(self, step: int) -> None:
        parts = self.run.strategy.num_replicas_in_sync
        first = next(iter(self.run.local_batches(0, 0, pipeline.Shard(workers=parts))))
        for stream, views in first.items():
            for name, values in views.items():
                if values.dtype == tf.uint8:
                    self.log.log_images(f"{stream}/{name}", values.numpy()[:16], step)

    def write(self, entry: dict) -> None:
        self.log.log_evaluation(entry)
        config = self.run.config
        if entry["epoch"] == 1:
            # Not at the start: a second pipeline takes seconds to build. At this step, as what is
            # logged again after a kill must be beyond the checkpoint.
            self._first_batch(entry["step"])
        evaluations = config.steps // config.steps_per_epoch
        # Drawing takes longer than a small epoch does: ten pictures a run.
        confusion = entry["test"].get("ema", {}).get("confusion")
        if confusion is not None and entry["epoch"] % max(1, evaluations // 10) == 0:
            self.log.log_confusion(confusion, entry["step"])

    def finish(self, result: dict) -> None:
        metrics = {name: one["last"] for name, one in result["final"].get("ema", {}).items()}
        self.log.log_hparams(self.run.config, metrics, result["steps"])
        self.log.close()
