import numpy as np
import pytest

from drw_tf.report import panels


@pytest.mark.parametrize(
    ("count", "ticks"),
    [
        (1, [1]),
        (2, [1, 2]),
        (10, [1, 2, 4, 6, 8, 10]),
        (100, [1, 20, 40, 60, 80, 100]),
        (127, [1, 20, 40, 60, 80, 100, 127]),
        (1000, [1, 200, 400, 600, 800, 1000]),
    ],
)
def test_rank_ticks_are_few_round_and_not_on_top_of_each_other(count, ticks):
    assert panels.rank_ticks(count) == ticks


def test_running_mean_takes_fewer_at_the_ends_and_leaves_out_nan():
    # Windows: {1, 2}, {1, 2, nan}, {2, nan, 6}, {nan, 6}.
    got = panels.running_mean(np.array([1.0, 2.0, np.nan, 6.0]), 3)
    np.testing.assert_allclose(got, [1.5, 1.5, 4.0, 6.0])


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_running_mean_of_fewer_values_than_its_window(length):
    got = panels.running_mean(np.arange(length, dtype=float), 13)
    assert got.shape == (length,)
    assert got[0] == np.arange(length)[: (length + 1) // 2].mean()


def test_running_mean_of_nothing_is_nan():
    assert np.isnan(panels.running_mean(np.array([np.nan, np.nan, 1.0]), 1)[0])


def test_short_curves_are_drawn_as_they_are():
    _, grid = panels.new_figure(1)
    steps = np.arange(120)
    panels.curve(grid[0, 0], steps, steps**2.0, color="black")
    (line,) = grid[0, 0].lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([steps, steps**2.0], axis=1))


def test_long_curves_get_means_that_do_not_reach_across_the_split():
    _, grid = panels.new_figure(1)
    steps = np.arange(1, 201)
    values = np.where(steps <= 100, 1.0, 5.0)
    panels.curve(grid[0, 0], steps, values, split=100, color="black")
    pale, strong = grid[0, 0].lines
    np.testing.assert_array_equal(pale.get_ydata(), values)
    np.testing.assert_allclose(strong.get_ydata(), values)


def test_smoothing_is_odd_and_said_below_the_figure():
    made, _ = panels.new_figure(1)
    panels.smoothing_note(made, 120)
    assert made.get_supxlabel() == ""
    panels.smoothing_note(made, 500)
    assert made.get_supxlabel().startswith("strong lines: mean of 13 evaluations")


def test_long_names_keep_their_two_ends():
    assert panels.short_name("x" * 22) == "x" * 22
    got = panels.short_name("structure, construction, 1")
    assert got == "structure, …ruction, 1"
    assert len(got) == 22


def test_dollars_in_a_name_are_no_formula():
    from matplotlib.backends import backend_agg

    names = ["price_$10_to_$20", "US$", "$5-$10", "it's"]
    made, axes = panels.class_chart(names, np.arange(4))
    panels.class_bars(axes, [np.ones(4)], ["drw"], names, np.arange(4))
    backend_agg.FigureCanvasAgg(made).draw()  # an unreadable formula raises
    shown = [label._preprocess_math(label.get_text()) for label in axes.get_xticklabels()]
    assert shown == [(name, False) for name in names]


def test_a_narrow_axis_is_widened_around_its_middle_and_a_wide_one_left_alone():
    _, grid = panels.new_figure(1)
    axes = grid[0, 0]
    axes.set_ylim(0.80, 0.81)
    panels.widen(axes)
    assert axes.get_ylim() == pytest.approx((0.78, 0.83))
    axes.set_ylim(0.2, 0.8)
    panels.widen(axes)
    assert axes.get_ylim() == (0.2, 0.8)


@pytest.mark.parametrize(("labels", "columns"), [("abcd", 4), ("abcde", 3), (["a" * 13] * 4, 2)])
def test_keys_above_a_chart_have_rows_of_equal_length(labels, columns):
    names = ["one", "two"]
    _, axes = panels.class_chart(names, np.arange(2))
    panels.class_bars(axes, [np.ones(2)] * len(labels), list(labels), names, np.arange(2))
    # 7 inches: four names of a letter, three of thirteen.
    assert axes.get_legend()._ncols == columns
