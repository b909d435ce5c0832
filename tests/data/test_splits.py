import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from drw_tf.data import dataset as records
from drw_tf.data import splits

LABELS = np.array([1, 0, 1, 1, 0, -1, 1, 0, 1])  # class 0 in rows 1 4 7, class 1 in 0 2 3 6 8


def draw(labels=LABELS, labeled=(1, 2), unlabeled=(1, 1), seed=0, validation=0):
    return splits.draw_split(
        labels,
        len(labeled),
        labeled_counts=np.array(labeled),
        unlabeled_counts=np.array(unlabeled),
        seed=seed,
        validation_per_class=validation,
    )


@st.composite
def drawings(draw_value):
    """(labels, counts of the three parts, seed) that fit together."""
    num_classes = draw_value(st.integers(1, 5))
    number = st.lists(st.integers(0, 6), min_size=num_classes, max_size=num_classes)
    labeled, unlabeled, spare = (draw_value(number) for _ in range(3))
    validation = draw_value(st.integers(0, 3))
    sizes = np.array(labeled) + unlabeled + spare + validation
    labels = np.append(
        np.repeat(np.arange(num_classes), sizes), [-1] * draw_value(st.integers(0, 3))
    )
    generator = np.random.default_rng(draw_value(st.integers(0, 99)))
    seed = draw_value(st.integers(0, 2**31))
    return generator.permutation(labels), labeled, unlabeled, validation, seed


def rows_of(split):
    return np.concatenate([split.labeled, split.unlabeled, split.validation])


# draw_split


def test_seed_zero_takes_the_first_of_each_class_in_the_given_order():
    split = draw()
    assert split.labeled.tolist() == [1, 0, 2]
    assert split.unlabeled.tolist() == [4, 3]
    assert split.validation.tolist() == []
    assert {part.dtype for part in (split.labeled, split.unlabeled, split.validation)} == {
        np.dtype(np.int64)
    }


def test_seed_zero_takes_the_rows_of_the_published_code(golden):
    cases = {case["id"]: case for case in golden("longtail_counts")["cases"]}
    inputs, want = (cases["which_images"][key] for key in ("inputs", "outputs"))
    labels, labeled = np.array(inputs["labels"]), np.array(inputs["labeled_per_class"])
    # That code takes fewer without a word where a class has too few; here it would be refused.
    left = records.class_counts(labels, len(labeled)) - labeled
    split = draw(labels, labeled, np.minimum(inputs["unlabeled_per_class"], left))
    assert split.labeled.tolist() == want["labeled_idx"]
    assert split.unlabeled.tolist() == want["unlabeled_idx_disjoint"]
    assert set(split.pool(True)) == set(want["unlabeled_idx_including_labeled"])


def test_validation_rows_come_from_the_back():
    assert draw(validation=1).validation.tolist() == [7, 8]
    assert draw(unlabeled=(0, 1), validation=2).validation.tolist() == [4, 7, 6, 8]


@hypothesis.given(drawings())
def test_parts_are_disjoint_and_have_the_numbers_asked_for(drawing):
    labels, labeled, unlabeled, validation, seed = drawing
    split = draw(labels, labeled, unlabeled, seed, validation)
    rows = rows_of(split)
    assert len(np.unique(rows)) == len(rows)
    classes = np.arange(len(labeled))
    assert labels[split.labeled].tolist() == np.repeat(classes, labeled).tolist()
    assert labels[split.unlabeled].tolist() == np.repeat(classes, unlabeled).tolist()
    assert labels[split.validation].tolist() == np.repeat(classes, validation).tolist()


@hypothesis.given(drawings())
def test_a_split_is_a_function_of_its_arguments(drawing):
    labels, labeled, unlabeled, validation, seed = drawing
    first = draw(labels, labeled, unlabeled, seed, validation)
    np.random.seed(1)  # global state must not matter
    again = draw(labels.copy(), labeled, unlabeled, seed, validation)
    assert first.checksum() == again.checksum()
    np.testing.assert_array_equal(rows_of(first), rows_of(again))


