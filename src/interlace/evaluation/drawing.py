"""What the pictures share: colours, figures outside pyplot's global state, short labels."""

from pathlib import Path
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, MUTED, RULE = "#1f2933", "#64717f", "#d9dee3"
ZERO_SHOT, ADAPTED = "#a9b4c0", "#2563a8"
RIGHT, WRONG = "#1a7f4b", "#b42318"

_DPI = 150


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Makes a figure that pyplot does not know; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path | str) -> None:
    """Writes a figure as PNG."""
    figure.savefig(path, format="png", dpi=_DPI)


def percent(value: float, _position: float = 0) -> str:
    """Formats a fraction as whole percent: the form that axes ask for."""
    return f"{100 * value:.0f} %"


def shorten(text: str, most: int) -> str:
    """Cuts a text to at most `most` characters, an ellipsis among them."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
