"""What a reader must be told about cells before believing their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from interlace._util.text import count_of, listed
from interlace.experiments.measures import protocol_label
from interlace.experiments.reading import Setup
from interlace.report.results import Results

FEW_SEEDS = 5
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for the reader.

    Attributes:
        kind: what it is about, in one word.
        text: the line.
        serious: whether it limits what the numbers say, rather than how they came to be.
    """

    kind: str
    text: str
    serious: bool = True


def notices(results: Results) -> list[Notice]:
    """List them, the serious ones first."""
    parts = (_failures, _missing, _seeds, _pairs, _setups, _origins, _files)
    found = (notice for part in parts for notice in part(results))
    return sorted(found, key=lambda notice: not notice.serious)


def _failures(results: Results) -> Iterator[Notice]:
    if results.failed:
        names = _named({cell.method for cell in results.failed})
        cells = count_of(len(results.failed), "cell")
        yield Notice("failed", f"{cells} failed, of {names}: see the failed cells.")


def _missing(results: Results) -> Iterator[Notice]:
    """Look for holes: a grid is every method on every data set, condition, shots and seed."""
    grids: dict[tuple[Setup, str], set[tuple[Any, ...]]] = defaultdict(set)
    for c in results.cells:
        method = str(c.part("spec")["method"])
        grids[c.setup, c.protocol].add((method, (c.data, c.shots, c.condition), c.seed))
    for (setup, protocol), there in grids.items():
        whole = list(product(*map(set, zip(*there, strict=True))))
        missing = [item for item in whole if item not in there]
        if missing:
            where = protocol_label(protocol)
            if len(results.setups) > 1:
                where += f" on {results.setup_label(setup)}"
            verb = "is" if len(missing) == 1 else "are"
            yield Notice(
                "missing",
                f"{where}: {len(missing):,} of {count_of(len(whole), 'cell')} of the grid {verb} "
                f"missing, of {_named({method for method, *_ in missing})}. Numbers marked † rest "
                "on fewer runs or data sets than others.",
            )


def _seeds(results: Results) -> Iterator[Notice]:
    few = sorted({len(s.seeds) for s in results.summaries() if len(s.seeds) < FEW_SEEDS})
    if few:
        counts = " or ".join(map(str, few))
        rest = "The intervals are wide and rough; a single seed has none."
        yield Notice("seeds", f"Some means rest on fewer than five seeds ({counts}). {rest}")


def _pairs(results: Results) -> Iterator[Notice]:
    others = [s for s in results.summaries() if s.method != results.baseline]
    lacking = {s.method for s in others if s.comparison is None or s.comparison.unpaired}
    if others and not any(s.comparison for s in others):
        text = f"No method shares shots with a run of {results.baseline}: nothing is compared."
        yield Notice("pairs", text)
    elif lacking:
        yield Notice(
            "pairs",
            f"Pairs with {results.baseline} on identical shots are missing for {_named(lacking)}: "
            "those runs count in means, not in differences.",
        )


def _setups(results: Results) -> Iterator[Notice]:
    if len(results.setups) > 1:
        names = "; ".join(results.setup_label(setup) for setup in results.setups)
        yield Notice("setups", f"{len(results.setups)} setups are kept apart: {names}.")
    if results.renamed:
        yield Notice(
            "settings",
            f"Cells of {_named(results.renamed)} were run with different settings. They are not "
            "averaged: the name says what differs.",
        )


def _origins(results: Results) -> Iterator[Notice]:
    done = results.done
    changed = sum(bool(cell.record.get("uncommitted_changes")) for cell in done)
    if changed:
        cells = count_of(changed, "cell")
        yield Notice("changes", f"{cells} ran with uncommitted changes in the code.")
    commits = {str(cell.record["commit"])[:10] for cell in done if cell.record.get("commit")}
    if len(commits) > 1:
        yield Notice("commits", f"The cells come from {len(commits)} commits: {_named(commits)}.")
    for package in ("interlace", "torch"):
        found = {str(cell.part("versions").get(package)) for cell in done} - {"None"}
        if len(found) > 1:
            yield Notice("versions", f"Several versions of {package} ran: {_named(found)}.", False)
    if len({str(sorted(cell.part("machine").items(), key=str)) for cell in done}) > 1:
        text = "Several kinds of machines ran: do not compare their times."
        yield Notice("machines", text, False)
    tuned = {cell.method for cell in done if cell.record.get("tuned")}
    if tuned:
        text = f"{_named(tuned)} used published values of each data set: see the configuration."
        yield Notice("tuned", text, False)


def _files(results: Results) -> Iterator[Notice]:
    if results.damaged:
        named = "; ".join(f"{item.key}: {item.reason}" for item in results.damaged[:_MOST_NAMED])
        more = len(results.damaged) - _MOST_NAMED
        named += f"; and {more} more" if more > 0 else ""
        files = count_of(len(results.damaged), "damaged file")
        yield Notice("damaged", f"{files} left out: {named}.")
    if results.skipped:
        files = count_of(len(results.skipped), "JSON file")
        yield Notice("skipped", f"{files} that are no cells of this format were left out.", False)
    if results.replaced:
        cells = count_of(results.replaced, "older cell")
        yield Notice("replaced", f"{cells} left out: a newer one of the same run is there.", False)


def _named(names: Iterable[str]) -> str:
    return listed(sorted(names), _MOST_NAMED)