@hypothesis.given(drawings())
def test_labeled_rows_depend_on_no_other_number(drawing):
    labels, labeled, unlabeled, validation, seed = drawing
    full = draw(labels, labeled, unlabeled, seed, validation)
    alone = draw(labels, labeled, [0] * len(labeled), seed, 0)
    np.testing.assert_array_equal(full.labeled, alone.labeled)
    without = draw(labels, labeled, unlabeled, seed, 0)
    np.testing.assert_array_equal(full.unlabeled, without.unlabeled)


def test_seeds_give_different_rows_and_checksums():
    labels = np.repeat([0, 1, 2], 30)
    found = [draw(labels, (10, 5, 2), (10, 10, 10), seed) for seed in range(20)]
    assert len({split.checksum() for split in found}) == 20
    assert len({tuple(sorted(split.labeled)) for split in found}) == 20


def test_rows_that_are_sorted_within_a_class_are_shuffled_at_seed_zero_too():
    labels = np.repeat([0, 1, 2], 30)
    official = [np.arange(30 * c, 30 * (c + 1)) for c in range(3)]
    shuffled = splits.class_rows(labels, 3, 0, sorted_within=True)
    for rows, in_order, plain in zip(
        shuffled, official, splits.class_rows(labels, 3, 0), strict=True
    ):
        np.testing.assert_array_equal(plain, in_order)
        np.testing.assert_array_equal(np.sort(rows), in_order)
        assert (rows != in_order).any()
    for seed in (1, 7):
        np.testing.assert_array_equal(
            splits.class_rows(labels, 3, seed, sorted_within=True),
            splits.class_rows(labels, 3, seed),
        )


def test_every_row_of_a_class_is_as_likely_to_be_labeled():
    # 600 seeds label 2 of 6 rows: 200 times each; sd sqrt(600 * 1/3 * 2/3) = 11.5.
    labels = np.zeros(6, int)
    times = sum(
        np.bincount(draw(labels, (2,), (0,), seed).labeled, minlength=6) for seed in range(1, 601)
    )
    assert times.sum() == 1200
    assert np.abs(times - 200).max() < 4 * 11.5


def test_a_shuffle_is_made_of_the_bits_of_philox_alone():
    # The first numbers of Philox 4x64 with key 1 are a matter of its definition.
    keys = np.random.Philox(key=1).random_raw(3)
    want = np.array([10, 20, 30])[np.argsort(keys)]
    np.testing.assert_array_equal(splits._shuffled(np.array([10, 20, 30]), 1), want)


def test_a_class_is_shuffled_whatever_the_others_are():
    labels = np.repeat([0, 1], 20)
    one = draw(labels, (5, 5), (0, 0), seed=3).labeled[:5]
    fewer = draw(labels[:30], (5, 5), (0, 0), seed=3).labeled[:5]
    np.testing.assert_array_equal(one, fewer)


def test_classes_are_not_all_shuffled_alike():
    labels = np.repeat([0, 1], 20)
    labeled = draw(labels, (20, 20), (0, 0), seed=3).labeled
    assert (labeled[:20] != labeled[20:] - 20).any()


def test_too_few_pictures_are_refused_with_class_and_numbers():
    message = r"class 1 must have 6 pictures \(3 labeled, 2 unlabeled, 1 for validation\), got 5"
    with pytest.raises(ValueError, match=message):
        draw(labeled=(1, 3), unlabeled=(1, 2), validation=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labeled": (1, -1)}, "labeled_counts must be 2 whole numbers >= 0"),
        ({"labeled": (1.5, 1)}, "labeled_counts must be 2 whole numbers >= 0"),
        ({"unlabeled": (1, 1, 1)}, "unlabeled_counts must be 2 whole numbers >= 0"),
        ({"validation": -1}, "validation_per_class must be >= 0, got -1"),
        ({"labels": np.array([0, 1, 2])}, r"labels must be in \[0, 2\), got 2"),
        ({"labels": np.array([0, 1, -2])}, r"labels must be in \[0, 2\), got -2"),
    ],
)
def test_arguments_that_make_no_split_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(**arguments)


