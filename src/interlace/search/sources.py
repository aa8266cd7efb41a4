"""Many images in units of work: a folder, Parquet tables, or WebDataset shards.

A unit is small enough to be done again after a kill, and says by itself where its images are, so
that any process that sees the same files can do it.
"""

from __future__ import annotations

import glob
import json
import math
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from interlace._util.reading import IMAGE_BYTES, as_path, check_regular, open_regular, reason_of
from interlace._util.text import first_line, listed, printable
from interlace.data.records import Skipped
from interlace.data.tables import COLUMNS
from interlace.data.walk import EXTENSIONS, is_text
from interlace.errors import InterlaceError
from interlace.search.scan import label_of, list_photos, only_skipped, read_image

#: Images of a unit, where the source does not come in units.
UNIT = 2048
#: Rows of a table that are read at a time.
_ROWS = 32
#: Columns that name a row, before the path of its image does.
KEYS = ("__key__", "key", "id", "image_id")


@dataclass(frozen=True, slots=True)
class Item:
    """One image to embed: its name, its label where that is known, and its bytes or its path.

    Where there is neither, ``problem`` says why.
    """

    key: str
    label: str | None
    image: bytes | Path | None
    problem: str = "no image"

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            OSError: if it cannot be read, or there is none.
        """
        if self.image is None:
            raise OSError(self.problem)
        return self.image if isinstance(self.image, bytes) else read_image(self.image)


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
                f"{printable(str(self.path))}: no column for the image: it has "
                f"{listed(file.schema_arrow.names, 20)}; expected one of "
                f"{', '.join(COLUMNS['image'])}"
            )
        names = _label_names(file.schema_arrow, label)
        wanted = [name for name in (image, key, label) if name is not None]
        try:
            for row, line in self._lines(file, wanted):
                yield self._item(row, line, image, key, label, names)
        except InterlaceError:
            raise
        except Exception as error:  # whatever a damaged table is answered with
            shown = printable(str(self.path))
            raise InterlaceError(f"{shown}: the table is damaged ({first_line(error)})") from None

    def _lines(
        self, file: pq.ParquetFile, wanted: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows with their numbers, a few at a time: photos may have ten megabytes each."""
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
    ) -> Item:
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
        return Item(name, _name(said), found, problem)

    def _image(self, cell: Any) -> tuple[bytes | Path | None, str]:
        """The bytes or the path of a cell, or why there is neither."""
        if cell is None or cell in ("", b""):
            return None, "no image"
        if isinstance(cell, bytes):
            return cell, ""
        if not isinstance(cell, str):
            return None, f"{type(cell).__name__} in the place of an image"
        if "\0" in cell or not is_text(cell):
            return None, "not a name that a file can have"
        return self.path.parent / cell, ""


@dataclass(frozen=True)
class Shard:
    """A WebDataset shard: a tar file in which files of one name make a sample."""

    path: Path

    def items(self) -> Iterator[Item]:
        """Go through its samples; the class of a sample is what its ``.cls`` file says.

        Raises:
            InterlaceError: if the shard is damaged.
        """
        sample: _Sample | None = None
        try:
            with (
                open_regular(self.path, "shard") as file,
                tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar,
            ):
                most = max(IMAGE_BYTES, self.path.stat().st_size)
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                    if not member.isreg():
                        continue
                    if member.size > most:
                        raise InterlaceError(f"{member.name} expands to {member.size:,} bytes")
                    path = PurePosixPath(member.name)
                    # "photo.left.jpg" has the key "photo" and the ending ".left.jpg"
                    stem, _, ending = path.name.partition(".")
                    key = str(path.parent / stem)
                    if sample is not None and sample.key != key:
                        yield sample.item()
                        sample = None
                    sample = sample or _Sample(key)
                    sample.take(tar, member, ending.lower())
        except Exception as error:  # the decompressors have errors of their own
            shown = printable(str(self.path))
            reason = first_line(error).removeprefix(f"{shown}: ")
            raise InterlaceError(f"{shown}: the shard cannot be read ({reason})") from None
        if sample is not None:
            yield sample.item()


class _Member(tarfile.TarInfo):
    """A member of a shard, whose header must be whole and of a bounded size."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        """Read the next header; Python's own takes a damaged one for the end of the file."""
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a damaged header: {error}") from None

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        """Go on after the first block; names and attributes of a member may follow in blocks."""
        if self.type in _LONG_HEADERS and self.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


_HEADER_BYTES = 1 << 20
_LONG_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


@dataclass
class _Sample:
    """The files of one name: the first image among them, and its class."""

    key: str
    image: bytes | None = None
    label: str | None = None
    problem: str = "no image"

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, ending: str) -> None:
        """Read a member if it is of use; others may be of any size."""
        is_image = PurePosixPath(f"x.{ending}").suffix in EXTENSIONS and self.image is None
        if not is_image and ending != "cls":
            return
        if member.issparse() or member.size > (IMAGE_BYTES if is_image else _HEADER_BYTES):
            self.problem = f"{member.name}: {member.size:,} bytes, too large or sparse"
            return
        reader = tar.extractfile(member)
        content = b"" if reader is None else reader.read()
        if is_image:
            self.image = content
        else:
            self.label = content.decode(errors="replace").strip() or None

    def item(self) -> Item:
        """What is embedded of it; names that are no UTF-8 cannot be written to Parquet."""
        return Item(printable(self.key), self.label, self.image, self.problem)


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
            f"{printable(str(paths[0]))}: expected a folder of images, .parquet tables, or .tar "
            "shards"
        )
    states = [check_regular(path) for path in paths]
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
        raise InterlaceError(f"{printable(str(paths[0]))}: no rows")
    return Source(units, (), identity, sum(counts))


_WANTED = (COLUMNS["image"], KEYS, (*COLUMNS["class"], *COLUMNS["label"]))


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
    """A key or a label as text; 3.0 is 3, and lists, mappings and what is missing name nothing."""
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
    """The class names that Hugging Face ``datasets`` keeps beside a table, if there are."""
    try:
        facts = json.loads((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in facts["info"]["features"][label]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()
