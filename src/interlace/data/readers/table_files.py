"""Read the lines of a table out of CSV, JSON, Parquet or Arrow files, within stated bounds."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlace._util.reading import check_regular, parse_json, read_json, read_text
from interlace._util.text import count_of, first_line, listed, printable
from interlace.data.readers.columns import BY_NAME, COLUMN_OPTIONS, Columns, find_columns, plain
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".json", ".parquet"})
"""File name endings, in lower case, that are read as tables."""

MAX_ROWS = 10_000_000
"""Rows that a table may have."""

TABLE_MAX_BYTES = 32 << 30
"""Bytes that the columns which are read of a Parquet file may unpack to."""

MAX_COLUMNS = 10_000

_LISTS = ("annotations", "data", "images", "rows", "records", "samples", "items")
_BATCH = 1024

Lines = Iterable[Mapping[str, Any]]


def lines_of(path: Path, columns: Columns = BY_NAME) -> tuple[Lines, Sequence[str] | None]:
    """Read a table.

    Args:
        path: A file with one of the endings ``TABLES``.
        columns: Columns that are named; of a Parquet file only columns that matter are read.

    Returns:
        Values by column name for each row, and the class names that labels index, if the file has
        these.

    Raises:
        InterlaceError: The file cannot be read.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        return read_parquet(path, columns)
    if kind == ".jsonl":
        return read_json_lines(path), None
    return (read_json_table(path) if kind == ".json" else read_csv(path)), None


def read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read comma, semicolon or tab separated values below a line of column names.

    Raises:
        InterlaceError: The file cannot be read, or a row has more or fewer cells than the header.
    """
    text = read_text(path, "table")
    shown = printable(str(path))
    if not text.strip():
        raise InterlaceError(f"{shown}: the file is empty")
    delimiter = max("\t,;", key=text.lstrip().splitlines()[0].count)
    rows = csv.reader(io.StringIO(text, ""), delimiter=delimiter, skipinitialspace=True)
    number = 0
    try:
        header = next(row for row in rows if any(cell.strip() for cell in row))
        names = _unique(header)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            number += 1
            if len(row) != len(header) and any(cell.strip() for cell in row[len(header) :] or "x"):
                raise InterlaceError(
                    f"{path.name}, row {number}: {count_of(len(row), 'cell')} for "
                    f"{count_of(len(header), 'column')} ({listed(header)}): a cell that holds "
                    f'{_NAMES[delimiter]} must stand in quotes, as in "a{delimiter}b"'
                )
            yield dict(zip(names, row, strict=False))
    except (csv.Error, StopIteration) as error:
        raise InterlaceError(
            f"{shown}, after row {number}: cannot be read as CSV ({first_line(error)})"
        ) from None


_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def _unique(header: Sequence[str]) -> list[str]:
    """Tell columns of the very same name apart by a space, which no comparison sees."""
    names: list[str] = []
    there: set[str] = set()
    for name in header:
        while name in there:
            name += " "
        there.add(name)
        names.append(name)
    return names


def read_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read one JSON object per line.

    Raises:
        InterlaceError: The file cannot be read, or a line is something else.
    """
    for number, line in enumerate(read_text(path, "table").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{printable(str(path))}, line {number}"
        value = parse_json(line, where)
        if not isinstance(value, dict):
            raise InterlaceError(f"{where}: expected a JSON object")
        yield value


def read_json_table(path: Path) -> list[Mapping[str, Any]]:
    """Read a JSON list of objects, an object that holds such a list, or lists by column.

    Raises:
        InterlaceError: The file cannot be read, or is something else.
    """
    shown = printable(str(path))
    value = read_json(path, "table")
    if isinstance(value, dict):
        if isinstance(value.get("images"), list) and isinstance(value.get("annotations"), list):
            raise InterlaceError(
                f"{shown}: looks like COCO annotations, which are not read: give a table with one "
                "image and its label per row"
            )
        inside = [name for name in _LISTS if _objects(value.get(name))]
        value = value[inside[0]] if inside else _by_column(value)
    if not _objects(value):
        raise InterlaceError(
            f"{shown}: expected a list of objects such as "
            '[{"path": "a.jpg", "label": "cat"}], or lists by column'
        )
    return list(value)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(own, dict) for own in value)


