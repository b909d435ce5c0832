"""A run of the trainer for benchmarks: fed by its pipeline, and by one batch in memory."""

from collections.abc import Sequence

import measuring
import tensorflow as tf

from drw_tf import run as runs
from drw_tf.data import registry
from drw_tf.training import devices


def build(name: str, step_flags: Sequence[str]) -> tuple[runs.Run, dict]:
    """A run ready for its first step, and its batches as "pipeline" and, one for ever, "resident".

    Args:
        name: data set; CIFAR-10's pictures are random ones.
        step_flags: of the trainer, without dashes.
    """
    words = [f"--dataset={name}", *(f"--{word}" for word in step_flags)]
    data = None
    if name == "cifar10":
        # Ten of its steps would be a round of their own.
        words.append("--steps_per_execution=1")
        dataset, _ = measuring.pictures((32, 32, 3), 10, 50_000, 0)
        data = dataset, registry.long_tailed_split(dataset, measuring.resolve(words, "benchmark"))
    run = runs.Run(measuring.resolve(words, "benchmark"), data=data)
    run.stages.prepare(0)

    def resident(shard):
        return tf.data.Dataset.from_tensors(next(iter(run.local_batches(0, 0, shard)))).repeat()

    return run, {
        "pipeline": run.batches(0, 0),
        "resident": devices.distribute(run.strategy, resident),
    }
