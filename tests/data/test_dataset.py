import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from drw_tf.data import dataset as records


def split(labeled=(3, 1), unlabeled=(0, 4), validation=(2,)):
    return records.Split(*(np.array(part, np.int64) for part in (labeled, unlabeled, validation)))


def test_a_pool_has_the_labeled_rows_first_or_not_at_all():
    assert split().pool(include_labeled=True).tolist() == [3, 1, 0, 4]
    assert split().pool(include_labeled=False).tolist() == [0, 4]


def test_a_checksum_is_the_same_for_equal_rows_of_any_integer_type():
    narrow = records.Split(*(np.array(part, np.int32) for part in ((3, 1), (0, 4), (2,))))
    assert split().checksum() == narrow.checksum()
    assert len(split().checksum()) == 16
    assert int(split().checksum(), 16) >= 0


def test_a_checksum_changes_whenever_a_row_moves():
    others = (
        split(),
        split(labeled=(1, 3)),  # within a part
        split(labeled=(3,), unlabeled=(1, 0, 4)),  # over the border of two parts
        split(unlabeled=(0, 4, 2), validation=()),
        split(labeled=(3, 2), validation=(1,)),
        split(validation=(2, 5)),
    )
    assert len({other.checksum() for other in others}) == len(others)


@hypothesis.given(st.lists(st.integers(0, 9), min_size=3, max_size=9, unique=True), st.data())
def test_moving_the_borders_of_parts_changes_the_checksum(rows, data):
    first, second = (
        sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2))) for _ in range(2)
    )
    one, other = (split(rows[:a], rows[a:b], rows[b:]).checksum() for a, b in (first, second))
    assert (one == other) == (first == second)


def test_classes_are_counted_without_the_unknown_labels():
    assert records.class_counts(np.array([2, -1, 0, 2, -1]), 4).tolist() == [1, 0, 2, 0]
    assert records.class_counts(np.array([], np.int64), 2).tolist() == [0, 0]


def test_records_know_their_sizes():
    images = records.ArrayImages(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    files = records.FileImages(np.array(["a", "b", "c"]), np.array([0, 1, -1]))
    dataset = records.Dataset("two", ("a", "b"), (4, 4, 1), images, None, False, (0.5,), (0.5,))
    assert (len(images), len(files), dataset.num_classes) == (2, 3, 2)
    assert dataset.given_split is None


def test_a_view_has_the_rows_that_are_taken_and_copies_no_pixels():
    pixels = np.arange(4 * 4, dtype=np.uint8).reshape(4, 2, 2, 1)
    images = records.ArrayImages(pixels, np.array([2, 1, 0, -1]))
    rows = np.array([3, 0, 2])
    view = records.view(images, rows)
    assert view.images is images
    assert (len(view), view.labels.tolist()) == (3, [-1, 2, 0])
    part = records.take(view, slice(1, 3))
    assert (part.rows.tolist(), part.labels.tolist()) == ([0, 2], [2, 0])
    files = records.FileImages(np.array(["a", "b", "c", "d"]), images.labels)
    assert records.view(files, rows).paths.tolist() == ["d", "a", "c"]


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros([2, 4, 4, 3]), [0, 1], "pixels must be uint8 [N, H, W, Ch], got float64"),
        (np.zeros([2, 4, 4], np.uint8), [0, 1], "got uint8 [2, 4, 4]."),
        (np.zeros([2, 4, 4, 3], np.uint8), [0], "labels must be int64 [2], got int64 [1]."),
        (np.zeros([2, 4, 4, 3], np.uint8), [0.0, 1.0], "labels must be int64 [2], got float64"),
    ],
)
def test_other_types_of_pictures_and_labels_are_refused(pixels, labels, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        records.ArrayImages(pixels, np.array(labels))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 2), (3, 8, 8), (0, 8, 1)])
def test_pictures_of_other_shapes_are_refused(shape):
    images = records.ArrayImages(np.zeros([1, 8, 8, 1], np.uint8), np.array([0]))
    message = f"image_shape must be (height, width, 1 or 3), got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        records.Dataset("two", ("a", "b"), shape, images, None, False, (0.5,), (0.5,))
