"""The picture of what methods gained over zero-shot."""

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
    MORE_ADAPTED,
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

_BARS_HEIGHT, _EXAMPLES_HEIGHT, _ANSWER_HEIGHT = 3.9, 1.85, 0.16  # inches
_MOST_COLUMNS = 6
_LINE_LENGTH = 160
_THUMBNAIL = 192
_COLORS = (ZERO_SHOT, ADAPTED, *MORE_ADAPTED)
#: The share of a group's place that its bars fill.
_GROUP = 0.8


@dataclass(frozen=True, slots=True)
class GainRow:
    """A group of bars: accuracies as fractions, one value per seed on identical shots.

    Attributes:
        name: what was measured, such as ``"base"``.
        zero_shot: values of the model as it was.
        adapted: values of each adapted model.
        centers: heights of the bars, zero-shot first, where these are not the means of the values.
    """

    name: str
    zero_shot: Sequence[float]
    adapted: Sequence[Sequence[float]]
    centers: Sequence[float] | None = None

    def bars(self) -> list[tuple[Sequence[float], float]]:
        """Return the values and the height of each bar, zero-shot first."""
        values = [self.zero_shot, *self.adapted]
        heights = self.centers or [mean_interval(own).mean for own in values]
        return list(zip(values, heights, strict=True))


@dataclass(frozen=True, slots=True)
class Example:
    """A test image with its class and what is answered, by the model as it was and by each other.

    Attributes:
        image: the image.
        name: its class.
        answers: zero-shot's first.
    """

    image: Image.Image
    name: str
    answers: Sequence[str]


def gain_png(
    path: Path | str,
    rows: Sequence[GainRow],
    *,
    title: str = "",
    methods: Sequence[str] = ("adapted",),
    examples: Sequence[Example] = (),
    confidence: float = 0.95,
) -> str:
    """Draw zero-shot beside adapted models: bars, t-intervals, a dot per seed, examples.

    Args:
        path: where to write the PNG.
        rows: groups of bars, from left to right.
        title: line above the bars.
        methods: names of the adapted models, in the order of the values.
        examples: test images shown below with all answers, right ones green, wrong ones red.
        confidence: of the intervals; a row of a single seed has none.

    Returns:
        A note as of ``save_png``, usually ``""``.

    Raises:
        InterlaceError: the file cannot be written, there is no row, a row's lists are empty or of
            different lengths, or there are more methods than bars that can be told apart.
    """
    if not rows:
        raise InterlaceError("no rows to draw: at least one is needed")
    if not 0 < len(methods) < len(_COLORS):
        raise InterlaceError(
            f"{len(methods)} methods: the picture has room for 1 to {len(_COLORS) - 1}"
        )
    for row in rows:
        _check(row, methods)
    lines = math.ceil(len(examples) / _MOST_COLUMNS)
    line_height = _EXAMPLES_HEIGHT + _ANSWER_HEIGHT * (len(methods) - 1)
    width = max(8.4 if lines else 6.4, 0.52 * len(rows) * (len(methods) + 1))
    figure = new_figure(width, _BARS_HEIGHT + line_height * lines)
    heights = [_BARS_HEIGHT, line_height * lines] if lines else [_BARS_HEIGHT]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _draw_bars(figure.add_subplot(grid[0]), rows, title, methods, confidence)
    if lines:
        _draw_examples(figure, grid[1], examples, lines, methods)
    return save_png(figure, path)


def _check(row: GainRow, methods: Sequence[str]) -> None:
    """Check that a row has a value for each method and seed."""
    counts = [len(values) for values in row.adapted]
    if len(counts) != len(methods):
        raise InterlaceError(f"row '{row.name}': {len(counts)} adapted, {len(methods)} methods")
    for count in counts:
        if count != len(row.zero_shot):
            raise InterlaceError(
                f"row '{row.name}': {len(row.zero_shot)} zero-shot and {count} adapted values; "
                "there must be one of each per seed"
            )


