"""Words for messages: hints, short lists, first lines of errors, names any console can show."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


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


def printable(text: str, keep: str = "") -> str:
    """Give ``text`` with what no console or UTF-8 file can hold written as escapes.

    These are lone surrogates (bytes of a file name that are no UTF-8) and control characters, with
    which a name could move the cursor or forge lines.

    Args:
        text: any string.
        keep: control characters to leave as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep or _is_harmless(c) else _escaped(c) for c in text
    )


def _is_harmless(character: str) -> bool:
    # isprintable() also rejects spaces of other scripts, joiners of emoji, and unassigned letters
    code = ord(character)
    return code >= 0xA0 and not 0xD800 <= code <= 0xDFFF and code not in _DIRECTIONS


#: Line separators and marks that turn the direction of text: they can disguise a name.
_DIRECTIONS = frozenset({0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)})


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python could not decode
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
