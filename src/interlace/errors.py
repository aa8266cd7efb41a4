"""The one error that means "the input is wrong", as opposed to "the program is"."""


class InterlaceError(ValueError):
    """Input that Interlace cannot work with.

    The message is one line that names the offending value and says what would be right. The
    command line prints it alone, without a traceback, and exits with code 2.
    """


class TooFewImages(InterlaceError):
    """A class has fewer images than a draw asks for."""
