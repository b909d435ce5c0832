"""Measures the strong view: this package's, and RandAugment as it is usually written.

    python scripts/benchmark_augment.py --sizes=32 --policies=fixmatch,usb

The usual way is one image at a time in `Dataset.map`: a `tf.switch_case` over functions of
TensorFlow Addons for each slot. Both get the same images and the same policy, through
`tf.data`; the usual way runs on all processors, a batch at a time leaves that to TensorFlow's
operations. Rounds are interleaved and the fastest of each counts; the CPU
column, processor seconds of all threads, holds on a machine that does other things, too.
"""

import functools
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import repository  # noqa: F401
import tensorflow as tf
from absl import app, flags

from drw_tf.augment import addons, presets, randaugment, views

FLAGS = flags.FLAGS
flags.DEFINE_list("policies", ["fixmatch", "usb"], f"Policies, of {', '.join(presets.NAMES)}.")
flags.DEFINE_list("sizes", ["32"], "Sides of the images, pixels.")
flags.DEFINE_integer("channels", 3, "Channels of the images, 1 or 3.", 1, 3)
flags.DEFINE_integer("batch_size", 448, "Images in a batch.", 1)
flags.DEFINE_integer("batches", 4, "Batches in a round.", 1)
flags.DEFINE_integer("rounds", 9, "Rounds; the fastest counts.", 1)


def _transform(image, matrix, fill):
    return addons.MODULE.image.transform(image, matrix, fill_value=fill)


def _blend(image, base, factor):
    base, image = tf.cast(base, tf.float32), tf.cast(image, tf.float32)
    return tf.saturate_cast(base + factor * (image - base), tf.uint8)


def _grey(image):
    if image.shape[-1] == 1:
        return image
    return tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))


def _contrast(image, factor):
    return _blend(image, tf.round(tf.reduce_mean(tf.cast(_grey(image), tf.float32))), factor)


def _autocontrast(image):
    values = tf.cast(image, tf.float32)
    low, high = tf.reduce_min(values, [0, 1]), tf.reduce_max(values, [0, 1])
    scaled = (values - low) * 255.0 / tf.maximum(high - low, 1.0)
    return tf.saturate_cast(tf.where(high > low, scaled, values), tf.uint8)


def _posterize(image, bits):
    shift = tf.cast(8 - tf.clip_by_value(tf.cast(bits, tf.int32), 1, 8), tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, shift), shift)


def _solarize(image, threshold):
    return tf.where(tf.cast(image, tf.float32) < threshold, image, 255 - image)


def _solarize_add(image, addition):
    added = tf.saturate_cast(tf.cast(image, tf.int32) + tf.cast(addition, tf.int32), tf.uint8)
    return _solarize(added, 128.0)


def _sharpness(image, factor):
    return tf.saturate_cast(
        addons.MODULE.image.sharpness(tf.cast(image, tf.float32), factor), tf.uint8
    )


def _cutout(image, side, fill):
    half = tf.cast(side, tf.int32) // 2
    center = tf.random.uniform([2], maxval=image.shape[0], dtype=tf.int32)
    rows = tf.abs(tf.range(image.shape[0]) - center[0]) < half
    columns = tf.abs(tf.range(image.shape[1]) - center[1]) < half
    inside = (rows[:, None] & columns)[..., None]
    return tf.where(inside, tf.cast(fill, tf.uint8), image)


def _branches(policy, image, magnitude):
    """One function of no arguments for each operation of the policy."""
    size, fill, image_ops = image.shape[0], policy.fill, addons.MODULE.image
    by_name = {
        "Identity": lambda: image,
        "AutoContrast": lambda: _autocontrast(image),
        "Brightness": lambda: _blend(image, tf.zeros_like(image), magnitude),
        "Color": lambda: _blend(image, _grey(image), magnitude),
        "Contrast": lambda: _contrast(image, magnitude),
        "Cutout": lambda: _cutout(image, magnitude, fill),
        "Equalize": lambda: image_ops.equalize(image),
        "Invert": lambda: 255 - image,
        "Posterize": lambda: _posterize(image, magnitude),
        "Rotate": lambda: image_ops.rotate(image, magnitude * math.pi / 180, fill_value=fill),
        "Sharpness": lambda: _sharpness(image, magnitude),
        "ShearX": lambda: _transform(image, [1, magnitude, 0, 0, 1, 0, 0, 0], fill),
        "ShearY": lambda: _transform(image, [1, 0, 0, magnitude, 1, 0, 0, 0], fill),
        "Solarize": lambda: _solarize(image, magnitude),
        "SolarizeAdd": lambda: _solarize_add(image, magnitude),
        "TranslateX": lambda: _transform(image, [1, 0, magnitude * size, 0, 1, 0, 0, 0], fill),
        "TranslateY": lambda: _transform(image, [1, 0, 0, 0, 1, magnitude * size, 0, 0], fill),
        "TranslateXPixels": lambda: _transform(image, [1, 0, magnitude, 0, 1, 0, 0, 0], fill),
        "TranslateYPixels": lambda: _transform(image, [1, 0, 0, 0, 1, magnitude, 0, 0], fill),
    }
    return [by_name[operation.name] for operation in policy.operations]


