"""What a model confuses, on one's own data: the matrix and the most confident errors."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlace.evaluation.plots.confusion import (
    ConfusionCells,
    draw_confusion,
    name_classes,
)
from interlace.evaluation.plots.drawing import shorten
from interlace.experiments.measures import target_label
from interlace.experiments.reading import Cell
from interlace.report.plots import Chart
from interlace.report.svg import FONT, PAGE, WIDTH, new_figure, shade, to_svg

_MOST_COUNTED, _MOST_NAMED = 20, 45
_NAME_LENGTH = 16
_MOST_PAIRS = 8
_MOST_MISTAKES = 12
_JPEG = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer: what the image is, what was answered and how surely."""

    key: str
    truth: str
    answer: str
    probability: float
    thumbnail: str


@dataclass(frozen=True, slots=True)
class Confusion:
    """What one method confuses on one data set.

    Attributes:
        data: data set, with what was scored where that is not all of it.
        method: key of the method.
        seeds: seeds whose counts are summed.
        chart: the matrix.
        pairs: class, answer and count of the pairs that are confused most.
        mistakes: the most confident errors, each image once.
    """

    data: str
    method: str
    seeds: tuple[int, ...]
    chart: Chart
    pairs: tuple[tuple[str, str, int], ...]
    mistakes: tuple[Mistake, ...]


def confusion(cells: Sequence[Cell], target: str) -> Confusion | None:
    """Sum the details of a method's cells over seeds; None where they have none that fit.

    Args:
        cells: of one method on one data set.
        target: what was scored.
    """
    found = [(cell, details) for cell in cells if (details := _details(cell, target))]
    if not found:
        return None
    names = found[0][1]["classes"]
    same = [(cell, details) for cell, details in found if details["classes"] == names]
    found_cells = [np.asarray(_counts(own), dtype=np.int64).reshape(-1, 3) for _, own in same]
    counts = ConfusionCells.summed(len(names), *np.concatenate(found_cells).T)
    cell = same[0][0]
    where = cell.data if target == "all" else f"{cell.data}, {target_label(target)}"
    return Confusion(
        data=where,
        method=cell.method,
        seeds=tuple(sorted(cell.seed for cell, _ in same)),
        chart=_chart(counts, names, f"{cell.method} on {where}"),
        pairs=tuple(
            (names[row], names[column], count)
            for row, column, count in counts.most_confused(_MOST_PAIRS)
        ),
        mistakes=_mistakes([details for _, details in same]),
    )


def _details(cell: Cell, target: str) -> dict[str, Any] | None:
    details = (cell.part("metrics").get(target) or {}).get("details")
    if not isinstance(details, dict) or not details.get("classes"):
        return None
    known = details.get("counts") is not None or details.get("confusion") is not None
    return {**details, "classes": [str(name) for name in details["classes"]]} if known else None


def _counts(details: dict[str, Any]) -> Any:
    """Read class, answer and count of each cell; older records have all cells, in rows."""
    if details.get("counts") is not None:
        return details["counts"]
    return [(*place, count) for place, count in np.ndenumerate(np.array(details["confusion"]))]


def _mistakes(found: Sequence[dict[str, Any]]) -> tuple[Mistake, ...]:
    best: dict[str, Mistake] = {}
    for details in found:
        for made in details.get("mistakes") or ():
            key, thumbnail = str(made["key"]), str(made.get("thumbnail") or "")
            mistake = Mistake(
                key,
                str(made["truth"]),
                str(made["answer"]),
                float(made["probability"]),
                thumbnail if _is_jpeg(thumbnail) else "",
            )
            if key not in best or best[key].probability < mistake.probability:
                best[key] = mistake
    order = sorted(best.values(), key=lambda mistake: -mistake.probability)
    return tuple(order[:_MOST_MISTAKES])


def _is_jpeg(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=True).startswith(_JPEG)
    except (binascii.Error, ValueError):
        return False


def _tints(roots: Sequence[float]) -> list[str]:
    return [shade(0.08 + 0.92 * root) for root in roots]


def _chart(cells: ConfusionCells, names: Sequence[str], title: str) -> Chart:
    n = len(names)
    step = 1 if n <= _MOST_NAMED else math.ceil(n / _MOST_NAMED)
    size = min(FONT - 0.5, 0.9 * 280 * step / n)
    longest = max(len(shorten(name, _NAME_LENGTH)) for name in names[::step])
    room = 12 + 0.58 * size * longest
    side = WIDTH - room - 6
    height = side + room + 8
    figure = new_figure(height)
    axes = figure.add_axes((room / WIDTH, room / height, side / WIDTH, side / height))
    count_size = min(FONT, 190 / n) if n <= _MOST_COUNTED else None
    draw_confusion(axes, cells, _tints, PAGE, count_size)
    name_classes(axes, names, step, size, _NAME_LENGTH)
    axes.tick_params(pad=3)
    caption = (
        f"{cells.accuracy}. Rows are classes, columns answers; the tint is the share of the "
        "class's images."
    )
    return Chart(
        to_svg(figure, f"Confusion matrix of {title}. {caption}"), f"Confusion: {title}", caption
    )
