import itertools
import math

import numpy as np
import pytest

from drw_tf.data import dataset as records
from drw_tf.report import split_report


def arrays(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, [len(labels), 4, 4, 1], np.uint8)
    return records.ArrayImages(pixels, np.array(labels, np.int64))


def made_up(train, test, names=("a", "b", "c")):
    return records.Dataset(
        "made up", names, (4, 4, 1), train, test, flip=True, mean=(0.5,), std=(0.2,)
    )


def split_of(labeled, unlabeled, validation=()):
    return records.Split(*(np.array(part, np.int64) for part in (labeled, unlabeled, validation)))


@pytest.fixture
def dataset():
    """Ten training rows, class by class 5, 3, 2; four to test."""
    return made_up(arrays([0] * 5 + [1] * 3 + [2] * 2), arrays([0, 1, 1, 2], 1))


def test_counts_are_those_of_the_rows(dataset):
    # Rows 0, 1, 5 and 8: two of class 0, one each of the others.
    split = split_of([0, 1, 5, 8], [2, 3, 6], [4, 9])
    found = split_report.facts(dataset, split, include_labeled=True)
    counts = {part: values.tolist() for part, values in found.counts.items()}
    assert counts == {
        "labeled": [2, 1, 1],
        "unlabeled": [2, 1, 0],
        "validation": [1, 0, 1],
        "test": [1, 2, 1],
    }
    assert (found.pool, found.unknown) == (7, 0)
    assert set(found.overlaps.values()) == {0}
    assert found.checksum == split.checksum()
    assert split_report.facts(dataset, split, include_labeled=False).pool == 3
    assert split_report.facts(dataset, split, include_labeled=None).pool is None


def test_a_line_names_the_classes_and_counts_the_parts(dataset):
    # Rows 0, 5, 6, 7 and 8: one of class 0, three of class 1, one of class 2.
    split = split_of([0, 5, 6, 7, 8], [2, 3], [4])
    expected = "data: 3 classes: b 3, a 1, c 1 labeled; 2 unlabeled; 1 held out; 4 test"
    assert split_report.line(dataset, split) == expected
    many = made_up(arrays([*range(11), 10]), None, tuple("abcdefghijk"))
    assert split_report.line(many, split_of(range(12), [])) == (
        "data: 11 classes: k 2, a 1, b 1, ..., h 1, i 1, j 1 labeled; 0 unlabeled; no test pictures"
    )


def test_classes_nobody_knows_are_counted_apart():
    train = arrays([0, 1, records.UNKNOWN_LABEL, records.UNKNOWN_LABEL])
    found = split_report.facts(
        made_up(train, None, ("a", "b")), split_of([0, 1], [2, 3]), include_labeled=True
    )
    assert (found.unknown, found.counts["unlabeled"].tolist()) == (2, [0, 0])
    assert "test" not in found.counts
    text = split_report.text(found, [], [], whole=True)
    assert "- unlabeled: 2 pictures, classes unknown\n" in text
    assert "- test: none, so no score will be measured\n" in text


def test_pictures_that_are_held_out_are_a_score_without_test_pictures():
    found = split_report.facts(
        made_up(arrays([0, 1, 0, 1]), None, ("a", "b")),
        split_of([0, 1], [], [2, 3]),
        include_labeled=None,
    )
    assert "\n- test: none\n" in split_report.text(found, [], [], whole=True)


def test_rows_and_files_in_two_parts_are_counted(dataset):
    split = split_of([0, 1], [1, 2], [2, 0])
    found = split_report.facts(dataset, split, include_labeled=True)
    assert found.overlaps["labeled", "unlabeled"] == 1
    assert found.overlaps["unlabeled", "validation"] == 1
    text = split_report.text(found, [], [], whole=True)
    assert "- labeled and unlabeled: 1\n" in text
    files = [
        records.FileImages(np.array(paths, object), np.zeros(len(paths), np.int64))
        for paths in (["/a", "/b"], ["/c", "/b"])
    ]
    both = split_report.facts(made_up(*files), split_of([0], [1]), include_labeled=True)
    assert both.overlaps["labeled", "test"] == 0
    assert both.overlaps["unlabeled", "test"] == 1


@pytest.mark.parametrize(
    ("counts", "ratio"), [([8, 2, 4], 4), ([3], 1), ([3, 0], math.inf), ([0, 0], math.nan)]
)
def test_imbalance_is_largest_over_smallest(counts, ratio):
    np.testing.assert_equal(split_report.imbalance(np.array(counts)), ratio)


