"""Read the images that a table lists, as a source."""

import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from interlace._util.reading import kind_of
from interlace._util.text import printable
from interlace.data.readers.columns import (
    BY_NAME,
    Columns,
    TableRow,
    notes_on_labels,
    rows_of,
)
from interlace.data.readers.folder import refuse_strict, twins, unreadable_classes, verified
from interlace.data.readers.table_files import TABLES, lines_of, read_json_lines
from interlace.data.records import Record, Skipped, digest_of
from interlace.data.source import ClassOrder, Source
from interlace.errors import InterlaceError

__all__ = ["TABLES", "read_json_lines", "read_table", "rows_of", "source_of"]


def read_table(path: Path | str, strict: bool = False, columns: Columns = BY_NAME) -> Source:
    """Read a table with one image per line.

    Columns are found by their names (``columns.COLUMN_OPTIONS``): the path of the image, relative
    to the table's folder; its label, its class name or both; optionally the part (train, val,
    test) and the domain. In Parquet the image may also be its encoded bytes, or a struct of bytes
    and path as Hugging Face ``datasets`` writes it. Every image is decoded once, as
    ``read_photos`` does.

    Args:
        path: A ``.csv``, ``.tsv``, ``.jsonl``, ``.json`` or ``.parquet`` file.
        strict: Whether an image that cannot be used is an error instead of being skipped.
        columns: Columns that are named.

    Returns:
        The images. Classes are in the order of their numbers where the labels are numbers, and
        sorted by name otherwise.

    Raises:
        InterlaceError: The file cannot be read, a column is not there, a cell is of a type that it
            cannot have, a part has an unknown name, an image has two labels or is in two parts,
            there is no readable image or only one class, or ``strict`` is set and an image cannot
            be used.
    """
    path = Path(path)
    notes: list[str] = []
    lines, names = lines_of(path, columns)
    rows = rows_of(lines, path, columns=columns, notes=notes)
    return source_of(path.stem, path.parent, rows, names, strict, notes)


def source_of(
    name: str,
    base: Path,
    rows: Sequence[TableRow],
    names: Sequence[str] | None,
    strict: bool,
    notes: Sequence[str] = (),
) -> Source:
    """Make a source of the rows of a table.

    Args:
        name: Name of the data set.
        base: Folder that paths are relative to.
        rows: The rows.
        names: Class names that labels index, if the file has these.
        strict: As in ``read_table``.
        notes: What is to be said of the table besides.

    Raises:
        InterlaceError: As ``read_table``.
    """
    if len({bool(row.part) for row in rows}) > 1:
        blank = next(row for row in rows if not row.part)
        raise InterlaceError(f"{blank.where}: names no part, which other rows do")
    usable, skipped = _usable(rows)
    classes, order, label_of = _classes(usable, names)
    seen: dict[object, TableRow] = {}
    parts: dict[str, str] = {}
    records: list[Record] = []
    contradictions: list[str] = []
    for row in usable:
        key, image = _locate(row, base)
        state = None if isinstance(image, bytes) else _state(image)
        identity = (state.st_dev, state.st_ino) if state else key
        first = seen.setdefault(identity, row)
        if first is not row:
            if first.key != row.key:
                contradictions.append(f"{row.where}: the picture of {first.where}, another label")
            skipped.append(Skipped(printable(key), _same_again(first, row)))
        elif state and not stat.S_ISREG(state.st_mode):
            skipped.append(Skipped(printable(key), f"{kind_of(state.st_mode)}, not a regular file"))
        else:
            parts[key] = row.part or "train"
            records.append(Record(image, label_of[row.key], key, row.domain))
    readable, broken = verified(records)
    skipped += broken
    problems = (
        *contradictions[:1],
        *unreadable_classes(classes, records, readable),
    )
    twice = tuple(twins(readable, classes))
    refuse_strict(name, strict, skipped, (*problems, *twice))
    if not readable:
        first_reason = f" ({skipped[0].key}: {skipped[0].reason})" if skipped else ""
        raise InterlaceError(f"no readable image in {printable(name)}{first_reason}")
    if len(classes) == 1:
        raise InterlaceError(
            f"only one class in {printable(name)} ('{printable(classes[0])}'): at least two are "
            "needed"
        )
    pools: dict[str, list[Record]] = {}
    for record in readable:
        pools.setdefault(parts[record.key], []).append(record)
    if "test" not in pools and "val" in pools:
        pools["test"] = pools.pop("val")
    return Source(
        name,
        classes,
        pools,
        skipped=tuple(skipped),
        order=order,
        notes=(*twice, *notes, *notes_on_labels(row.key for row in usable)),
        problems=problems,
    )


