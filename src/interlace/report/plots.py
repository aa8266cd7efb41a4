"""The charts of a report: curves, base against novel, gains by data set, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from interlace.evaluation.statistics import harmonic_mean
from interlace.experiments.summaries import Summary
from interlace.report import labels
from interlace.report.axes import (
    draw_point,
    limits,
    name_axes,
    new_axes,
    percent_axis,
    signed_tick,
    y_percent,
)
from interlace.report.numbers import percent, points, short_amount
from interlace.report.svg import (
    BETTER,
    FONT,
    PAGE,
    WORSE,
    Style,
    to_svg,
)

Styles = dict[str, Style]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with what stands around it.

    Attributes:
        svg: the drawing.
        title: what it shows.
        caption: how to read it.
    """

    svg: Markup
    title: str
    caption: str = ""


def curves(
    columns: Sequence[tuple[float, Mapping[str, Summary]]],
    styles: Styles,
    *,
    title: str,
    x_label: str,
    y_label: str,
    doubling: bool = False,
) -> Chart | None:
    """Draw a line per method with its 95 % band, over shots or severities.

    Args:
        columns: places on the x axis with a summary by method.
        styles: how methods are drawn.
        title: title of the chart.
        x_label: what the x axis is.
        y_label: what the y axis is.
        doubling: whether the x axis counts doublings.
    """
    methods = [m for m in styles if sum(m in cells for _, cells in columns) > 1]
    if not methods:
        return None
    figure, axes = new_axes(300, right=labels.margin(methods))
    ends = []
    for method in methods:
        own = [
            (math.log2(x) if doubling else x, cells[method])
            for x, cells in columns
            if method in cells
        ]
        xs, means = [x for x, _ in own], [s.mean for _, s in own]
        halves = [s.interval.half_width or 0.0 for _, s in own]
        style = styles[method]
        low, high = ([m + k * h for m, h in zip(means, halves, strict=True)] for k in (-1, 1))
        axes.fill_between(xs, low, high, color=style.color, alpha=0.11, linewidth=0)
        marks = style.marks(4.6, 1)
        axes.plot(xs, means, color=style.color, linestyle=style.line, linewidth=1.4, **marks)
        ends.append((xs[-1], means[-1]))
    ticks = [math.log2(x) if doubling else x for x, _ in columns]
    axes.set_xticks(ticks, [f"{x:g}" for x, _ in columns])
    room = 0.04 * ((max(ticks) - min(ticks)) or 1.0)
    axes.set_xlim(min(ticks) - room, max(ticks) + room)
    y_percent(axes)
    name_axes(axes, x_label, y_label)
    labels.at_line_ends(axes, ends, methods, styles)
    last = columns[-1][1]
    order = sorted((m for m in methods if m in last), key=lambda m: -last[m].mean)
    said = ", ".join(f"{m} {percent(last[m].mean)}" for m in order)
    return Chart(to_svg(figure, f"{title}. {y_label} at the right end: {said}."), title)


def base_and_novel(
    base: Mapping[str, Summary], novel: Mapping[str, Summary], styles: Styles, *, title: str
) -> Chart | None:
    """Draw base against novel accuracy with lines of equal HM."""
    methods = [m for m in styles if m in base and m in novel]
    if len(methods) < 2:
        return None
    figure, axes = new_axes(330, right=8)
    xs, ys = ([part[m].mean for m in methods] for part in (base, novel))
    x_errors, y_errors = (
        [part[m].interval.half_width or 0.0 for m in methods] for part in (base, novel)
    )
    left, right = limits(xs, x_errors)
    bottom, top = limits(ys, y_errors)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    _equal_hm(axes, (left, right), (bottom, top))
    percent_axis(axes.xaxis)
    _draw_points(axes, methods, styles, xs, ys, x_errors, y_errors)
    name_axes(axes, "base accuracy, %", "novel accuracy, %")
    said = ", ".join(
        f"{m} {percent(x)} and {percent(y)}" for m, x, y in zip(methods, xs, ys, strict=True)
    )
    return Chart(to_svg(figure, f"{title}, base and novel accuracy: {said}."), title)


