"""Names beside points and at the ends of lines, placed so that they do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes

from interlace.report.svg import FONT, PAGE, Style

_SIZE = FONT - 1
_WIDE, _HIGH = 0.58 * _SIZE, 1.12 * _SIZE
_MARKER = 4.5
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: _Box) -> float:
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide * high if wide > 0 and high > 0 else 0.0

    def outside(self, other: _Box) -> float:
        return max(
            other.left - self.left,
            self.right - other.right,
            other.bottom - self.bottom,
            self.top - other.top,
            0.0,
        )


def beside_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    styles: dict[str, Style],
) -> None:
    """Write each name at the place around its point that covers least.

    The limits of the axes must be final. A name that finds no free place is left to the legend.
    """
    spots = [(float(x), float(y)) for x, y in axes.transData.transform(points)]
    frame = axes.get_window_extent()
    page = _Box(frame.x0, frame.y0, frame.x1, frame.y1)
    taken = [_Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in spots]
    for i in sorted(range(len(spots)), key=lambda i: -spots[i][1]):
        others = [other for j, other in enumerate(taken) if j != i]
        cost, offset, box = min(
            _places(spots[i], _WIDE * len(names[i]), others, page), key=lambda place: place[0]
        )
        if cost > 90:
            continue
        taken.append(box)
        side = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
        line = {"color": PAGE.muted, "shrinkB": 3} if max(map(abs, offset)) > 8 else None
        _write(axes, names[i], points[i], offset, side, styles[names[i]], line)


def _places(
    spot: tuple[float, float], width: float, others: Sequence[_Box], page: _Box
) -> Iterator[tuple[float, tuple[float, float], _Box]]:
    """Yield what a name would cover at each place around its point, and where that is."""
    x, y = spot
    for distance, (across, up) in product((6, 9, 13, 17, 22, 30), _DIRECTIONS):
        left = x + across * distance - (0 if across > 0 else width / (1 if across else 2))
        bottom = y + up * distance - _HIGH / 2
        box = _Box(left, bottom, left + width, bottom + _HIGH)
        cost = 3 * sum(box.overlap(other) for other in others) + 50 * box.outside(page)
        cost += 0.6 * distance + (2 if up and across else 0)
        yield cost, (across * distance, up * distance), box


def _write(
    axes: Axes,
    name: str,
    point: tuple[float, float],
    offset: tuple[float, float],
    side: str,
    style: Style,
    line: dict[str, object] | None,
) -> None:
    """Write a name at some distance from its point, and tie it to that by a line."""
    axes.annotate(
        name,
        point,
        xytext=offset,
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=_SIZE,
        color=style.color,
        annotation_clip=False,
        arrowprops=line and {"arrowstyle": "-", "linewidth": 0.5, **line},
    )


def at_line_ends(
    axes: Axes, ends: Sequence[tuple[float, float]], names: Sequence[str], styles: dict[str, Style]
) -> None:
    """Write names right of the axes, moved apart, each tied to the end of its line.

    The limits of the axes must be final, and the margin wide enough.
    """
    frame = axes.get_window_extent()
    spots = [axes.transData.transform(end) for end in ends]
    order = sorted(range(len(ends)), key=lambda i: ends[i][1])
    heights = _apart([float(spots[i][1]) for i in order], _HIGH, frame.y0, frame.y1)
    for i, height in zip(order, heights, strict=True):
        style, (x, y) = styles[names[i]], spots[i]
        line = {"color": style.color, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
        _write(axes, names[i], ends[i], (frame.x1 - x + 11, height - y), "left", style, line)


def margin(names: Sequence[str]) -> float:
    """Return the width that names at line ends take."""
    return 14 + _WIDE * max(map(len, names), default=0)


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move sorted heights apart by ``gap``, as little as possible, within limits if they fit."""
    groups: list[list[float]] = []  # first height, number of members, index of the first
    for i, height in enumerate(wanted):
        groups.append([height, 1, i])
        while len(groups) > 1 and groups[-2][0] + gap * groups[-2][1] > groups[-1][0]:
            below, above = groups[-2], groups[-1]
            count = below[1] + above[1]
            centers = [wanted[int(below[2]) + j] - gap * j for j in range(int(count))]
            groups[-2:] = [[sum(centers) / count, count, below[2]]]
    found = [start + gap * j for start, count, _ in groups for j in range(int(count))]
    if found:
        found[-1] = min(found[-1], high)
    for i in range(len(found) - 2, -1, -1):
        found[i] = min(found[i], found[i + 1] - gap)
    if found:
        found[0] = max(found[0], low)
    for i in range(1, len(found)):
        found[i] = max(found[i], found[i - 1] + gap)
    return found
