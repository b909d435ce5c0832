import numpy as np
import pytest

from drw_tf.report import figures, split_figures, split_report


def facts(labeled, unlabeled, test):
    return split_report.Facts(
        dataset="made up",
        class_names=tuple(f"class {number}" for number in range(len(labeled))),
        image_shape=(4, 4, 1),
        checksum="0",
        counts={
            "labeled": np.array(labeled),
            "unlabeled": np.array(unlabeled),
            "validation": np.zeros(len(labeled), int),
            "test": np.array(test),
        },
        unknown=0,
        pool=None,
        overlaps={},
    )


def test_counts_are_bars_in_the_order_of_the_labeled_ones():
    (axes,) = split_figures.counts(facts([3, 20, 7], [0, 40, 9], [5, 5, 5])).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights[0] == [20, 7, 3]
    assert heights[1][:2] == [40, 9]
    assert np.isnan(heights[1][2])
    assert heights[2] == [5, 5, 5]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["labeled: 30", "unlabeled: 49", "test: 15"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["class 1", "class 2", "class 0"]
    assert axes.get_yscale() == "log"


def test_many_classes_are_points():
    many = list(range(1, 128))
    (axes,) = split_figures.counts(facts(many, many, many)).axes
    assert len(axes.containers) == 0
    assert axes.lines[0].get_ydata().tolist() == many[::-1]


@pytest.mark.parametrize("channels", [1, 3])
def test_sheet_has_each_picture_in_its_cell(channels, tmp_path):
    pictures = np.zeros([3, 5, 5, channels], np.uint8) + np.array([10, 20, 30])[:, None, None, None]
    rows = [
        split_figures.SheetRow("first", [pictures, pictures[:1]]),
        split_figures.SheetRow("second", [pictures[:2], pictures[2:]]),
    ]
    made = split_figures.contact_sheet(rows, ["plain", "weak"])
    plain, weak = (axes.images[0].get_array() for axes in made.axes)
    # Cells of 5 pixels with one of white between them.
    assert plain.shape == (12, 18, 3)
    assert weak.shape == (12, 6, 3)
    corners = plain[[0, 6]][:, [0, 6, 12], 0]
    assert corners.tolist() == [[10, 20, 30], [10, 20, 255]]
    assert weak[[0, 6], 0, 2].tolist() == [10, 30]
    assert [text.get_text() for text in made.axes[0].get_yticklabels()] == ["first", "second"]
    assert [axes.get_title(loc="left") for axes in made.axes] == ["plain", "weak"]
    png, _ = figures.save(made, tmp_path / "sheet")
    assert png.stat().st_size > 1000
