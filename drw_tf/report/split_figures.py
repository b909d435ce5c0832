"""Pictures of a split: counts of each class, and samples with their weak and strong views."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from drw_tf.report import palette, panels, split_report

# A cell of the contact sheet, inches, and the white between cells, share of a cell.
_CELL = 0.72
_GAP = 0.06


@dataclasses.dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet.

    Attributes:
        title: name of the class.
        blocks: uint8 [n, H, W, Ch] arrays, one a block of columns; each may have fewer
            pictures than the block has columns.
    """

    title: str
    blocks: Sequence[np.ndarray]


def counts(found: split_report.Facts) -> figure.Figure:
    """Pictures of each class in each part, most labeled ones first, on a logarithmic axis."""
    parts = [part for part, values in found.counts.items() if values.sum()]
    values = [found.counts[part].astype(np.float64) for part in parts]
    # A class without pictures has no bar, and no point.
    values = [np.where(value > 0, value, np.nan) for value in values]
    labels = [f"{part}: {int(found.counts[part].sum()):,}" for part in parts]
    with palette.style():
        made, axes = panels.class_chart(found.class_names, found.order)
        panels.class_bars(axes, values, labels, found.class_names, found.order)
        axes.set_yscale("log")
        positive = np.concatenate(values)
        positive = positive[np.isfinite(positive)]
        axes.set_ylim(max(0.7, positive.min() / 2), 1.3 * positive.max())
        if positive.max() < 1000 * positive.min():
            panels.plain_log_ticks(axes.yaxis, positive)
        axes.set_ylabel("pictures")
    return made


def contact_sheet(rows: Sequence[SheetRow], titles: Sequence[str]) -> figure.Figure:
    """Samples, a row a class and a block of columns a kind of view.

    Args:
        rows: one or more, all with one array a title.
        titles: what the blocks show.
    """
    columns = [max(len(row.blocks[block]) for row in rows) for block in range(len(titles))]
    names = [panels.short_name(row.title) for row in rows]
    margin = 0.4 + 0.085 * max(map(len, names))
    size = (margin + _CELL * sum(columns) + 0.15 * len(columns), 0.45 + _CELL * len(rows))
    with palette.style():
        made = figure.Figure(figsize=size, layout="constrained")
        grid = made.subplots(1, len(titles), width_ratios=columns, squeeze=False)[0]
        for block, (axes, title) in enumerate(zip(grid, titles, strict=True)):
            sheet, step = _montage([row.blocks[block] for row in rows], columns[block])
            axes.imshow(sheet)
            axes.set_title(title, fontsize=9)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        grid[0].set_yticks([(row + 0.5) * step for row in range(len(rows))], names)
        grid[0].tick_params(axis="y", length=0)
    return made


def _montage(blocks: Sequence[np.ndarray], columns: int) -> tuple[np.ndarray, int]:
    """uint8 [h, w, 3], pictures in rows and columns on white, and the height of a row."""
    height, width = blocks[0].shape[1:3]
    gap = max(1, round(_GAP * height))
    sheet = np.full([len(blocks) * (height + gap), columns * (width + gap), 3], 255, np.uint8)
    for row, pictures in enumerate(blocks):
        for column, picture in enumerate(pictures):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = picture
    return sheet, height + gap
