"""Measures the pipeline for pictures in files: its decoding and its memory.

    python scripts/benchmark_files.py

Decode-and-crop is compared with bare `tf.io.decode_jpeg` on the same pictures, on one thread and
by processor time; rounds are interleaved and the fastest of each counts. Peak memory is that of a
process of its own for each number of files.
"""

import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measuring
import numpy as np
import tensorflow as tf
from absl import app, flags

from drw_tf.augment import crops
from drw_tf.data import dataset as records
from drw_tf.data import image_files, pipeline
from drw_tf.training import assembly

FLAGS = flags.FLAGS
flags.DEFINE_integer("jpegs", 256, "Pictures of `jpeg`.", 1)
flags.DEFINE_integer("jpeg_rounds", 5, "Rounds of `jpeg`.", 1)
flags.DEFINE_list("memory_files", ["1000", "100000", "1281167"], "Files of `memory`.")
flags.DEFINE_integer("memory_steps", 12, "Steps of `memory`.", 1)
flags.DEFINE_integer("worker_files", None, "Internal: measure memory with this many files.")
flags.DEFINE_string("worker_folder", None, "Internal: where the pictures of `memory` are.")


def _write_jpegs(folder, count):
    """Pictures of 500 x 375 of smooth noise, about as large as ImageNet's."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = generator.uniform(0, 255, (94, 125, 3)).astype(np.float32)
        smooth = tf.image.resize(coarse, (375, 500), "bicubic").numpy()
        noisy = np.clip(smooth + generator.normal(0, 6, smooth.shape), 0, 255)
        encoded = tf.io.encode_jpeg(noisy.astype(np.uint8), quality=90)
        tf.io.write_file(str(folder / f"{number}.jpeg"), encoded)


def _jpeg(folder):
    """Pictures a second and core, from bytes in memory to uint8."""
    contents = [path.read_bytes() for path in sorted(folder.glob("*.jpeg"))]
    boxes = crops.draw_crop_boxes([3, 1], 2 * len(contents))
    boxes = tf.reshape(boxes, [len(contents), 2, 4])

    def whole(bytes_, box):
        image = tf.io.decode_jpeg(bytes_, channels=3)
        return tf.image.crop_and_resize(tf.cast(image, tf.float32)[None], box, [0, 0], (224, 224))

    def fused(count):
        return lambda bytes_, box: image_files.decode_crops(
            bytes_, box[:count], 224, fit=crops.fit_boxes
        )

    ways = {
        "bare decode_jpeg": lambda bytes_, box: tf.io.decode_jpeg(bytes_, channels=3),
        "decode-and-crop, one view": fused(1),
        "decode-and-crop, two views": fused(2),
        "decode all, then crop two views": whole,
    }
    options = tf.data.Options()
    # Else pictures are made ahead, while something else is measured.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    source = tf.data.Dataset.from_tensor_slices((tf.constant(contents), boxes)).repeat()
    iterators = {
        way: iter(source.map(make).batch(len(contents)).with_options(options))
        for way, make in ways.items()
    }
    best = dict.fromkeys(ways, math.inf)
    for turn, (way, iterator) in itertools.product(range(FLAGS.jpeg_rounds + 1), iterators.items()):
        start = time.process_time()
        next(iterator)
        if turn:
            best[way] = min(best[way], time.process_time() - start)
    size = sum(map(len, contents)) / len(contents) / 1e3
    for way, seconds in best.items():
        ratio = best["bare decode_jpeg"] / seconds
        print(
            f"| {way}, JPEG of 500 x 375, {size:.0f} kB | {len(contents) / seconds:.0f} pictures a "
            f"CPU second | {len(contents) / best['bare decode_jpeg']:.0f} by bare decoding | "
            f"{ratio:.2f} times |"
        )


# ---- memory


def _memory(folder):
    """Each number of files in a process of its own, as memory is never given back."""
    for files in FLAGS.memory_files:
        words = [f"--worker_files={files}", f"--worker_folder={folder}"]
        words.append(f"--memory_steps={FLAGS.memory_steps}")
        command = [sys.executable, __file__, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        before, peak = map(float, done.stdout.split()[-2:])
        print(
            f"| ImageNet pipeline, {int(files):,} files, {FLAGS.memory_steps} steps of 64 + 320 | "
            f"{peak:.0f} MB at most | {before:.0f} MB before | {peak - before:.0f} MB more |"
        )


def _memory_worker():
    """Prints resident megabytes before the data set is made, and the peak after some steps."""
    files = sorted(map(str, pathlib.Path(FLAGS.worker_folder).glob("*.jpeg")))
    config = measuring.resolve(["--dataset=imagenet127", "--data_dir=."], "benchmark")
    paths = np.array(list(itertools.islice(itertools.cycle(files), FLAGS.worker_files)))
    images = records.FileImages(paths, np.zeros(len(paths), np.int64))
    before = measuring.peak_memory()
    shape = (config.image_size, config.image_size, 3)
    middle = (0.5, 0.5, 0.5)
    dataset = records.Dataset("imagenet127", ("a",), shape, images, None, True, middle, middle)
    rows = np.arange(len(paths), dtype=np.int64)
    labeled = pipeline.Stream("labeled", rows[: len(rows) // 10], 64, ("weak",), images.labels)
    unlabeled = pipeline.Stream("unlabeled", rows, 320, ("weak", "strong"))
    batches = pipeline.training_batches(
        images, [labeled, unlabeled], assembly.views(config, dataset), 0
    )
    for _ in batches.take(FLAGS.memory_steps):
        pass
    print(before / 2**20, measuring.peak_memory() / 2**20)


def main(_):
    """Prints rows of the table of `benchmark_input.py`."""
    if FLAGS.worker_files is not None:
        _memory_worker()
        return
    with tempfile.TemporaryDirectory() as folder:
        _write_jpegs(pathlib.Path(folder), FLAGS.jpegs)
        _jpeg(pathlib.Path(folder))
        _memory(folder)


if __name__ == "__main__":
    app.run(main)
