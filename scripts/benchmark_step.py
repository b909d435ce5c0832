"""Measures a training step and what is put around it, all in one run.

    python scripts/benchmark_step.py                                # WideResNet-28-2, CIFAR-10
    python scripts/benchmark_step.py --protocol=modern --method=drw_darp --batch_size=32
    python scripts/benchmark_step.py --shape=8,8,1 --model=wide_resnet_10_1 --rounds=2

Flags that are not its own are the trainer's. Pictures are random ones. In each round everything
is measured once, in turn, and the fastest round counts, so that ratios hold although the
machine's speed changes; what re-weighting costs is less than that noise, and is the median over
pairs of steps. Figures are void while anything else runs on the machine.
"""

import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flops
import measuring
import repository  # noqa: F401
import tensorflow as tf
from absl import app, flags

from drw_tf import run as runs
from drw_tf import run_log
from drw_tf.training import checkpoint, loop, workdir

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 5, "Rounds; the fastest counts.", 1)
flags.DEFINE_integer("round_steps", 5, "Steps in a round.", 1)
flags.DEFINE_integer("pairs", 25, "Pairs of single steps with and without re-weighting.", 1)
flags.DEFINE_list("shape", ["32", "32", "3"], "Height, width and channels of the pictures.")
flags.DEFINE_integer("rows", 5000, "Training pictures.", 10)
flags.DEFINE_string("against", "fixmatch", "Method without re-weighting to compare with.")
flags.DEFINE_integer("peak_side", 2048, "Side of the matrices whose product is the peak.", 8)

NETWORK, STEP, PLAIN = "network alone", "step, resident batch", "the same, plain method"
PIPELINE, LOOP, PEAK = "step, input pipeline", "training loop", "matrix product"


def network_alone(step):
    """Forward and backward of as many pictures as the step has, nothing else.

    Views that the step passes without a tape are passed so here, too.
    """
    method = step.run.method
    batch = step.run.strategy.experimental_local_results(step.batch)[0]
    rows = {stream: next(iter(views.values())).shape[0] for stream, views in batch.items()}
    views = len(method.unlabeled_views)
    separate = views > 1 and getattr(method.hyper, "forward", "joint") == "separate"
    trained = rows["labeled"] + (views - separate) * rows.get("unlabeled", 0)
    shape = step.run.dataset.image_shape
    images = tf.random.stateless_uniform([trained, *shape], [1, 2])
    first = images[: rows["unlabeled"]] if separate else None
    network, head = method.network, method.evaluated_head

    @tf.function(autograph=False)
    def work():
        seen = 0.0 if first is None else tf.reduce_sum(network(first, training=True)[head])
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.log_softmax(network(images, training=True)[head])[:, 0])
        gradients = tape.gradient(loss, network.trainable_variables)
        return seen + tf.add_n([tf.reduce_sum(one) for one in gradients])

    return work


class Loop:
    """The trainer's own loop; each of its epochs is a round, in which `between` is called."""

    def __init__(self, run, folder, between):
        self.run, self.folder, self.between = run, workdir.Workdir(folder), between
        self.step_seconds, self.end_seconds = [], []
        self.evaluation_seconds, self.save_seconds = [], []

    def train(self):
        """Trains all epochs; durations of each one's steps and of its end are in the lists."""
        run, config = self.run, self.run.config
        judges = run.judges()
        log = run_log.RunLog(run, self.folder.tensorboard)
        checkpoints = checkpoint.Checkpoints(
            self.folder.checkpoints, run.method, config.keep_checkpoints
        )
        checkpoints.save = self._timed_save(checkpoints.save)
        plan = loop.Plan(
            config.steps, config.steps_per_epoch, config.checkpoint_steps, run.stages.images_read
        )
        self._end = time.perf_counter()
        loop.run(
            run.method,
            run.stages.all,
            run.stages.prepare,
            run.stages.begin,
            run.batches,
            lambda between: self._evaluate(judges, between),
            checkpoints,
            plan,
            [log.write, self._round],
            lambda step, logged: log.start(logged),
            run.team,
        )
        log.log.close()
        self.folder.release()

    def _timed_save(self, save):
        def timed(*arguments):
            begin = time.perf_counter()
            save(*arguments)
            self._end = time.perf_counter()
            self.save_seconds.append(self._end - begin)

        return timed

    def _evaluate(self, judges, between):
        begin = time.perf_counter()
        self.step_seconds.append(begin - self._end)
        found = self.run.evaluations(judges, between)
        self._end = time.perf_counter()
        self.evaluation_seconds.append(self._end - begin)
        return found

    def _round(self, entry):
        self.end_seconds.append(time.perf_counter() - self._end)
        self.between()
        self._end = time.perf_counter()


def several(step, batches=None):
    """A function that does a round's steps, on the resident batch or on those of an iterator."""

    def work():
        for _ in range(FLAGS.round_steps):
            step(None if batches is None else next(batches))

    return work


def make_run(data, folder, *more):
    """A run on the random pictures with the trainer's flags."""
    own = ["--tensorboard=true", "--export=false", *trainer_flags(), *more]
    return runs.Run(measuring.resolve(own, folder), data=data)


