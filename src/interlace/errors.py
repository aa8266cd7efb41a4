"""The one error that means "the input is wrong", as opposed to "the program is"."""

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
