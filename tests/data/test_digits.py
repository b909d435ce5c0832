import sys

import numpy as np
import pytest
from sklearn import datasets

from drw_tf.data import dataset as records
from drw_tf.data import digits, long_tail, splits


@pytest.fixture(scope="module")
def loaded():
    return digits.load()


def test_fifty_of_each_digit_are_held_for_testing(loaded):
    assert (len(loaded.train), len(loaded.test)) == (1297, 500)
    assert records.class_counts(loaded.test.labels, 10).tolist() == [50] * 10
    assert loaded.class_names == tuple("0123456789")
    assert loaded.train.pixels.shape == (1297, 8, 8, 1) == (1297, *loaded.image_shape)
    assert loaded.train.labels.dtype == np.int64
    assert not loaded.flip


def test_test_pictures_are_the_last_of_each_class_and_order_is_kept(loaded):
    target = datasets.load_digits().target
    held = sorted(row for digit in range(10) for row in np.flatnonzero(target == digit)[-50:])
    np.testing.assert_array_equal(loaded.test.labels, target[held])
    np.testing.assert_array_equal(loaded.train.labels, np.delete(target, held))
    images = datasets.load_digits().images
    np.testing.assert_array_equal(loaded.test.pixels[..., 0] > 127, images[held] > 7)
    np.testing.assert_array_equal(
        loaded.train.pixels[..., 0] > 127, np.delete(images, held, axis=0) > 7
    )


def test_grey_values_are_stretched_to_all_of_eight_bits(loaded):
    # round(v * 255 / 16) for v = 0 ... 16, worked out by hand; 127.5 to the even neighbour.
    levels = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert loaded.train.pixels.dtype == np.uint8
    assert np.unique(loaded.train.pixels).tolist() == levels


def test_mean_and_deviation_are_those_of_the_training_pixels(loaded):
    values = loaded.train.pixels.astype(np.float64).ravel() / 255
    mean = values.sum() / values.size
    deviation = (((values - mean) ** 2).sum() / values.size) ** 0.5
    np.testing.assert_allclose(loaded.mean, [mean], rtol=1e-12)
    np.testing.assert_allclose(loaded.std, [deviation], rtol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_long_tail_fits(loaded, seed):
    split = splits.draw_split(
        loaded.train.labels,
        10,
        labeled_counts=long_tail.class_counts(10, 40, 20),
        unlabeled_counts=long_tail.class_counts(10, 80, 20),
        seed=seed,
    )
    # 40 * 20 ** (-c / 9), rounded down: 40 28 20 14 10 7 5 3 2 2, and twice that for 80.
    assert records.class_counts(loaded.train.labels[split.labeled], 10).tolist() == [
        40, 28, 20, 14, 10, 7, 5, 3, 2, 2,
    ]  # fmt: skip
    assert (len(split.labeled), len(split.unlabeled)) == (131, 269)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match="needs scikit-learn: python -m pip install"):
        digits.load()
