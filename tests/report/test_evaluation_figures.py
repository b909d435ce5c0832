import numpy as np
import pytest
from matplotlib.backends import backend_agg

from drw_tf.report import evaluation_figures


def cells(axes):
    """{(row, column): text} of what is written into a matrix."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text()
        for text in axes.texts
    }


def test_confusion_shows_shares_of_the_true_class_by_rank(make_record):
    made = evaluation_figures.confusion_matrices(
        [make_record("fixmatch", counts=[1, 2, 3, 40]), make_record("drw")]
    )
    left, right = made.axes[:2]
    assert left.get_title(loc="left") == "fixmatch: bACC 33.2%"
    # Class c: c + 1 of 8 images right, the others taken for class c + 1 (mod 4).
    by_class = np.diag([1, 2, 3, 4]) / 8 + np.roll(np.diag([7, 6, 5, 4]), 1, axis=1) / 8
    order = [3, 2, 1, 0]
    for axes in (left, right):
        shown = axes.images[0].get_array()
        np.testing.assert_allclose(shown, by_class[np.ix_(order, order)])
    # Percent, halves rounded up: 12.5 -> 13, 87.5 -> 88.
    assert cells(left)[3, 3] == "13"
    assert cells(left)[3, 2] == "88"
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "class 3",
        "class 2",
        "class 1",
        "class 0",
    ]


def pixels(canvas):
    canvas.draw()
    return np.array(canvas.buffer_rgba())


@pytest.mark.parametrize("classes", [4, 15])
def test_redrawn_matrix_is_the_picture_that_a_new_figure_gives(classes):
    before, after = np.random.default_rng(0).integers(0, 50, [2, classes, classes])
    after[1] = 0
    names = [f"class {number}" for number in range(classes)]
    canvas, other = (
        backend_agg.FigureCanvasAgg(evaluation_figures.draw_confusions([counts], ["run"], names))
        for counts in (before, after)
    )
    first = pixels(canvas)
    evaluation_figures.redraw_confusion(canvas.figure, after)
    redrawn = pixels(canvas)
    assert (redrawn != first).any()
    np.testing.assert_array_equal(redrawn, pixels(other))


def test_class_without_test_images_is_blank():
    made = evaluation_figures.draw_confusions([[[3, 1], [0, 0]]], ["run"], ["a", "b"])
    shown = made.axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), [[False, False], [True, True]])
    assert cells(made.axes[0]) == {(0, 0): "75", (0, 1): "25"}


def test_matrix_of_many_classes_has_ranks_and_no_numbers():
    counts = np.eye(127, dtype=int)
    names = [f"class {index}" for index in range(127)]
    axes = evaluation_figures.draw_confusions([counts], ["run"], names, range(127)).axes[0]
    assert list(axes.texts) == []
    assert [text.get_text() for text in axes.get_yticklabels()][:2] == ["1", "20"]
    assert axes.get_ylabel() == "true class, by rank of its labeled images"


def test_matrix_without_an_order_shows_class_numbers_from_0():
    names = [f"class {index}" for index in range(127)]
    axes = evaluation_figures.draw_confusions([np.eye(127)], ["run"], names).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()][:2] == ["0", "19"]
    assert axes.get_yticks()[1] == 19
    assert axes.get_ylabel() == "true class number"


def test_reliability_diagram_shows_bins_and_the_expected_calibration_error():
    bins = {"count": [0, 10, 0, 30], "confidence": [0, 0.4, 0, 0.9], "accuracy": [0, 0.3, 0, 0.7]}
    made = evaluation_figures.reliability_diagram([bins], ["drw"])
    upper, lower = made.axes
    # (10 * .1 + 30 * .2) / 40
    assert upper.get_title(loc="left") == "drw: ECE 17.5%"
    (bars,) = upper.containers
    assert [bar.get_height() for bar in bars] == [0.3, 0.7]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([0.375, 0.875])
    assert [bar.get_height() for bar in lower.containers[0]] == [0, 0.25, 0, 0.75]


def test_four_reliability_diagrams_are_two_beside_two_on_one_scale():
    calm = {"count": [2, 2], "confidence": [0.4, 0.9], "accuracy": [0.3, 0.7]}
    sharp = {"count": [0, 4], "confidence": [None, 0.9], "accuracy": [None, 0.7]}
    made = evaluation_figures.reliability_diagram([calm, calm, calm, sharp], list("abcd"))
    uppers, lowers = (made.axes[:2] + made.axes[4:6], made.axes[2:4] + made.axes[6:])
    assert [axes.get_title(loc="left")[0] for axes in uppers] == list("abcd")
    # All four pictures of the last run are in one bin.
    assert {axes.get_ylim() for axes in lowers} == {(0, 1.05)}
    assert [axes.get_ylabel() for axes in made.axes[::2]] == ["accuracy", "images"] * 2
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in lowers)


def test_places_without_a_run_stay_empty():
    bins = {"count": [2, 2], "confidence": [0.4, 0.9], "accuracy": [0.3, 0.7]}
    made = evaluation_figures.reliability_diagram([bins] * 5, list("abcde"))
    assert [axes.get_visible() for axes in made.axes] == [True] * 8 + [False] + [True] * 2 + [False]
