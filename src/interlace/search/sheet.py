"""The contact sheet: the query, and what was found with rank, score and label."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from interlace._util.text import printable

CELL = 160
GAP = 12
CAPTION = 38
COLUMNS = 5
#: Characters of a name or a query that are considered; a cell is narrower.
_MOST = 1000
_PAPER, _INK, _FAINT, _FRAME = "#ffffff", "#1a1a1a", "#666666", "#dddddd"


class ShownHit(Protocol):
    """The part of a hit that the sheet draws."""

    @property
    def key(self) -> str:
        """Name of the image."""

    @property
    def score(self) -> float:
        """Cosine with the query."""

    @property
    def label(self) -> str | None:
        """Its class folder."""


def contact_sheet(
    query: Image.Image | str, hits: Sequence[ShownHit], thumbnails: Mapping[str, bytes]
) -> Image.Image:
    """Draw a query and its hits.

    Args:
        query: an image, or words.
        hits: the best first; without any, the sheet says so.
        thumbnails: encoded small images by key; one that is missing leaves an empty frame.

    Returns:
        An RGB image: the query at the left, the hits in rows of five beside it.
    """
    rows = max(1, -(-len(hits) // COLUMNS))
    columns = min(COLUMNS, max(1, len(hits)))
    step, height = CELL + GAP, CELL + CAPTION
    left = 2 * GAP + step  # the query's column and a wider gap
    size = (left + columns * step, GAP + rows * (height + GAP))
    page = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(page)
    if isinstance(query, str):
        _words(pen, query)
    else:
        _picture(page, pen, query, (GAP, GAP))
        _line(pen, "query", GAP, GAP + CELL + 3, _INK, bold=True)
    rule = left - GAP - GAP // 2
    pen.line([(rule, GAP), (rule, size[1] - GAP)], fill=_FRAME)
    if not hits:
        _line(pen, "nothing found", left, GAP, _FAINT)
    for number, hit in enumerate(hits):
        x = left + number % COLUMNS * step
        y = GAP + number // COLUMNS * (height + GAP)
        content = thumbnails.get(hit.key)
        _picture(page, pen, _opened(content) if content else None, (x, y))
        _line(pen, f"{number + 1}.  {hit.score:.3f}", x, y + CELL + 3, _INK, bold=True)
        _line(pen, hit.label or hit.key, x, y + CELL + 19, _FAINT)
    return page


def _opened(content: bytes) -> Image.Image | None:
    """Decode a thumbnail; None where it is damaged or larger than a build writes them."""
    try:
        image = Image.open(io.BytesIO(content), formats=["JPEG", "PNG"])
        if max(image.size) > 4 * CELL:
            return None
        return image.convert("RGB")
    except Exception:  # PIL's plugins answer broken files with any error
        return None


def _picture(
    page: Image.Image, pen: ImageDraw.ImageDraw, image: Image.Image | None, at: tuple[int, int]
) -> None:
    """Draw an image in the middle of its cell; enlarge small ones by whole pixels."""
    x, y = at
    if image is not None:
        whole = CELL // max(image.size)
        if whole > 1:
            size = (image.width * whole, image.height * whole)
            image = image.resize(size, Image.Resampling.NEAREST)
        else:
            image = image.copy()
            image.thumbnail((CELL, CELL))
        page.paste(image, (x + (CELL - image.width) // 2, y + (CELL - image.height) // 2))
    pen.rectangle([x - 1, y - 1, x + CELL, y + CELL], outline=_FRAME)


def _words(pen: ImageDraw.ImageDraw, query: str) -> None:
    """Draw a query of words, broken into lines; what does not fit into the cell ends in dots."""
    _line(pen, "query", GAP, GAP, _FAINT)
    query = printable(query[:_MOST], keep="\n\t")
    font, lines = _font(16, True), [""]
    for word in query.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font) > CELL:
            lines.append(word)
        else:
            lines[-1] = longer
    shown = lines[:6]
    if len(lines) > len(shown):
        shown[-1] += " ..."
    for number, line in enumerate(shown):
        pen.text((GAP, GAP + 22 * (number + 1)), _fit(pen, line, font), _INK, font)


def _line(
    pen: ImageDraw.ImageDraw, text: str, x: int, y: int, color: str, bold: bool = False
) -> None:
    font = _font(13, bold)
    text = printable(" ".join(text[-_MOST:].split()))
    pen.text((x, y), _fit(pen, text, font), color, font)


def _fit(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont) -> str:
    """Shorten a text to the width of a cell, keeping its end: names differ at their ends."""
    if pen.textlength(text, font) <= CELL:
        return text
    while text and pen.textlength("..." + text, font) > CELL:
        text = text[1:]
    return "..." + text


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which matplotlib brings: it knows more alphabets than PIL's own font."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
