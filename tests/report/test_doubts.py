"""What the end of a run and a model card say of how it was trained."""

import pytest

from drw_tf.report import doubts

NAMES = ("cat", "dog", "owl")


def lines(numbers=(5.0, 4.0, 2.0), mask_rate=0.5, **flags):
    flags = {"method": "drw_la", "la_prior": "pseudo", "la_strength": 1.0} | flags
    flags = {"threshold": 0.95} | flags
    entry = {"pseudo_numbers": numbers, "train": {"mask_rate": mask_rate}}
    return list(doubts.lines(flags, [{}, entry], NAMES))


def test_there_are_none_of_a_usual_run():
    assert lines() == list(doubts.lines({}, [], NAMES)) == list(doubts.lines({}, [{}], NAMES)) == []


def test_classes_that_no_picture_was_taken_for_are_named_where_that_moves_logits():
    (line,) = lines(numbers=(68.25, 1.0, 1.0))
    assert line.startswith("in the last epoch no unlabeled picture was taken for dog, owl, so that")
    end = (
        "compare drw_tf.evaluate --as_method=drw_la --la_prior=labeled, or a smaller --la_strength"
    )
    assert line.endswith(end)
    for flags in ({"la_prior": "labeled"}, {"la_prior": None}, {"la_strength": 0.0}):
        assert lines(numbers=(68.25, 1.0, 9.75), **flags) == []


@pytest.mark.parametrize(
    ("mask_rate", "threshold", "told"), [(0.002, 0.95, 1), (0.002, 0.0, 0), (0.01, 0.95, 0)]
)
def test_a_pool_that_was_hardly_used_is_told(mask_rate, threshold, told):
    found = lines(mask_rate=mask_rate, threshold=threshold)
    assert found == told * [
        "in the last epoch 0.2 % of the unlabeled pictures were sure enough to be learned from; "
        "a --threshold below 0.95 takes more"
    ]