def _draw_bars(
    axes: Axes, rows: Sequence[GainRow], title: str, methods: Sequence[str], confidence: float
) -> None:
    pitch = _GROUP / (len(methods) + 1)
    reaches = []
    for position, row in enumerate(rows):
        for which, (values, height) in enumerate(row.bars()):
            x = position + (which - len(methods) / 2) * pitch
            reaches.append(_draw_bar(axes, x, pitch, values, height, which, confidence))
    axes.set_xticks(range(len(rows)), [_label(row, methods) for row in rows], color=PRINT.ink)
    axes.set_ylim(0, max(reaches) * 1.12 or 1)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.yaxis.set_major_formatter(percent)
    axes.grid(axis="y", color=PRINT.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes, sides=("bottom",))
    seeds = len(rows[0].zero_shot)
    note = f"{seeds} seeds (dots), {100 * confidence:.0f} % t-interval" if seeds > 1 else "1 seed"
    axes.text(1, 1.03, note, transform=axes.transAxes, ha="right", color=PRINT.muted, fontsize=8)
    names = ["zero-shot", *methods]
    axes.legend(
        [Rectangle((0, 0), 1, 1, color=color) for color in _COLORS[: len(names)]],
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(names),
        frameon=False,
        borderpad=0,
        labelcolor=PRINT.ink,
    )
    axes.set_title(title, color=PRINT.ink, loc="left", pad=30, fontsize=11)


def _label(row: GainRow, methods: Sequence[str]) -> str:
    """Name a group and what each method gains in it, in the order of the bars."""
    _, before = row.bars()[0]
    gains = [f"{100 * (height - before):+.1f}" for _, height in row.bars()[1:]]
    return f"{row.name}\n{', '.join(gains)} points"


def _draw_bar(
    axes: Axes,
    x: float,
    pitch: float,
    values: Sequence[float],
    height: float,
    which: int,
    confidence: float,
) -> float:
    """Draw a bar with its whiskers, dots and number; return the height that it takes up."""
    half = mean_interval(values, confidence).half_width or 0.0
    axes.bar(x, height, width=0.9 * pitch, color=_COLORS[which])
    if half > 0:
        below, above = min(half, height), min(half, 1 - height)  # of few seeds it may leave 0 to 1
        axes.errorbar(
            x,
            height,
            yerr=[[below], [above]],
            color=PRINT.ink,
            capsize=10 * pitch,
            linewidth=1.1,
        )
    if len(values) > 1:
        # beside the whiskers, which would hide them
        places = x + pitch * np.linspace(0.15, 0.35, len(values))
        axes.scatter(
            places, values, s=13, color=PRINT.paper, edgecolors=PRINT.ink, linewidths=0.8, zorder=3
        )
    reach = max(min(height + half, 1.0), *values)
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
    figure: Figure,
    place: SubplotSpec,
    examples: Sequence[Example],
    lines: int,
    methods: Sequence[str],
) -> None:
    columns = math.ceil(len(examples) / lines)
    grid = place.subgridspec(lines, columns)
    for position, example in enumerate(examples):
        axes = figure.add_subplot(grid[divmod(position, columns)])
        _draw_example(axes, example, ["zero-shot", *methods], _LINE_LENGTH // columns)


def _draw_example(axes: Axes, example: Example, names: Sequence[str], room: int) -> None:
    """Draw a thumbnail in the unit square: its name above, the answers below, cut to ``room``."""
    size = (_THUMBNAIL, _THUMBNAIL)
    axes.imshow(
        ImageOps.pad(example.image.convert("RGB"), size, color="white"), extent=(0, 1, 0, 1)
    )
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=PRINT.rule, linewidth=0.8))
    axes.set(xlim=(-0.06, 1.06), ylim=(-0.08 - 0.17 * len(names), 1.2))
    axes.set_axis_off()
    axes.text(
        0.5, 1.05, shorten(example.name, room * 4 // 5), ha="center", fontsize=8, color=PRINT.ink
    )
    for line, (who, answer) in enumerate(zip(names, example.answers, strict=True)):
        axes.text(
            0.5,
            -0.06 - 0.17 * line,
            shorten(f"{who}: {answer}", room),
            ha="center",
            va="top",
            fontsize=6.8,
            color=RIGHT if answer == example.name else WRONG,
        )
