"""Many images in units of work: a folder, Parquet tables, or WebDataset shards.

A unit is small enough to be done again after a kill, and says by itself where its images are, so
that any process that sees the same files can do it.
"""

from __future__ import annotations

import glob
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from interlace.data.records import Skipped
from interlace.data.tables import COLUMNS
from interlace.data.walk import EXTENSIONS
from interlace.errors import InterlaceError
from interlace.search.scan import label_of, list_photos, only_skipped

#: Images of a unit, where the source does not come in units.
UNIT = 2048
#: Columns that name a row, before the path of its image does.
KEYS = ("__key__", "key", "id", "image_id")


@dataclass(frozen=True, slots=True)
class Item:
    """One image to embed: its name, its label where that is known, and its bytes or its path."""

    key: str
    label: str | None
    image: bytes | Path | None

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            OSError: if it cannot be read, or there is none.
        """
        if self.image is None:
            raise OSError("no image")
        return self.image if isinstance(self.image, bytes) else self.image.read_bytes()


@dataclass(frozen=True)
class Files:
    """Some files of a folder."""

    root: Path
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def items(self) -> Iterator[Item]:
        """Go through them."""
        for key in self.keys:
            yield Item(key, label_of(key), self.root / key)


@dataclass(frozen=True)
class Rows:
    """Some rows of a Parquet table."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def items(self) -> Iterator[Item]:
        """Go through them; row groups that hold none of them are not read.

        Raises:
            InterlaceError: if the table has no column of images, or is damaged.
        """
        file = _open(self.path)
        image, key, label = (_column(file.schema_arrow, names) for names in _WANTED)
        if image is None:
            raise InterlaceError(
                f"{self.path}: no column for the image: it has "
                f"{', '.join(file.schema_arrow.names)}; expected one of "
                f"{', '.join(COLUMNS['image'])}"
            )
        names = _label_names(file.schema_arrow, label)
        wanted = [name for name in (image, key, label) if name is not None]
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if first < self.stop and first + count > self.start:
                at = first
                for batch in file.iter_batches(256, row_groups=[group], columns=wanted):
                    for line in batch.to_pylist():
                        if self.start <= at < self.stop:
                            yield self._item(at, line, image, key, label, names)
                        at += 1
            first += count

    def _item(
        self,
        row: int,
        line: Mapping[str, Any],
        image: str,
        key: str | None,
        label: str | None,
        names: Sequence[str],
    ) -> Item:
        cell = line[image]
        if isinstance(cell, Mapping):
            cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
        found = self.path.parent / cell if isinstance(cell, str) and cell else cell or None
        said = None if label is None else line[label]
        if isinstance(said, int) and 0 <= said < len(names):
            said = names[said]
        name = None if key is None else line[key]
        if name is None:
            name = cell if isinstance(cell, str) and cell else f"{self.path.name}:{row}"
        return Item(str(name), None if said is None else str(said), found)


@dataclass(frozen=True)
class Shard:
    """A WebDataset shard: a tar file in which files of one name make a sample."""

    path: Path

    def items(self) -> Iterator[Item]:
        """Go through its samples; the class of a sample is what its ``.cls`` file says.

        Raises:
            InterlaceError: if the shard is damaged.
        """
        key, parts = "", dict[str, bytes]()
        try:
            with tarfile.open(self.path, "r|*") as tar:
                for member in tar:
                    if not member.isfile():
                        continue
                    path = PurePosixPath(member.name)
                    stem, _, ending = path.name.partition(".")
                    name = str(path.parent / stem)
                    if name != key and parts:
                        yield _sample(key, parts)
                        parts = {}
                    key = name
                    reader = tar.extractfile(member)
                    if reader is not None:
                        parts[f".{ending.lower()}"] = reader.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InterlaceError(f"{self.path}: the shard cannot be read ({error})") from None
        if parts:
            yield _sample(key, parts)


Unit = Files | Rows | Shard


@dataclass(frozen=True)
class Source:
    """Units of work.

    Attributes:
        units: in the order of the output.
        skipped: what is known to be of no use.
        identity: changes where the images or their order do.
        total: number of images; None where only reading would tell.
    """

    units: tuple[Unit, ...]
    skipped: tuple[Skipped, ...]
    identity: str
    total: int | None


def find_source(source: Path | str, unit: int = UNIT) -> Source:
    """Look at a source without reading its images.

    Args:
        source: a folder of images, of ``.tar`` shards or of ``.parquet`` tables; one such file; or
            a pattern such as ``shards/*.tar``.
        unit: images of a unit of a folder or a table; a shard is a unit.

    Raises:
        InterlaceError: if there is nothing of that kind.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        for ending in (".tar", ".parquet"):
            found = sorted(p for p in path.iterdir() if p.suffix.lower() == ending)
            if found:
                return _of_files(found, unit)
        return _of_folder(path, unit)
    found = [path] if path.is_file() else [Path(name) for name in sorted(glob.glob(str(path)))]
    if not found:
        raise InterlaceError(f"no such file or folder: {source}")
    return _of_files(found, unit)


def _of_folder(root: Path, unit: int) -> Source:
    photos, skipped = list_photos(root)
    if not photos:
        raise only_skipped(root, skipped)
    keys = [photo.key for photo in photos]
    units = tuple(Files(root, tuple(keys[i : i + unit])) for i in range(0, len(keys), unit))
    identity = json.dumps([[photo.key, photo.size, photo.mtime] for photo in photos])
    return Source(units, tuple(skipped), identity, len(keys))


def _of_files(paths: Sequence[Path], unit: int) -> Source:
    endings = {path.suffix.lower() for path in paths}
    if len(endings) > 1 or not endings <= {".tar", ".parquet"}:
        raise InterlaceError(
            f"{paths[0]}: expected a folder of images, .parquet tables, or .tar shards"
        )
    states = [path.stat() for path in paths]
    identity = json.dumps(
        [[p.name, s.st_size, s.st_mtime_ns] for p, s in zip(paths, states, strict=True)]
    )
    if endings == {".tar"}:
        return Source(tuple(Shard(path) for path in paths), (), identity, None)
    counts = [_open(path).metadata.num_rows for path in paths]
    units = tuple(
        Rows(path, start, min(start + unit, count))
        for path, count in zip(paths, counts, strict=True)
        for start in range(0, count, unit)
    )
    if not units:
        raise InterlaceError(f"{paths[0]}: no rows")
    return Source(units, (), identity, sum(counts))


_WANTED = (COLUMNS["image"], KEYS, (*COLUMNS["class"], *COLUMNS["label"]))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InterlaceError(f"{path}: cannot be read as Parquet ({reason})") from None


def _column(schema: pa.Schema, names: Sequence[str]) -> str | None:
    own = {name.lower(): name for name in schema.names}
    return next((own[name] for name in names if name in own), None)


def _label_names(schema: pa.Schema, label: str | None) -> Sequence[str]:
    """The class names that Hugging Face ``datasets`` keeps beside a table, if there are."""
    try:
        facts = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in facts["info"]["features"][label]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()


def _sample(key: str, parts: Mapping[str, bytes]) -> Item:
    # "photo.left.jpg" has the key "photo" and the ending ".left.jpg"
    image = next((v for k, v in parts.items() if PurePosixPath(f"x{k}").suffix in EXTENSIONS), None)
    label = parts.get(".cls", b"").decode(errors="replace").strip()
    return Item(key, label or None, image)
