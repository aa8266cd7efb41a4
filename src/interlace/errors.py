"""The one error that means "the input is wrong", as opposed to "the program is"."""

from __future__ import annotations

from interlace._util.text import printable


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