def trainer_flags():
    """Arguments that are not this script's own."""
    given = {argument.lstrip("-").split("=")[0] for argument in _OTHERS}
    defaults = {"dataset": "cifar10", "model": "wide_resnet_28_2"}
    return [f"--{k}={v}" for k, v in defaults.items() if k not in given] + _OTHERS


def measure(folder):
    """Seconds of a step by what was measured, ratios to the plain one, operations, the loop."""
    shape = tuple(map(int, FLAGS.shape))
    data = measuring.pictures(shape, 10, FLAGS.rows, FLAGS.rows // 10, test=500)
    step = measuring.Step(make_run(data, f"{folder}/a"))
    plain = measuring.Step(make_run(data, f"{folder}/b", f"--method={FLAGS.against}"))
    alone, product = network_alone(step), measuring.matrix_product(FLAGS.peak_side)
    ways = {
        PEAK: product,
        NETWORK: lambda: [alone().numpy() for _ in range(FLAGS.round_steps)],
        STEP: several(step),
        PLAIN: several(plain),
        PIPELINE: several(step, iter(step.run.batches(0, 1))),
    }
    counted = flops.of_function(step.concrete), flops.of_function(alone.get_concrete_function())
    with step.run.strategy.scope():  # as inside of the loop
        best = measuring.in_turn(ways, 0)
    length = FLAGS.round_steps
    lengths = [
        f"--steps={length * (FLAGS.rounds + 1)}",
        f"--steps_per_epoch={length}",
        f"--checkpoint_steps={length}",
        "--warmup_steps=0",
        "--steps_per_execution=1",
    ]
    whole = make_run(data, f"{folder}/c", *lengths)
    trained = Loop(whole, f"{folder}/c", lambda: measuring.in_turn(ways, 1, best))
    trained.train()
    # The first epoch traces the step.
    best[LOOP] = min(trained.step_seconds[1:])
    with step.run.strategy.scope():
        paired = measuring.ratios(step, plain, FLAGS.pairs)
    per_step = {k: v / (1 if k == PEAK else length) for k, v in best.items()}
    return per_step, paired, counted, trained, step.run.config


def report(best, paired, counted, trained, config):
    """Lines of the result."""
    yield measuring.machine()
    peak = 2 * FLAGS.peak_side**3 / best[PEAK]
    yield f"peak: {peak / 1e9:.0f} GFLOP/s, product of {FLAGS.peak_side} x {FLAGS.peak_side}"
    yield f"step: {counted[0] / 1e9:.4g} GFLOP; network alone: {counted[1] / 1e9:.4g} GFLOP"
    yield "| what | ms a step | times the network alone | share of peak |"
    yield "| --- | --- | --- | --- |"
    for name in (NETWORK, STEP, PLAIN, PIPELINE, LOOP):
        share = counted[name == NETWORK] / best[name] / peak
        ratio = best[name] / best[NETWORK]
        yield f"| {name} | {1e3 * best[name]:.2f} | {ratio:.3f} | {share:.1%} |"
    low, middle, high = paired
    yield (
        f"{config.method} over {FLAGS.against}, median of {FLAGS.pairs} pairs: {middle:.3f} "
        f"(quartiles {low:.3f} and {high:.3f})"
    )
    yield f"pipeline over resident batch: {best[PIPELINE] / best[STEP]:.3f}"
    yield f"loop over resident batch: {best[LOOP] / best[STEP]:.3f}"
    ends, saved = min(trained.end_seconds[1:]), min(trained.save_seconds)
    judged = min(trained.evaluation_seconds[1:])
    yield (
        f"in steps: end of an epoch with TensorBoard {ends / best[STEP]:.2f}, checkpoint "
        f"{saved / best[STEP]:.2f}, evaluation of {len(trained.run.dataset.test)} pictures "
        f"{judged / best[STEP]:.2f}"
    )
    around = ends / config.steps_per_epoch + saved / config.checkpoint_steps
    yield (
        f"loop with all but evaluation, epochs of {config.steps_per_epoch} and checkpoints every "
        f"{config.checkpoint_steps} steps, over resident batch: "
        f"{(best[LOOP] + around) / best[STEP]:.3f}; its share of peak: "
        f"{counted[0] / (best[LOOP] + around) / peak:.1%}"
    )
    yield f"peak memory: {measuring.peak_memory() / 1e6:.0f} MB"


def main(_):
    """Prints a table and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        for line in report(*measure(folder)):
            print(line)


def split_flags(argv):
    """(arguments of this script, the trainer's)."""
    own = set(FLAGS) | {"help", "helpfull"}
    names = [argument.lstrip("-").split("=")[0] for argument in argv]
    mine = [a for a, n in zip(argv, names, strict=True) if n in own]
    return mine, [a for a, n in zip(argv, names, strict=True) if n not in own]


if __name__ == "__main__":
    _MINE, _OTHERS = split_flags(sys.argv[1:])
    app.run(main, [sys.argv[0], *_MINE])
