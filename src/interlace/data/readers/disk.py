"""Open images of your own, in whatever form they lie on disk."""

from dataclasses import replace
from pathlib import Path

from interlace._util.text import printable
from interlace.data.readers.archives import unpack
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.folder import read_photos
from interlace.data.readers.hub import (
    hub_files,
    is_saved_dataset,
    metadata_files,
    read_hub_folder,
    read_metadata_folder,
    read_saved_dataset,
)
from interlace.data.readers.table import read_table
from interlace.data.readers.table_files import TABLES
from interlace.data.source import Source
from interlace.errors import InterlaceError


def open_path(path: Path, strict: bool = False, columns: Columns = BY_NAME) -> Source:
    """Read a folder, a table, an archive, or a data set folder of Hugging Face.

    Args:
        path: What is there.
        strict: Whether a file that cannot be used is an error instead of being skipped.
        columns: Columns of tables that are named.

    Raises:
        InterlaceError: It is none of these, or cannot be read.
    """
    if path.suffix.lower() == ".zip" and path.is_file():
        return _open_archive(path, strict, columns)
    if path.suffix.lower() in TABLES and path.is_file():
        return read_table(path, strict, columns)
    if is_saved_dataset(path):
        return read_saved_dataset(path, strict, columns)
    if hub_files(path):
        return read_hub_folder(path, strict, columns)
    if metadata_files(path):
        return _open_described(path, strict, columns)
    if columns != BY_NAME and path.is_dir():
        raise InterlaceError(
            f"{printable(str(path))}: a folder of images has no columns: name them where the data "
            "is a table"
        )
    return read_photos(path, strict)


def _open_described(path: Path, strict: bool, columns: Columns) -> Source:
    """Read a folder with a metadata table; where this has no labels the folders are the classes.

    Raises:
        InterlaceError: As ``open_path``.
    """
    try:
        return read_metadata_folder(path, strict, columns)
    except InterlaceError as error:
        if "no column for the label" not in str(error) or columns.label is not None:
            raise
        source = read_photos(path, strict)
        table = next(iter(metadata_files(path))).name
        note = f"{table} has no column for the label: the folders are the classes"
        return replace(source, notes=(note, *source.notes))


def _open_archive(path: Path, strict: bool, columns: Columns) -> Source:
    """Read what is in a ZIP: a folder of images, a table with its images, a data set folder.

    Raises:
        InterlaceError: As ``open_path``; paths in the message begin with the archive's.
    """
    folder = unpack(path)
    try:
        inner = _only_folder(folder)
        tables = [own for own in sorted(inner.iterdir()) if own.suffix.lower() in TABLES]
        described = is_saved_dataset(inner) or hub_files(inner) or metadata_files(inner)
        table = len(tables) == 1 and not described
        source = open_path(tables[0] if table else inner, strict, columns)
    except InterlaceError as error:
        line = str(error).replace(str(folder), printable(str(path)))
        raise InterlaceError(line) from None
    return replace(source, name=path.stem)


def _only_folder(folder: Path) -> Path:
    """Descend where a folder holds one folder alone, and this one holds tables or several."""
    while True:
        own = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]
        if len(own) != 1 or not own[0].is_dir():
            return folder
        inside = [p for p in own[0].iterdir() if not p.name.startswith(".")]
        if not any(p.is_dir() or p.suffix.lower() in TABLES for p in inside):
            return folder
        folder = own[0]
