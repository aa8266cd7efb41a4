"""Read the pickles in which CoOp and its forks keep few-shot draws, without running any code.

A pickle is a program. It is looked through first: it may consist of nothing but the opcodes that
build lists, dictionaries, texts, whole numbers and one plain record, each of a bounded size. Only
then it is loaded, by an unpickler that knows no name but the record's.
"""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

from interlace._util.reading import check_regular, reason_of
from interlace._util.text import printable
from interlace.errors import InterlaceError

PICKLE_MAX_BYTES = 64 << 20
"""Size of a pickle; a draw of 16 images for 1,000 classes has about 2 MB."""

MAX_STEPS = 2_000_000
"""Opcodes of a pickle; such a draw has about 250,000."""

_DATUM = ("dassl.data.datasets.base_dataset", "Datum")
_CLASS = "dassl.data.datasets.base_dataset Datum"
_MAX_TEXT = 1 << 16
# integers whose hashes can be made equal are larger, and a memo is as long as its largest index
_NUMBERS = {"INT": 1 << 62, "LONG": 1 << 62, "LONG1": 1 << 62, "FRAME": PICKLE_MAX_BYTES}
_NUMBERS |= {"PUT": MAX_STEPS, "LONG_BINPUT": MAX_STEPS}

_PLAIN = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "
    "INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE "  # other tuples can be made to collide as keys
    "EMPTY_DICT DICT SETITEM SETITEMS "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE "
    "GLOBAL STACK_GLOBAL NEWOBJ BUILD".split()
)


def read_pickle(path: Path) -> tuple[list[object], list[object]]:
    """Read the records of the training and validation shots.

    Args:
        path: The file.

    Returns:
        Plain objects whose attributes (``vars``) are those of the records in the file.

    Raises:
        InterlaceError: The file is something else, or asks for anything but such records.
    """
    shown = printable(str(path))
    size = check_regular(path).st_size
    if size > PICKLE_MAX_BYTES:
        raise InterlaceError(
            f"{shown}: {size:,} bytes; at most {PICKLE_MAX_BYTES:,} are read of a draw"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    datum = type("Datum", (), {})  # anew for each file, so that no file can prepare the next
    try:
        _look_through(data, shown)
        content = _Reader(data, datum, shown).load()
    except InterlaceError:
        raise
    # pickles that are broken, or that try things, fail with whatever they meet first
    except Exception as error:
        raise InterlaceError(f"{shown}: not a few-shot draw ({type(error).__name__})") from None
    if type(content) is not dict or not all(
        type(part) is list and all(type(item) is datum for item in part)
        for part in (content.get("train"), content.get("val", []))
    ):
        raise InterlaceError(f"{shown}: not a few-shot draw: expected lists of images by part")
    return content["train"], content.get("val", [])


class _Reader(pickle.Unpickler):
    """Build plain data, and one record that is made anew for each file."""

    def __init__(self, data: bytes, datum: type, shown: str) -> None:
        super().__init__(io.BytesIO(data))
        self._datum, self._shown = datum, shown

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _DATUM:
            return self._datum
        raise _refused(self._shown, f"{module}.{name}")


def _look_through(data: bytes, shown: str) -> None:
    """Check that a pickle holds nothing but what a draw needs.

    Raises:
        InterlaceError: It holds something else.
    """
    steps = 0
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        steps += 1
        if name in ("GLOBAL", "INST") and argument != _CLASS:
            raise _refused(shown, str(argument).replace(" ", "."))
        if name not in _PLAIN:
            raise _refused(shown, f"'{name.lower()}'")
        too_long = isinstance(argument, str | bytes) and len(argument) > _MAX_TEXT
        too_large = name in _NUMBERS and abs(int(argument or 0)) > _NUMBERS[name]
        if too_long or too_large or steps > MAX_STEPS:
            raise InterlaceError(f"{shown}: not a few-shot draw (too large to be one)")


def _refused(shown: str, what: str) -> InterlaceError:
    return InterlaceError(
        f"{shown}: not a few-shot draw: asks for {printable(what)[:200]}, which is no part of one: "
        "refused"
    )
