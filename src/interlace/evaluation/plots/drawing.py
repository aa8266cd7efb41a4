"""The drawing kit: colours, figures outside pyplot's state, frames, safe labels."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from interlace._util.files import written_whole
from interlace._util.text import listed, printable

ZERO_SHOT, ADAPTED = "#a9b4c0", "#2563a8"
#: Colours of further adapted models; with the two above they stay apart for the colour-blind.
MORE_ADAPTED = ("#d97a1e", "#0f8f83", "#8c4a86")
RIGHT, WRONG = "#1a7f4b", "#b42318"

_DPI = 150


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of what is not data.

    Attributes:
        ink: text and markers.
        muted: secondary text.
        rule: lines that guide the eye.
        paper: the background.
    """

    ink: str
    muted: str
    rule: str
    paper: str


#: Colours of pictures that stand for themselves.
PRINT = Palette("#1f2933", "#64717f", "#d9dee3", "#ffffff")


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Make a figure that pyplot does not know; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor=PRINT.paper)
    FigureCanvasAgg(figure)
    return figure


def frame(
    axes: Axes,
    palette: Palette = PRINT,
    sides: Collection[str] = ("left", "right", "top", "bottom"),
    width: float = 0.8,
) -> None:
    """Give axes ticks without marks, and a thin line at some sides."""
    axes.tick_params(length=0, colors=palette.ink)
    for side, spine in axes.spines.items():
        spine.set(visible=side in sides, color=palette.rule, linewidth=width)


def save_png(figure: Figure, path: Path | str) -> str:
    """Write a figure as PNG, in one step.

    Returns:
        What a reader should know: which characters no font of this machine has; usually ``""``.

    Raises:
        InterlaceError: the file cannot be written.
    """
    texts = plain_texts(figure)
    families, missing = _fonts({ord(c) for text in texts for c in text.get_text() if c > " "})
    for text in texts:
        text.set_fontfamily(families)
    with as_written(), rc_context({"font.family": families}), written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
    if not missing:
        return ""
    return f"{Path(path).name}: no installed font has {listed(missing)}; they are drawn as boxes"


def plain_texts(figure: Figure) -> list[Text]:
    """Return all texts of a figure, as the characters they are: no formulas, no controls."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    for text in texts:
        text.set_parse_math(False)
        text.set_text(printable(text.get_text(), keep="\n"))
    return texts


@contextmanager
def as_written() -> Iterator[None]:
    """Draw texts that are made while drawing as the characters they are, whatever a font lacks."""
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _fonts(characters: set[int]) -> tuple[list[str], list[str]]:
    """Return families that have these characters, and the characters that none has."""
    usual = FontProperties(family=["sans-serif"])
    families = [usual.get_name()]
    left = characters - _characters(findfont(usual))
    if left:
        # in the order of their names, so that the same picture takes the same fonts
        others = sorted(
            {
                (font.name, font.fname)
                for font in fontManager.ttflist
                # it has every character, each as the sign of its script
                if not font.name.startswith("Last Resort")
            }
        )
        for family, file in others:
            found = left & _characters(file)
            if found:
                left -= found
                families.append(family)
            if not left:
                break
    return families, [chr(code) for code in sorted(left)]


@cache
def _characters(file: str) -> frozenset[int]:
    """Return the characters that a font can draw in any size."""
    try:
        font = FT2Font(file)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


def percent(value: float, _position: float = 0) -> str:
    """Format a fraction as whole percent: the form that axes ask for."""
    return f"{100 * value:.0f} %"


def shorten(text: str, most: int) -> str:
    """Cut a text to at most ``most`` characters, an ellipsis among them, on one line."""
    text = printable(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
