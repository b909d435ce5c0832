"""Colours and text sizes of all figures: light, and readable by the colour-blind."""

import contextlib
import functools
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib import colors, font_manager

# Okabe and Ito's set without its yellow, which is lost on white.
RUN_COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
# Bars of different runs are told apart in grey print, too.
RUN_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "--")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# Paul Tol's "muted" set with black for its pale grey. Ordered so that neighbours, and those
# that get the same dash pattern, are furthest apart under all three kinds of colour blindness.
CLASS_COLORS = (
    "#882255",
    "#000000",
    "#44AA99",
    "#332288",
    "#999933",
    "#AA4499",
    "#DDCC77",
    "#CC6677",
    "#88CCEE",
    "#117733",
)
MAX_NAMED_CLASSES = len(CLASS_COLORS)

INK = "#262626"
MUTED_INK = "#6E6E6E"
GRID = "#E3E3E3"
MARK = "#B2182B"

# Comes with Matplotlib; the others, where they are installed, for letters that it has not: names
# of classes may be in any script.
FONT = "DejaVu Sans"
_OTHER_FONTS = (
    *(f"Noto Sans CJK {region}" for region in ("SC", "JP", "KR", "TC")),
    *(
        "WenQuanYi Micro Hei",
        "WenQuanYi Zen Hei",
        "Droid Sans Fallback",
        "IPAGothic",
        "NanumGothic",
    ),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic"),
    *("Malgun Gothic", "Arial Unicode MS", "Noto Sans Thai", "Noto Sans Devanagari"),
)

STYLE = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "font.size": 10,
    "text.color": INK,
    "axes.facecolor": "white",
    "axes.edgecolor": MUTED_INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED_INK,
    "ytick.color": MUTED_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.6,
    # A picture of the same record is the same file, byte for byte.
    "svg.hashsalt": "drw_tf",
    "svg.fonttype": "path",
}


@functools.cache
def families() -> list[str]:
    """Names of fonts, the first that has a letter draws it; each is installed here."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [FONT, *(name for name in _OTHER_FONTS if name in installed)]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Nothing; within it, new figures have this project's look."""
    with matplotlib.rc_context({**STYLE, "font.family": families()}):
        yield


def run_color(run: int) -> str:
    """Colour of the run-th run, starting again after seven."""
    return RUN_COLORS[run % len(RUN_COLORS)]


def run_line(run: int) -> str:
    """Dash pattern of the run-th run, starting again after four."""
    return LINE_STYLES[run % len(LINE_STYLES)]


def run_marker(run: int) -> str:
    """Marker of the run-th run, starting again after seven."""
    return MARKERS[run % len(MARKERS)]


def rank_colormap() -> colors.Colormap:
    """Colours from the head class (dark) to the tail class (bright), without pale ends."""
    samples = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256))
    return colors.LinearSegmentedColormap.from_list("class_rank", samples)


def class_colors(num_classes: int) -> Sequence[tuple[float, ...]]:
    """One RGBA colour for each rank, head class first.

    Up to `MAX_NAMED_CLASSES` classes are told apart by hue and named in a legend; more are
    shaded by rank and explained by a colour bar.

    Args:
        num_classes: C, at least 1.

    Returns:
        C tuples (red, green, blue, alpha), each in [0, 1].
    """
    if num_classes <= MAX_NAMED_CLASSES:
        return [colors.to_rgba(color) for color in CLASS_COLORS[:num_classes]]
    return [tuple(color) for color in rank_colormap()(np.linspace(0.0, 1.0, num_classes))]


def line_style(rank: int, num_classes: int) -> str:
    """Dash pattern of a class: a second cue beside the colour where classes are named."""
    if num_classes > MAX_NAMED_CLASSES:
        return "-"
    return LINE_STYLES[rank % len(LINE_STYLES)]
