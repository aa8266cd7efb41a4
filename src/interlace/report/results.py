"""A set of cells, what they amount to, and what a reader must be told about them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from interlace.errors import InterlaceError
from interlace.experiments.measures import measure_order, protocol_order
from interlace.experiments.reading import Cell, FoundCells, Setup, parse_cell, read_cells
from interlace.experiments.summaries import BASELINE, Summary, summarize


class Results:
    """Cells and their summaries against one baseline.

    Attributes:
        cells: all cells; methods that were run with several settings have them in their name.
        baseline: the method that others are compared to.
        skipped: files that hold no cell.
        damaged: files that claim to hold cells and do not, and what could not be read.
        replaced: how many cells were left out for a newer one.
        renamed: methods whose name now says their settings, which differ.
    """

    def __init__(self, found: FoundCells, baseline: str | None = None) -> None:
        """Take what was read.

        Raises:
            InterlaceError: the baseline that was asked for has no cell.
        """
        told_apart, self.renamed = _told_apart(_with_fingerprint(found.cells))
        self.cells, n_equal = _one_per_seed(told_apart)
        self.skipped, self.replaced = found.skipped, found.replaced + n_equal
        self.damaged = found.damaged
        self.baseline = baseline or BASELINE
        if baseline is not None and baseline not in self.methods:
            there = ", ".join(sorted(self.methods))
            raise InterlaceError(f"baseline '{baseline}' has no cell: there are {there}")

    @cached_property
    def setups(self) -> list[Setup]:
        """Backbones and common settings, those of most cells first; a comparison stays in one."""
        counts = Counter(cell.setup for cell in self.cells)
        return sorted(counts, key=lambda setup: (-counts[setup], setup))

    @cached_property
    def methods(self) -> list[str]:
        """All methods: the baseline first, the others by name."""
        names = {cell.method for cell in self.cells}
        return sorted(names, key=lambda name: (name != self.baseline, name))

    @cached_property
    def failed(self) -> list[Cell]:
        """Cells that ended in an error."""
        return sorted((c for c in self.cells if not c.done), key=_cell_order)

    @cached_property
    def done(self) -> list[Cell]:
        """Cells that succeeded."""
        return sorted((c for c in self.cells if c.done), key=_cell_order)

    @cached_property
    def _summaries(self) -> list[Summary]:
        return summarize(self.done, self.baseline)

    def summaries(
        self,
        measure: str | None = None,
        *,
        protocol: str | None = None,
        setup: Setup | None = None,
        averaged: bool | None = None,
    ) -> list[Summary]:
        """List summaries: one per panel, data set or average, method, target and measure.

        Args:
            measure: Only of this measure.
            protocol: Only of this protocol.
            setup: Only of this backbone with these common settings.
            averaged: Only the averages over data sets, or only those of one data set.
        """
        return [
            summary
            for summary in self._summaries
            if measure in (None, summary.measure)
            and protocol in (None, summary.panel.protocol)
            and setup in (None, summary.panel.setup)
            and averaged in (None, summary.averaged)
        ]

    def protocols(self, setup: Setup) -> list[str]:
        """Protocols of which a setup has finished cells."""
        found = {cell.protocol for cell in self.done if cell.setup == setup}
        return sorted(found, key=protocol_order)

    def measures(self, setup: Setup, protocol: str) -> list[str]:
        """Measures of a protocol; the first is the headline.

        Of measures that the report does not know by name, the order is that of the cells.
        """
        found = {s.measure for s in self.summaries(protocol=protocol, setup=setup)}
        cells = (cell for cell in self.done if (cell.setup, cell.protocol) == (setup, protocol))
        names = (name for cell in cells for own in cell.values.values() for name in own)
        return sorted((n for n in dict.fromkeys(names) if n in found), key=measure_order)

    def setup_label(self, setup: Setup) -> str:
        """Name a setup for people: the model, and what tells it from the other setups."""
        parts = [setup.model]
        others = [o for o in self.setups if o != setup and o.model == setup.model]
        if any(o.fingerprint != setup.fingerprint for o in others):
            parts.append(f"weights {setup.fingerprint[:8] or 'unknown'}")
        if setup.preset != "auto" or any(o.preset != setup.preset for o in others):
            parts.append(f"preset {setup.preset}")
        if setup.settings != "{}":
            parts.append(", ".join(f"{k}={v}" for k, v in json.loads(setup.settings).items()))
        if setup.template:
            parts.append(f"template “{setup.template}”")
        return ", ".join(parts)


def load_cells(paths: Iterable[Path | str] | Path | str, baseline: str | None = None) -> Results:
    """Read the cells of files and folders, which are searched for ``*.json`` at any depth.

    Args:
        paths: one or several.
        baseline: the method that others are compared to; ``zero_shot`` where it is not said.

    Raises:
        InterlaceError: a path does not exist, there is no cell, or none of the baseline.
    """
    places = [paths] if isinstance(paths, str | Path) else paths
    return Results(read_cells(places), baseline)


def results_of(records: Iterable[Mapping[str, Any]], baseline: str | None = None) -> Results:
    """Take the records of cells that are at hand.

    Args:
        records: as ``interlace.experiments.run_cell`` gives them.
        baseline: as for ``load_cells``.

    Raises:
        InterlaceError: one is no record of a cell.
    """
    return results_from(map(parse_cell, records), baseline)


def results_from(cells: Iterable[Cell], baseline: str | None = None) -> Results:
    """Take cells that are at hand; as :func:`load_cells`."""
    return Results(FoundCells(tuple(cells)), baseline)


def _cell_order(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.setup,
        protocol_order(cell.protocol),
        cell.data,
        cell.shots,
        cell.condition,
        cell.method,
        cell.seed,
    )


def _with_fingerprint(cells: Sequence[Cell]) -> list[Cell]:
    """Put failed cells, which know no fingerprint, into the setup that they were meant for."""
    known: dict[Setup, set[Setup]] = defaultdict(set)
    for cell in cells:
        if cell.setup.fingerprint:
            known[replace(cell.setup, fingerprint="")].add(cell.setup)
    return [
        replace(cell, setup=next(iter(known[cell.setup])))
        if not cell.setup.fingerprint and len(known[cell.setup]) == 1
        else cell
        for cell in cells
    ]


def _told_apart(cells: Sequence[Cell]) -> tuple[list[Cell], list[str]]:
    """Name a method's settings where cells that would be averaged differ in them."""
    groups: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.done:
            *group, _ = _cell_order(cell)
            groups[tuple(group)].append(cell)
    names: dict[str, str] = {}
    renamed = set()
    for own in groups.values():
        runs = {cell.id: _settings(cell) for cell in own}
        apart = sorted(
            name
            for name in set().union(*runs.values())
            if len({json.dumps(run.get(name), sort_keys=True) for run in runs.values()}) > 1
        )
        for cell in own if apart else ():
            said = ", ".join(f"{name}={runs[cell.id].get(name)}" for name in apart)
            names[cell.id] = f"{cell.method} ({said})"
            renamed.add(cell.method)
    return [replace(c, method=names.get(c.id, c.method)) for c in cells], sorted(renamed)


def _settings(cell: Cell) -> dict[str, Any]:
    """Return what a method was really run with.

    How a method would train that trains nothing does not count, nor what is about where it ran.
    """
    run = cell.part("run")
    train = dict(run.get("train") or {})
    if train.get("epochs") == 0:
        train = {}
    for name in ("workers", "shortcuts", "compile"):
        train.pop(name, None)
    return {**train, **(run.get("arguments") or {}), "preset": run.get("preset")}


def _one_per_seed(cells: Sequence[Cell]) -> tuple[list[Cell], int]:
    """Leave out older cells that differ from a newer one in nothing but their id."""
    newest: dict[tuple[Any, ...], Cell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.done, cell.date)):
        targets = tuple(sorted(map(str, cell.part("spec").get("targets") or ())))
        newest[(*_cell_order(cell), targets)] = cell
    return list(newest.values()), len(cells) - len(newest)
