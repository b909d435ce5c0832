"""Measures evaluation, an exported model and the prediction of a folder, all in one run.

    python scripts/benchmark_predict.py --model=wide_resnet_28_2 --image_size=32
    python scripts/benchmark_predict.py --pictures=2000 --side=500 --image_size=64

Evaluation and export should take no longer than the network alone on a batch in memory, and a
folder no longer than decoding it where that is the slower of the two. Pictures are random JPEG
files. Rounds are measured in turn and the fastest counts; figures are void while anything else
runs on the machine.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import measuring
import numpy as np
import repository  # noqa: F401
import tensorflow as tf
from absl import app, flags
from PIL import Image

from drw_tf import predict
from drw_tf import run as runs
from drw_tf.models import network as model_network
from drw_tf.serving import picture_stream, predictor, run_export

FLAGS = flags.FLAGS
flags.DEFINE_integer("pictures", 1000, "Pictures to evaluate, and in the folder.", 1)
flags.DEFINE_integer("side", 256, "Side of the pictures in the folder, pixels.", 8)
flags.DEFINE_integer("image_size", 32, "Side of what the network sees.", 4)
flags.DEFINE_string("model", "wide_resnet_28_2", "Network.")
flags.DEFINE_integer("batch_size", 500, "Pictures at a time, everywhere.", 1)
flags.DEFINE_integer("rounds", 5, "Rounds; the fastest counts.", 1)

NETWORK, EVALUATION, EXPORT = "network, resident batch", "evaluation", "export"
DECODING, FOLDER = "decoding a folder", "predicting a folder"


def write_pictures(folder):
    """Random but smooth JPEG files; their paths."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = []
    for number in range(FLAGS.pictures):
        coarse = generator.integers(0, 256, [8, 8, 3], np.uint8)
        picture = Image.fromarray(coarse).resize([FLAGS.side] * 2, Image.Resampling.BICUBIC)
        paths.append(str(folder / f"{number:06d}.jpg"))
        picture.save(paths[-1], quality=90)
    return paths


def make_run(folder):
    """A run with random pictures to test on."""
    shape = (FLAGS.image_size, FLAGS.image_size, 3)
    data = measuring.pictures(shape, 10, 100, 20, test=FLAGS.pictures)
    arguments = [
        "--dataset=cifar10",
        f"--model={FLAGS.model}",
        f"--eval_batch_size={FLAGS.batch_size}",
    ]
    return runs.Run(measuring.resolve(arguments, str(folder / "run")), data=data)


def ways_of(run, folder, paths):
    """What is measured; each does all pictures."""
    export = run_export.export_method(
        run.method, folder / "export", dataset=run.dataset, configuration=run.config
    )
    test = run.dataset.test
    judge = run.evaluator(test)
    network, head = run.method.ema_network, run.method.evaluated_head
    batches = [
        tf.constant(test.pixels[start : start + FLAGS.batch_size])
        for start in range(0, len(test), FLAGS.batch_size)
    ]

    @tf.function(autograph=False)
    def forward(images):
        return network(model_network.unit_pixels(images), training=False)[head]

    exported = predictor.Predictor(export, FLAGS.batch_size)
    preparation = predict.preparation_of(predict.read_serving(str(export)))
    flags_of_predict = {"batch_size": FLAGS.batch_size, "on_bad_image": "fail"}

    def rows():
        file = list(predict.table_rows(exported, paths, preparation, flags_of_predict))
        assert sum(map(len, file)) == len(paths)

    return {
        NETWORK: lambda: [forward(images).numpy() for images in batches],
        EVALUATION: lambda: judge.logits(network, head),
        EXPORT: lambda: exported.predict(test.pixels),
        DECODING: lambda: list(picture_stream.parts(paths, preparation, FLAGS.batch_size)),
        FOLDER: rows,
    }


def main(_):
    """Prints a table and ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = write_pictures(folder / "pictures")
        best = measuring.in_turn(ways_of(make_run(folder), folder, paths), FLAGS.rounds)
    print(measuring.machine())
    print("| what | us a picture | times the network alone |")
    print("| --- | --- | --- |")
    for way, seconds in best.items():
        each = 1e6 * seconds / FLAGS.pictures
        print(f"| {way} | {each:.1f} | {seconds / best[NETWORK]:.3f} |")
    print(f"evaluation over the network: {best[EVALUATION] / best[NETWORK]:.3f}")
    print(f"export over the network: {best[EXPORT] / best[NETWORK]:.3f}")
    both = best[DECODING] + best[NETWORK]
    print(f"folder over its decoding: {best[FOLDER] / best[DECODING]:.3f}")
    print(f"folder over decoding and network one after the other: {best[FOLDER] / both:.3f}")
    print(f"peak memory: {measuring.peak_memory() / 1e6:.0f} MB")


if __name__ == "__main__":
    app.run(main)
