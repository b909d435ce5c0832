"""No data set of training or evaluation is tuned, which would hold up its end."""

import os

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import presets
from drw_tf.augment import views as augment_views
from drw_tf.data import dataset as records
from drw_tf.data import parallelism, pipeline

SHAPE = (8, 8, 3)


@pytest.fixture(params=["arrays", "files"])
def images(request, tmp_path):
    pixels = np.zeros([4, *SHAPE], np.uint8)
    if request.param == "arrays":
        return records.ArrayImages(pixels, np.zeros(4, np.int64))
    path = tmp_path / "one.png"
    path.write_bytes(tf.io.encode_png(pixels[0]).numpy())
    return records.FileImages(np.array([str(path)] * 4), np.zeros(4, np.int64))


def is_tuned(dataset):
    return dataset.options().autotune.enabled is not False


def test_training_is_not_tuned(images):
    views = augment_views.Views(SHAPE, False, 1, presets.preset("digits"))
    streams = [pipeline.Stream("labeled", np.arange(4), 2, ("weak",), np.zeros(4, np.int64))]
    assert not is_tuned(pipeline.training_batches(images, streams, views, seed=0))


def test_evaluation_is_not_tuned(images):
    assert not is_tuned(pipeline.evaluation_batches(images, 2, SHAPE))


def test_what_is_around_it_cannot_tune_it_again():
    wrapped = parallelism.untuned(tf.data.Dataset.range(3)).map(lambda x: x).prefetch(1)
    assert not is_tuned(wrapped)


def test_usable_cores_are_those_of_this_process_alone():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores cannot be taken away here")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert parallelism.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert parallelism.usable_cores() == len(before)
