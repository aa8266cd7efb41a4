"""What the charts share: their frame, axes in percent, markers with error bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from interlace.evaluation.plots.drawing import frame
from interlace.report.svg import FONT, PAGE, WIDTH, Style, new_figure


def new_axes(height: float, left: float = 38, right: float = 8) -> tuple[Figure, Axes]:
    """Make axes by hand: the font of the page is not known, so no layout can be computed."""
    figure = new_figure(height)
    bottom, top = 36, 8
    box = (
        left / WIDTH,
        bottom / height,
        (WIDTH - left - right) / WIDTH,
        (height - bottom - top) / height,
    )
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    axes.grid(color=PAGE.rule, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT, pad=4)
    frame(axes, PAGE, sides=("bottom",))
    axes.spines["bottom"].set_color(PAGE.muted)
    return figure, axes


def name_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Write what the axes are."""
    axes.set_xlabel(x_label, fontsize=FONT, color=PAGE.muted, labelpad=4)
    axes.set_ylabel(y_label, fontsize=FONT, color=PAGE.muted, labelpad=4)


def draw_point(axes: Axes, x: float, y: float, across: float, up: float, style: Style) -> None:
    """Draw the marker of a method with its error bars; an error of nothing has none."""
    for error_x, error_y in ((across, 0.0), (0.0, up)):
        if error_x or error_y:
            ends = ((x - error_x, x + error_x), (y - error_y, y + error_y))
            axes.plot(*ends, color=style.color, linewidth=0.7, alpha=0.5)
    # above the names, whose halo would cover it
    axes.plot([x], [y], zorder=5, linestyle="none", **style.marks(6, 1.2))


def percent_axis(axis: object) -> None:
    """Label an axis of fractions in percent."""
    set_locator: Callable[..., None] = axis.set_major_locator  # type: ignore[attr-defined]
    set_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(_tick))  # type: ignore[attr-defined]


def _tick(value: float, _: float) -> str:
    return f"{100 * value:.6g}"


def signed_tick(value: float, _: float) -> str:
    """Format a difference of fractions in points, for an axis."""
    return f"{100 * value:+.4g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def y_percent(axes: Axes) -> None:
    """Fix the limits of the y axis around what is drawn, in percent, near 0 to 100 at most."""
    axes.margins(y=0.04)
    axes.autoscale_view()
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, -0.04), min(top, 1.04))
    percent_axis(axes.yaxis)


def limits(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """Return limits that hold values in [0, 1] with their errors, and some room.

    The interval of two seeds may be wider than all that is possible: it is cut there.
    """
    low = max(min(v - e for v, e in zip(values, errors, strict=True)), 0.0)
    high = min(max(v + e for v, e in zip(values, errors, strict=True)), 1.0)
    room = 0.08 * ((high - low) or 0.02)
    return low - room, high + room
