"""Columns of a table of images: which is which, and what their cells may hold."""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlace._util.text import did_you_mean, listed, printable
from interlace.data.source import PART_NAMES, part_of
from interlace.errors import InterlaceError

COLUMN_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("path", "image", "image_path", "img_path", "impath", "filepath", "file_path"),
        *("file_name", "filename", "file", "img"),
    ),
    "label": ("label", "labels", "target"),
    "class": ("class_name", "classname", "class", "category"),
    "part": ("split", "part", "subset", "fold"),
    "domain": ("domain", "style"),
}
"""What a column may be called, in lower case and without leading underscores; first come first."""

GAPS = frozenset(
    "nan NaN -nan -NaN NaT None null NULL NA N/A n/a <NA> #N/A #NA".split() + ["#N/A N/A"]
)
"""Texts that data frames write for a gap: as a label they are refused."""

_MAYBE_PARTS = ("subset", "fold")  # only where their values say so
_WHOLE = re.compile(r"([+-]?\d{1,18})\.0*")
_NOT_YET = "data with several labels per image is not supported yet"


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a table that are named where their own names do not say what they are.

    Attributes:
        image: Column of the image; None finds it by its name (``COLUMN_OPTIONS``).
        label: Column of the label or class name; likewise.
        part: Column that says train, val or test; likewise.
        ignore: Columns that are not looked at.
    """

    image: str | None = None
    label: str | None = None
    part: str | None = None
    ignore: tuple[str, ...] = ()


BY_NAME = Columns()
"""No column is named: all are found by what they are called."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A line of a table.

    Attributes:
        image: Path as written, or the encoded image; None or "" where there is none.
        label: Label as written, whole numbers without a fraction; "" if there is none.
        name: Class name where it stands in a column of its own; "" elsewhere.
        part: ``"train"``, ``"val"``, ``"test"``, or ``""`` where the table has no parts.
        domain: Where the image comes from; ``""`` if that is not said.
        where: The line, for messages.
    """

    image: str | bytes | None
    label: str
    name: str
    part: str
    domain: str
    where: str

    @property
    def key(self) -> str:
        """What tells the row's class from others: its name, or else its label."""
        return self.name or self.label


def plain(column: str) -> str:
    """Return a column's name as it is compared: lower case, composed, no leading underscores."""
    return unicodedata.normalize("NFC", str(column)).strip().lower().lstrip("_")


def find_columns(names: Sequence[str], where: str, asked: Columns) -> dict[str, str]:
    """Find which column is the image, label, class, part and domain.

    Args:
        names: All columns, as written.
        where: The table or line, for messages.
        asked: Columns that are named.

    Raises:
        InterlaceError: There is none for the image, or none for label and class; one that is named
            is not there; or two have the same name.
    """
    ignored = {plain(name) for name in asked.ignore}
    for name in (asked.image, asked.label, asked.part, *asked.ignore):
        if name is not None and plain(name) not in map(plain, names):
            hint = did_you_mean(name, names)
            raise InterlaceError(
                f"{where}: no column '{printable(name)}': it has {_all(names)}"
                f"{f'; {hint}' if hint else ''}"
            )
    there: dict[str, str] = {}
    twice: dict[str, str] = {}
    for name in names:
        if plain(name) not in ignored and there.setdefault(plain(name), name) is not name:
            twice[plain(name)] = name
    named = {"image": asked.image, "label": asked.label, "part": asked.part}
    found: dict[str, str] = {}
    for what, known in COLUMN_OPTIONS.items():
        own = named.get(what)
        if what == "class" and asked.label is not None:
            continue
        chosen = plain(own) if own else next((name for name in known if name in there), None)
        if chosen is None:
            continue
        if chosen in twice:
            raise InterlaceError(
                f"{where}: two columns are called '{there[chosen]}' and '{twice[chosen]}': rename "
                "one"
            )
        found[what] = there[chosen] if chosen in there else str(own)
    if "image" not in found or ("label" not in found and "class" not in found):
        what = "image" if "image" not in found else "label"
        expected = (
            COLUMN_OPTIONS["label"] + COLUMN_OPTIONS["class"]
            if what == "label"
            else COLUMN_OPTIONS["image"]
        )
        raise InterlaceError(
            f"{where}: no column for the {what}: it has {_all(names)}; expected one of "
            f"{', '.join(expected)}, or say which (--{what}-column)"
        )
    if "label" not in found:  # a class that numbers say is a label
        found["label"] = found.pop("class")
    return found


def rows_of(
    lines: Iterable[Mapping[str, Any]],
    path: Path,
    part: str | None = None,
    columns: Columns = BY_NAME,
    notes: list[str] | None = None,
) -> list[TableRow]:
    """Find the columns of a table and read its cells.

    Args:
        lines: Values by column name.
        path: The table, for messages.
        part: The part that all lines belong to; None takes the column.
        columns: Columns that are named.
        notes: Takes what a user should know of how the table was understood.

    Raises:
        InterlaceError: A column is not there, or a cell holds what it cannot.
    """
    shown = printable(path.name)
    maps: dict[tuple[str, ...], dict[str, str]] = {}
    found: list[tuple[dict[str, str], Mapping[str, Any], str]] = []
    for number, line in enumerate(lines, 1):
        where = f"{shown}, row {number}"
        names = tuple(line)
        if names not in maps:
            try:
                maps[names] = find_columns(names, where, columns)
            except InterlaceError as error:
                hint = _one_hot(line)
                raise InterlaceError(f"{error}{hint}") from None
        found.append((maps[names], line, where))
    ignored = set() if part is not None or columns.part else _no_parts(found, notes)
    return [_row(own, line, where, part, ignored) for own, line, where in found]


