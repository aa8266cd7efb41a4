"""Reads cells: one independent run each, as ``interlace bench`` writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlace.errors import InterlaceError

FORMAT = "interlace.cell/1"
CLEAN = "clean"
#: What a target holds beside its measures.
_NO_MEASURE = ("n", "n_queries", "n_gallery", "n_left_out", "details")


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """What was done to the data: its kind and how much of it."""

    kind: str = CLEAN
    severity: float = 0.0


@dataclass(frozen=True, slots=True, order=True)
class Setup:
    """What all methods of a comparison share; cells of two setups are never averaged.

    Attributes:
        model: The backbone, as it was asked for.
        fingerprint: Hash of its weights; empty where only failed cells are known.
        preset: As it was asked for.
        settings: Settings for all methods, as JSON.
        template: Prompt with {} for the class name; empty for the default.
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
        id: Hash of what was asked for.
        setup: What it shares with the cells it is compared to.
        protocol: Key of the protocol.
        data: Data set; the source where there are several.
        method: As it was asked for, with settings of its own if it has any.
        shots: Training images per class.
        seed: Of shots, initial values and augmentation.
        condition: What was done to the data.
        values: Measures by target, as fractions.
        split_hash: Hash of the shots; empty where the run failed.
        date: When it ended, in ISO form.
        done: Whether it succeeded.
        record: The whole cell.
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
        """Gives one of the record's objects, empty where it has none."""
        found = self.record.get(name)
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Found:
    """What reading files gave.

    Attributes:
        cells: Newest first among equal ids, which are left out.
        skipped: Files that hold no cell.
        replaced: Cells of which a newer one was found.
    """

    cells: tuple[Cell, ...]
    skipped: tuple[Path, ...]
    replaced: int


def read_cells(paths: Iterable[Path | str]) -> Found:
    """Reads every cell of files and folders; of cells with the same id the newest counts.

    A file holds one cell, or as `.jsonl` one in each line.

    Raises:
        InterlaceError: A path does not exist, or no cell is found.
    """
    places = [Path(path) for path in paths]
    newest: dict[str, Cell] = {}
    skipped: list[Path] = []
    n_cells = 0
    for file in _files(places):
        try:
            content = file.read_bytes()
            lines = content.splitlines() if file.suffix == ".jsonl" else [content]
            cells = [parse_cell(json.loads(line)) for line in lines]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            skipped.append(file)
            continue
        n_cells += len(cells)
        for cell in cells:
            if cell.id not in newest or newest[cell.id].date <= cell.date:
                newest[cell.id] = cell
    if not newest:
        where = ", ".join(map(str, places)) or "no path was given"
        other = f"; {len(skipped)} JSON files there are no cells" if skipped else ""
        raise InterlaceError(f"no cell of interlace bench found ({where}{other})")
    return Found(tuple(newest.values()), tuple(skipped), n_cells - len(newest))


def parse_cell(record: Any) -> Cell:
    """Checks a cell's record.

    Raises:
        ValueError: It is none; so do KeyError and TypeError.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError("no cell")
    spec, done = record["spec"], record["status"] == "done"
    if record["status"] not in ("done", "failed"):
        raise ValueError("unknown status")
    condition = spec.get("condition") or {}
    backbone = record.get("backbone") or {}
    return Cell(
        id=_text(record["id"]),
        setup=Setup(
            model=_text(spec["model"]),
            fingerprint=_text(backbone.get("fingerprint") or ""),
            preset=str(spec.get("preset") or "none"),
            settings=json.dumps(spec.get("settings") or {}, sort_keys=True),
            template=_text(spec.get("template") or ""),
        ),
        protocol=_text(spec["protocol"]),
        data=_text(spec["data"]),
        method=_text(spec["method"]),
        shots=int(spec["shots"]),
        seed=int(spec["seed"]),
        condition=Condition(str(condition.get("kind", CLEAN)), float(condition.get("severity", 0))),
        values=_values(record["metrics"]) if done else {},
        split_hash=_text(record.get("split_hash") or ""),
        date=_text(record.get("date") or ""),
        done=done,
        record=record,
    )


def _values(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    found = {
        target: {
            name: float(value)
            for name, value in measures.items()
            if name not in _NO_MEASURE and _is_number(value)
        }
        for target, measures in metrics.items()
        if measures
    }
    if not any(found.values()):
        raise ValueError("no measure")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _files(places: list[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise InterlaceError(
                f"no file or folder '{place}': expected what interlace bench wrote"
            )
        inside = sorted(place.rglob("*.json*")) if place.is_dir() else [place]
        kinds = (".json", ".jsonl") if place.is_dir() else (place.suffix,)
        found.update(
            {path.resolve(): None for path in inside if path.is_file() and path.suffix in kinds}
        )
    return list(found)
