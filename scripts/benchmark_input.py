"""Measures the input pipeline, each figure beside what it is compared with in the same run.

    python scripts/benchmark_input.py --data_dir=...    # where TFDS keeps CIFAR-10

Parts, all by default or some by `--parts=`:

    augment  strong views a batch at a time, beside RandAugment as it is usually written
    step     a DRw step fed by the pipeline, beside the same step on a batch in memory
    files    ImageNet's decode-and-crop, beside bare `tf.io.decode_jpeg`, and its memory
    start    from the command to the first saved step of CIFAR-10-LT

Rounds are interleaved and the fastest of each counts. Nothing else should run meanwhile.
"""

import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import benchmark_augment
import benchmark_files
import fed_run
import measuring
import repository
import tensorflow as tf
from absl import app, flags

FLAGS = flags.FLAGS
PARTS = ("augment", "step", "files", "start")
flags.DEFINE_list("parts", list(PARTS), f"What to measure, of {', '.join(PARTS)}.")
flags.DEFINE_string("data_dir", None, "Folder of TensorFlow Datasets, for `start`.")
flags.DEFINE_list("step_settings", ["cifar10", "digits"], "Data sets of `step`.")
flags.DEFINE_integer("step_seconds", 6, "Length of a round of `step`, about.", 1)
flags.DEFINE_integer("step_rounds", 5, "Rounds of `step`.", 1)
flags.DEFINE_list("step_flags", [], "Flags of the trainer for `step`, without dashes.")
flags.DEFINE_integer("start_rounds", 3, "Rounds of `start`.", 1)


# ---- step


def _step(name):
    run, ways = fed_run.build(name, FLAGS.step_flags)
    config, function = run.config, run.method.make_train_function()

    def execute(iterator):
        tf.nest.map_structure(lambda value: value.numpy(), function(iterator))

    iterators = {way: iter(dataset) for way, dataset in ways.items()}
    for iterator in iterators.values():
        measuring.round_of(execute, iterator, 1, 1)
    once = measuring.round_of(execute, iterators["resident"], 2, 0)
    executions = max(2, round(FLAGS.step_seconds / once))
    # What the pipeline made ahead while the other was measured does not count.
    ahead = math.ceil(64 / config.steps_per_execution) if once < 0.2 else 2
    best = dict.fromkeys(ways, math.inf)
    for _ in range(FLAGS.step_rounds):
        for way, iterator in iterators.items():
            warm = ahead if way == "pipeline" else 1
            best[way] = min(best[way], measuring.round_of(execute, iterator, executions, warm))
            time.sleep(min(2.0, once))
    milliseconds = {way: 1e3 * best[way] / config.steps_per_execution for way in best}
    ratio = best["pipeline"] / best["resident"]
    print(
        f"| DRw step, {name}, {config.model}, B = {config.batch_size} | "
        f"{milliseconds['pipeline']:.1f} ms fed by the pipeline | "
        f"{milliseconds['resident']:.1f} ms on a batch in memory | {ratio:.3f} times |"
    )


# ---- start


def _start():
    seconds = min(_seconds_to_first_step() for _ in range(FLAGS.start_rounds))
    print(f"| CIFAR-10-LT, command to first saved step | {seconds:.1f} s | - | - |")


def _seconds_to_first_step():
    """From the command to the first checkpoint; the process is killed after it."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--dataset=cifar10", "--steps_per_execution=1", "--checkpoint_steps=1"]
        words += [f"--workdir={folder}/run", "--export=false"]
        words += [f"--data_dir={FLAGS.data_dir}"] if FLAGS.data_dir else []
        environment = os.environ | {"PYTHONPATH": str(repository.ROOT)}
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "drw_tf.train", *words],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        saved = pathlib.Path(folder, "run", "checkpoints")
        while process.poll() is None and not any(saved.glob("*1*")):
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        if process.poll() is not None:
            sys.exit(f"start: the trainer ended early: {process.stderr.read().strip()}")
        process.send_signal(signal.SIGKILL)
        process.wait()
    return seconds


def main(_):
    """Prints a table for each part."""
    unknown = set(FLAGS.parts) - set(PARTS)
    if unknown:
        app.usage(shorthelp=True, detailed_error=f"--parts: {unknown} unknown.", exitcode=2)
    print(measuring.machine())
    if "augment" in FLAGS.parts:
        benchmark_augment.main([])
    rest = [part for part in PARTS[1:] if part in FLAGS.parts]
    if rest:
        print("| what | measured | beside | ratio |\n| --- | --- | --- | --- |", flush=True)
    if "step" in rest:
        for name in FLAGS.step_settings:
            _step(name)
    if "files" in rest:
        benchmark_files.main([])
    if "start" in rest:
        _start()


if __name__ == "__main__":
    app.run(main)
