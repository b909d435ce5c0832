"""Measures what a DRw step costs against classes, against unlabeled pictures, against mu.

    python scripts/benchmark_scaling.py
    python scripts/benchmark_scaling.py --classes=10,1000 --rows=1e4,1e6 --ratios=1,7

Three tables, each measured in rounds in turn, of which the fastest counts: the step with its
input pipeline, over that of the first line; for unlabeled pictures also the step on a resident
batch. For each number of classes also the step over that of FixMatch, the median over pairs of
steps, and how much of it are the class weights, the histogram of pseudo-labels and, shared over
the epoch, the new weights at its end. Pictures are random. Figures are void while anything else
runs on the machine.
"""

import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measuring
import repository  # noqa: F401
import tensorflow as tf
from absl import app, flags

from drw_tf import run as runs
from drw_tf.rebalance import base as rebalance
from drw_tf.rebalance import composition

FLAGS = flags.FLAGS
flags.DEFINE_list("classes", ["10", "100", "1000", "10000"], "Numbers of classes.")
flags.DEFINE_list("rows", ["1e4", "1e5", "1e6", "1e7"], "Numbers of unlabeled pictures.")
flags.DEFINE_list("ratios", list("1234567"), "Numbers of unlabeled pictures for a labeled one.")
flags.DEFINE_string("model", "wide_resnet_28_2", "Network of the first and the third table.")
flags.DEFINE_list("shape", ["32", "32", "3"], "Height, width, channels there.")
flags.DEFINE_integer("batch_size", 64, "B, labeled pictures a step.", 1)
flags.DEFINE_integer("rounds", 5, "Rounds; the fastest counts.", 1)
flags.DEFINE_integer("round_steps", 3, "Steps in a round.", 1)
flags.DEFINE_integer("pairs", 15, "Pairs of single steps with and without re-weighting.", 1)
flags.DEFINE_integer("small_steps", 50, "Steps in a round of the second table.", 1)

# Ten million of these pictures fit in memory, and a step is short, so that little would show.
SMALL_SHAPE, SMALL_MODEL, SMALL_CLASSES = (4, 4, 1), "wide_resnet_10_1", 10
# More steps than the pipeline makes ahead on two cores: blocks of 16, and as many prefetched.
AHEAD = 64