def test_equal_pixels_are_grouped_across_arrays():
    first, second = arrays([0] * 4).pixels, arrays([0] * 3, 1).pixels
    first[3] = first[1]
    second[2] = first[1]
    second[0] = second[1]
    groups = split_report.equal_pixels(itertools.chain(first, second))
    assert [group.tolist() for group in groups] == [[1, 3, 6], [4, 5]]


def test_copies_are_named_and_the_worst_come_first(dataset):
    rows = np.array([0, 1, 5, 8])
    parts = ["labeled", "unlabeled", "labeled", "validation"]
    # Positions 4 ... 7 are the test rows of classes 0, 1, 1, 2.
    groups = [np.array([0, 1]), np.array([0, 2]), np.array([3, 7])]
    found = split_report.copies(dataset, rows, parts, groups)
    assert found[1] == (
        split_report.Copy("labeled", "a", "training row 0"),
        split_report.Copy("labeled", "b", "training row 5"),
    )
    assert found[2][1] == split_report.Copy("test", "c", "test row 3")
    facts = split_report.facts(dataset, split_of([0, 5], [1], [8]), include_labeled=True)
    facts = split_report.dataclasses.replace(facts, copies=found)
    lines = split_report.text(facts, [], [], whole=False).splitlines()
    begin = lines.index("## Equal pictures") + 2
    assert lines[begin] == (
        "There more than once: 3 pictures, 1 of them in two of training, validation and test, "
        "1 as two classes, 1 labeled and unlabeled."
    )
    assert lines[begin + 1].startswith("- training row 8 (validation, c) = test row 3")
    assert "(labeled, a) = training row 5 (labeled, b)" in lines[begin + 2]


@pytest.mark.parametrize("whole", [True, False])
def test_no_name_of_a_file_or_class_can_forge_a_line(whole):
    name = "/x\n- forged: \x1b[2J|.png"
    train = records.FileImages(np.array([name, "/b"], object), np.array([0, 1], np.int64))
    dataset = made_up(train, train, ("cat\x1b", "dog"))
    split = split_of([0, 1], [])
    found = split_report.facts(dataset, split, include_labeled=None)
    found = split_report.dataclasses.replace(
        found,
        unreadable=((name, "the file is empty"),),
        copies=split_report.copies(dataset, split.labeled, ["labeled"] * 2, [np.array([0, 2])]),
    )
    text = split_report.text(found, [], [], whole=whole)
    shown = "/x\\n- forged: \\x1b[2J\\|.png"
    assert f"\n- {shown}: the file is empty\n" in text
    assert f"\n- {shown} (labeled, cat\\x1b) = {shown} (test, cat\\x1b)\n" in text
    assert "| cat\\x1b " in text
    assert "\x1b" not in text + split_report.line(dataset, split)


def long_report(whole):
    names = tuple(f"class {number}|x" for number in range(50))
    train = arrays(np.repeat(np.arange(50), np.arange(1, 51)))
    rows = np.arange(len(train))
    found = split_report.facts(
        made_up(train, None, names), split_of(rows, []), include_labeled=None
    )
    bad = tuple((f"{number}.png", "the file is empty") for number in range(12))
    found = split_report.dataclasses.replace(found, unreadable=bad)
    return split_report.text(found, ["--dataset=x"], ["a note"], whole=whole)


def test_the_whole_report_has_every_class_and_file():
    text = long_report(True)
    table = [line for line in text.splitlines() if line.startswith("| class 4")]
    assert len(table) == 11  # 4 and 40 ... 49
    # Most labeled pictures first; the bar in the name does not end the cell.
    assert table[0].split() == ["|", "class", "49\\|x", "|", "50", "|"]
    assert len({len(line) for line in table}) == 1
    assert "- 11.png: the file is empty" in text
    assert "- labeled: 1,275 pictures, R = 50 (50 to 1)" in text  # 1 + ... + 50
    assert "`--dataset=x`" in text
    assert "- a note" in text


def test_the_printed_report_is_shortened():
    text = long_report(False)
    assert "... 20 more" in text
    assert sum("|x " in line for line in text.splitlines()) == 30
    assert "- 9.png: " in text
    assert "- 10.png: " not in text
    assert "- and 2 more" in text
