"""What changes between the stages of a run: weights, what is trained, the optimizer, the data."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from drw_tf.data import dataset as records
from drw_tf.data import pipeline
from drw_tf.methods import base
from drw_tf.models import weights
from drw_tf.rebalance import base as rebalance
from drw_tf.training import assembly, warm_start


class Stages:
    """The stages of one run, and how one follows another.

    `prepare` brings the method into the form that a stage's checkpoint needs; `begin` does
    what happens once, between two stages. Both are functions of the run's seed and the
    state before them, so a kill in the middle of either changes nothing.
    """

    def __init__(
        self,
        config,
        dataset: records.Dataset,
        split: records.Split,
        method: base.Method,
        strategy: tf.distribute.Strategy,
        logits: Callable[[records.RowsOf | records.FileImages], np.ndarray],
        start: warm_start.WarmStart | None = None,
    ):
        """Takes `logits`, which gives the averaged network's [N, C] on pictures as they are.

        `start` is what `--init_weights` names, where it is a run.
        """
        self.logits = logits
        self.start = start
        self.config = config
        self.dataset = dataset
        self.split = split
        self.method = method
        self.strategy = strategy
        self.all = method.stages(config.steps)
        for stage in self.all:
            if stage.steps % config.steps_per_epoch:
                raise ValueError(
                    f"stage {stage.name} has {stage.steps} steps, which is not a multiple of "
                    f"--steps_per_epoch={config.steps_per_epoch}; choose --steps accordingly."
                )
            warmup = stage.settings.get("warmup_steps", config.warmup_steps)
            if stage.steps <= warmup:
                raise ValueError(
                    f"stage {stage.name} must be longer than --warmup_steps={warmup}, "
                    f"got {stage.steps} steps."
                )

    def require_weights(self, step: int, stop_at: int) -> None:
        """Nothing; of a run that is at `step`, a later stage must find the file it starts from.

        Raises:
            weights.WeightsError: it is gone, and a stage that begins before `stop_at` needs it.
        """
        begins = 0
        for stage in self.all:
            # At its first step a stage has not begun: what is saved there is the one before.
            if stage.begins_with == "redraw" and step <= begins < stop_at:
                why = f"stage {stage.name} starts from it at step {begins}"
                if self.start:
                    self.start.require_still_there(why)
                else:
                    weights.require_still_there(self.config.init_weights, why)
            begins += stage.steps

    def prepare(self, index: int) -> None:
        """Freezes what stage `index` does not train and gives it a new optimizer."""
        stage = self.all[index]
        with self.strategy.scope():
            if stage.begins_with == "new_head":
                self.method.freeze_all_but_logits()
            self.method.stage_start = sum(earlier.steps for earlier in self.all[:index])
            assembly.compile_method(self.config, self.method, stage)

    def begin(self, index: int) -> None:
        """Turns the end of stage `index - 1` into the start of stage `index`."""
        method, stage = self.method, self.all[index]
        ask = rebalance.Ask(self._pool_logits, self._labeled_in_pool())
        for one in method.rebalancers:
            one.begin_stage(index, ask)
        if stage.begins_with != "keep":
            self._set_weights(index, stage.begins_with)
        if stage.begins_with == "redraw" and method.histogram is not None:
            method.histogram.forget()
        self.prepare(index)

    def streams(self, index: int) -> list[pipeline.Stream]:
        """What stage `index` reads."""
        stage = self.all[index]
        rows = self.split.labeled
        labels = self.dataset.train.labels[rows]
        pool = self._pool()
        for one in self.method.rebalancers:
            added = one.labeled_rows()
            if added is not None:
                rows = np.concatenate([rows, pool[added[0]]])
                labels = np.concatenate([labels, added[1]])
        config, method = self.config, self.method
        made = [
            pipeline.Stream(
                f"labeled{index}" if index else "labeled",
                rows,
                config.batch_size,
                ("weak",) if stage.labeled_only else method.labeled_views,
                labels,
                stage.sampling,
            )
        ]
        if self._reads_pool(stage):
            made.append(
                pipeline.Stream(
                    f"unlabeled{index}" if index else "unlabeled",
                    pool,
                    config.batch_size * config.unlabeled_ratio,
                    method.unlabeled_views,
                )
            )
        return made

    def images_read(self, steps: int) -> int:
        """Pictures read in the first steps of the run, views not counted."""
        read = begins = 0
        for stage in self.all:
            here = min(max(0, steps - begins), stage.steps)
            parts = 1 + (self.config.unlabeled_ratio if self._reads_pool(stage) else 0)
            read += here * self.config.batch_size * parts
            begins += stage.steps
        return read

    def _reads_pool(self, stage: rebalance.Stage) -> bool:
        return bool(self.method.unlabeled_views) and not stage.labeled_only

    def _pool(self) -> np.ndarray:
        return self.split.pool(self.config.pool == "all")

    def _labeled_in_pool(self) -> np.ndarray:
        return np.flatnonzero(np.isin(self._pool(), self.split.labeled))

    def _pool_logits(self) -> np.ndarray:
        return self.logits(records.view(self.dataset.train, self._pool()))

    def _set_weights(self, index: int, begins_with: str) -> None:
        """Draws the weights that a stage does not take over."""
        method = self.method
        keeps_rest = begins_with == "new_head"
        # Of weights that are not taken no file is read, which may be gone by now.
        build = assembly.network_builder(
            self.config, self.dataset, index, starts=not keeps_rest, start=self.start
        )
        drawn = build(method.all_heads())
        triples = zip(
            method.network.variables, method.ema_network.variables, drawn.variables, strict=True
        )
        for trained, average, new in triples:
            is_kept = keeps_rest and not new.name.startswith("logits/")
            trained.assign(average if is_kept else new)
        method.average.start()
