"""The part files of an embedding: written one by one, kept after a kill, joined at the end."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from interlace._util.files import cannot_write, write_json, written_whole
from interlace._util.reading import parse_json, read_json
from interlace._util.text import first_line, printable
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.search.encoder import ModelId

METADATA = b"interlace"
PARTS_FORMAT = 1
_NOTE = "run.json"


@dataclass(frozen=True)
class EmbedReport:
    """What an embedding did.

    Attributes:
        output: the file.
        count: vectors in it.
        resumed: units that an earlier run had finished.
        skipped: images that could not be used.
        model: what made the vectors.
    """

    output: Path
    count: int
    resumed: int
    skipped: tuple[Skipped, ...]
    model: ModelId


def schema(dim: int) -> pa.Schema:
    """Return the columns of the output and of its parts."""
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("label", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), dim)),
        ]
    )


def parts_of(output: Path) -> Path:
    """Return the folder beside an output that keeps its parts until they are joined."""
    return output.with_name(output.name + ".parts").absolute()


def is_there(output: Path) -> InterlaceError:
    """Make the error for an output that is there already."""
    return InterlaceError(
        f"{printable(str(output))} is there already; overwrite (--overwrite) replaces it"
    )


class VectorParts:
    """The part files of an output.

    Args:
        output: the file they are joined to.
        count: number of units.
        model: what makes the vectors.
        identity: of the run: its source, model and settings.
    """

    def __init__(self, output: Path, count: int, model: ModelId, identity: str) -> None:
        self._output, self._count, self._model = output, count, model
        self._identity, self._folder = identity, parts_of(output)

    def begin(self, overwrite: bool) -> list[int]:
        """Make the folder, or take over that of an interrupted run.

        Returns:
            Numbers of the parts that are complete.

        Raises:
            InterlaceError: if it is of another source, model or setting and ``overwrite`` is off,
                or cannot be written.
        """
        if self._is_ours():
            return [number for number in range(self._count) if self._is_whole(number)]
        if self._folder.is_dir():
            # without a part in it, a kill came before the note could be written
            if self._named() - {_NOTE} and not overwrite:
                raise InterlaceError(
                    f"{printable(str(self._folder))} holds parts of another run (its source, model "
                    "or batch size differ): use overwrite, or another output"
                )
            self._remove()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from None
        write_json(self._folder / _NOTE, {"format": PARTS_FORMAT, "run": self._identity})
        return []

    def count(self, number: int) -> int:
        """Count the images that went into a part, skipped ones too."""
        metadata = pq.read_metadata(self._path(number))
        return int(metadata.num_rows) + len(_skipped(metadata.metadata))

    def skipped(self, numbers: Collection[int]) -> list[Skipped]:
        """Return the images that parts had to leave out."""
        return [
            item
            for number in numbers
            for item in _skipped(pq.read_schema(self._path(number)).metadata)
        ]

    def write(self, number: int, table: pa.Table, skipped: Sequence[Skipped]) -> int:
        """Write a part in one step; returns how many images went into it."""
        note = json.dumps([[item.key, item.reason] for item in skipped])
        noted = table.replace_schema_metadata({b"skipped": note.encode()})
        with written_whole(self._path(number)) as temporary:
            pq.write_table(noted, temporary, write_page_checksum=True)
        return len(table) + len(skipped)

    def join(self, source: str, skipped: Sequence[Skipped], resumed: int) -> EmbedReport:
        """Join all parts to the output, in one step, and remove them.

        Args:
            source: what was embedded.
            skipped: what was left out before there were parts.
            resumed: units that an earlier run had finished.

        Raises:
            InterlaceError: if a part is damaged, or the output cannot be written.
        """
        skipped = [*skipped, *self.skipped(range(self._count))]
        facts = {
            "format": PARTS_FORMAT,
            "model": self._model.to_dict(),
            "source": printable(source),
            "run": self._identity,
            "skipped": [[item.key, item.reason] for item in skipped],
        }
        joined = schema(self._model.dim).with_metadata({METADATA: json.dumps(facts).encode()})
        count = 0
        with written_whole(self._output) as temporary, pq.ParquetWriter(temporary, joined) as file:
            for number in range(self._count):
                part = self._read(number)
                count += len(part)
                file.write_table(part.cast(joined))
        self._remove()
        return EmbedReport(self._output, count, resumed, tuple(skipped), self._model)

    def finish(self) -> EmbedReport:
        """Clean up after a run that was killed once its output was written.

        Raises:
            InterlaceError: if the output that is there is not of this run.
        """
        try:
            written = pq.read_schema(self._output).metadata or {}
            facts = parse_json(written.get(METADATA, b"{}"), str(self._output))
            same = facts["run"] == self._identity and (self._is_ours() or not self._named())
            count = pq.read_metadata(self._output).num_rows
            found = [Skipped(str(key), str(reason)) for key, reason in facts["skipped"]]
        except (OSError, ValueError, TypeError, KeyError, InterlaceError):
            same, count, found = False, 0, []
        if not same:
            raise is_there(self._output)
        self._remove()
        return EmbedReport(self._output, count, self._count, tuple(found), self._model)

    def _is_ours(self) -> bool:
        try:
            note = read_json(self._folder / _NOTE)
        except InterlaceError:
            return False
        return bool(note == {"format": PARTS_FORMAT, "run": self._identity})

    def _is_whole(self, number: int) -> bool:
        """Say whether a part can be read to its end; a damaged one is made again."""
        try:
            self._read(number)
        except InterlaceError:
            return False
        return True

    def _read(self, number: int) -> pa.Table:
        path = self._path(number)
        try:
            part = pq.read_table(path, page_checksum_verification=True)
            _skipped(part.schema.metadata)
            same = part.schema.remove_metadata().equals(schema(self._model.dim))
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
            reason = first_line(error)
            raise InterlaceError(
                f"{printable(str(path))} is damaged ({reason}): run the same command again"
            ) from None
        if not same:
            raise InterlaceError(f"{printable(str(path))} is no part of this run: use overwrite")
        return part

    def _contents(self) -> list[Path]:
        return list(self._folder.iterdir())

    def _named(self) -> set[str]:
        """Return the names in the folder, without files that were never finished."""
        return {path.name for path in self._contents() if not path.name.startswith(".")}

    def _remove(self) -> None:
        """Remove our files, the note last, and the folder if nothing else is in it."""
        ours = [p for p in self._contents() if p.name.startswith(("part-", ".part-", f".{_NOTE}."))]
        try:
            for path in [*sorted(ours), self._folder / _NOTE]:
                path.unlink(missing_ok=True)
            if not self._contents():
                self._folder.rmdir()
        except OSError as error:
            raise cannot_write(self._folder, error) from None

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.parquet"


def _skipped(metadata: dict[bytes, bytes] | None) -> list[Skipped]:
    listed = json.loads((metadata or {})[b"skipped"])
    return [Skipped(str(key), str(reason)) for key, reason in listed]
