"""The main finding of a table, in a sentence that says how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlace.experiments.measures import HARMONIC, measure
from interlace.experiments.summaries import Summary, not_different
from interlace.protocols.condition import CLEAN
from interlace.report.grids import Grid
from interlace.report.numbers import p_value, percent, points


@dataclass(frozen=True, slots=True)
class Finding:
    """What the headline column of a table says.

    Attributes:
        best: the method with the best mean.
        lead: the first clause, without the method's name.
        rest: the sentences that follow.
    """

    best: str
    lead: str
    rest: str


def finding(grid: Grid) -> Finding | None:
    """Find it; None where there are no two methods that can be compared."""
    column = grid.main
    whole = {m: s for m, s in column.cells.items() if not s.partial}
    if len(whole) < 2:
        return None
    pick = max if measure(grid.measure).higher else min
    best = pick(whole, key=lambda method: whole[method].mean)
    summary = whole[best]
    lead = f"has the best {_quantity(grid)}: {percent(summary.mean)} %"
    if summary.comparison is not None:
        lead += f", {points(summary.comparison.paired.difference.mean)} points over {grid.baseline}"
    rest = [_gain(grid, best, summary), _tied(grid, best, whole), _verdicts(grid, column.cells)]
    return Finding(best, lead, " ".join(filter(None, rest)))


def _quantity(grid: Grid) -> str:
    label, shown = grid.main.label, measure(grid.measure).label
    first = next(iter(grid.main.cells.values()))
    if first.target == HARMONIC:
        return "HM of base and novel accuracy"
    condition = first.panel.condition
    if condition.kind != CLEAN.kind:
        return f"{shown} at {condition.kind.replace('_', ' ')} {condition.severity:g}"
    if first.target == "all":
        return f"{shown} at {label}" if len(grid.columns) > 1 else shown
    return f"{shown} ({label})"


def _gain(grid: Grid, best: str, summary: Summary) -> str:
    if best == grid.baseline:
        return "No method beats the baseline."
    compared = summary.comparison
    if compared is None:
        return ""
    gain = compared.paired.difference
    if gain.low is None:
        return "A single seed has no interval: this may be chance."
    text = f"95 % interval of the gain {points(gain.low)} to {points(gain.high)} points, p "
    text += f"{_equals(compared.p_holm)} after Holm"
    return text + ("." if compared.significant else ": it may be chance.")


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _tied(grid: Grid, best: str, whole: dict[str, Summary]) -> str:
    """Name the methods that are not significantly different from the best one."""
    others = [s for method, s in whole.items() if method not in (best, grid.baseline)]
    tied, n_tested = not_different(whole[best], others)
    if not n_tested:
        return ""
    if not tied:
        return "It is ahead of every other method."
    return f"Not significantly different from it: {_listed([m for m in grid.rows if m in tied])}."


def _verdicts(grid: Grid, cells: dict[str, Summary]) -> str:
    compared = [s for s in cells.values() if s.comparison is not None]
    if len(compared) < 2:
        return ""
    better = sum(s.verdict == "better" for s in compared)
    worse = sum(s.verdict == "worse" for s in compared)
    counts = (
        (better, f"better than {grid.baseline}"),
        (worse, f"worse than {grid.baseline}"),
        (len(compared) - better - worse, f"not significantly different from {grid.baseline}"),
    )
    said = [f"{number} {_are(number)} {what}" for number, what in counts if number]
    if not better and not worse:
        return (
            f"None of the {len(compared)} other methods is significantly different from "
            f"{grid.baseline}."
        )
    if len(said) == 1:
        return f"All of the {len(compared)} other methods are {said[0].partition(' are ')[2]}."
    return f"Of {len(compared)} methods, {_listed(said)}."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
