"""The picture of a confusion matrix, from three classes to hundreds."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from numpy.typing import NDArray

from interlace.errors import InterlaceError
from interlace.evaluation.drawing import INK, MUTED, RULE, new_figure, percent, save_png, shorten

_CELLS = LinearSegmentedColormap.from_list("cells", ["#ffffff", "#bcd3ea", "#2563a8", "#123a66"])
_MOST_COUNTED = 25
_MOST_PAIRS = 20
_LIST_WIDTH = 4.4
_NAME_POINTS = 5.0

Counts = NDArray[np.int64]


def confusion_png(
    path: Path | str, confusion: Any, class_names: Sequence[str], title: str = ""
) -> None:
    """Draws a confusion matrix, coloured by the share of each class's images.

    Up to 25 classes the cells hold the counts. Beyond, where single cells can no longer be read,
    the pairs that are confused most are listed at the side. Class names are left out where they
    would overlap.

    Args:
        path: Where to write the PNG.
        confusion: [C, C], images by class (row) and answer (column): a tensor on the CPU, an
            array or nested lists.
        class_names: C names.
        title: Line above the picture; the accuracy is always given.

    Raises:
        InterlaceError: The sizes do not fit.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    n_classes = len(class_names)
    if counts.shape != (n_classes, n_classes):
        raise InterlaceError(
            f"confusion matrix of shape {list(counts.shape)} for {n_classes} class names"
        )
    many = n_classes > _MOST_COUNTED
    side = min(max(2.6 + 0.32 * n_classes, 4.0), 12.0)
    figure = new_figure(side + (_LIST_WIDTH if many else 0) + 1.2, side + 0.5)
    ratios = [side + 1.2, _LIST_WIDTH] if many else [1]
    axes, *beside = figure.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # the root lets a few percent be seen beside a strong diagonal
    picture = axes.imshow(shares, cmap=_CELLS, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, aspect=30, pad=0.02, format=percent)
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the class's images", color=MUTED)
    bar.outline.set_visible(False)
    _name_axes(axes, class_names, side)
    if many:
        _list_pairs(beside[0], counts, class_names)
    else:
        _write_counts(axes, counts, shares)
    axes.set_title(_headline(counts, title), color=INK, loc="left", fontsize=11)
    save_png(figure, path)


def _headline(counts: Counts, title: str) -> str:
    right, images = int(np.trace(counts)), int(counts.sum())
    accuracy = f"{right} of {images} right ({100 * right / max(images, 1):.1f} %)"
    return f"{title}\n{accuracy}" if title else accuracy


def _name_axes(axes: Axes, names: Sequence[str], side: float) -> None:
    room = 72 * side * 0.72 / len(names)
    step = max(1, math.ceil(_NAME_POINTS / room))
    size = min(9.0, max(_NAME_POINTS - 0.5, room * step * 0.8))
    ticks = list(range(0, len(names), step))
    shown = [shorten(names[tick], 22) for tick in ticks]
    few = len(names) <= 6
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


def _write_counts(axes: Axes, counts: Counts, shares: NDArray[np.float64]) -> None:
    size = 9.0 if len(counts) <= 12 else 6.5
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if shares[row, column] > 0.28 else INK,
        )


def _list_pairs(axes: Axes, counts: Counts, names: Sequence[str]) -> None:
    """Lists the largest cells off the diagonal, one on a line."""
    wrong = counts - np.diag(np.diag(counts))
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    lines = ["most often confused"]
    for row, column in zip(*np.unravel_index(largest, counts.shape), strict=True):
        if wrong[row, column]:
            pair = f"{shorten(names[row], 20)} → {shorten(names[column], 20)}"
            lines.append(f"{wrong[row, column]} of {counts[row].sum()}:  {pair}")
    axes.set_axis_off()
    text = "\n".join(lines) if len(lines) > 1 else ""
    # left out of the layout, which would widen the column at the cost of the matrix
    label = axes.text(0, 1, text, va="top", fontsize=8, color=INK, linespacing=1.6)
    label.set_in_layout(False)
