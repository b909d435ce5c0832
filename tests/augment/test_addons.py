import importlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from drw_tf.augment import addons


def test_addons_and_the_kernel_below_them_give_the_same_pixels(pictures, monkeypatch):
    images = tf.constant(pictures((9, 7, 3)))
    matrices = np.tile([1, 0.2, -1, 0.1, 0.9, 1.3, 0, 0], (6, 1)).astype(np.float32)
    with_addons = addons.transform(images, matrices, 128)
    monkeypatch.setattr(addons, "AVAILABLE", not addons.AVAILABLE)
    np.testing.assert_array_equal(addons.transform(images, matrices, 128), with_addons)


def test_transform_reads_the_nearest_pixel_and_fills_with_the_value_given():
    images = np.array([[1, 2, 3], [4, 5, 6]], np.uint8).reshape(1, 2, 3, 1)
    # x_in = x + 1.4, y_in = y - 1: the nearest column is one to the right.
    matrix = np.array([[1, 0, 1.4, 0, 1, -1, 0, 0]], np.float32)
    got = addons.transform(tf.constant(images), matrix, 9).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(got, [[9, 9, 9], [2, 3, 9]])


def test_transform_moves_whole_numbers_that_float32_cannot_hold():
    positions = tf.reshape(2**30 + tf.range(9), [1, 3, 3, 1])
    same = addons.transform(positions, tf.constant([[1.0, 0, 0, 0, 1, 0, 0, 0]]), 0)
    np.testing.assert_array_equal(same, positions)


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_addons_that_do_not_import_are_done_without(error, monkeypatch):
    def fail(name):
        raise error(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    assert addons._import_addons() is None


@pytest.mark.slow
def test_addons_are_imported_without_a_word():
    command = "import warnings; warnings.simplefilter('error'); import drw_tf.augment.addons"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert "Addons" not in done.stderr
    assert "typeguard" not in done.stderr
