"""The embedded vector table of a gallery: LanceDB in a folder, or wherever LanceDB can reach.

Everything a gallery needs lies in two tables of one LanceDB database. ``photos`` has one row per
image, and the model that made the vectors stands in its schema. ``about`` has one row: where the
photos are, whether the last build finished, and what it skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from interlace._util.files import cannot_write, is_disk_full
from interlace._util.reading import as_path, parse_json
from interlace._util.text import first_line, printable
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.encoder import ModelId
from interlace.search.scan import Known

GALLERY_FORMAT = 1
PHOTOS = "photos"
ABOUT = "about"
_METADATA = b"interlace"
#: How far the squared length of a vector may be from 1.
_TOLERANCE = 1e-2
#: Older versions of the table are dropped after this time; a reader may still use one.
_KEEP = timedelta(minutes=1)


@dataclass(frozen=True)
class GalleryState:
    """What one build of a gallery leaves for the next.

    Attributes:
        photos: the folder its keys are relative to.
        complete: whether the last build reached its end.
        skipped: files that could not be used.
    """

    photos: str = ""
    complete: bool = False
    skipped: tuple[Skipped, ...] = ()


class PhotoTable:
    """The two tables of a gallery; a build writes to them, a query reads them.

    Args:
        where: folder, or an address that LanceDB takes, such as ``s3://bucket/gallery``.
        storage_options: what LanceDB takes under that name: keys, region, endpoint.
        replace: whether what is there is to be replaced, so that it may be damaged.

    Raises:
        InterlaceError: if LanceDB is not installed, or cannot open the place.
    """

    def __init__(
        self,
        where: Path | str,
        storage_options: Mapping[str, str] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        try:
            import lancedb
        except ImportError:
            raise InterlaceError(
                "lancedb is not installed: pip install lancedb, or interlace with [search]"
            ) from None
        self.where = str(where)
        self.local = None if "://" in self.where else as_path(where, "folder")
        self._options = None if storage_options is None else dict(storage_options)
        self._connect = lancedb.connect
        self._table = None if replace else self._open(PHOTOS)

    @cached_property
    def _db(self) -> Any:
        """The database, connected when it is needed: LanceDB makes its folder then."""
        with self.guarded("open"):
            # each read looks for the latest state, so that a build may go on beside a query
            return self._connect(
                self.where if self.local is None else self.local,
                read_consistency_interval=timedelta(0),
                storage_options=self._options,
            )

    @contextmanager
    def guarded(self, doing: str) -> Iterator[None]:
        """Turn whatever LanceDB or the storage raises into one line.

        Args:
            doing: what is done to the gallery, such as "read".

        Raises:
            InterlaceError: in the place of any other error.
        """
        try:
            yield
        except (InterlaceError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # LanceDB's panics are no Exception
            if is_disk_full(error):
                raise cannot_write(printable(self.where), error) from None
            reason = first_line(error)[:300]
            raise InterlaceError(
                f"cannot {doing} {printable(self.where)}: {reason} (if a file of it is damaged, "
                "build it again with overwrite)"
            ) from None

    @property
    def exists(self) -> bool:
        """Whether there is a table of photos."""
        return self._table is not None

    @property
    def table(self) -> Any:
        """The LanceDB table of photos.

        Raises:
            InterlaceError: if there is none.
        """
        if self._table is None:
            raise InterlaceError(
                f"{printable(self.where)} holds no gallery: make one with interlace search build"
            )
        return self._table

    @property
    def model(self) -> ModelId:
        """The model that made the vectors.

        Raises:
            InterlaceError: if the table does not say it, or says it in another format.
        """
        with self.guarded("read"):
            found = self.table.schema
        try:
            facts = parse_json((found.metadata or {}).get(_METADATA) or b"{}", "")
            if facts["format"] != GALLERY_FORMAT:
                raise KeyError("format")
            model = ModelId.from_dict(facts["model"])
        except (InterlaceError, ValueError, KeyError, TypeError):
            raise InterlaceError(
                f"{printable(self.where)} does not say which model made its vectors (format "
                f"{GALLERY_FORMAT} expected): build it again with overwrite"
            ) from None
        wanted = _schema(model.dim)
        for field in wanted:
            index = found.get_field_index(field.name)
            if index < 0 or found.field(index).type != field.type:
                raise InterlaceError(
                    f"{printable(self.where)}: its column {field.name!r} is "
                    f"{'missing' if index < 0 else found.field(index).type}, where {field.type} is "
                    "expected: build it again with overwrite"
                )
        return model

    def create(self, model: ModelId) -> None:
        """Make an empty table bound to ``model``; one that is there is replaced."""
        facts = json.dumps({"format": GALLERY_FORMAT, "model": model.to_dict()})
        empty = _schema(model.dim).with_metadata({_METADATA: facts}).empty_table()
        self._table = self._replace(PHOTOS, empty)

    def _replace(self, name: str, content: pa.Table) -> Any:
        """Replace a table, in one step if the present one can be read."""
        try:
            mode = "create" if self._open(name) is None else "overwrite"
        except InterlaceError:
            mode = "overwrite"
        with self.guarded("write to"):
            try:
                return self._db.create_table(name, content, mode=mode)
            except Exception as error:
                if mode == "create" or is_disk_full(error):
                    raise
                self._db.drop_table(name, ignore_missing=True)  # a damaged one is in the way
                return self._db.create_table(name, content)

    def about(self) -> GalleryState:
        """Return the state that the last build left; a gallery without one is not complete."""
        table = self._open(ABOUT)
        if table is None:
            return GalleryState()
        with self.guarded("read"):
            rows = table.search().limit(2).to_arrow().to_pylist()
        if len(rows) != 1:
            return GalleryState()
        where = f"{printable(self.where)}: its table 'about'"
        try:
            photos, complete, skipped = (
                rows[0][name] for name in ("photos", "complete", "skipped")
            )
            listed = parse_json(skipped, where)
            items = tuple(Skipped(str(key), str(reason)) for key, reason in listed)
            if not isinstance(photos, str) or not isinstance(complete, bool) or "\0" in photos:
                raise TypeError
        except (KeyError, TypeError, ValueError):
            raise InterlaceError(f"{where} is damaged: build it again with overwrite") from None
        return GalleryState(photos, complete, items)

    def set_about(self, about: GalleryState) -> None:
        """Replace the state, in one step."""
        row = pa.table(
            {
                "photos": [about.photos],
                "complete": [about.complete],
                "skipped": [json.dumps([[item.key, item.reason] for item in about.skipped])],
            }
        )
        self._replace(ABOUT, row)

    def count(self) -> int:
        """Return the number of images."""
        with self.guarded("read"):
            return int(self.table.count_rows())

    def version(self) -> int:
        """Return the number of the table's state; every change makes a new one."""
        with self.guarded("read"):
            return int(self.table.version)

    def known(self) -> dict[str, Known]:
        """Return size, time and hash of each file that has a row, by key.

        A key that has several rows, as two builds at once could leave, gets a negative size, so
        that its file is read again.
        """
        found = self._columns(["path", "size", "mtime", "hash"]).to_pydict()
        known: dict[str, Known] = {}
        for key, size, mtime, digest in zip(
            found["path"], found["size"], found["mtime"], found["hash"], strict=True
        ):
            known[key] = Known(-1 if key in known else size, mtime, digest)
        return known

    def add(self, rows: pa.Table) -> None:
        """Append rows, in one step."""
        with self.guarded("write to"):
            self.table.add(rows)

    def replace(self, rows: pa.Table) -> None:
        """Replace the rows with the same path, in one step."""
        with self.guarded("write to"):
            merge = self.table.merge_insert("path")
            merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the rows of files."""
        for start in range(0, len(keys), 500):
            with self.guarded("write to"):
                self.table.delete(_among("path", keys[start : start + 500]))

    def by_hash(self, hashes: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return vector and thumbnail of the images with these hashes."""
        columns = ["hash", "vector", "thumbnail"]
        with self.guarded("read"):
            rows = self.table.search().where(_among("hash", hashes)).select(columns).to_arrow()
        return {row.pop("hash"): row for row in rows.to_pylist()}

    def thumbnails(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return thumbnails by key."""
        with self.guarded("read"):
            rows = self.table.search().where(_among("path", keys)).select(["path", "thumbnail"])
            found = rows.limit(len(keys)).to_arrow().to_pydict()
        return dict(zip(found["path"], found["thumbnail"], strict=True))

    def vectors(self) -> tuple[list[str], list[str | None], np.ndarray]:
        """Return keys, labels and vectors [N, E] of all images."""
        found = self._columns(["path", "label", "vector"])
        column = found["vector"].combine_chunks()
        dim = found.schema.field("vector").type.list_size
        matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
        keys, labels = found["path"].to_pylist(), found["label"].to_pylist()
        # NaN compares as unequal; the lengths see what is not finite or not of length 1
        lengths = np.einsum("ne,ne->n", matrix, matrix)
        if len(matrix) != len(keys) or None in keys or not np.all(np.abs(lengths - 1) < _TOLERANCE):
            raise InterlaceError(
                f"{printable(self.where)}: its vectors are damaged: build it again with overwrite"
            )
        return keys, labels, matrix

    def compact(self) -> None:
        """Merge the small files of a build, add new rows to the index, drop old versions."""
        with self.guarded("write to"):
            self.table.optimize(cleanup_older_than=_KEEP)

    def sweep(self) -> None:
        """Remove files that LanceDB was writing when it was killed; call it under the lock."""
        if self.local is not None:
            for path in self.local.glob("*.lance/**/.tmp*"):
                with suppress(OSError):
                    path.unlink()

    def _columns(self, names: list[str]) -> pa.Table:
        with self.guarded("read"):
            return self.table.search().select(names).to_arrow()

    def _open(self, name: str) -> Any:
        if self.local is not None and not (self.local / f"{name}.lance").is_dir():
            return None
        with self.guarded("open"):
            try:
                return self._db.open_table(name)
            except (ValueError, FileNotFoundError):  # what LanceDB raises for a missing one
                return None


def rows(values: Iterable[Mapping[str, Any]], dim: int) -> pa.Table:
    """Make rows of the table of photos."""
    return pa.Table.from_pylist(list(values), schema=_schema(dim))


def _schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("hash", pa.string()),
            pa.field("label", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dim)),
            pa.field("thumbnail", pa.binary()),
            pa.field("size", pa.int64()),
            pa.field("mtime", pa.int64()),
        ]
    )


def _among(column: str, values: Sequence[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"
