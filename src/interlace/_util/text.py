"""Words for messages: hints, short lists, first lines of errors, names any console can show."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from interlace.errors import printable

__all__ = ["count_of", "did_you_mean", "first_line", "listed", "printable"]


def did_you_mean(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> str:
    """Ask ``"did you mean 'x'?"`` for the closest of ``known``; "" where none is close."""
    close = difflib.get_close_matches(word, list(known), n=count, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def first_line(error: object) -> str:
    """Give the first line of an error's text, or its type where it has none."""
    lines = [line.strip() for line in printable(str(error), keep="\n").splitlines()]
    return next((line for line in lines if line), type(error).__name__)


def listed(names: Sequence[object], most: int = 5) -> str:
    """Join the first few names with commas and count the rest."""
    shown = ", ".join(printable(str(name)) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def count_of(number: int, what: str, plural: str = "") -> str:
    """Give ``"1 file"`` or ``"2,000 files"``."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"