def _by_column(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Turn ``{"path": [...], "label": [...]}``, also with an index as pandas writes it, to rows."""
    columns = {
        name: list(own.values()) if isinstance(own, dict) else own for name, own in value.items()
    }
    if not columns or not all(isinstance(own, list) for own in columns.values()):
        return None
    indexes = [tuple(own) for own in value.values() if isinstance(own, dict)]
    if len({len(own) for own in columns.values()}) > 1 or len(set(indexes)) > 1:
        return None
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def read_parquet(path: Path, columns: Columns) -> tuple[Lines, Sequence[str] | None]:
    """Read the columns of a Parquet file that matter.

    Raises:
        InterlaceError: The file cannot be read, is too large, or lacks a column.
    """
    check_regular(path, "table")
    shown = printable(str(path))

    def lines() -> Iterator[Mapping[str, Any]]:
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            wanted = _wanted(file.schema_arrow, path.name, columns)
            _check_size(file.metadata, wanted, shown)
            for batch in file.iter_batches(_BATCH, columns=wanted, use_threads=False):
                yield from batch.to_pylist()

    try:
        import pyarrow.parquet

        return list(lines()), _label_names(pyarrow.parquet.read_schema(path), columns)
    except InterlaceError:
        raise
    # pyarrow answers broken files with whatever error it meets first
    except Exception as error:
        raise InterlaceError(f"{shown}: cannot be read as Parquet ({first_line(error)})") from None


def read_arrow(path: Path, columns: Columns) -> tuple[Lines, Sequence[str] | None]:
    """Read the columns of an Arrow stream, as ``datasets`` writes it, that matter.

    Raises:
        InterlaceError: The file cannot be read, or lacks a column.
    """
    import pyarrow as pa

    shown = printable(str(path))
    try:
        check_regular(path, "file")
        rows: list[Mapping[str, Any]] = []
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            wanted = _wanted(stream.schema, path.name, columns)
            for batch in stream:
                if len(rows) + batch.num_rows > MAX_ROWS:
                    raise InterlaceError(f"{shown}: more than {MAX_ROWS:,} rows")
                batch.validate()
                rows += batch.select(wanted).to_pylist()
            return rows, _label_names(stream.schema, columns)
    except InterlaceError as error:
        if str(error).startswith(f"{shown}: no such"):
            raise InterlaceError(f"{shown}: cannot be read as Arrow (no such file)") from None
        raise
    except Exception as error:  # as above
        raise InterlaceError(f"{shown}: cannot be read as Arrow ({first_line(error)})") from None


def _check_size(metadata: Any, wanted: Sequence[str], shown: str) -> None:
    if metadata.num_rows > MAX_ROWS:
        raise InterlaceError(f"{shown}: {metadata.num_rows:,} rows; at most {MAX_ROWS:,} are read")
    size = 0
    for group in range(metadata.num_row_groups):
        own = metadata.row_group(group)
        for column in range(own.num_columns):
            chunk = own.column(column)
            if chunk.path_in_schema.split(".")[0] in wanted:
                size += max(chunk.total_uncompressed_size, 0)
    if size > TABLE_MAX_BYTES:
        raise InterlaceError(
            f"{shown}: its images and labels take {size:,} bytes; at most {TABLE_MAX_BYTES:,} are "
            "read"
        )


def _wanted(schema: "pa.Schema", name: str, columns: Columns) -> list[str]:
    """Name the columns that are read; the others may be large.

    Raises:
        InterlaceError: There are too many columns, or none for the image or the label.
    """
    if len(schema.names) > MAX_COLUMNS:
        raise InterlaceError(f"{name}: {len(schema.names):,} columns; at most {MAX_COLUMNS:,}")
    find_columns(schema.names, name, columns)
    known = {own for names in COLUMN_OPTIONS.values() for own in names}
    known |= {plain(own) for own in (columns.image, columns.label, columns.part) if own}
    wanted = [own for own in schema.names if plain(own) in known]
    return wanted + [own for own in columns.ignore if own in schema.names and own not in wanted]


def _label_names(schema: "pa.Schema", columns: Columns) -> Sequence[str] | None:
    """Return class names that Hugging Face ``datasets`` keeps beside the table, if there are."""
    metadata = (schema.metadata or {}).get(b"huggingface", b"")
    if len(metadata) > 64 << 20:
        return None
    try:
        features = json.loads(metadata)["info"]["features"]
        own = (
            [columns.label]
            if columns.label
            else (*COLUMN_OPTIONS["label"], *COLUMN_OPTIONS["class"])
        )
        names = [features[name]["names"] for name in own if name in features][0]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names
