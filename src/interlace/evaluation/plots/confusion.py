"""The picture of a confusion matrix, from three classes to thousands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from interlace.errors import InterlaceError
from interlace.evaluation.plots.drawing import (
    PRINT,
    Palette,
    frame,
    new_figure,
    percent,
    save_png,
    shorten,
)

_TINTS = LinearSegmentedColormap.from_list("cells", ["#ffffff", "#bcd3ea", "#2563a8", "#123a66"])
_MOST_COUNTED = 25
_MOST_SLANTED = 6
_MOST_PAIRS = 20
_MOST_CELLS = 1000
_DARK = 0.53
_COLORS_WIDTH, _LIST_WIDTH = 1.1, 3.6
_LEAST_POINTS = 6.5
_NAME_LENGTH = 22

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class ConfusionCells:
    """The cells of a confusion matrix that are not 0.

    Attributes:
        n_classes: number of classes.
        rows: class of each cell.
        columns: answer of each cell.
        counts: images of each cell.
    """

    n_classes: int
    rows: Numbers
    columns: Numbers
    counts: Numbers

    @classmethod
    def of(cls, confusion: Any, n_classes: int) -> ConfusionCells:
        """Take a matrix: a tensor on the CPU, which may be sparse, an array or nested lists.

        Raises:
            InterlaceError: it is not of ``n_classes`` rows and columns.
        """
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

    @classmethod
    def summed(cls, found: Sequence[ConfusionCells]) -> ConfusionCells:
        """Add up matrices of the same classes."""
        n = found[0].n_classes
        places = np.concatenate([one.rows * n + one.columns for one in found])
        cells, index = np.unique(places, return_inverse=True)
        counts = np.zeros(len(cells), dtype=np.int64)
        np.add.at(counts, index, np.concatenate([one.counts for one in found]))
        kept = counts > 0
        return cls(n, cells[kept] // n, cells[kept] % n, counts[kept])

    @property
    def totals(self) -> Numbers:
        """Images of each class, [C]."""
        found = np.zeros(self.n_classes, dtype=np.int64)
        np.add.at(found, self.rows, self.counts)
        return found

    @property
    def accuracy(self) -> str:
        """How many images are right, as a headline says it."""
        right, images = self.counts[self.rows == self.columns].sum(), self.counts.sum()
        return f"{right:,} of {images:,} right ({100 * right / max(images, 1):.1f} %)"

    def most_confused(self, most: int) -> list[tuple[int, int, int]]:
        """Return class, answer and count of the largest cells off the diagonal."""
        wrong = np.flatnonzero(self.rows != self.columns)
        order = wrong[np.argsort(-self.counts[wrong], kind="stable")][:most]
        cells = (self.rows[order], self.columns[order], self.counts[order])
        return list(zip(*(own.tolist() for own in cells), strict=True))

    def merged(self, most: int) -> tuple[int, ConfusionCells]:
        """Return how many classes share a cell, so that there are at most ``most``, and these."""
        step = math.ceil(self.n_classes / most)
        if step == 1:
            return 1, self
        side = math.ceil(self.n_classes / step)
        own = ConfusionCells(side, self.rows // step, self.columns // step, self.counts)
        return step, ConfusionCells.summed([own])


def confusion_png(
    path: Path | str, confusion: Any, class_names: Sequence[str], title: str = ""
) -> str:
    """Draw a confusion matrix, coloured by the share of each class's images.

    Up to 25 classes the cells hold the counts. Beyond, where single cells can no longer be read,
    the pairs that are confused most are listed at the side. Class names are left out where they
    would overlap; beyond a thousand classes, several share a cell.

    Args:
        path: where to write the PNG.
        confusion: [C, C], images by class (row) and answer (column), as
            :meth:`ConfusionCells.of` takes it.
        class_names: C names.
        title: line above the picture; the accuracy is always given.

    Returns:
        A note as of ``save_png``, usually ``""``.

    Raises:
        InterlaceError: the sizes do not fit, or the file cannot be written.
    """
    cells = ConfusionCells.of(confusion, len(class_names))
    side = min(max(0.32 * len(class_names), 2.0), 9.0)
    figure, axes, color_axes, list_axes = _panels(class_names, side)
    draw_confusion(axes, cells, _TINTS)
    _draw_scale(figure, color_axes)
    step, size = _name_points(len(class_names), side)
    name_classes(axes, class_names, step, size, slanted=len(class_names) <= _MOST_SLANTED)
    axes.set_xlabel("answer", color=PRINT.muted)
    axes.set_ylabel("class", color=PRINT.muted)
    if list_axes is None:
        write_counts(axes, cells, 9.0 if cells.n_classes <= 12 else 6.5)
    else:
        _list_pairs(list_axes, cells, class_names)
    headline = f"{title}\n{cells.accuracy}" if title else cells.accuracy
    axes.set_title(headline, color=PRINT.ink, loc="left", fontsize=11)
    return save_png(figure, path)


def draw_confusion(
    axes: Axes, cells: ConfusionCells, tint: Callable[[Any], Any], palette: Palette = PRINT
) -> None:
    """Draw the cells of a matrix, each in the tint of its share of the class's images.

    Args:
        axes: where; a class is one unit wide.
        cells: the matrix.
        tint: colours of the roots of shares [N]; a root lets a few percent be seen beside a
            strong diagonal.
        palette: colours of the frame.
    """
    step, shown = cells.merged(_MOST_CELLS)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    places = np.stack([shown.columns, shown.rows], 1)[:, None] + corners
    axes.add_collection(
        PolyCollection(step * places - 0.5, facecolors=tint(_roots(shown)), linewidths=0)
    )
    edge = cells.n_classes - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), aspect="equal")
    axes.patch.set_visible(False)
    frame(axes, palette)


def write_counts(axes: Axes, cells: ConfusionCells, size: float, palette: Palette = PRINT) -> None:
    """Write the number of images into each cell."""
    for row, column, count, root in zip(
        cells.rows, cells.columns, cells.counts, _roots(cells), strict=True
    ):
        color = palette.paper if root > _DARK else palette.ink
        axes.text(column, row, f"{count}", fontsize=size, color=color, ha="center", va="center")


def name_classes(
    axes: Axes,
    names: Sequence[str],
    step: int,
    size: float,
    length: int = _NAME_LENGTH,
    slanted: bool = False,
) -> None:
    """Name every ``step``-th class at both axes, cut to ``length`` characters."""
    ticks = list(range(0, len(names), step))
    shown = [shorten(names[tick], length) for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=30 if slanted else 90, fontsize=size, parse_math=False)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_yticks(ticks, shown, fontsize=size, parse_math=False)


def _roots(cells: ConfusionCells) -> NDArray[np.float64]:
    return np.sqrt(cells.counts / np.maximum(cells.totals[cells.rows], 1))


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


def _draw_scale(figure: Figure, axes: Axes) -> None:
    shares = ScalarMappable(PowerNorm(0.5, 0, 1), _TINTS)
    bar = figure.colorbar(shares, cax=axes, format=percent)
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class's images", color=PRINT.muted, fontsize=9)
    bar.ax.tick_params(length=0, colors=PRINT.ink, labelsize=8)
    bar.outline.set_visible(False)


def _name_points(n_classes: int, side: float) -> tuple[int, float]:
    """Say that every n-th class is named, and in which size, so that names do not overlap."""
    room = 72 * side / n_classes
    step = max(1, math.ceil(_LEAST_POINTS / room))
    return step, min(9.0, room * step * 0.85)


def _list_pairs(axes: Axes, cells: ConfusionCells, names: Sequence[str]) -> None:
    """List the largest cells off the diagonal, one on a line."""
    totals = cells.totals
    lines = [
        f"{count} of {totals[row]}:  {shorten(names[row], 20)} → {shorten(names[column], 20)}"
        for row, column, count in cells.most_confused(_MOST_PAIRS)
    ]
    axes.set_axis_off()
    text = "\n".join(["most often confused", *lines]) if lines else ""
    axes.text(0, 1, text, va="top", fontsize=8, color=PRINT.ink, linespacing=1.6)
