import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from drw_tf.data import long_tail


def cases(golden, kind):
    return [c for c in golden("longtail_counts")["cases"] if c["inputs"]["kind"] == kind]


def test_counts_equal_those_of_the_published_code(golden):
    compared = 0
    for case in cases(golden, "counts"):
        numbers = {k: case["inputs"][k] for k in ("num_classes", "n_max", "ratio")}
        for order, want in zip(("same", "reversed"), case["outputs"].values(), strict=False):
            if 0 in want:  # there an empty class is let pass, here it is refused
                continue
            got = long_tail.class_counts(**numbers, order=order)
            assert got.dtype == np.int64
            assert got.tolist() == want, case["id"]
            compared += 1
    assert compared == 28


@pytest.mark.parametrize(
    ("n_max", "ratio", "counts", "total"),
    [
        (1500, 50, [1500, 971, 628, 407, 263, 170, 110, 71, 46, 30], 4196),
        (3000, 50, [3000, 1942, 1257, 814, 527, 341, 221, 143, 92, 60], 8397),
        (1500, 100, [1500, 899, 539, 323, 193, 116, 69, 41, 25, 15], 3720),
        (3000, 100, [3000, 1798, 1078, 646, 387, 232, 139, 83, 50, 30], 7443),
        (1500, 150, [1500, 859, 492, 282, 161, 92, 53, 30, 17, 10], 3496),
        (3000, 150, [3000, 1719, 985, 564, 323, 185, 106, 60, 34, 20], 6996),
    ],
)
def test_counts_of_ten_classes_are_those_of_the_protocol(n_max, ratio, counts, total):
    got = long_tail.class_counts(10, n_max, ratio)
    assert got.tolist() == counts
    assert got.sum() == total


@pytest.mark.parametrize(
    ("n_max", "ratio", "total"),
    [(150, 10, 5835), (300, 10, 11720), (150, 20, 4741), (300, 20, 9527)],
)
def test_totals_of_a_hundred_classes_are_those_of_the_protocol(n_max, ratio, total):
    assert long_tail.class_counts(100, n_max, ratio).sum() == total


@pytest.mark.parametrize(
    ("n_max", "ratio", "counts"),
    [
        # Ratios that are powers: neighbours are exactly 2, 4 and 10 apart.
        (64, 16, [64, 32, 16, 8, 4]),
        (1000, 256, [1000, 250, 62, 15, 3]),
        (1000, 100, [1000, 316, 100, 31, 10]),
    ],
)
def test_a_count_that_is_a_whole_number_does_not_fall_one_short(n_max, ratio, counts):
    assert long_tail.class_counts(5, n_max, ratio).tolist() == counts


# Every count is a whole number; float64 alone makes some of them one less.
@hypothesis.given(st.integers(1, 9), st.integers(2, 9), st.integers(2, 7), st.integers(1, 50))
def test_geometric_sequences_are_exact(tail, factor, num_classes, multiple):
    want = [multiple * tail * factor**c for c in range(num_classes)][::-1]
    got = long_tail.class_counts(num_classes, want[0], factor ** (num_classes - 1))
    assert got.tolist() == want


@hypothesis.given(st.integers(1, 200), st.integers(1, 10_000), st.floats(1, 500))
def test_counts_fall_from_the_head_to_the_tail(num_classes, n_max, ratio):
    hypothesis.assume(n_max >= ratio and num_classes > 1)
    counts = long_tail.class_counts(num_classes, n_max, ratio)
    assert counts.shape == (num_classes,)
    assert counts[0] == n_max
    assert abs(counts[-1] - n_max / ratio) <= 1
    assert (np.diff(counts) <= 0).all()
    reverse = long_tail.class_counts(num_classes, n_max, ratio, "reversed")
    np.testing.assert_array_equal(reverse, counts[::-1])


def test_a_ratio_of_one_and_the_uniform_order_give_every_class_as_many():
    assert long_tail.class_counts(3, 7, 1).tolist() == [7, 7, 7]
    assert long_tail.class_counts(3, 7, 1, "uniform").tolist() == [7, 7, 7]
    assert long_tail.class_counts(3, 7, None, "uniform").tolist() == [7, 7, 7]


def test_a_single_class_has_all():
    assert long_tail.class_counts(1, 7, 1).tolist() == [7]
    with pytest.raises(ValueError, match="of a single class must be 1, got 2"):
        long_tail.class_counts(1, 7, 2)


@pytest.mark.parametrize(("order", "empty"), [("same", "2, 3"), ("reversed", "0, 1")])
def test_an_empty_class_is_refused_by_its_index(order, empty):
    # 4 * 64 ** (-c / 3) = 4, 1, 1/4, 1/16.
    with pytest.raises(ValueError, match=f"at most the 4 .* got 64: class {empty} would be empty"):
        long_tail.class_counts(4, 4, 64, order)


def test_a_tail_of_one_picture_is_allowed():
    assert long_tail.class_counts(2, 50, 50).tolist() == [50, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 100, 0.5), "ratio must be a number >= 1, got 0.5"),
        ((10, 100, float("nan")), "ratio must be a number >= 1, got nan"),
        ((10, 100, float("inf")), "ratio must be a number >= 1, got inf"),
        ((0, 100, 10), "num_classes must be at least 1, got 0"),
        ((10, 0, 1), "largest class must be at least 1, got 0"),
        ((10, 100, None), "ratio must be a number >= 1, got None"),
        ((10, 100, 10, "uniform"), "ratio of a uniform set must be 1, got 10"),
        ((10, 100, 10, "inverse"), "order must be one of same, reversed, uniform, got inverse"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        long_tail.class_counts(*arguments)


def test_labeled_fractions_equal_those_of_the_published_code_but_for_zeros(golden):
    for case in cases(golden, "percent"):
        got = long_tail.labeled_fraction_counts(
            case["inputs"]["class_counts"], case["inputs"]["percent"]
        )
        want = [max(1, count) for count in case["outputs"]["labeled_per_class"]]
        assert got.tolist() == want


def test_halves_are_rounded_to_the_even_neighbour():
    # A tenth: 1.5, 2.5, 3.5, 4.5.
    got = long_tail.labeled_fraction_counts(np.array([15, 25, 35, 45]), 0.1)
    assert got.tolist() == [2, 2, 4, 4]


def test_all_of_a_class_can_be_labeled():
    assert long_tail.labeled_fraction_counts([3, 1], 1.0).tolist() == [3, 1]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\], got"):
        long_tail.labeled_fraction_counts([3], fraction)


def test_a_class_without_pictures_has_none_to_label():
    with pytest.raises(ValueError, match="got none of class 1"):
        long_tail.labeled_fraction_counts([3, 0, 2], 0.5)
