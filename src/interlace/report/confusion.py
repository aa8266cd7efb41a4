"""What a model confuses, on one's own data: the matrix and the most confident mistakes."""

from __future__ import annotations

import base64
import binascii
import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.collections import PolyCollection

from interlace.evaluation.plots.drawing import shorten
from interlace.experiments.measures import target_label
from interlace.experiments.reading import Cell
from interlace.report.plots import Chart
from interlace.report.svg import FONT, INK, PAPER, RULE, WIDTH, new_figure, shade, to_svg

_MOST_COUNTED, _MOST_NAMED = 20, 45
_NAME_LENGTH = 16
_MOST_PAIRS = 8
_MOST_MISTAKES = 12
_JPEG = b"\xff\xd8"

#: Images by class and answer, as indices.
_Counts = Counter[tuple[int, int]]


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
        data: Data set, with what was scored where that is not all of it.
        method: Key of the method.
        seeds: Seeds whose counts are summed.
        chart: The matrix.
        pairs: Class, answer and count of the pairs that are confused most.
        mistakes: The most confident wrong answers, each image once.
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
        cells: Of one method on one data set.
        target: What was scored.
    """
    found = [(cell, details) for cell in cells if (details := _details(cell, target))]
    if not found:
        return None
    names = found[0][1]["classes"]
    same = [(cell, details) for cell, details in found if details["classes"] == names]
    counts: _Counts = Counter()
    for _, details in same:
        counts.update(_counts(details))
    seeds = tuple(sorted(cell.seed for cell, _ in same))
    cell = same[0][0]
    where = cell.data if target == "all" else f"{cell.data}, {target_label(target)}"
    wrong = [(-count, place) for place, count in counts.items() if count and place[0] != place[1]]
    return Confusion(
        data=where,
        method=cell.method,
        seeds=seeds,
        chart=_chart(counts, names, f"{cell.method} on {where}"),
        pairs=tuple(
            (names[i], names[j], -count) for count, (i, j) in heapq.nsmallest(_MOST_PAIRS, wrong)
        ),
        mistakes=_mistakes([details for _, details in same]),
    )


def _details(cell: Cell, target: str) -> dict[str, Any] | None:
    details = (cell.part("metrics").get(target) or {}).get("details")
    if not isinstance(details, dict) or not details.get("classes"):
        return None
    known = details.get("counts") is not None or details.get("confusion") is not None
    return {**details, "classes": [str(name) for name in details["classes"]]} if known else None


def _counts(details: dict[str, Any]) -> _Counts:
    """Read the cells that are not 0; older records have all of them, in rows."""
    counts: _Counts = Counter()
    if details.get("counts") is not None:
        for row, column, count in details["counts"]:
            counts[row, column] += count
        return counts
    for row, cells in enumerate(details["confusion"]):
        counts.update({(row, column): count for column, count in enumerate(cells) if count})
    return counts


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


def _chart(counts: _Counts, names: Sequence[str], title: str) -> Chart:
    n = len(names)
    step = 1 if n <= _MOST_NAMED else math.ceil(n / _MOST_NAMED)
    size = min(FONT - 0.5, 0.9 * 280 * step / n)
    shown = [shorten(name, _NAME_LENGTH) for name in names[::step]]
    room = 12 + 0.58 * size * max(map(len, shown))
    side = WIDTH - room - 6
    height = side + room + 8
    figure = new_figure(height)
    axes = figure.add_axes((room / WIDTH, room / height, side / WIDTH, side / height))
    axes.patch.set_visible(False)
    places = sorted(place for place, count in counts.items() if count)
    totals: Counter[int] = Counter()
    for (row, _), count in counts.items():
        totals[row] += count
    corners = [
        [(c - 0.5, r - 0.5), (c + 0.5, r - 0.5), (c + 0.5, r + 0.5), (c - 0.5, r + 0.5)]
        for r, c in places
    ]
    # the root lets a few percent be seen beside a strong diagonal
    tints = [0.08 + 0.92 * math.sqrt(counts[place] / totals[place[0]]) for place in places]
    colors = [shade(tint) for tint in tints]
    axes.add_collection(PolyCollection(corners, facecolors=colors, linewidths=0))
    if n <= _MOST_COUNTED:
        for (r, c), tint in zip(places, tints, strict=True):
            axes.text(
                c,
                r,
                str(counts[r, c]),
                ha="center",
                va="center",
                fontsize=min(FONT, 190 / n),
                color=PAPER if tint > 0.55 else INK,
            )
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    ticks = list(range(0, n, step))
    axes.set_xticks(ticks, shown, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(ticks, shown, fontsize=size, parse_math=False)
    axes.tick_params(length=0, colors=INK, pad=3)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    right = sum(count for (row, column), count in counts.items() if row == column)
    images = counts.total()
    share = 100 * right / max(images, 1)
    caption = (
        f"{right:,} of {images:,} right ({share:.1f} %). Rows are classes, columns answers; the "
        "tint is the share of the class's images."
    )
    return Chart(
        to_svg(figure, f"Confusion matrix of {title}. {caption}"), f"Confusion: {title}", caption
    )