def make(folder, shape, classes, rows, *arguments):
    """A compiled step on random pictures."""
    labeled = max(classes, min(rows // 10, 5000))
    data = measuring.pictures(shape, classes, labeled + rows, labeled)
    common = ("--dataset=cifar10", "--protocol=modern", "--tensorboard=false", *arguments)
    return measuring.Step(runs.Run(measuring.resolve(list(common), folder), data=data))


def rounds_of(step, steps, batches=None):
    """A function that does so many steps."""

    def work():
        for _ in range(steps):
            step(None if batches is None else next(batches))

    return work


def measure(steps, count, ahead=0):
    """Seconds of a step with its input pipeline: name -> float.

    As many as `ahead` are done before each round, which the pipeline has made meanwhile.
    """
    fed = {name: iter(one.run.batches(0, 1)) for name, one in steps.items()}
    ways = {name: rounds_of(one, count, fed[name]) for name, one in steps.items()}
    before = {name: rounds_of(one, ahead, fed[name]) for name, one in steps.items()}
    best = measuring.in_turn(ways, FLAGS.rounds, before=before)
    return {name: seconds / count for name, seconds in best.items()}


def own_share(step, seconds):
    """Share of the step that is class weights and histogram, inside and at the epoch's end."""
    method, run = step.run.method, step.run
    batch = run.strategy.experimental_local_results(step.batch)[0]
    labels, index = batch["labeled"]["label"], batch["unlabeled"]["index"]
    classes = method.facts.num_classes
    guess = tf.cast(index % classes, tf.int32)
    each = tf.random.stateless_uniform([len(guess)], [1, 2])

    @tf.function(autograph=False)
    def inside():
        weights = method.unlabeled_weights(guess)
        method.histogram.add(guess, tf.ones_like(each), weights * each, index)
        given = composition.product(one.labeled_weights(labels) for one in method.rebalancers)
        return tf.reduce_sum(weights) + tf.reduce_sum(given)

    def end():
        numbers = method.histogram.numbers("all")[0] + 1.0
        for one in method.rebalancers:
            one.end_epoch(rebalance.Observation(method.facts.total_steps, numbers))

    ways = {"inside": lambda: run.strategy.run(inside), "end": end}
    # Short, so that many calls cost little.
    best = measuring.in_turn(ways, 30)
    return (best["inside"] + best["end"] / method.facts.steps_per_epoch) / seconds


def by_classes(folder):
    """Lines of the table over the number of classes."""
    shape = tuple(map(int, FLAGS.shape))
    common = (f"--model={FLAGS.model}", f"--batch_size={FLAGS.batch_size}")
    steps, plain = {}, {}
    for classes in map(int, FLAGS.classes):
        rows = max(2000, classes)
        steps[classes] = make(folder, shape, classes, rows, *common, "--method=drw")
        plain[classes] = make(folder, shape, classes, rows, *common, "--method=fixmatch")
    times = measure(steps, FLAGS.round_steps)
    yield "| classes | ms a step | over the first | DRw over FixMatch | weights and histogram |"
    yield "| --- | --- | --- | --- | --- |"
    first = times[int(FLAGS.classes[0])]
    for classes, seconds in times.items():
        share = own_share(steps[classes], seconds)
        _, ratio, _ = measuring.ratios(steps[classes], plain[classes], FLAGS.pairs)
        yield (
            f"| {classes} | {1e3 * seconds:.2f} | {seconds / first:.3f} | {ratio:.3f} "
            f"| {share:.3%} |"
        )


def by_rows(folder):
    """Lines of the table over the number of unlabeled pictures, on a tiny network."""
    arguments = (f"--model={SMALL_MODEL}", f"--batch_size={FLAGS.batch_size}")
    counts = [int(float(count)) for count in FLAGS.rows]
    steps, starts = {}, {}
    for count in counts:
        begin = time.perf_counter()
        steps[count] = make(folder, SMALL_SHAPE, SMALL_CLASSES, count, *arguments)
        starts[count] = time.perf_counter() - begin
    # Short steps: what was made while the others were measured would be most of a round.
    times = measure(steps, FLAGS.small_steps, AHEAD)
    resident = {name: rounds_of(one, FLAGS.small_steps) for name, one in steps.items()}
    resident = measuring.in_turn(resident, FLAGS.rounds)
    yield "| unlabeled pictures | ms a step | over the first | resident batch, ms | s to start |"
    yield "| --- | --- | --- | --- | --- |"
    for count, seconds in times.items():
        ratio = seconds / times[counts[0]]
        alone = resident[count] / FLAGS.small_steps
        yield (
            f"| {count} | {1e3 * seconds:.2f} | {ratio:.3f} | {1e3 * alone:.2f} "
            f"| {starts[count]:.1f} |"
        )


def by_ratio(folder):
    """Lines of the table over mu."""
    shape = tuple(map(int, FLAGS.shape))
    common = (f"--model={FLAGS.model}", f"--batch_size={FLAGS.batch_size}")
    steps = {
        int(mu): make(folder, shape, 10, 5000, *common, f"--unlabeled_ratio={mu}")
        for mu in FLAGS.ratios
    }
    times = measure(steps, FLAGS.round_steps)
    yield "| mu | ms a step | us a view | over the first, a view |"
    yield "| --- | --- | --- | --- |"
    # Of each unlabeled picture a weak and a strong view.
    each = {mu: one / (FLAGS.batch_size * (1 + 2 * mu)) for mu, one in times.items()}
    first = each[int(FLAGS.ratios[0])]
    for mu, seconds in times.items():
        yield f"| {mu} | {1e3 * seconds:.2f} | {1e6 * each[mu]:.1f} | {each[mu] / first:.3f} |"


def main(_):
    """Prints the tables whose flag is not empty."""
    print(measuring.machine())
    with tempfile.TemporaryDirectory() as folder:
        for table, wanted in (
            (by_classes, FLAGS.classes),
            (by_rows, FLAGS.rows),
            (by_ratio, FLAGS.ratios),
        ):
            for line in table(folder) if wanted else ():
                print(line, flush=True)
            print()


if __name__ == "__main__":
    app.run(main)
