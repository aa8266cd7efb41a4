"""The picture of what adapting gained over zero-shot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from interlace.errors import InterlaceError
from interlace.evaluation.plots.drawing import (
    ADAPTED,
    PRINT,
    RIGHT,
    WRONG,
    ZERO_SHOT,
    frame,
    new_figure,
    percent,
    save_png,
    shorten,
)
from interlace.evaluation.statistics import mean_interval

_BARS_HEIGHT, _EXAMPLES_HEIGHT = 3.9, 1.85
_MOST_COLUMNS = 6
_LINE_LENGTH = 160
_THUMBNAIL = 192


@dataclass(frozen=True, slots=True)
class GainRow:
    """One pair of bars: accuracies as fractions, one value per seed on identical shots.

    Attributes:
        name: what was measured, such as ``"base"``.
        zero_shot: values of the model as it was.
        adapted: values of the adapted model.
        centers: heights of the two bars where these are not the means of the values.
    """

    name: str
    zero_shot: Sequence[float]
    adapted: Sequence[float]
    centers: tuple[float, float] | None = None

    def heights(self) -> tuple[float, float]:
        """Return the heights of the zero-shot and of the adapted bar."""
        return self.centers or (
            mean_interval(self.zero_shot).mean,
            mean_interval(self.adapted).mean,
        )


@dataclass(frozen=True, slots=True)
class Example:
    """A test image with its class and the two answers."""

    image: Image.Image
    name: str
    zero_shot: str
    adapted: str


def gain_png(
    path: Path | str,
    rows: Sequence[GainRow],
    *,
    title: str = "",
    method: str = "adapted",
    examples: Sequence[Example] = (),
    confidence: float = 0.95,
) -> str:
    """Draw zero-shot beside the adapted model: bars, t-intervals, a dot per seed, examples.

    Args:
        path: where to write the PNG.
        rows: pairs of bars, from left to right.
        title: line above the bars.
        method: name of the adapted model.
        examples: test images shown below with both answers, right ones green, wrong ones red.
        confidence: of the intervals; a row of a single seed has none.

    Returns:
        A note as of ``save_png``, usually ``""``.

    Raises:
        InterlaceError: the file cannot be written, there is no row, or a row's lists are
            empty or of different lengths.
    """
    if not rows:
        raise InterlaceError("no rows to draw: at least one is needed")
    for row in rows:
        if len(row.zero_shot) != len(row.adapted):
            raise InterlaceError(
                f"row '{row.name}': {len(row.zero_shot)} zero-shot and {len(row.adapted)} adapted "
                "values; there must be one of each per seed"
            )
    lines = math.ceil(len(examples) / _MOST_COLUMNS)
    figure = new_figure(8.4 if lines else 6.4, _BARS_HEIGHT + _EXAMPLES_HEIGHT * lines)
    heights = [_BARS_HEIGHT, _EXAMPLES_HEIGHT * lines] if lines else [_BARS_HEIGHT]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _draw_bars(figure.add_subplot(grid[0]), rows, title, method, confidence)
    if lines:
        _draw_examples(figure, grid[1], examples, lines, method)
    return save_png(figure, path)


def _draw_bars(
    axes: Axes, rows: Sequence[GainRow], title: str, method: str, confidence: float
) -> None:
    reaches = []
    for position, row in enumerate(rows):
        reaches.append(_draw_bar(axes, position - 0.2, row, 0, confidence))
        reaches.append(_draw_bar(axes, position + 0.2, row, 1, confidence))
    axes.set_xticks(range(len(rows)), [_label(row) for row in rows], color=PRINT.ink)
    axes.set_ylim(0, max(reaches) * 1.12 or 1)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.yaxis.set_major_formatter(percent)
    axes.grid(axis="y", color=PRINT.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes, sides=("bottom",))
    seeds = len(rows[0].adapted)
    note = f"{seeds} seeds (dots), {100 * confidence:.0f} % t-interval" if seeds > 1 else "1 seed"
    axes.text(1, 1.03, note, transform=axes.transAxes, ha="right", color=PRINT.muted, fontsize=8)
    keys = [Rectangle((0, 0), 1, 1, color=color) for color in (ZERO_SHOT, ADAPTED)]
    axes.legend(
        keys,
        ["zero-shot", method],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        borderpad=0,
        labelcolor=PRINT.ink,
    )
    axes.set_title(title, color=PRINT.ink, loc="left", pad=30, fontsize=11)


def _label(row: GainRow) -> str:
    before, after = row.heights()
    return f"{row.name}\n{100 * (after - before):+.1f} points"


def _draw_bar(axes: Axes, x: float, row: GainRow, which: int, confidence: float) -> float:
    """Draw a bar with its whiskers, dots and number; return the height that it takes up."""
    values, height = (row.zero_shot, row.adapted)[which], row.heights()[which]
    half = mean_interval(values, confidence).half_width or 0.0
    axes.bar(x, height, width=0.36, color=(ZERO_SHOT, ADAPTED)[which])
    if half > 0:
        axes.errorbar(x, height, yerr=half, color=PRINT.ink, capsize=4, linewidth=1.1)
    if len(values) > 1:
        # beside the whiskers, which would hide them
        places = x + np.linspace(0.06, 0.14, len(values))
        axes.scatter(
            places, values, s=13, color=PRINT.paper, edgecolors=PRINT.ink, linewidths=0.8, zorder=3
        )
    reach = max(height + half, *values)
    axes.annotate(
        f"{100 * height:.1f}",
        (x, reach),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        color=PRINT.ink,
        fontweight="bold" if which else "normal",
    )
    return reach


def _draw_examples(
    figure: Figure, place: SubplotSpec, examples: Sequence[Example], lines: int, method: str
) -> None:
    columns = math.ceil(len(examples) / lines)
    grid = place.subgridspec(lines, columns)
    for position, example in enumerate(examples):
        axes = figure.add_subplot(grid[divmod(position, columns)])
        _draw_example(axes, example, method, _LINE_LENGTH // columns)


def _draw_example(axes: Axes, example: Example, method: str, room: int) -> None:
    """Draw a thumbnail in the unit square: its name above, the answers below, cut to ``room``."""
    size = (_THUMBNAIL, _THUMBNAIL)
    axes.imshow(
        ImageOps.pad(example.image.convert("RGB"), size, color="white"), extent=(0, 1, 0, 1)
    )
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=PRINT.rule, linewidth=0.8))
    axes.set(xlim=(-0.06, 1.06), ylim=(-0.42, 1.2))
    axes.set_axis_off()
    axes.text(
        0.5, 1.05, shorten(example.name, room * 4 // 5), ha="center", fontsize=8, color=PRINT.ink
    )
    answers = (("zero-shot", example.zero_shot), (method, example.adapted))
    for line, (who, answer) in enumerate(answers):
        axes.text(
            0.5,
            -0.06 - 0.17 * line,
            shorten(f"{who}: {answer}", room),
            ha="center",
            va="top",
            fontsize=6.8,
            color=RIGHT if answer == example.name else WRONG,
        )
