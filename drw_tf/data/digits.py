"""Handwritten digits that come with scikit-learn: real pictures without a download."""

import numpy as np

from drw_tf.data import dataset as records

TEST_PER_CLASS = 50

_LARGEST = 16  # what scikit-learn's grey values go up to


def load() -> records.Dataset:
    """1797 digits of 8 x 8 pixels, 500 of them to test.

    The test set is the last 50 of each class as scikit-learn orders them, whatever the seed;
    it and the training set keep that order. Grey values 0 ... 16 are stretched to 0 ... 255 by
    round(v * 255 / 16). Mean and standard deviation are those of the training pixels.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--dataset=digits needs scikit-learn: python -m pip install scikit-learn"
        ) from error
    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / _LARGEST)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    is_test = np.zeros(len(labels), bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[-TEST_PER_CLASS:]] = True
    train = records.ArrayImages(pixels[~is_test], labels[~is_test])
    unit = train.pixels / 255
    return records.Dataset(
        name="digits",
        class_names=tuple("0123456789"),
        image_shape=(8, 8, 1),
        train=train,
        test=records.ArrayImages(pixels[is_test], labels[is_test]),
        flip=False,
        mean=(float(unit.mean()),),
        std=(float(unit.std()),),
    )
