"""Consoles on which text is text: no markup, no highlighting, nothing that moves the cursor."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from interlace._util.text import printable


class PlainConsole(Console):
    """A console for names that others chose.

    ``[bold]``, ``:smile:`` and paths stay as they are, in lines, in cells and titles of tables and
    in bars alike; control characters and lone surrogates are written as escapes. A string is
    printed as one line, which the terminal alone wraps, so that a path can be copied.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print as rich does, but each string as one line, whatever it contains."""
        objects = tuple(printable(item) if isinstance(item, str) else item for item in objects)
        text = all(isinstance(item, str | Text) for item in objects)
        settings.setdefault("soft_wrap", text)
        super().print(*objects, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Render a string, also in a table; its width is that with the escapes."""
        return super().render_str(printable(text, keep="\n"), **settings)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Escape what is written: all text passes here, whatever object it was part of."""
        return super()._render_buffer(
            segment
            if segment.control or segment.text.isprintable()
            else Segment(printable(segment.text, keep="\n"), segment.style)
            for segment in buffer
        )


def accept_any_text() -> None:
    """Write characters that the encoding of standard output lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
