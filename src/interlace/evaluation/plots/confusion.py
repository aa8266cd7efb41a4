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
    """The cells of a confusion matrix that are not 0: class, answer and number of images of each.

    Build them with :meth:`of` or :meth:`summed`.
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
    def summed(cls, n_classes: int, rows: Any, columns: Any, counts: Any) -> ConfusionCells:
        """Add up cells, of which several may be the same one."""
        places, index = np.unique(rows * n_classes + columns, return_inverse=True)
        sums = np.zeros(len(places), dtype=np.int64)
        np.add.at(sums, index, counts)
        places, sums = places[sums > 0], sums[sums > 0]
        return cls(n_classes, places // n_classes, places % n_classes, sums)

    @property
    def totals(self) -> Numbers:
        """Images of each class, [C]."""
        found = np.zeros(self.n_classes, dtype=np.int64)
        np.add.at(found, self.rows, self.counts)
        return found

    @property
    def roots(self) -> NDArray[np.float64]:
        """Roots of the cells' shares of their class: a few percent are seen beside a diagonal."""
        return np.sqrt(self.counts / np.maximum(self.totals[self.rows], 1))

    @property
    def accuracy(self) -> str:
        """How many images are right, as a headline says it."""
        right, images = self.counts[self.rows == self.columns].sum(), self.counts.sum()
        return f"{right:,} of {images:,} right ({100 * right / max(images, 1):.1f} %)"

    def most_confused(self, most: int) -> list[tuple[int, int, int]]:
        """Return class, answer and count of the largest cells off the diagonal."""
        wrong = np.flatnonzero(self.rows != self.columns)
        order = wrong[np.argsort(-self.counts[wrong], kind="stable")][:most]
        cells = np.stack([self.rows[order], self.columns[order], self.counts[order]], 1)
        return [tuple(cell) for cell in cells.tolist()]


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
    n_classes = len(class_names)
    cells = ConfusionCells.of(confusion, n_classes)
    side = min(max(0.32 * n_classes, 2.0), 9.0)
    figure, axes, color_axes, list_axes = _panels(class_names, side)
    draw_confusion(axes, cells, _TINTS, PRINT, None if list_axes else _count_size(n_classes))
    name_classes(axes, class_names, *_name_points(n_classes, side))
    if n_classes <= _MOST_SLANTED:
        for label in axes.get_xticklabels():
            label.set(rotation=30, horizontalalignment="right", rotation_mode="anchor")
    axes.set_xlabel("answer", color=PRINT.muted)
    axes.set_ylabel("class", color=PRINT.muted)
    headline = f"{title}\n{cells.accuracy}" if title else cells.accuracy
    axes.set_title(headline, color=PRINT.ink, loc="left", fontsize=11)
    bar = figure.colorbar(
        ScalarMappable(PowerNorm(0.5, 0, 1), _TINTS), cax=color_axes, format=percent
    )
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class's images", color=PRINT.muted, fontsize=9)
    bar.ax.tick_params(length=0, colors=PRINT.ink, labelsize=8)
    bar.outline.set_visible(False)
    if list_axes is not None:
        _list_pairs(list_axes, cells, class_names)
    return save_png(figure, path)


def draw_confusion(
    axes: Axes,
    cells: ConfusionCells,
    tint: Callable[[Any], Any],
    palette: Palette,
    count_size: float | None,
) -> None:
    """Draw the cells of a matrix, each in the tint of its share of the class's images.

    Args:
        axes: where; a class is one unit wide.
        cells: the matrix.
        tint: colours of the roots of shares [N].
        palette: colours of the frame and the counts.
        count_size: size of the counts in the cells; None for none.
    """
    n, step = cells.n_classes, math.ceil(cells.n_classes / _MOST_CELLS)
    shown = cells
    if step > 1:
        shown = ConfusionCells.summed(n, cells.rows // step, cells.columns // step, cells.counts)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    places = step * (np.stack([shown.columns, shown.rows], 1)[:, None] + corners) - 0.5
    axes.add_collection(PolyCollection(places, facecolors=tint(shown.roots), linewidths=0))
    if count_size is not None:
        for x, y, count, root in zip(
            cells.columns, cells.rows, cells.counts, cells.roots, strict=True
        ):
            color = palette.paper if root > _DARK else palette.ink
            axes.text(x, y, f"{count}", fontsize=count_size, color=color, ha="center", va="center")
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    axes.patch.set_visible(False)
    frame(axes, palette)


def name_classes(
    axes: Axes, names: Sequence[str], step: int, size: float, length: int = _NAME_LENGTH
) -> None:
    """Name every ``step``-th class at both axes, cut to ``length`` characters."""
    ticks = list(range(0, len(names), step))
    shown = [shorten(names[tick], length) for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=90, fontsize=size)
    axes.set_yticks(ticks, shown, fontsize=size)


def _count_size(n_classes: int) -> float:
    return 9.0 if n_classes <= 12 else 6.5


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
