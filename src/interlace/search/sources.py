"""Many images in units of work: a folder, Parquet tables, or WebDataset shards.

A unit is small enough to be repeated after a kill, and holds the places of its images, so that any
process that sees the same files can do it.
"""

from __future__ import annotations

import glob
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from interlace._util.reading import as_path, check_regular, reason_of
from interlace._util.text import first_line, listed, printable
from interlace.data.readers.columns import COLUMN_OPTIONS
from interlace.data.readers.walk import is_text
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.scan import label_of, list_photos, only_skipped
from interlace.search.shards import Shard, ShardItem

__all__ = ["UNIT", "EmbedSource", "Shard", "ShardItem", "Unit", "find_source"]

#: Images of a unit, where the source does not come in units.
UNIT = 2048
#: Rows of a table that are read at a time.
_ROWS = 32
#: Columns that name a row, before the path of its image does.
KEYS = ("__key__", "key", "id", "image_id")


@dataclass(frozen=True)
class FileSource:
    """Some files of a folder."""

    root: Path
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def items(self) -> Iterator[ShardItem]:
        """Go through them."""
        for key in self.keys:
            yield ShardItem(key, label_of(key), self.root / key)


@dataclass(frozen=True)
class RowSource:
    """Some rows of a Parquet table."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def items(self) -> Iterator[ShardItem]:
        """Go through them; row groups that hold none of them are not read.

        Raises:
            InterlaceError: if the table has no column of images, or is damaged.
        """
        file = _open(self.path)
        image, key, label = (_column(file.schema_arrow, names) for names in _WANTED)
        if image is None:
            raise InterlaceError(
                f"{printable(str(self.path))}: no column for the image: it has "
                f"{listed(file.schema_arrow.names, 20)}; expected one of "
                f"{', '.join(COLUMN_OPTIONS['image'])}"
            )
        names = _label_names(file.schema_arrow, label)
        wanted = [name for name in (image, key, label) if name is not None]
        try:
            for row, line in self._lines(file, wanted):
                yield self._item(row, line, image, key, label, names)
        except InterlaceError:
            raise
        except Exception as error:  # whatever pyarrow raises for a damaged table
            shown = printable(str(self.path))
            raise InterlaceError(f"{shown}: the table is damaged ({first_line(error)})") from None

    def _lines(
        self, file: pq.ParquetFile, wanted: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Go through rows with their numbers, a few at a time: a photo may have ten megabytes."""
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if first < self.stop and first + count > self.start:
                at = first
                for batch in file.iter_batches(_ROWS, row_groups=[group], columns=wanted):
                    if at < self.stop and at + len(batch) > self.start:
                        for row, line in enumerate(batch.to_pylist(), at):
                            if self.start <= row < self.stop:
                                yield row, line
                    at += len(batch)
            first += count

    def _item(
        self,
        row: int,
        line: Mapping[str, Any],
        image: str,
        key: str | None,
        label: str | None,
        names: Sequence[str],
    ) -> ShardItem:
        cell = line[image]
        if isinstance(cell, Mapping):
            cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        name = _name(None if key is None else line[key])
        if name is None:
            name = cell if isinstance(cell, str) and cell else f"{self.path.name}:{row}"
        said = None if label is None else line[label]
        if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < len(names):
            said = names[said]
        found, problem = self._image(cell)
        return ShardItem(name, _name(said), found, problem)

    def _image(self, cell: Any) -> tuple[bytes | Path | None, str]:
        """Return the bytes or the path of a cell, or why there is neither."""
        if cell is None or cell in ("", b""):
            return None, "no image"
        if isinstance(cell, bytes):
            return cell, ""
        if not isinstance(cell, str):
            return None, f"{type(cell).__name__} in the place of an image"
        if "\0" in cell or not is_text(cell):
            return None, "not a name that a file can have"
        return self.path.parent / cell, ""


Unit = FileSource | RowSource | Shard