def gains(
    cells: Mapping[str, Summary], order: Sequence[str], *, title: str, baseline: str, limit: float
) -> Chart | None:
    """Draw the difference of each method to the baseline as a bar with its 95 % interval.

    Args:
        cells: summaries by method.
        order: methods from top to bottom.
        title: title of the chart.
        baseline: the method compared to.
        limit: reach of the x axis on both sides, so that charts side by side compare.
    """
    found = []
    for method in order:
        if method in cells and (compared := cells[method].comparison) is not None:
            found.append((method, compared.paired.difference, cells[method].verdict))
    if not found:
        return None
    figure, axes = new_axes(
        46 + 17 * len(found), left=labels.margin([m for m, _, _ in found]), right=34
    )
    places = range(len(found))
    hues = {"better": BETTER, "worse": WORSE, "": PAGE.muted}
    colors = [hues[verdict] for _, _, verdict in found]
    axes.barh(
        places,
        [gain.mean for _, gain, _ in found],
        height=0.62,
        color=[color if v else "none" for color, (_, _, v) in zip(colors, found, strict=True)],
        edgecolor=colors,
        linewidth=1,
    )
    xs: list[float] = []
    ys: list[float] = []
    for place, (_, gain, _) in zip(places, found, strict=True):
        half = gain.half_width or 0.0
        xs += [max(gain.mean - half, -limit), min(gain.mean + half, limit), math.nan]
        ys += [place] * 3
        axes.text(
            1.015,
            place,
            points(gain.mean),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=FONT - 0.5,
            color=PAGE.ink,
        )
    axes.plot(xs, ys, color=PAGE.ink, linewidth=1)
    axes.axvline(0, color=PAGE.ink, linewidth=0.9)
    axes.set_yticks(list(places), [m for m, _, _ in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(-limit, limit)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(signed_tick))
    axes.grid(axis="y", visible=False)
    name_axes(axes, f"points against {baseline}", "")
    said = ", ".join(f"{m} {points(gain.mean)}" for m, gain, _ in found)
    return Chart(to_svg(figure, f"{title}, points against {baseline}: {said}."), title)


def cost(
    costs: Mapping[str, float],
    quality: Mapping[str, Summary],
    styles: Styles,
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> Chart | None:
    """Draw quality over the decades of a cost; a cost of nothing has a place of its own."""
    methods = [m for m in styles if m in costs and m in quality]
    spent = [costs[m] for m in methods if costs[m] > 0]
    if len(methods) < 2 or not spent:
        return None
    figure, axes = new_axes(270, right=8)
    low, high = math.floor(math.log10(min(spent))), math.ceil(math.log10(max(spent)))
    high = max(high, low + 1)
    free = low - 0.7
    ticks: list[float]
    xs = [math.log10(costs[m]) if costs[m] > 0 else free for m in methods]
    ys = [quality[m].mean for m in methods]
    errors = [quality[m].interval.half_width or 0.0 for m in methods]
    ticks = list(range(low, high + 1))
    names = [short_amount(10.0**tick) for tick in ticks]
    if free in xs:
        ticks, names = [free, *ticks], ["0", *names]
        axes.axvline(low - 0.35, color=PAGE.rule, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticklabels(names)
    axes.set_xlim(min(ticks) - 0.25, high + 0.1)
    axes.set_ylim(*limits(ys, errors))
    _draw_points(axes, methods, styles, xs, ys, [0.0] * len(xs), errors)
    name_axes(axes, x_label, y_label)
    said = ", ".join(f"{m} {short_amount(costs[m])}, {percent(quality[m].mean)}" for m in methods)
    return Chart(to_svg(figure, f"{title}; {x_label} and {y_label}: {said}."), title)


def _draw_points(
    axes: Axes,
    methods: Sequence[str],
    styles: Styles,
    xs: Sequence[float],
    ys: Sequence[float],
    x_errors: Sequence[float],
    y_errors: Sequence[float],
) -> None:
    """Draw each method with its error bars and its name; the y axis is in percent."""
    for method, x, y, across, up in zip(methods, xs, ys, x_errors, y_errors, strict=True):
        draw_point(axes, x, y, across, up, styles[method])
    percent_axis(axes.yaxis)
    labels.beside_points(axes, list(zip(xs, ys, strict=True)), methods, styles)


def _equal_hm(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Draw lines novel = hm * base / (2 * base - hm) and names them where they leave the axes."""
    corners = [harmonic_mean(b, n) for b, n in product(x, y)]
    low, high = min(corners), max(corners)
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 7)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        hm = number * step
        bases = [x[0] + (x[1] - x[0]) * i / 60 for i in range(61)]
        line = [(b, hm * b / (2 * b - hm)) for b in bases if 2 * b > hm]
        inside = [(b, n) for b, n in line if y[0] <= n <= y[1]]
        if len(inside) < 4:
            continue
        axes.plot(*zip(*inside, strict=True), color=PAGE.muted, linewidth=0.5, alpha=0.7)
        end = inside[-1]
        axes.annotate(
            f"HM {100 * hm:.6g}",
            end,
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=FONT - 2,
            color=PAGE.muted,
        )
