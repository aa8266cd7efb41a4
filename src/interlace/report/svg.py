"""Charts as inline SVG that takes its colours and its font from the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from interlace.evaluation.plots.drawing import Palette, as_written, plain_texts

#: Width of every chart in its own units: about the pixels of a phone, so that text stays readable.
WIDTH = 344
FONT = 9.5

# placeholders in the drawing; the page gives each role a value for light and for dark
PAGE = Palette(*(f"#01000{i}" for i in range(1, 5)))
BETTER, WORSE = "#010005", "#010006"
_ROLES = {f"#01000{i}": n for i, n in enumerate("ink muted rule paper up down".split(), 1)}
_HUES = 6
_METHOD_COLORS = [f"#0200{i:02x}" for i in range(_HUES)]
_MARKERS = "osD^vPX<>phd*"
_LINES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)))
_SWATCH = (30, 12)
_PREFIX = "@chart-"


@dataclass(frozen=True, slots=True)
class Style:
    """How a method is drawn: by colour, marker, filling and line at once."""

    color: str
    marker: str
    filled: bool
    line: str | tuple[float, tuple[float, ...]]

    @property
    def face(self) -> str:
        """The colour that fills the marker."""
        return self.color if self.filled else PAGE.paper

    def marks(self, size: float, edge: float) -> dict[str, Any]:
        """Return the marker as matplotlib's lines take it."""
        return {
            "marker": self.marker,
            "markersize": size,
            "markerfacecolor": self.face,
            "markeredgecolor": self.color,
            "markeredgewidth": edge,
        }


def styles(methods: Sequence[str], baseline: str) -> dict[str, Style]:
    """Return each method a style of its own; the baseline is drawn in the colour of text."""
    found = {baseline: Style(PAGE.muted, "o", False, (0, (2, 2)))}
    for i, method in enumerate(name for name in methods if name != baseline):
        found[method] = Style(
            _METHOD_COLORS[i % _HUES],
            _MARKERS[i % len(_MARKERS)],
            (i // _HUES) % 2 == 0,
            _LINES[(i // _HUES) % len(_LINES)],
        )
    return found


def shade(share: float) -> str:
    """Return a tint of the page's accent colour, from none at 0 to all of it at 1."""
    return f"#0300{round(100 * min(max(share, 0.0), 1.0)):02x}"


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Make a figure whose unit is that of the SVG: a 72nd of an inch."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    figure.patch.set_visible(False)
    return figure


def to_svg(figure: Figure, label: str) -> Markup:
    """Write a figure as an ``svg`` element that stands in a page.

    Text stays text, colours are variables of the page, and nothing in it refers to anything
    outside. Its ids are its own once ``with_number`` has been called.

    Args:
        figure: what is drawn.
        label: text alternative.
    """
    stream = io.StringIO()
    plain_texts(figure)
    with as_written(), rc_context({"svg.fonttype": "none", "svg.hashsalt": "interlace"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.S)
    # only what stands in tags: a name may look like anything
    text = re.sub(r"<[^<>]+>", lambda found: _of_the_page(found[0]), text)
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {box[0] if box else ""} class="chart" role="img" aria-label="{escape(label)}">'
    body = re.sub(r"\s*\n\s*", "\n", text[text.index(">") + 1 :])
    return Markup(head + body)  # noqa: S704


def _of_the_page(tag: str) -> str:
    """Return a tag whose ids, colours and fonts are those of the page."""
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)  # nothing refers to groups
    tag = re.sub(r'\bid="', f'id="{_PREFIX}', tag)
    tag = tag.replace('xlink:href="#', f'href="#{_PREFIX}').replace("url(#", f"url(#{_PREFIX}")
    tag = re.sub(r"#0[123]00[0-9a-f]{2}", lambda found: _variable(found[0]), tag)
    tag = re.sub(r"font: (?:(bold|[1-9]00) )?([\d.]+)px [^;\"]*", r"font-size: \2px", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    return re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)


def with_number(svg: Markup, number: int) -> Markup:
    """Make the ids of a chart those of the chart with this number on a page."""
    return Markup(str(svg).replace(_PREFIX, f"chart{number}-"))  # noqa: S704


def swatch(style: Style) -> Markup:
    """Draw the line and marker of a method for a legend."""
    width, height = _SWATCH
    marker = MarkerStyle(style.marker)
    path = marker.get_path().transformed(marker.get_transform())
    points = np.asarray(path.to_polygons()[0])
    scale = 4.2 / float(np.abs(points).max())
    shape = " ".join(f"{x * scale + width / 2:.1f},{height / 2 - y * scale:.1f}" for x, y in points)
    dashes = "" if isinstance(style.line, str) else " ".join(f"{2 * n:g}" for n in style.line[1])
    color, face = _variable(style.color), _variable(style.face)
    return Markup(  # noqa: S704
        f'<svg class="swatch" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path d="M1 6H{width - 1}" style="stroke:{color};stroke-dasharray:{dashes or "none"}"/>'
        f'<polygon points="{shape}" style="fill:{face};stroke:{color}"/></svg>'
    )


def _variable(color: str) -> str:
    if color in _ROLES:
        return f"var(--{_ROLES[color]})"
    number = int(color[-2:], 16)
    if color.startswith("#02"):
        return f"var(--m{number})"
    return f"color-mix(in srgb, var(--accent) {number}%, var(--paper))"