@dataclass(frozen=True)
class EmbedSource:
    """Units of work.

    Attributes:
        units: in the order of the output.
        skipped: what is known to be unusable.
        identity: changes where the images or their order do.
        total: number of images; None where only reading would tell.
    """

    units: tuple[Unit, ...]
    skipped: tuple[Skipped, ...]
    identity: str
    total: int | None


def find_source(source: Path | str, unit: int = UNIT) -> EmbedSource:
    """Look at a source without reading its images.

    Args:
        source: a folder of images, of ``.tar`` shards or of ``.parquet`` tables; one such file; or
            a pattern such as ``shards/*.tar``.
        unit: images of a unit of a folder or a table; a shard is a unit.

    Raises:
        InterlaceError: if there is nothing of that kind.
    """
    path = as_path(source, "source")
    if path.is_dir():
        for ending in (".tar", ".parquet"):
            found = sorted(
                p for p in _entries(path) if p.suffix.lower() == ending and p.name[0] != "."
            )
            if found:
                return _of_files(found, unit)
        return _of_folder(path, unit)
    there = path.is_file() or path.exists()
    found = [path] if there else [Path(name) for name in sorted(glob.glob(str(path)))]
    if not found:
        raise InterlaceError(f"no such file or folder: {printable(str(source))}")
    return _of_files(found, unit)


def _of_folder(root: Path, unit: int) -> EmbedSource:
    photos, skipped = list_photos(root)
    if not photos:
        raise only_skipped(root, skipped)
    keys = [photo.key for photo in photos]
    units = tuple(FileSource(root, tuple(keys[i : i + unit])) for i in range(0, len(keys), unit))
    identity = json.dumps([[photo.key, photo.size, photo.mtime] for photo in photos])
    return EmbedSource(units, tuple(skipped), identity, len(keys))


def _of_files(paths: Sequence[Path], unit: int) -> EmbedSource:
    endings = {path.suffix.lower() for path in paths}
    if len(endings) > 1 or not endings <= {".tar", ".parquet"}:
        raise InterlaceError(
            f"{printable(str(paths[0]))}: expected a folder of images, .parquet tables, or .tar "
            "shards"
        )
    states = [check_regular(path) for path in paths]
    identity = json.dumps(
        [[p.name, s.st_size, s.st_mtime_ns] for p, s in zip(paths, states, strict=True)]
    )
    if endings == {".tar"}:
        return EmbedSource(tuple(Shard(path) for path in paths), (), identity, None)
    counts = [_open(path).metadata.num_rows for path in paths]
    units = tuple(
        RowSource(path, start, min(start + unit, count))
        for path, count in zip(paths, counts, strict=True)
        for start in range(0, count, unit)
    )
    if not units:
        raise InterlaceError(f"{printable(str(paths[0]))}: no rows")
    return EmbedSource(units, (), identity, sum(counts))


_WANTED = (COLUMN_OPTIONS["image"], KEYS, (*COLUMN_OPTIONS["class"], *COLUMN_OPTIONS["label"]))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InterlaceError(f"{printable(str(folder))}: {reason_of(error)}") from None


def _open(path: Path) -> pq.ParquetFile:
    check_regular(path)
    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InterlaceError(
            f"{printable(str(path))}: cannot be read as Parquet ({first_line(error)})"
        ) from None


def _name(value: Any) -> str | None:
    """Return a key or a label as text; None for lists, mappings and what is missing.

    3.0 is read as 3.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() else value
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return None if value is None or isinstance(value, list | dict | tuple) else str(value)


def _column(schema: pa.Schema, names: Sequence[str]) -> str | None:
    own = {name.lower(): name for name in schema.names}
    return next((own[name] for name in names if name in own), None)


def _label_names(schema: pa.Schema, label: str | None) -> Sequence[str]:
    """Return the class names that Hugging Face ``datasets`` stores in a table, if any."""
    try:
        facts = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in facts["info"]["features"][label]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()
