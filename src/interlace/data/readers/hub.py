"""Read folders as Hugging Face ``datasets`` and the hub lay them out, without the package."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlace._util.reading import read_json_object
from interlace._util.text import printable
from interlace.data.readers.columns import BY_NAME, Columns, TableRow, rows_of
from interlace.data.readers.table import source_of
from interlace.data.readers.table_files import lines_of, read_arrow, read_parquet
from interlace.data.source import Source, part_of, part_of_folder
from interlace.errors import InterlaceError

_SHARD = re.compile(r"(.+?)(?:-\d+-of-\d+(?:-[0-9a-f]+)?)?\.parquet")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def is_saved_dataset(path: Path) -> bool:
    """Say whether Hugging Face ``datasets`` saved a data set in this folder (``save_to_disk``)."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def read_saved_dataset(
    path: Path | str, strict: bool = False, columns: Columns = BY_NAME
) -> Source:
    """Read the images that Hugging Face ``datasets`` saved with ``save_to_disk``.

    The files are Arrow tables, so the package itself is not needed. Encoded images are held in
    memory.

    Args:
        path: Folder of a ``Dataset`` or of a ``DatasetDict``.
        strict: As in ``read_table``.
        columns: Columns that are named.

    Returns:
        The images; the parts are those of the ``DatasetDict``.

    Raises:
        InterlaceError: As ``read_table``, or a file that the folder names is not there, or lies
            outside of it.
    """
    path = Path(path)
    parts = {"": path}
    listing = path / "dataset_dict.json"
    if listing.is_file():
        found = read_json_object(listing).get("splits", [])
        if not isinstance(found, list) or not found:
            raise InterlaceError(f"{printable(str(listing))}: names no splits")
        parts = {_name(name, listing): path / _name(name, listing) for name in found}
    rows: list[TableRow] = []
    names: Sequence[str] | None = None
    notes: list[str] = []
    for part, folder in parts.items():
        lines: list[Mapping[str, Any]] = []
        for file in _data_files(folder / "state.json"):
            own, own_names = read_arrow(file, columns)
            names = _same_names(names, own_names, file)
            lines += own
        own_part = part_of(part, printable(str(path))) if part else None
        rows += rows_of(lines, folder, own_part, columns, notes)
    return source_of(path.resolve().name, path, rows, names, strict, notes)


def hub_files(path: Path) -> dict[Path, str]:
    """Find the Parquet files of a data set folder of the hub, with their part, or ``""``.

    They are ``data/train-00000-of-00001.parquet``, ``train.parquet``, or ``train/0000.parquet``.
    """
    for folder in (path / "data", path, path / "default"):
        files = _parquets(folder)
        named = {file: part_of_folder(_stem(file)) for file in files}
        if named and (all(named.values()) or len({_stem(file) for file in files}) == 1):
            return named
        inside = {
            file: part_of_folder(own.name)
            for own in _sub_folders(folder)
            if part_of_folder(own.name)
            for file in _parquets(own)
        }
        if inside:
            return inside
    return {}


def read_hub_folder(path: Path, strict: bool = False, columns: Columns = BY_NAME) -> Source:
    """Read a data set folder of the hub whose images are in Parquet files (``hub_files``).

    Raises:
        InterlaceError: As ``read_table``.
    """
    rows: list[TableRow] = []
    names: Sequence[str] | None = None
    notes: list[str] = []
    for file, part in hub_files(path).items():
        lines, own_names = read_parquet(file, columns)
        names = _same_names(names, own_names, file)
        rows += rows_of(lines, file, part or None, columns, notes)
    return source_of(path.resolve().name, path, rows, names, strict, notes)


def metadata_files(path: Path) -> dict[Path, str]:
    """Find the ``metadata.csv`` and the like of a folder of images, with their part, or ``""``."""
    for name in _METADATA:
        if (path / name).is_file():
            return {path / name: ""}
    folders = [own for own in _sub_folders(path) if part_of_folder(own.name)]
    return {
        own / name: part_of_folder(own.name)
        for own in folders
        for name in _METADATA
        if (own / name).is_file()
    }


def read_metadata_folder(path: Path, strict: bool = False, columns: Columns = BY_NAME) -> Source:
    """Read a folder of images that ``metadata`` tables in it describe.

    Raises:
        InterlaceError: As ``read_table``.
    """
    rows: list[TableRow] = []
    names: Sequence[str] | None = None
    notes: list[str] = []
    for file, part in metadata_files(path).items():
        lines, own_names = lines_of(file, columns)
        names = _same_names(names, own_names, file)
        own = rows_of(lines, file, part or None, columns, notes)
        rows += [_moved(row, file.parent.relative_to(path)) for row in own]
    return source_of(path.resolve().name, path, rows, names, strict, notes)


def _moved(row: TableRow, folder: Path) -> TableRow:
    """Make the path of an image relative to the folder above."""
    if not isinstance(row.image, str) or not row.image:
        return row
    return replace(row, image=(folder / row.image).as_posix())


def _data_files(state: Path) -> list[Path]:
    found = read_json_object(state).get("_data_files", [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InterlaceError(f"{printable(str(state))}: names no data files")
    return [state.parent / _name(item.get("filename"), state) for item in found]


def _name(value: Any, where: Path) -> str:
    """Check the name of a file or folder that stands in a file: it must lie beside it.

    Raises:
        InterlaceError: It is no plain name.
    """
    plain = isinstance(value, str) and value not in ("", ".", "..")
    if not plain or any(mark in value for mark in ("/", "\\", "\0")) or printable(value) != value:
        raise InterlaceError(
            f"{printable(str(where))}: {printable(repr(value))[:80]} is no name of a file beside it"
        )
    return str(value)


def _same_names(
    names: Sequence[str] | None, own: Sequence[str] | None, file: Path
) -> Sequence[str] | None:
    """Check that all files of a data set number the same classes.

    Raises:
        InterlaceError: They do not, so that one label would mean two classes.
    """
    if names is not None and own is not None and list(names) != list(own):
        raise InterlaceError(f"{printable(str(file))}: names other classes than the files before")
    return own if names is None else names


def _parquets(folder: Path) -> list[Path]:
    return sorted(own for own in folder.glob("*.parquet") if not own.name.startswith("."))


def _stem(file: Path) -> str:
    found = _SHARD.fullmatch(file.name)
    return found[1] if found else file.stem


def _sub_folders(folder: Path) -> list[Path]:
    try:
        return sorted(own for own in folder.iterdir() if own.is_dir())
    except OSError:
        return []
