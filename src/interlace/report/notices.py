"""What a reader must be told about cells before believing their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from interlace.experiments.measures import protocol_label
from interlace.experiments.reading import Cell
from interlace.report.results import Results

FEW_SEEDS = 5
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the reader.

    Attributes:
        kind: What it is about, in one word.
        text: The line.
        serious: Whether it limits what the numbers say, rather than how they came to be.
    """

    kind: str
    text: str
    serious: bool = True


def notices(results: Results) -> list[Notice]:
    """List them, the serious ones first."""
    found = [
        *_failures(results),
        *_missing(results),
        *_seeds(results),
        *_pairs(results),
        *_setups(results),
        *_origins(results),
        *_files(results),
    ]
    return sorted(found, key=lambda notice: not notice.serious)


def _failures(results: Results) -> Iterable[Notice]:
    if results.failed:
        names = _named({cell.method for cell in results.failed})
        text = f"{_count(len(results.failed), 'cell')} failed, of {names}: see the failed cells."
        yield Notice("failed", text)


def _missing(results: Results) -> Iterable[Notice]:
    """Return grid of a protocol is every method on every data set, condition, shots and seed."""
    grids: dict[Any, list[Cell]] = defaultdict(list)
    for cell in results.cells:
        grids[cell.setup, cell.protocol].append(cell)
    for (setup, protocol), cells in grids.items():
        methods = {cell.part("spec")["method"] for cell in cells}
        tasks = {(cell.data, cell.shots, cell.condition) for cell in cells}
        seeds = {cell.seed for cell in cells}
        there = {
            (str(c.part("spec")["method"]), (c.data, c.shots, c.condition), c.seed) for c in cells
        }
        missing = [item for item in product(methods, tasks, seeds) if item not in there]
        if missing:
            where = protocol_label(protocol)
            if len(results.setups) > 1:
                where += f" on {results.setup_label(setup)}"
            total = len(methods) * len(tasks) * len(seeds)
            names = _named({method for method, _, _ in missing})
            verb = "is" if len(missing) == 1 else "are"
            yield Notice(
                "missing",
                f"{where}: {len(missing):,} of {_count(total, 'cell')} of the grid {verb} missing, "
                f"of {names}. Numbers marked † rest on fewer runs or data sets than others.",
            )


def _seeds(results: Results) -> Iterable[Notice]:
    few = sorted({len(s.seeds) for s in results.summaries() if len(s.seeds) < FEW_SEEDS})
    if few:
        counts = " or ".join(map(str, few))
        rest = "The intervals are wide and rough; a single seed has none."
        yield Notice("seeds", f"Some means rest on fewer than five seeds ({counts}). {rest}")


def _pairs(results: Results) -> Iterable[Notice]:
    others = [s for s in results.summaries() if s.method != results.baseline]
    alone = {s.method for s in others if s.comparison is None}
    unpaired = {s.method for s in others if s.comparison and s.comparison.unpaired}
    if (
        others
        and len(alone) == len({s.method for s in others})
        and not any(s.comparison for s in others)
    ):
        text = f"No method shares shots with a run of {results.baseline}: nothing is compared."
        yield Notice("pairs", text)
    elif alone or unpaired:
        yield Notice(
            "pairs",
            f"Pairs with {results.baseline} on identical shots are missing for "
            f"{_named(alone | unpaired)}: those runs count in means, not in differences.",
        )


def _setups(results: Results) -> Iterable[Notice]:
    if len(results.setups) > 1:
        names = "; ".join(results.setup_label(setup) for setup in results.setups)
        yield Notice("setups", f"{len(results.setups)} setups are kept apart: {names}.")
    if results.renamed:
        yield Notice(
            "settings",
            f"Cells of {_named(results.renamed)} were run with different settings. They are not "
            "averaged: the name says what differs.",
        )


def _origins(results: Results) -> Iterable[Notice]:
    changed = [cell for cell in results.done if cell.record.get("uncommitted_changes")]
    if changed:
        cells = _count(len(changed), "cell")
        yield Notice("changes", f"{cells} ran with uncommitted changes in the code.")
    commits = {
        str(cell.record["commit"])[:10] for cell in results.done if cell.record.get("commit")
    }
    if len(commits) > 1:
        yield Notice("commits", f"The cells come from {len(commits)} commits: {_named(commits)}.")
    for package in ("interlace", "torch"):
        found = {str(cell.part("versions").get(package)) for cell in results.done} - {"None"}
        if len(found) > 1:
            yield Notice("versions", f"Several versions of {package} ran: {_named(found)}.", False)
    if len({str(sorted(cell.part("machine").items(), key=str)) for cell in results.done}) > 1:
        yield Notice(
            "machines", "Several kinds of machines ran: do not compare their times.", False
        )
    tuned = {cell.method for cell in results.done if cell.record.get("tuned")}
    if tuned:
        text = f"{_named(tuned)} used published values of each data set: see the configuration."
        yield Notice("tuned", text, False)


def _files(results: Results) -> Iterable[Notice]:
    if results.damaged:
        named = "; ".join(f"{item.key}: {item.reason}" for item in results.damaged[:_MOST_NAMED])
        more = len(results.damaged) - _MOST_NAMED
        named += f"; and {more} more" if more > 0 else ""
        files = _count(len(results.damaged), "damaged file")
        yield Notice("damaged", f"{files} left out: {named}.")
    if results.skipped:
        files = _count(len(results.skipped), "JSON file")
        yield Notice("skipped", f"{files} that are no cells of this format were left out.", False)
    if results.replaced:
        cells = _count(results.replaced, "older cell")
        yield Notice("replaced", f"{cells} left out: a newer one of the same run is there.", False)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _named(names: Iterable[str]) -> str:
    """List names, the first few of many."""
    ordered = sorted(names)
    if len(ordered) <= _MOST_NAMED:
        return ", ".join(ordered)
    return f"{', '.join(ordered[:_MOST_NAMED])} and {len(ordered) - _MOST_NAMED} more"
