import numpy as np
import pytest
from PIL import Image

from drw_tf.report import figures, palette


def heights(axes):
    return [[bar.get_height() for bar in container] for container in axes.containers]


def test_pseudo_numbers_plots_each_class_of_each_run_by_rank(make_record):
    records = [make_record("fixmatch", counts=[5, 9, 7, 30]), make_record("drw")]
    made = figures.pseudo_numbers(records)
    left, right = made.axes[:2]
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("fixmatch", "drw")
    assert left.get_yscale() == "log"
    assert left.get_ylabel() == "pseudo number (images)"
    assert left.get_xlabel() == "training step"
    # Order of the first record's counts: 3, 1, 2, 0; 100 * (4 - c) + step / 100.
    for axes in (left, right):
        for line, index in zip(axes.lines, [3, 1, 2, 0], strict=True):
            assert line.get_xdata().tolist() == [50, 100, 150, 200]
            expected = [100 * (4 - index) + hundredth for hundredth in (0.5, 1.0, 1.5, 2.0)]
            assert line.get_ydata().tolist() == pytest.approx(expected)
    (legend,) = made.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == ["class 3", "class 1", "class 2", "class 0"]
    assert len({line.get_color() for line in left.lines}) == 4


def test_many_classes_get_a_color_bar_in_place_of_a_legend(make_record):
    made = figures.pseudo_numbers([make_record(num_classes=127)])
    assert made.legends == []
    chart, bar = made.axes
    assert len(chart.lines) == 127
    assert bar.get_ylabel() == "rank of the class by labeled images (1: most)"
    assert chart.lines[0].get_color() == palette.class_colors(127)[0]


def test_run_that_did_not_record_a_quantity_says_so(make_record):
    made = figures.class_weights([make_record("fixmatch"), make_record("drw")])
    left, right = made.axes[:2]
    assert [text.get_text() for text in left.texts] == ["not recorded"]
    assert len(right.lines) == 4


def test_weights_are_plotted_as_recorded(make_record):
    (axes,) = figures.class_weights([make_record("drw")]).axes
    # Uniform at 50; weighted (c + 1) / C from half of the evaluations on.
    assert axes.lines[3].get_ydata().tolist() == [1.0, 1.0, 1.0, 1.0]
    assert axes.lines[0].get_ydata().tolist() == [1.0, 0.25, 0.25, 0.25]


def test_quantity_that_no_run_has_is_refused(make_record):
    with pytest.raises(ValueError, match="records must have unlabeled_weights in their history"):
        figures.class_weights([make_record("fixmatch")])


def test_any_quantity_of_a_class_can_be_drawn_over_time(make_record):
    made = figures.class_curves([make_record()], "test/ema/recall", "recall", fraction=True)
    axes = made.axes[0]
    assert axes.lines[1].get_ydata().tolist() == [0.25] * 4
    assert axes.get_ylim() == (-0.02, 1.02)


def test_pseudo_number_of_zero_leaves_the_logarithmic_chart_at_the_bottom(make_record):
    record = make_record()
    record["history"][0]["pseudo_numbers"][3] = 0.0
    axes = figures.pseudo_numbers([record]).axes[0]
    # The smallest other one is 101 at step 100.
    assert axes.get_ylim()[0] == pytest.approx(101 / 1.5)


def test_more_than_three_runs_go_into_rows(make_record):
    made = figures.pseudo_numbers([make_record(seed=seed) for seed in range(5)])
    visible = [axes.get_visible() for axes in made.axes]
    assert visible == [True] * 5 + [False]


def test_recalls_are_bars_side_by_side_with_means_in_the_legend(make_record):
    made = figures.recalls([make_record("fixmatch"), make_record("drw")])
    (axes,) = made.axes
    # (c + 1) / (2 C), mean (1 + 2 + 3 + 4) / 32 = 31.25%.
    assert heights(axes) == [[0.125, 0.25, 0.375, 0.5]] * 2
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["fixmatch: mean 31.2%", "drw: mean 31.2%"]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["class 0", "class 1", "class 2", "class 3"]
    centers = [bar.get_x() + bar.get_width() / 2 for bar in axes.containers[1]]
    assert centers == pytest.approx([1.2, 2.2, 3.2, 4.2])


def test_recalls_of_many_classes_are_points_and_running_means(make_record):
    made = figures.recalls([make_record("fixmatch", 127), make_record("drw", 127)])
    (axes,) = made.axes
    assert axes.containers == []
    points, line = axes.lines[:2]
    np.testing.assert_allclose(points.get_ydata(), np.arange(1, 128) / 254)
    # Away from the ends the mean of a straight line is the line.
    np.testing.assert_allclose(line.get_ydata()[6:-6], np.arange(7, 122) / 254)
    assert axes.get_xlabel() == "class, by rank of its labeled images (1: most)"


def test_recall_of_a_class_without_test_images_is_left_out_of_the_mean(make_record):
    record = make_record()
    record["last_metrics"]["ema"]["recall"] = [0.5, None, 1.0, None]
    (axes,) = figures.recalls([record]).axes
    assert axes.get_legend().get_texts()[0].get_text() == "drw: mean 75.0%"


def test_run_without_evaluation_is_refused(make_record):
    record = make_record()
    record["last_metrics"] = {}
    with pytest.raises(ValueError, match="must have recall of the ema network"):
        figures.recalls([record])


def test_saved_pictures_are_the_same_bytes_each_time(make_record, tmp_path):
    record = make_record()
    first = figures.save(figures.recalls([record]), tmp_path / "a" / "recall.v1")
    second = figures.save(figures.recalls([record]), tmp_path / "b" / "recall.v1")
    assert [path.name for path in first] == ["recall.v1.png", "recall.v1.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with Image.open(first[0]) as picture:
        assert picture.width > 900
    assert b"<svg" in first[1].read_bytes()
