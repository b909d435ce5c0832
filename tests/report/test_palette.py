import itertools
import types

import matplotlib
import numpy as np
import pytest
from matplotlib import colors, font_manager

from drw_tf.report import palette


@pytest.fixture
def fresh_fonts():
    palette.families.cache_clear()
    yield
    palette.families.cache_clear()


def test_letters_that_the_usual_font_has_not_are_drawn_by_one_that_is_installed(
    fresh_fonts, monkeypatch
):
    assert palette.families()[0] == "DejaVu Sans"
    known = [types.SimpleNamespace(name=name) for name in ("IPAGothic", "Elsewhere", "DejaVu Sans")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", known)
    palette.families.cache_clear()
    with palette.style():
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "IPAGothic"]


# Machado, Oliveira, Fernandes, IEEE TVCG 15(6), 2009, severity 1: linear RGB as it is seen.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color, blindness):
    """CIELAB (D65) of a colour as somebody with this blindness sees it."""
    srgb = np.asarray(colors.to_rgb(color))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(BLINDNESS[blindness]) @ linear, 0, 1)
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    x, y, z = np.cbrt(np.asarray(matrix) @ seen / [0.95047, 1.0, 1.08883] + 1e-9)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# A distance of 2.3 is just noticeable.


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("chosen", [palette.CLASS_COLORS, palette.RUN_COLORS])
def test_any_two_colors_are_told_apart_by_the_color_blind(chosen, blindness):
    for first, second in itertools.combinations(chosen, 2):
        distance = np.linalg.norm(lab(first, blindness) - lab(second, blindness))
        assert distance > 15, (first, second, distance)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_neighbours_and_classes_with_equal_dashes_have_very_different_colors(blindness):
    chosen = palette.CLASS_COLORS
    for first, second in itertools.combinations(range(len(chosen)), 2):
        same = palette.line_style(first, 10) == palette.line_style(second, 10)
        if same or second == first + 1:
            seen = lab(chosen[first], blindness) - lab(chosen[second], blindness)
            assert np.linalg.norm(seen) > 35, (chosen[first], chosen[second])


@pytest.mark.parametrize("color", [*palette.CLASS_COLORS, *palette.RUN_COLORS])
def test_every_color_can_be_seen_on_white(color):
    assert np.linalg.norm(lab(color, "none") - lab("white", "none")) > 25


def test_shades_of_many_classes_get_steadily_brighter():
    shades = palette.class_colors(127)
    brightness = [lab(shade[:3], "none")[0] for shade in shades]
    assert len(set(shades)) == 127
    assert (np.diff(brightness) > 0).all()
    assert brightness[-1] < 90


def test_ten_classes_are_named_and_eleven_are_shaded():
    assert palette.class_colors(10)[0] == colors.to_rgba(palette.CLASS_COLORS[0])
    assert palette.class_colors(11)[0] == tuple(palette.rank_colormap()(0.0))
    assert palette.line_style(1, 10) != palette.line_style(0, 10)
    assert palette.line_style(1, 11) == "-"


def test_style_is_gone_after_its_block():
    before = matplotlib.rcParams["axes.spines.top"]
    with palette.style():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert matplotlib.rcParams["axes.spines.top"] == before
