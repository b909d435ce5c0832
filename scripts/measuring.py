"""What the benchmarks share: rounds in turn, random pictures, a run on them, the peak rate."""

import math
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import repository  # noqa: F401
import tensorflow as tf

from drw_tf import config as configuration
from drw_tf.data import dataset as records
from drw_tf.report import environment


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    best: dict | None = None,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, float]:
    """Fewest seconds of each way; in a round each one is called once.

    Args:
        ways: functions that end when their work is done. Each is called once before.
        rounds: that are measured; `rounds` of 1 with `best` goes on with an earlier measurement.
        best: of an earlier call with the same ways; changed.
        before: of some ways, what is done each time before and does not count.
    """
    before = before or {}
    if best is None:
        best = {}
        for work in ways.values():
            work()
    for _ in range(rounds):
        for name, work in ways.items():
            if name in before:
                before[name]()
            start = time.perf_counter()
            work()
            best[name] = min(best.get(name, math.inf), time.perf_counter() - start)
    return best


def ratios(
    first: Callable[[], object], second: Callable[[], object], pairs: int
) -> tuple[float, float, float]:
    """First quartile, median and third quartile of the first's time over the second's.

    One call of each makes a pair, the other one first in every second pair: a machine that
    changes its speed from second to second moves both. Finer than `in_turn` for small
    differences.
    """
    found = []
    for number in range(pairs):
        seconds = {}
        for work in (first, second) if number % 2 else (second, first):
            start = time.perf_counter()
            work()
            seconds[work] = time.perf_counter() - start
        found.append(seconds[first] / seconds[second])
    return tuple(np.quantile(found, [0.25, 0.5, 0.75]))


def matrix_product(side: int) -> Callable[[], None]:
    """Multiplies two float32 matrices of this side: 2 side^3 operations a call."""
    left, right = (tf.random.stateless_normal([side, side], [1, n]) for n in range(2))
    product = tf.function(lambda: tf.linalg.matmul(left, right)[0, 0], autograph=False)
    return lambda: product().numpy()


def machine() -> str:
    """Where this was measured, in a line."""
    found = environment.machine()
    gpus = ", ".join(found["gpus"]) or "no GPU"
    return f"{found['cpu']}, {found['cores']} cores, {gpus}, TensorFlow {tf.__version__}"


def peak_memory() -> int:
    """Bytes of memory that this process held at most so far."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        # `getrusage` gives a process that another one started at least the memory of that one.
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resolve(arguments: list[str], workdir: str) -> configuration.Config:
    """The configuration that the trainer's flags ask for, but for data and the folder."""
    given = configuration.parse(["benchmark", *arguments])
    return configuration.resolve({**given, "workdir": workdir})


def pictures(
    image_shape: tuple[int, int, int], num_classes: int, rows: int, labeled: int, test: int = 0
) -> tuple[records.Dataset, records.Split]:
    """Random pictures with random labels, of each class at least one if there are enough.

    Args:
        image_shape: (H, W, Ch).
        num_classes: C.
        rows: training pictures.
        labeled: how many of them are.
        test: pictures to test on; 0 for no test set.
    """
    generator = np.random.default_rng(0)

    def draw(count):
        pixels = np.frombuffer(generator.bytes(count * math.prod(image_shape)), np.uint8)
        labels = np.arange(count, dtype=np.int64) % num_classes
        return records.ArrayImages(pixels.reshape([count, *image_shape]), labels)

    channels = image_shape[2]
    names = tuple(f"class {number}" for number in range(num_classes))
    dataset = records.Dataset(
        name="random",
        class_names=names,
        image_shape=tuple(image_shape),
        train=draw(rows),
        test=draw(test) if test else None,
        flip=True,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
    )
    return dataset, records.Split(np.arange(labeled), np.arange(labeled, rows), np.arange(0))


def round_of(
    execute: Callable[[Iterator], object], iterator: Iterator, executions: int, warm: int
) -> float:
    """Seconds of a call, over some in a row; as many as `warm` before them do not count."""
    for _ in range(warm):
        execute(iterator)
    start = time.perf_counter()
    for _ in range(executions):
        execute(iterator)
    return (time.perf_counter() - start) / executions


class Step:
    """The compiled training step of a run, and a batch that stays in memory."""

    def __init__(self, run):
        """Takes a `drw_tf.run.Run`; the batch is its first one."""
        self.run = run
        run.stages.prepare(0)
        self.batch = next(iter(run.batches(0, 0)))

        @tf.function(autograph=False, reduce_retracing=True)
        def step(batch):
            return run.strategy.run(run.method.train_step, args=(batch,))

        # Its graph can be counted.
        self.concrete = step.get_concrete_function(self.batch)
        self.function = step

    def __call__(self, batch=None) -> float:
        """Does a step and waits for its end."""
        out = self.function(self.batch if batch is None else batch)
        return float(self.run.strategy.experimental_local_results(out["loss"])[0])
