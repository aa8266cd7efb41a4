"""The picture of a search: queries, and what they find before and after a model is adapted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from PIL import Image

from interlace.errors import InterlaceError
from interlace.evaluation.plots.drawing import (
    PRINT,
    RIGHT,
    WRONG,
    new_figure,
    save_png,
    shorten,
)

Hits = Sequence[tuple[Image.Image, bool]]

_CELL, _GAP, _NAMES, _TOP = 0.62, 0.22, 0.55, 0.62  # inches


@dataclass(frozen=True)
class HitRow:
    """A query and its first hits, each with whether it is of the query's class.

    Attributes:
        query: the image that asks.
        name: its class.
        before: what the frozen model finds, best first.
        after: what the adapted model finds.
    """

    query: Image.Image
    name: str
    before: Hits
    after: Hits


def hits_png(path: Path | str, rows: Sequence[HitRow], title: str = "") -> str:
    """Draw queries at the left and their hits beside them, before above after.

    Hits of the query's class have a green frame, the others a red one.

    Args:
        path: where to write the PNG.
        rows: the queries, from top to bottom.
        title: line above the picture.

    Returns:
        A note as of ``save_png``, usually ``""``.

    Raises:
        InterlaceError: there is no query, or the file cannot be written.
    """
    if not rows:
        raise InterlaceError("no query to draw: there must be at least one")
    most = max(len(hits) for row in rows for hits in (row.before, row.after))
    height = _TOP + len(rows) * (2 * _CELL + _GAP)
    width = 2 * _CELL + 3 * _GAP + _NAMES + most * _CELL
    figure = new_figure(width, height, layout=None)

    def panel(left: float, top: float, side: float) -> Axes:
        box = (left / width, 1 - (top + side) / height, side / width, side / height)
        return figure.add_axes(box, xticks=[], yticks=[])

    if title:
        figure.text(_GAP / width, 1 - 0.14 / height, title, color=PRINT.ink, fontsize=11, va="top")
    start = 2 * _CELL + 2 * _GAP + _NAMES
    for number, row in enumerate(rows):
        top = _TOP + number * (2 * _CELL + _GAP)
        axes = panel(_GAP, top, 2 * _CELL)
        _show(axes, row.query, PRINT.muted)
        axes.set_title(shorten(row.name, 24), color=PRINT.ink, loc="left", fontsize=8, pad=3)
        for line, (label, hits) in enumerate((("before", row.before), ("after", row.after))):
            middle = top + (line + 0.5) * _CELL
            x, y = (start - 0.08) / width, 1 - middle / height
            figure.text(x, y, label, color=PRINT.muted, fontsize=8, ha="right", va="center")
            for place, (image, right) in enumerate(hits):
                cell = panel(start + place * _CELL + 0.03, top + line * _CELL + 0.03, _CELL - 0.06)
                _show(cell, image, RIGHT if right else WRONG)
    return save_png(figure, path)


def _show(axes: Axes, image: Image.Image, frame: str) -> None:
    axes.imshow(image, interpolation="antialiased")
    # whatever its own shape, an image fills the middle of a square
    axes.set_box_aspect(1)
    side = max(image.size)
    axes.set_xlim((image.width - side) / 2 - 0.5, (image.width + side) / 2 - 0.5)
    axes.set_ylim((image.height + side) / 2 - 0.5, (image.height - side) / 2 - 0.5)
    for spine in axes.spines.values():
        spine.set_color(frame)
        spine.set_linewidth(1.8)