def _one_slot(policy, image):
    """The image after one operation chosen at random."""
    which = tf.random.uniform([], maxval=len(policy.operations), dtype=tf.int32)
    level = tf.random.uniform([])
    if policy.levels:
        picked = tf.random.uniform([], maxval=len(policy.levels), dtype=tf.int32)
        level = tf.gather(tf.constant(policy.levels, tf.float32), picked)
    table = [[o.low, o.high - o.low, float(o.signed)] for o in policy.operations]
    low, spread, signed = tf.unstack(tf.gather(tf.constant(table, tf.float32), which))
    magnitude = (low + spread * level) * (1 - 2 * signed * tf.round(tf.random.uniform([])))

    def changed():
        return tf.reshape(tf.switch_case(which, _branches(policy, image, magnitude)), image.shape)

    if policy.probability == 1:
        return changed()
    return tf.cond(tf.random.uniform([]) < policy.probability, changed, lambda: image)


def one_at_a_time(policy, size, image):
    """The strong view of one image, as it is usually written."""
    image = tf.ensure_shape(image, [size, size, FLAGS.channels])
    padding = size // 8
    image = tf.pad(image, [[padding] * 2, [padding] * 2, [0, 0]], mode="REFLECT")
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_crop(image, [size, size, FLAGS.channels])
    for _ in range(policy.count):
        image = _one_slot(policy, image)
    return _cutout(image, size * policy.cutout_fraction, policy.cutout_color[0])


def batched(policy, size, step, images):
    """The strong view of a batch by this package."""
    shape = (size, size, FLAGS.channels)
    maker = views.Views(shape, flip=True, crop_padding=size // 8, strong=policy)
    draws = maker.draw(views.STRONG, tf.stack([tf.constant(7, tf.int64), step]), FLAGS.batch_size)
    return maker.apply(views.STRONG, images, draws)


def _ways(name, size):
    """Endless datasets of batches by the name of how they are made."""
    shape = [FLAGS.batch_size, size, size, FLAGS.channels]
    pixels = tf.random.stateless_uniform(shape, [1, 2], 0, 256, tf.int32)
    images = tf.data.Dataset.from_tensors(tf.cast(pixels, tf.uint8)).repeat()
    each = functools.partial(one_at_a_time, presets.preset(name), size)
    single = images.unbatch()
    ways = {
        "one image at a time": single.map(each, os.cpu_count()).batch(FLAGS.batch_size, True),
        "no augmentation": single.batch(FLAGS.batch_size, True),
    }
    steps = tf.data.Dataset.zip((tf.data.Dataset.range(2**62), images))
    for order in (randaugment.DRAWN, randaugment.COMPOSED):
        ways[f"batched, {order}"] = steps.map(
            functools.partial(batched, presets.preset(name, order), size)
        )
    options = tf.data.Options()
    # Else batches are made ahead, while something else is measured.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return {way: dataset.with_options(options) for way, dataset in ways.items()}


def _measure(ways):
    """Fastest (wall, CPU) milliseconds a batch, of each way."""
    iterators = {way: iter(dataset) for way, dataset in ways.items()}
    best = dict.fromkeys(ways, (math.inf, math.inf))
    for iterator in iterators.values():
        next(iterator)
    for _ in range(FLAGS.rounds):
        for way, iterator in iterators.items():
            start = time.perf_counter(), time.process_time()
            for _ in range(FLAGS.batches):
                next(iterator)
            end = time.perf_counter(), time.process_time()
            spent = [1e3 * (b - a) / FLAGS.batches for a, b in zip(start, end, strict=True)]
            best[way] = tuple(min(pair) for pair in zip(best[way], spent, strict=True))
    return best


def main(_):
    """Prints a table."""
    print(f"batches of {FLAGS.batch_size}, Addons {'found' if addons.AVAILABLE else 'missing'}")
    print("| policy | side | way | ms | CPU ms | times as fast | by CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in map(int, FLAGS.sizes):
        for name in FLAGS.policies:
            best = _measure(_ways(name, size))
            usual = best["one image at a time"]
            for way, (wall, cpu) in best.items():
                ratios = f"{usual[0] / wall:.1f} | {usual[1] / cpu:.1f}"
                print(f"| {name} | {size} | {way} | {wall:.2f} | {cpu:.2f} | {ratios} |")


if __name__ == "__main__":
    app.run(main)
