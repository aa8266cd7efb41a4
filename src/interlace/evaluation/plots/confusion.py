"""The picture of a confusion matrix, from three classes to hundreds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interlace.errors import InterlaceError
from interlace.evaluation.plots.drawing import (
    INK,
    MUTED,
    RULE,
    new_figure,
    percent,
    save_png,
    shorten,
)

_CELLS = LinearSegmentedColormap.from_list("cells", ["#ffffff", "#bcd3ea", "#2563a8", "#123a66"])
_MOST_COUNTED = 25
_MOST_SLANTED = 6
_MOST_PAIRS = 20
_MOST_CELLS = 1000
_COLORS_WIDTH, _LIST_WIDTH = 1.1, 3.6
_LEAST_POINTS = 6.5
_NAME_LENGTH = 22

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class _Cells:
    """The cells of a matrix that are not 0, by row: class, answer and number of images."""

    n_classes: int
    rows: Numbers
    columns: Numbers
    counts: Numbers

    @classmethod
    def of(cls, confusion: Any, n_classes: int) -> "_Cells":
        shape = tuple(confusion.shape) if hasattr(confusion, "shape") else np.shape(confusion)
        if shape != (n_classes, n_classes):
            raise InterlaceError(
                f"confusion matrix of shape {list(shape)} for {n_classes} class names"
            )
        if getattr(confusion, "is_sparse", False):
            cells = confusion.coalesce()
            rows, columns = cells.indices().numpy()
            return cls(n_classes, rows, columns, cells.values().numpy())
        dense = np.asarray(confusion, dtype=np.int64)
        rows, columns = np.nonzero(dense)
        return cls(n_classes, rows, columns, dense[rows, columns])

    @property
    def right(self) -> int:
        """Images whose answer is their class."""
        return int(self.counts[self.rows == self.columns].sum())

    @property
    def totals(self) -> Numbers:
        """Images of each class."""
        found = np.zeros(self.n_classes, dtype=np.int64)
        np.add.at(found, self.rows, self.counts)
        return found


def confusion_png(
    path: Path | str, confusion: Any, class_names: Sequence[str], title: str = ""
) -> str:
    """Draws a confusion matrix, coloured by the share of each class's images.

    Up to 25 classes the cells hold the counts. Beyond, where single cells can no longer be read,
    the pairs that are confused most are listed at the side. Class names are left out where they
    would overlap; beyond a thousand classes, several share a cell.

    Args:
        path: Where to write the PNG.
        confusion: [C, C], images by class (row) and answer (column): a tensor on the CPU, which
            may be sparse, an array or nested lists.
        class_names: C names.
        title: Line above the picture; the accuracy is always given.

    Returns:
        A note as of ``save_png``, usually ``""``.

    Raises:
        InterlaceError: The sizes do not fit, or the file cannot be written.
    """
    n_classes = len(class_names)
    cells = _Cells.of(confusion, n_classes)
    side = min(max(0.32 * n_classes, 2.0), 9.0)
    figure, axes, color_axes, list_axes = _panels(class_names, side)
    shares = _shares(cells)
    # the root lets a few percent be seen beside a strong diagonal
    edge = n_classes - 0.5
    picture = axes.imshow(
        shares,
        cmap=_CELLS,
        norm=PowerNorm(0.5, 0, 1),
        interpolation="nearest",
        extent=(-0.5, edge, edge, -0.5),
    )
    bar = figure.colorbar(picture, cax=color_axes, format=percent)
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class's images", color=MUTED, fontsize=9)
    bar.ax.tick_params(length=0, colors=INK, labelsize=8)
    bar.outline.set_visible(False)
    _name_axes(axes, class_names, side)
    if list_axes is None:
        _write_counts(axes, cells, shares)
    else:
        _list_pairs(list_axes, cells, class_names)
    axes.set_title(_headline(cells, title), color=INK, loc="left", fontsize=11)
    return save_png(figure, path)


def _shares(cells: _Cells) -> NDArray[np.float64]:
    """Return each cell's share of its class's images; of many classes, several to a cell."""
    step = math.ceil(cells.n_classes / _MOST_CELLS)
    side = math.ceil(cells.n_classes / step)
    counts = np.zeros((side, side), dtype=np.int64)
    np.add.at(counts, (cells.rows // step, cells.columns // step), cells.counts)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def _panels(names: Sequence[str], side: float) -> tuple[Figure, Axes, Axes, Axes | None]:
    """Make the figure with its axes for the matrix, the colours and, for many classes, the list.

    All is placed by hand: matplotlib's layouts lose the title or the labels of a square picture.
    """
    longest = max(len(shorten(name, _NAME_LENGTH)) for name in names)
    margin = 0.5 + 0.6 * longest * _name_points(len(names), side)[1] / 72
    many = len(names) > _MOST_COUNTED
    width = margin + side + _COLORS_WIDTH + (_LIST_WIDTH if many else 0)
    # a few names are slanted and take less room below than beside
    bottom = margin * 0.65 if len(names) <= _MOST_SLANTED else margin
    width, height = max(width, 4.6), bottom + side + 0.6
    figure = new_figure(width, height, layout=None)

    def panel(left: float, bottom: float, right: float, top: float) -> Axes:
        box = (left / width, bottom / height, (right - left) / width, (top - bottom) / height)
        return figure.add_axes(box)

    right, top = margin + side, bottom + side
    middle, half = bottom + side / 2, min(side, 5.0) * 0.42
    colors = panel(right + 0.15, middle - half, right + 0.27, middle + half)
    pairs = panel(right + _COLORS_WIDTH, bottom, width, top) if many else None
    return figure, panel(margin, bottom, right, top), colors, pairs


def _headline(cells: _Cells, title: str) -> str:
    right, images = cells.right, int(cells.counts.sum())
    accuracy = f"{right} of {images} right ({100 * right / max(images, 1):.1f} %)"
    return f"{title}\n{accuracy}" if title else accuracy


def _name_points(n_classes: int, side: float) -> tuple[int, float]:
    """Says that every n-th class is named, and in which size, so that names do not overlap."""
    room = 72 * side / n_classes
    step = max(1, math.ceil(_LEAST_POINTS / room))
    return step, min(9.0, room * step * 0.85)


def _name_axes(axes: Axes, names: Sequence[str], side: float) -> None:
    step, size = _name_points(len(names), side)
    ticks = list(range(0, len(names), step))
    shown = [shorten(names[tick], _NAME_LENGTH) for tick in ticks]
    few = len(names) <= _MOST_SLANTED
    axes.set_xticks(ticks, shown, rotation=30 if few else 90, fontsize=size)
    if few:
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_yticks(ticks, shown, fontsize=size)
    axes.set_xlabel("answer", color=MUTED)
    axes.set_ylabel("class", color=MUTED)
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _write_counts(axes: Axes, cells: _Cells, shares: NDArray[np.float64]) -> None:
    size = 9.0 if cells.n_classes <= 12 else 6.5
    for row, column, count in zip(cells.rows, cells.columns, cells.counts, strict=True):
        axes.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if shares[row, column] > 0.28 else INK,
        )


def _list_pairs(axes: Axes, cells: _Cells, names: Sequence[str]) -> None:
    """List the largest cells off the diagonal, one on a line."""
    wrong = np.flatnonzero(cells.rows != cells.columns)
    totals = cells.totals
    lines = ["most often confused"]
    for cell in wrong[np.argsort(-cells.counts[wrong], kind="stable")][:_MOST_PAIRS]:
        row, column = cells.rows[cell], cells.columns[cell]
        pair = f"{shorten(names[row], 20)} → {shorten(names[column], 20)}"
        lines.append(f"{cells.counts[cell]} of {totals[row]}:  {pair}")
    axes.set_axis_off()
    text = "\n".join(lines) if len(lines) > 1 else ""
    axes.text(0, 1, text, va="top", fontsize=8, color=INK, linespacing=1.6)