def _row(
    own: Mapping[str, str],
    line: Mapping[str, Any],
    where: str,
    part: str | None,
    ignored: set[str],
) -> TableRow:
    column = own.get("part")
    written = ""
    if part is None and column is not None and column not in ignored:
        written = text_of(line[column], where, "part")
    return TableRow(
        image=image_of(line[own["image"]], where),
        label=label_of(line[own["label"]], where) if "label" in own else "",
        name=label_of(line[own["class"]], where, "class name") if "class" in own else "",
        part=part if part is not None else part_of(written, where) if written else "",
        domain=_domain(line[own["domain"]], where) if "domain" in own else "",
        where=where,
    )


def label_of(cell: Any, where: str, what: str = "label") -> str:
    """Read a label or class name: a text, or a whole number, ``3.0`` as 3; "" where there is none.

    Raises:
        InterlaceError: It is of another type, or a text that stands for a gap.
    """
    if isinstance(cell, Mapping | list | tuple):
        several = isinstance(cell, list | tuple)
        raise InterlaceError(
            f"{where}: {what} {_short(cell)}: {'a list' if several else 'an object'}, where one "
            f"text or number is expected{f'; {_NOT_YET}' if several else ''}"
        )
    text = text_of(cell, where, what)
    if text in GAPS:
        raise InterlaceError(
            f"{where}: {what} '{text}': this is what data frames write for a gap: leave the cell "
            "empty if there is no label, or call the class something else"
        )
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def text_of(cell: Any, where: str, what: str) -> str:
    """Read a cell as a text of one line.

    Raises:
        InterlaceError: It is no text and no whole number, or holds control characters.
    """
    if isinstance(cell, float) and math.isnan(cell):
        return ""  # a gap in a column of numbers
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if cell is None or (isinstance(cell, int) and not isinstance(cell, bool)):
        if cell is not None and abs(cell) >= 1 << 63:
            raise InterlaceError(f"{where}: {what}: a number of too many digits")
        return "" if cell is None else str(cell)
    if not isinstance(cell, str):
        kind = {"bool": "true or false", "bytes": "bytes", "float": "no whole number"}
        raise InterlaceError(
            f"{where}: {what} {_short(cell)}: {kind.get(type(cell).__name__, type(cell).__name__)}"
            ", where one text or whole number is expected"
        )
    text = unicodedata.normalize("NFC", cell).strip()
    if printable(text) != text:
        raise InterlaceError(
            f"{where}: {what} '{_short(text)}': holds a character that is no part of a text"
        )
    return text


def _domain(cell: Any, where: str) -> str:
    """Read what groups images; any value does."""
    if isinstance(cell, float) and not math.isnan(cell) and not cell.is_integer():
        return str(cell)
    known = cell is None or (isinstance(cell, str | int | float) and not isinstance(cell, bool))
    return text_of(cell, where, "domain") if known else _short(cell)


def image_of(cell: Any, where: str) -> str | bytes | None:
    """Read the cell of an image: a path, its encoded bytes, or a struct of both.

    Raises:
        InterlaceError: It is something else, or a path that no file can have.
    """
    if isinstance(cell, Mapping):
        content = cell.get("bytes")
        cell = content if content is not None else cell.get("path")
    if cell is None or isinstance(cell, bytes) or (isinstance(cell, float) and math.isnan(cell)):
        return None if isinstance(cell, float) else cell
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return str(cell)  # a file without an ending
    if not isinstance(cell, str):
        raise InterlaceError(
            f"{where}: image {_short(cell)}: {type(cell).__name__}, where a path or the bytes of "
            "an image are expected"
        )
    text = cell.strip()
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise InterlaceError(f"{where}: image '{_short(text)}': not a name that a file can have")
    return text


def notes_on_labels(labels: Iterable[str]) -> list[str]:
    """Say where labels look like several ones in a cell: ``a|b`` beside ``a`` or ``b|c``."""
    seen = set(labels)
    for mark in "|;":
        joined = [label for label in seen if mark in label]
        words = [{word.strip() for word in label.split(mark)} for label in sorted(seen)]
        shared = sum(len(own) for own in words) > len(set().union(*words)) if words else False
        if joined and shared:
            return [f"labels such as '{min(joined)}' are taken for one class each: {_NOT_YET}"]
    return []


def _no_parts(
    found: Sequence[tuple[Mapping[str, str], Mapping[str, Any], str]], notes: list[str] | None
) -> set[str]:
    """Name columns that are called like a part and hold something else (the number of a fold)."""
    values: dict[str, set[str]] = {}
    for own, line, _ in found:
        column = own.get("part")
        if column is not None and plain(column) in _MAYBE_PARTS:
            values.setdefault(column, set()).add(str(line[column]).strip())
    ignored = set()
    for column, held in values.items():
        if not all(value.lower() in PART_NAMES for value in held):
            ignored.add(column)
            if notes is not None:
                notes.append(
                    f"column '{column}' is not used: it holds {listed(sorted(held), 3)}, which are "
                    "no parts (train, val, test)"
                )
    return ignored


def _one_hot(line: Mapping[str, Any]) -> str:
    """Say that columns of 0 and 1 look like several labels."""
    marks = [name for name, value in line.items() if str(value).strip() in ("0", "1", "0.0", "1.0")]
    return f" (columns {listed(marks, 3)} hold 0 or 1: {_NOT_YET})" if len(marks) > 1 else ""


def _all(names: Sequence[str]) -> str:
    return listed(names, 40) or "no columns"


def _short(cell: Any) -> str:
    if isinstance(cell, bytes):
        return f"{len(cell)} bytes"
    try:
        text = printable(cell if isinstance(cell, str) else repr(cell))
    except ValueError:  # a number of thousands of digits
        text = "a huge number"
    return text if len(text) <= 60 else f"{text[:60]}..."
