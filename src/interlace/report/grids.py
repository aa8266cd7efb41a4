"""Summaries arranged as tables: methods in rows; targets, shots or severities in columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from interlace.experiments.measures import (
    AVERAGE,
    HARMONIC,
    HM_DEFINITION,
    definition,
    measure,
    protocol_label,
    target_label,
    target_order,
)
from interlace.experiments.reading import Setup
from interlace.experiments.summaries import Panel, Summary
from interlace.protocols.condition import CLEAN, Condition
from interlace.report.numbers import p_value, percent
from interlace.report.results import Results

_HEADLINE = (HARMONIC, AVERAGE, "all")
_MEAN_OF_HM = "mean of HMs"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading and a summary per method that has one."""

    label: str
    cells: dict[str, Summary]

    @property
    def best(self) -> float | None:
        """The best mean among the methods whose numbers can be compared."""
        whole = [cell for cell in self.cells.values() if not cell.partial]
        if len(whole) < 2:
            return None
        pick = max if measure(whole[0].measure).higher else min
        return pick(cell.mean for cell in whole)


@dataclass(frozen=True, slots=True)
class Grid:
    """One table.

    Attributes:
        title: what the columns have in common.
        baseline: the method that others are compared to.
        measure: key of the measure.
        rows: methods, the best of the headline column first.
        columns: columns of summaries.
        headline: index of the column that the table is about.
        extras: more columns, as text by method.
        notes: what must be said below.
    """

    title: str
    baseline: str
    measure: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    headline: int
    extras: tuple[tuple[str, dict[str, str]], ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def main(self) -> Column:
        """The column that the table is about."""
        return self.columns[self.headline]

    def is_best(self, cell: Summary, column: Column) -> bool:
        """Tell whether a cell shows the best number of its column."""
        best = column.best
        return best is not None and percent(best) == percent(cell.mean)


def grids(
    results: Results, setup: Setup, protocol: str, key: str, data: str | None = None
) -> list[Grid]:
    """Make the tables of a protocol: for one data set, or averaged over all of them.

    Args:
        results: what there is.
        setup: backbone and common settings.
        protocol: key of the protocol.
        key: key of the measure.
        data: A data set; None for the average, or for the data set where there is only one.
    """
    found = results.summaries(key, protocol=protocol, setup=setup)
    sets = _sets(found)
    whole = max(sets.values(), key=lambda names: (len(names), names), default=())
    if data is not None:
        whole = (data,)
    # shots or conditions that not every data set has are left to the tables of the data sets
    found = [s for s in found if (sets[s.panel] == whole if s.averaged else s.data == whole)]
    if not found:
        return []
    panels = sorted({s.panel for s in found}, key=_panel_order)
    targets = sorted({s.target for s in found}, key=target_order)
    made = []
    for title, places, headline in _laid_out(protocol_label(protocol), panels, targets):
        columns = [(label, _pick(found, panel, target)) for label, panel, target in places]
        made.append(_grid(results, title, columns, headline))
    return made


#: Heading, panel and target of a column.
_Place = tuple[str, Panel, str]


def _laid_out(
    what: str, panels: Sequence[Panel], targets: Sequence[str]
) -> Iterator[tuple[str, list[_Place], int]]:
    """Yield title, columns and index of the main column: severities, shots or targets."""
    kinds = sorted({panel.condition.kind for panel in panels} - {CLEAN.kind})
    for kind, shots, target in product(kinds, sorted({p.shots for p in panels}), targets):
        own = [p for p in panels if p.shots == shots and p.condition.kind in (CLEAN.kind, kind)]
        title = f"{kind.replace('_', ' ')}, {_shots(shots)}"
        if len(targets) > 1:
            title += f", {target_label(target)}"
        yield title, [(_severity(panel), panel, target) for panel in own], len(own) - 1
    if kinds:
        return
    if len(targets) == 1:
        columns = [(_shots(panel.shots), panel, targets[0]) for panel in panels]
        yield what, columns, len(columns) - 1
        return
    main = next((targets.index(t) for t in _HEADLINE if t in targets), 0)
    for panel in panels:
        columns = [(target_label(target), panel, target) for target in targets]
        yield f"{what}, {_shots(panel.shots)}", columns, main


def by_data(results: Results, setup: Setup, protocol: str, key: str) -> list[Grid]:
    """Make tables with a column per data set, of the target that the protocol is about."""
    found = results.summaries(key, protocol=protocol, setup=setup)
    made = []
    for panel in sorted({s.panel for s in found if s.averaged}, key=_panel_order):
        own = [s for s in found if s.panel == panel]
        targets = {s.target for s in own if s.averaged}
        target = next((t for t in _HEADLINE if t in targets), min(targets, key=target_order))
        columns = [
            (data, {s.method: s for s in own if s.data == (data,) and s.target == target})
            for data in sorted({s.data[0] for s in own if not s.averaged})
        ]
        columns.append(("average", _pick(own, panel, target)))
        what = measure(key).title if target == "all" else target_label(target)
        title = f"{what} by data set, {_shots(panel.shots)}"
        if panel.condition.kind != CLEAN.kind:
            title += f", {panel.condition.kind.replace('_', ' ')} {panel.condition.severity:g}"
        made.append(_grid(results, title, columns, len(columns) - 1))
    return made


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Leave out what all names begin with, up to a slash."""
    heads = {name.rpartition("/")[0] for name in names}
    shared = len(heads) == 1 and len(names) > 1
    return {name: name.rpartition("/")[2] if shared else name for name in names}


def _sets(found: Sequence[Summary]) -> dict[Panel, tuple[str, ...]]:
    """Return the data sets of each panel."""
    names: dict[Panel, set[str]] = defaultdict(set)
    for s in found:
        if not s.averaged:
            names[s.panel].add(s.data[0])
    return {panel: tuple(sorted(own)) for panel, own in names.items()}


def _pick(found: Sequence[Summary], panel: Panel, target: str) -> dict[str, Summary]:
    cells: dict[str, Summary] = {}
    for s in found:
        if s.panel == panel and s.target == target and (s.averaged or s.method not in cells):
            cells[s.method] = s
    return cells


def _panel_order(panel: Panel) -> tuple[int, Condition]:
    return panel.shots, panel.condition


def _shots(number: int) -> str:
    return "1 shot" if number == 1 else f"{number} shots"


def _severity(panel: Panel) -> str:
    return "clean" if panel.condition.kind == CLEAN.kind else f"{panel.condition.severity:g}"


def _grid(
    results: Results, title: str, columns: Sequence[tuple[str, dict[str, Summary]]], headline: int
) -> Grid:
    kept = [(label, cells) for label, cells in columns if cells]
    headline = min(headline, len(kept) - 1)
    main = kept[headline][1]
    key = next(iter(main.values())).measure
    names = short_names([label for label, _ in kept if "/" in label])
    made = tuple(Column(names.get(label, label), cells) for label, cells in kept)
    sign = -1 if measure(key).higher else 1

    def rank(method: str) -> tuple[int, float, str]:
        for place, column in enumerate((made[headline], *made)):
            if method in column.cells:
                return (place, sign * column.cells[method].mean, method)
        return (len(made) + 1, 0.0, method)

    rows = tuple(sorted({m for column in made for m in column.cells}, key=rank))
    return Grid(
        title=title,
        baseline=results.baseline,
        measure=key,
        rows=rows,
        columns=made,
        headline=headline,
        extras=tuple(_extras(made[headline])),
        notes=tuple(_notes(results, made, headline)),
    )


def _extras(main: Column) -> Iterator[tuple[str, dict[str, str]]]:
    if any(s.target == HARMONIC for s in main.cells.values()):
        yield _MEAN_OF_HM, {m: percent(s.mean_of_seeds) for m, s in main.cells.items()}
    over = {m: s.comparison for m, s in main.cells.items() if s.comparison and s.comparison.over}
    if over:
        counts = {m: c.over for m, c in over.items() if c.over}
        yield "W/T/L", {m: f"{own.wins}/{own.ties}/{own.losses}" for m, own in counts.items()}
        yield "Wilcoxon p", {m: p_value(c.over_p_holm) for m, c in over.items()}


def _notes(results: Results, columns: Sequence[Column], headline: int) -> Iterator[str]:
    main = columns[headline]
    cells = [s for column in columns for s in column.cells.values()]
    shown = measure(cells[0].measure)
    seeds = {len(s.seeds) for s in cells}
    first = f"{shown.title} in %: mean of {_span(seeds)} {'seed' if seeds == {1} else 'seeds'}"
    if max(seeds) > 1:
        first += " ± half its 95 % t-interval"
    if any(s.averaged for s in main.cells.values()):
        sets = max(len(s.data) for s in main.cells.values())
        first += (
            f", averaged over {sets} data sets (the interval is over seeds, on these data sets)"
        )
    yield first + "." + ("" if shown.higher else " Less is better.")
    compared = {sum(s.comparison is not None for s in c.cells.values()) for c in columns}
    if max(compared):
        yield (
            f"▲ better, ▼ worse than {results.baseline}: paired t-test on identical shots, "
            f"p < 0.05 after Holm's correction for the {_span(compared)} "
            f"{_methods(max(compared))} compared in a column. The best of a column is bold."
        )
    defined = definition(shown.key)
    if defined is not None:
        yield defined
    if any(s.target == HARMONIC for s in cells):
        yield f"{HM_DEFINITION}; the mean of each seed's own HM stands beside it."
    over = [s for s in main.cells.values() if s.comparison and s.comparison.over]
    if over:
        sets = max(len(s.data) for s in over)
        least = min(1.0, 2 * len(over) / 2**sets)
        yield (
            f"W/T/L: data sets on which a method is ahead of, tied with or behind "
            f"{results.baseline} in {main.label}. Wilcoxon p: signed-rank test over the data sets, "
            f"after Holm; with {sets} data sets and {len(over)} {_methods(len(over))} its smallest "
            f"possible value is {p_value(least)}."
        )
    if any(len(column.cells) < len(columns[0].cells) for column in columns):
        yield (
            "–: no value; a method that answers only for the classes it was fitted on has no "
            "accuracy on others."
        )
    if any(s.partial for s in cells):
        yield "† rests on fewer seeds or data sets than the others."


def _span(counts: set[int]) -> str:
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def _methods(count: int) -> str:
    return "method" if count == 1 else "methods"
