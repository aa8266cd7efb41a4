"""Cells that have run: what their records hold, read from files and folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlace._util.reading import parse_json, read_regular
from interlace._util.text import printable
from interlace.data.readers.walk import walk
from interlace.data.records import Skipped
from interlace.errors import InterlaceError
from interlace.experiments.record import CELL_FORMAT, NO_MEASURE, check_record, clean
from interlace.protocols.condition import CLEAN, Condition

#: Bytes that a file of cells may have; a cell of a thousand classes has some three million.
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, order=True)
class Setup:
    """What all methods of a comparison share: cells of two setups are never averaged.

    Attributes:
        model: the backbone, as it was asked for.
        fingerprint: hash of its weights; empty where only failed cells are known.
        preset: as it was asked for.
        settings: settings for all methods, as JSON.
        template: prompt with {} for the class name; empty for the default.
    """

    model: str
    fingerprint: str
    preset: str
    settings: str
    template: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of one method on the shots of one seed.

    Attributes:
        id: hash of what was asked for.
        setup: what it shares with the cells it is compared to.
        protocol: key of the protocol.
        data: data set; the source where there are several.
        method: as it was asked for, with settings of its own if it has any.
        shots: training images per class.
        seed: of shots, initial values and augmentation.
        condition: what was done to the data.
        values: measures by target, as fractions.
        split_hash: hash of the shots; empty where the run failed.
        date: when it ended, in ISO form.
        done: whether it succeeded.
        record: the whole cell.
    """

    id: str
    setup: Setup
    protocol: str
    data: str
    method: str
    shots: int
    seed: int
    condition: Condition
    values: Mapping[str, Mapping[str, float]]
    split_hash: str
    date: str
    done: bool
    record: Mapping[str, Any] = field(repr=False, compare=False)

    def part(self, name: str) -> Mapping[str, Any]:
        """Return one of the record's objects, empty where it has none."""
        found = self.record.get(name)
        return found if isinstance(found, Mapping) else {}

    def costs(self) -> dict[str, float]:
        """Return what it cost, as far as that is known: parameters, seconds, peak memory."""
        named = {name: self.record.get(name) for name in ("parameters", "peak_memory")}
        costs = {**named, **self.part("seconds")}
        return {name: float(value) for name, value in costs.items() if _is_number(value)}


@dataclass(frozen=True, slots=True)
class FoundCells:
    """What reading files gave.

    Attributes:
        cells: newest first among equal ids, which are left out.
        skipped: files that hold no cell.
        damaged: files that claim to hold cells and do not, and what could not be read.
        replaced: cells of which a newer one was found.
    """

    cells: tuple[Cell, ...]
    skipped: tuple[Path, ...] = ()
    replaced: int = 0
    damaged: tuple[Skipped, ...] = ()


def read_cells(paths: Iterable[Path | str]) -> FoundCells:
    """Read every cell of files and folders; of cells with the same id the newest counts.

    A file holds one cell, or as ``.jsonl`` one in each line.

    Raises:
        InterlaceError: a path does not exist, or no cell is found.
    """
    places = [Path(path) for path in paths]
    newest: dict[str, Cell] = {}
    skipped: list[Path] = []
    n_cells = 0
    files, damaged = _files(places)
    for file in files:
        content = b""
        try:
            content = read_regular(file, "file of cells", _MOST_BYTES)
            lines = content.splitlines() if file.suffix == ".jsonl" else [content]
            cells = [parse_cell(parse_json(line, "")) for line in lines]
        except InterlaceError as error:
            if not content or CELL_FORMAT.encode() in content:
                reason = str(error).removeprefix(f"{printable(str(file))}: ").removeprefix(": ")
                damaged.append(Skipped(printable(str(file)), reason))
            else:
                skipped.append(file)
            continue
        n_cells += len(cells)
        for cell in cells:
            if cell.id not in newest or newest[cell.id].date <= cell.date:
                newest[cell.id] = cell
    if not newest:
        where = printable(", ".join(map(str, places)) or "no path was given")
        other = f"; {len(skipped)} JSON files there are no cells" if skipped else ""
        if damaged:
            other += f"; {damaged[0].key}: {damaged[0].reason}"
        raise InterlaceError(f"no cell of interlace bench found ({where}{other})")
    return FoundCells(tuple(newest.values()), tuple(skipped), n_cells - len(newest), tuple(damaged))


def parse_cell(record: Any) -> Cell:
    """Check a cell's record; its texts come without control characters, whatever it says.

    Raises:
        InterlaceError: it is none.
    """
    record = clean(check_record(record))
    spec, done = record["spec"], record["status"] == "done"
    condition = spec.get("condition") or {}
    backbone = record.get("backbone") or {}
    return Cell(
        id=record["id"],
        setup=Setup(
            model=spec["model"],
            fingerprint=backbone.get("fingerprint") or "",
            preset=spec.get("preset") or "none",
            settings=json.dumps(spec.get("settings") or {}, sort_keys=True),
            template=spec.get("template") or "",
        ),
        protocol=spec["protocol"],
        data=spec["data"],
        method=spec["method"],
        shots=spec["shots"],
        seed=spec["seed"],
        condition=Condition(condition.get("kind", CLEAN.kind), float(condition.get("severity", 0))),
        values=_values(record["metrics"]) if done else {},
        split_hash=record.get("split_hash") or "",
        date=record.get("date") or "",
        done=done,
        record=record,
    )


def _values(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    found = {
        target: {
            name: float(value)
            for name, value in measures.items()
            if name not in NO_MEASURE and _is_number(value)
        }
        for target, measures in metrics.items()
        if measures
    }
    if not any(found.values()):
        raise InterlaceError("no measure")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _files(places: list[Path]) -> tuple[list[Path], list[Skipped]]:
    """List the files that may hold cells, and what looks like such and cannot be read."""
    found: dict[Path, None] = {}
    left: list[Skipped] = []
    for place in places:
        inside = [place]
        try:
            if not place.exists():
                raise FileNotFoundError
            if place.is_dir():
                walked = walk(place)
                inside = [p for p in walked.others if p.suffix in (".json", ".jsonl")]
                left += [Skipped(f"{place}/{item.key}", item.reason) for item in walked.skipped]
        except (OSError, ValueError):
            raise InterlaceError(
                f"no file or folder '{printable(str(place))}': expected what interlace bench wrote"
            ) from None
        found.update({path.resolve(): None for path in inside})
    return list(found), left