def _usable(rows: Sequence[TableRow]) -> tuple[list[TableRow], list[Skipped]]:
    usable, skipped = [], []
    for row in rows:
        if not row.image:
            skipped.append(Skipped(row.where, "no image"))
        elif row.key in ("", "-1"):  # saved data sets number what has no label -1
            skipped.append(Skipped(row.where, "no label"))
        else:
            usable.append(row)
    return usable, skipped


def _classes(
    rows: Sequence[TableRow], names: Sequence[str] | None
) -> tuple[tuple[str, ...], ClassOrder, dict[str, int]]:
    """Return the class names, their order, and the label of each class key.

    Where the labels are numbers they decide the order: they index ``names`` if the file has these,
    go with the class name beside them, or are the name themselves.
    """
    numbers: dict[str, int] = {}
    for row in rows:
        if not (row.label.isdecimal() and row.label.isascii() and len(row.label) <= 18):
            numbers = {}
            break
        number = int(row.label)
        if numbers.setdefault(row.key, number) != number:
            raise InterlaceError(
                f"{row.where}: class '{row.key}' has label {number}, and {numbers[row.key]} "
                "elsewhere"
            )
    if not numbers:
        keys = sorted({row.key for row in rows})
        return tuple(keys), "name", {key: label for label, key in enumerate(keys)}
    if names is not None and not any(row.name for row in rows):
        over = max(numbers.values())
        if over >= len(names):
            raise InterlaceError(f"label {over}: the file names {len(names)} classes")
        return tuple(names), "label", numbers
    keys = sorted(numbers, key=lambda key: numbers[key])
    if len(set(numbers.values())) < len(keys):
        raise InterlaceError(f"{rows[0].where}: one label is given to different class names")
    return tuple(keys), "label", {key: label for label, key in enumerate(keys)}


def _locate(row: TableRow, base: Path) -> tuple[str, Path | bytes]:
    """Return the key and the image of a row.

    Bytes have no name that lasts: saved data sets often call every image the same. Their content
    is their key. A path is taken as it is written if this is a file, else with its backslashes as
    slashes, or its accents in the other of their two spellings.
    """
    if isinstance(row.image, bytes):
        digest = digest_of(row.image)
        return f"{row.part}/{digest}" if row.part else digest, row.image
    text = str(row.image)
    slashes = text.replace("\\", "/")
    composed, decomposed = (unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))
    spellings = dict.fromkeys((text, slashes, composed, decomposed))
    written = Path(next((own for own in spellings if _state(base / own)), text))
    path = base / written
    inside = path.is_relative_to(base)
    return (path.relative_to(base) if inside else written).as_posix(), path


def _state(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _same_again(first: TableRow, row: TableRow) -> str:
    """Say that an image is listed twice.

    Raises:
        InterlaceError: It is a file with two labels or in two parts, so one of them is wrong.
    """
    same = first.key == row.key
    if isinstance(row.image, str) and (not same or first.part != row.part):
        what = "labels" if not same else "parts"
        other = "" if first.image == row.image else f" ({printable(str(first.image))})"
        raise InterlaceError(
            f"{row.where}: {printable(row.image)} has two {what}: see also {first.where}{other}"
        )
    return f"the same as {first.where}" + ("" if same else ", with another label")