# fraction_split


def test_a_fraction_of_each_class_is_labeled_and_the_rest_is_not():
    # A half of 3 and 5, halves to even: 2 and 2. The row without a label comes last.
    split = splits.fraction_split(LABELS, 2, 0.5, seed=0)
    assert split.labeled.tolist() == [1, 4, 0, 2]
    assert split.unlabeled.tolist() == [7, 3, 6, 8, 5]
    assert split.validation.tolist() == []


def test_a_fraction_takes_the_rows_of_the_published_code(golden):
    cases = {case["id"]: case for case in golden("longtail_counts")["cases"]}
    inputs, want = (cases["small_imagenet127_split_seed0"][key] for key in ("inputs", "outputs"))
    labels = np.array(inputs["labels"])
    counts = np.array(inputs["labeled_per_class"])
    split = draw(labels, counts, np.zeros_like(counts))
    assert split.labeled.tolist() == want["labeled_idx"]


@hypothesis.given(
    st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.floats(0.01, 1), st.integers(0, 99)
)
def test_a_fraction_split_uses_every_row_once(labels, fraction, seed):
    labels = np.array([0, 1, 2, 3, *labels])
    split = splits.fraction_split(labels, 4, fraction, seed)
    assert sorted(rows_of(split)) == list(range(len(labels)))
    counts = records.class_counts(labels, 4)
    labeled = records.class_counts(labels[split.labeled], 4)
    assert (labeled >= 1).all()
    assert (np.abs(labeled - fraction * counts) <= 1).all()
    assert -1 not in labels[split.labeled]


def test_a_fraction_split_holds_rows_out_without_moving_labeled_ones():
    labels = np.repeat([0, 1], [20, 30])
    for seed in (0, 5):
        plain = splits.fraction_split(labels, 2, 0.2, seed)
        held = splits.fraction_split(labels, 2, 0.2, seed, validation_per_class=3)
        np.testing.assert_array_equal(held.labeled, plain.labeled)
        assert records.class_counts(labels[held.validation], 2).tolist() == [3, 3]
        assert sorted(rows_of(held)) == list(range(50))
    assert splits.fraction_split(labels, 2, 0.2, 1).checksum() != plain.checksum()


def test_a_fraction_split_refuses_what_leaves_too_little():
    with pytest.raises(ValueError, match=r"class 0 must have 5 pictures .* got 3"):
        splits.fraction_split(LABELS, 2, 0.5, seed=0, validation_per_class=3)
    with pytest.raises(ValueError, match="got none of class 2"):
        splits.fraction_split(LABELS, 3, 0.5, seed=0)


# A split that was given


def test_labeled_pictures_of_a_given_split_are_held_out():
    labels = np.array([1, 0, 0, 1, -1, 0, 1, 1, 0, -1, 1])
    given = records.Split(np.array([0, 1, 2, 3, 5, 6, 7, 8]), np.array([4, 9, 10]), np.arange(0))
    before = set()
    for number in (1, 2, 3):
        split = splits.hold_out(given, labels, ("a", "b"), number)
        assert records.class_counts(labels[split.validation], 2).tolist() == [number] * 2
        assert records.class_counts(labels[split.labeled], 2).tolist() == [4 - number] * 2
        assert sorted([*split.labeled, *split.validation]) == given.labeled.tolist()
        np.testing.assert_array_equal(split.unlabeled, given.unlabeled)
        # Of class 1, but not given as labeled.
        assert 10 not in [*split.labeled, *split.validation]
        assert before < set(split.validation)
        before = set(split.validation)
    # Drawn: neither the first ones nor the last.
    none = given.labeled[:0]
    whole = records.Split(np.arange(40), none, none)
    held = splits.hold_out(whole, np.zeros(40, int), ("a",), 10).validation
    assert 0 < np.count_nonzero(held < 20) < 10
    with pytest.raises(ValueError, match=r"at most 3, as there are 4 of a; got 4\."):
        splits.hold_out(given, labels, ("a", "b"), 4)
