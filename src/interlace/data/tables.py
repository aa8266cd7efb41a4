"""Reads images that a table lists: CSV, JSON lines, Parquet, or a saved Hugging Face data set."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlace.data.readers import verified
from interlace.data.records import Record, Skipped
from interlace.data.source import ClassOrder, Source, part_of
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".parquet"})
"""File name endings, in lower case, that are read as tables."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
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


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        image: Path as written, or the encoded image; None or "" where there is none.
        label: Label as written: a number or a class name; None if there is none.
        name: Class name where it stands in a column of its own.
        part: `"train"`, `"val"`, `"test"`, or `""` where the table has no parts.
        domain: Where the image comes from; `""` if that is not said.
        where: The line, for messages.
    """

    image: str | bytes | None
    label: str | int | None
    name: str | None
    part: str
    domain: str
    where: str


def read_table(path: Path | str, strict: bool = False) -> Source:
    """Reads a table with one image per line.

    Columns are found by their names (`COLUMNS`): the path of the image, relative to the table's
    folder; its label, its class name or both; optionally the part (train, val, test) and the
    domain. In Parquet the image may also be its encoded bytes, or a struct of bytes and path as
    Hugging Face `datasets` writes it. Every image is decoded once, as `read_folder` does.

    Args:
        path: A `.csv`, `.tsv`, `.jsonl` or `.parquet` file.
        strict: Whether an image that cannot be used is an error instead of being skipped.

    Returns:
        The images. Classes are in the order of their numbers where the labels are numbers, and
        sorted by name otherwise.

    Raises:
        InterlaceError: The file cannot be read, a column is not there, a part has an unknown
            name, an image has two labels or is in two parts, there is no readable image or only
            one class, or `strict` is set and an image cannot be used.
    """
    path = Path(path)
    names: Sequence[str] | None = None
    if path.suffix.lower() == ".parquet":
        table = _read_parquet(path)
        names = _label_names(table.schema)
        lines: Iterable[Mapping[str, Any]] = table.to_pylist()
    else:
        lines = read_json_lines(path) if path.suffix.lower() == ".jsonl" else _read_csv(path)
    return _source(path.stem, path.parent, rows_of(lines, path), names, strict)


def is_saved_dataset(path: Path) -> bool:
    """Says whether Hugging Face `datasets` saved a data set in this folder (`save_to_disk`)."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def read_saved_dataset(path: Path | str, strict: bool = False) -> Source:
    """Reads the images that Hugging Face `datasets` saved with `save_to_disk`.

    The files are Arrow tables, so the package itself is not needed. Encoded images are held in
    memory.

    Args:
        path: Folder of a `Dataset` or of a `DatasetDict`.
        strict: As in `read_table`.

    Returns:
        The images; the parts are those of the `DatasetDict`.

    Raises:
        InterlaceError: As `read_table`, or a file that the folder names is not there.
    """
    path = Path(path)
    parts = {"": path}
    if (path / "dataset_dict.json").is_file():
        split_names = _read_json(path / "dataset_dict.json").get("splits", ())
        parts = {name: path / name for name in split_names}
    rows: list[Row] = []
    names: Sequence[str] | None = None
    for part, folder in parts.items():
        files = _read_json(folder / "state.json").get("_data_files", ())
        tables = [_read_arrow(folder / item["filename"]) for item in files]
        own = part_of(part, str(path)) if part else ""
        for table in tables:
            names = names or _label_names(table.schema)
            rows += rows_of(table.to_pylist(), folder, own)
    return _source(path.resolve().name, path, rows, names, strict)


def rows_of(
    lines: Iterable[Mapping[str, Any]], path: Path, part: str | None = None
) -> Iterator[Row]:
    """Finds the columns of a table and gives its lines.

    Args:
        lines: Values by column name.
        path: The table, for messages.
        part: The part that all lines belong to; None takes the column.

    Raises:
        InterlaceError: There is no column for the image, or none for label and class.
    """
    for number, line in enumerate(lines, 1):
        where = f"{path.name}, row {number}"
        values = {str(key).strip().lower().lstrip("_"): value for key, value in line.items()}
        found = {
            what: next((name for name in names if name in values), None)
            for what, names in COLUMNS.items()
        }
        if found["image"] is None or (found["label"] is None and found["class"] is None):
            what = "image" if found["image"] is None else "label"
            raise InterlaceError(
                f"{where}: no column for the {what}: it has {', '.join(map(str, line))}; expected "
                f"one of {', '.join(COLUMNS[what])}"
            )
        cells = {what: values[name] for what, name in found.items() if name is not None}
        own = _text(cells.get("part"))
        yield Row(
            image=_image(cells["image"]),
            label=cells.get("label"),
            name=_text(cells.get("class")) or None,
            part=part if part is not None else part_of(own, where) if own else "",
            domain=_text(cells.get("domain")),
            where=where,
        )


