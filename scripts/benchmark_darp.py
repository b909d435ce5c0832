"""Measures what DARP's refinement of the whole pool adds to training on CIFAR-10-LT.

    python scripts/benchmark_darp.py

The pool's pseudo-labels drift a little between two refinements, as in training, and each solution
starts from the one before. The share of training time is that at the default `--darp_refresh`.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fed_run
import measuring
import numpy as np
import tensorflow as tf
from absl import app, flags

from drw_tf.ops import refinement

FLAGS = flags.FLAGS
flags.DEFINE_integer("darp_rounds", 20, "Refinements; their median counts.", 1)
flags.DEFINE_list("step_flags", [], "Flags of the trainer, without dashes.")
flags.DEFINE_integer("darp_steps", 5, "Steps of FixMatch; their median counts.", 1)


def _refresh_seconds(pool, target_counts, alpha):
    """Seconds of each refinement of a drifting pool."""
    refine = tf.function(refinement.refine)
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 3, (pool, len(target_counts))).astype(np.float32)
    dual, spent = tf.zeros([len(target_counts)], tf.float64), []
    for _ in range(FLAGS.darp_rounds + 1):
        scores += generator.normal(0, 0.1, scores.shape).astype(np.float32)
        probabilities = tf.nn.softmax(scores)
        start = time.perf_counter()
        found = refine(probabilities, target_counts, alpha, dual)
        found.probabilities.numpy()
        spent.append(time.perf_counter() - start)
        dual = found.dual
    return spent[1:]


def main(_):
    """Prints a refinement, a step, and the share of the first in all."""
    flags_of_run = [*FLAGS.step_flags, "method=fixmatch_darp", "darp_start=0.99"]
    run, ways = fed_run.build("cifar10", flags_of_run)
    config, facts = run.config, run.method.facts
    spent = _refresh_seconds(facts.pool_size, facts.expected_in_pool, config.darp_alpha)
    function, iterator = run.method.make_train_function(), iter(ways["resident"])

    def execute(batches):
        tf.nest.map_structure(lambda value: value.numpy(), function(batches))

    steps = [
        measuring.round_of(execute, iterator, 1, int(turn == 0)) for turn in range(FLAGS.darp_steps)
    ]
    refresh, step = float(np.median(spent)), float(np.median(steps))
    share = refresh / (refresh + config.darp_refresh * step)
    print(measuring.machine())
    print(
        f"refinement of {facts.pool_size} x {facts.num_classes}: {1e3 * refresh:.1f} ms, every "
        f"{config.darp_refresh} steps of {1e3 * step:.0f} ms: {100 * share:.2f} % of the time"
    )


if __name__ == "__main__":
    app.run(main)
