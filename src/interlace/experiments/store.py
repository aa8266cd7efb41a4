"""Where the records of cells are kept: one JSON file each, whole or not there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from interlace._util.files import write_json
from interlace._util.reading import read_json
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec
from interlace.experiments.record import check_record
from interlace.protocols.condition import CLEAN


class Store:
    """A folder of records.

    Args:
        folder: made when the first record is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def path(self, spec: CellSpec) -> Path:
        """Return where the record of a cell is: a name for people, and the cell's hash."""
        parts = [_slug(spec.method), f"{spec.shots}-shots", f"seed-{spec.seed}"]
        if spec.condition != CLEAN:
            parts.append(_slug(str(spec.condition)))
        name = "_".join([*parts, spec.id])
        return self.folder / spec.protocol / _slug(spec.data) / f"{name}.json"

    def read(self, spec: CellSpec) -> dict[str, Any] | None:
        """Return the record of a cell; None where there is none or it is damaged."""
        try:
            record = check_record(read_json(self.path(spec)))
            own = record["id"] == spec.id and CellSpec.from_dict(record["spec"]) == spec
        except (InterlaceError, KeyError, TypeError):
            return None
        return dict(record) if own else None

    def is_done(self, spec: CellSpec) -> bool:
        """Say whether a cell has run to its end; one that failed has not."""
        record = self.read(spec)
        return record is not None and record.get("status") == "done"

    def write(self, record: Mapping[str, Any]) -> Path:
        """Write a record in one step: a reader finds all of it or nothing.

        Raises:
            InterlaceError: if it cannot be written, as where the disk is full.
        """
        path = self.path(CellSpec.from_dict(record["spec"]))
        write_json(path, record)
        return path

    def records(self, specs: Sequence[CellSpec]) -> Iterator[dict[str, Any]]:
        """Return the records of those cells that have one."""
        for spec in specs:
            record = self.read(spec)
            if record is not None:
                yield record


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+=-]+", "-", text).strip("-.")[-80:] or "data"