def read_json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Reads one JSON object per line.

    Raises:
        InterlaceError: The file cannot be read, or a line is something else.
    """
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InterlaceError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(value, dict):
            raise InterlaceError(f"{path}, line {number}: expected a JSON object")
        yield value


def _source(
    name: str, base: Path, rows: Iterable[Row], names: Sequence[str] | None, strict: bool
) -> Source:
    rows = list(rows)
    if len({bool(row.part) for row in rows}) > 1:
        blank = next(row for row in rows if not row.part)
        raise InterlaceError(f"{blank.where}: names no part, which other rows do")
    usable, skipped = _usable(rows)
    classes, order, label_of = _classes(usable, names)
    seen: dict[str, Row] = {}
    parts: dict[str, str] = {}
    records: list[Record] = []
    for row in usable:
        key, image = _locate(row, base)
        first = seen.setdefault(key, row)
        if first is not row:
            skipped.append(Skipped(key, _same_again(first, row)))
            continue
        parts[key] = row.part or "train"
        records.append(Record(image, label_of[_class_key(row)], key, row.domain))
    readable, broken = verified(records)
    skipped += broken
    if strict and skipped:
        raise InterlaceError(f"{name}: {skipped[0].key}: {skipped[0].reason}")
    if not readable:
        first_reason = f" ({skipped[0].key}: {skipped[0].reason})" if skipped else ""
        raise InterlaceError(f"no readable image in {name}{first_reason}")
    if len(classes) == 1:
        raise InterlaceError(f"only one class in {name} ('{classes[0]}'): at least two are needed")
    pools: dict[str, list[Record]] = {}
    for record in readable:
        pools.setdefault(parts[record.key], []).append(record)
    if "test" not in pools and "val" in pools:
        pools["test"] = pools.pop("val")
    return Source(name, classes, pools, skipped=tuple(skipped), order=order)


def _usable(rows: Sequence[Row]) -> tuple[list[Row], list[Skipped]]:
    usable, skipped = [], []
    for row in rows:
        if not row.image:
            skipped.append(Skipped(row.where, "no image"))
        elif _class_key(row) in ("", "-1"):  # saved data sets number what has no label -1
            skipped.append(Skipped(row.where, "no label"))
        else:
            usable.append(row)
    return usable, skipped


def _class_key(row: Row) -> str:
    return row.name or _text(row.label)


def _classes(
    rows: Sequence[Row], names: Sequence[str] | None
) -> tuple[tuple[str, ...], ClassOrder, dict[str, int]]:
    """Gives the class names, their order, and the label of each class key.

    Where the labels are numbers they decide the order: they index `names` if the file has these,
    go with the class name beside them, or are the name themselves.
    """
    numbers: dict[str, int] = {}
    for row in rows:
        text = _text(row.label)
        if not text.isdecimal():
            numbers = {}
            break
        key, number = _class_key(row), int(text)
        if numbers.setdefault(key, number) != number:
            raise InterlaceError(
                f"{row.where}: class '{key}' has label {number}, and {numbers[key]} elsewhere"
            )
    if not numbers:
        keys = sorted({_class_key(row) for row in rows})
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


def _locate(row: Row, base: Path) -> tuple[str, Path | bytes]:
    """Gives the key and the image of a row.

    Bytes have no name that lasts: saved data sets often call every image the same. Their content
    is their key.
    """
    if isinstance(row.image, bytes):
        digest = hashlib.sha256(row.image).hexdigest()[:16]
        return f"{row.part}/{digest}" if row.part else digest, row.image
    written = Path(str(row.image))
    path = base / written
    inside = path.is_relative_to(base)
    return (path.relative_to(base) if inside else written).as_posix(), path


def _same_again(first: Row, row: Row) -> str:
    """Says that an image is listed twice.

    Raises:
        InterlaceError: It is a file with two labels or in two parts, so one of them is wrong.
    """
    same = _class_key(first) == _class_key(row)
    if isinstance(row.image, str) and (not same or first.part != row.part):
        what = "labels" if not same else "parts"
        raise InterlaceError(f"{row.where}: {row.image} has two {what}: see also {first.where}")
    return f"the same as {first.where}" + ("" if same else ", with another label")


def _image(cell: Any) -> str | bytes | None:
    if isinstance(cell, Mapping):
        content, path = cell.get("bytes"), cell.get("path")
        return content if content is not None else path
    return cell if isinstance(cell, bytes) else _text(cell)


def _text(cell: Any) -> str:
    """Gives a cell as text; columns with gaps may hold whole numbers, and the gaps, as floats."""
    if isinstance(cell, float):
        cell = None if math.isnan(cell) else int(cell) if cell.is_integer() else cell
    return "" if cell is None else str(cell).strip()


def _read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    text = _read_text(path)
    if not text.strip():
        raise InterlaceError(f"{path}: the file is empty")
    delimiter = max("\t,;", key=text.splitlines()[0].count)
    try:
        yield from csv.DictReader(io.StringIO(text, ""), delimiter=delimiter, skipinitialspace=True)
    except csv.Error as error:
        raise InterlaceError(f"{path}: cannot be read as CSV ({error})") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise InterlaceError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InterlaceError(f"{path}: not UTF-8 text") from None


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        if isinstance(error, InterlaceError):
            raise
        raise InterlaceError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise InterlaceError(f"{path}: expected a JSON object")
    return content


def _read_parquet(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InterlaceError(f"{path}: cannot be read as Parquet ({_first_line(error)})") from None
    return _wanted(table)


def _read_arrow(path: Path) -> "pa.Table":
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_stream(file).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InterlaceError(f"{path}: cannot be read as Arrow ({_first_line(error)})") from None
    return _wanted(table)


def _wanted(table: "pa.Table") -> "pa.Table":
    """Drops the columns that nobody reads, which may be large."""
    known = {name for names in COLUMNS.values() for name in names}
    wanted = [name for name in table.column_names if name.strip().lower().lstrip("_") in known]
    return table.select(wanted) if wanted else table


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _label_names(schema: "pa.Schema") -> Sequence[str] | None:
    """Gives the class names that Hugging Face `datasets` keeps beside the table, if there are."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        named = [features[name] for name in COLUMNS["label"] if name in features]
        return [str(name) for name in named[0]["names"]]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
