"""The one error that means "the input is wrong", as opposed to "the program is"."""

from __future__ import annotations


class InterlaceError(ValueError):
    """Input that Interlace cannot work with.

    The message is one line that names the offending value and says what would be right. The
    command line prints it alone, without a traceback, and exits with code 2. What no console can
    show of it (control characters, lone surrogates of a name) is written as escapes.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class TooFewImages(InterlaceError):
    """A class has fewer images than a draw asks for."""


class UnreadableImage(InterlaceError):
    """An image that cannot be read: what it is called, why, and how it could be read after all.

    The message is all three; lists of what is left out give the reason alone.
    """

    def __init__(self, name: str, reason: str, hint: str = "") -> None:
        super().__init__(": ".join(filter(None, (name, reason, hint))))
        self.name, self.reason, self.hint = name, reason, hint

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str, str]]:
        # an exception is pickled by its message alone, which would not do for workers
        return type(self), (self.name, self.reason, self.hint)


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
