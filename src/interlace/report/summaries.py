"""Means over seeds, and how methods differ from a baseline on identical shots."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from interlace.evaluation.classification import harmonic_mean
from interlace.evaluation.statistics import (
    Interval,
    OverDataSets,
    PairedDifference,
    holm,
    mean_interval,
    over_data_sets,
    paired_bootstrap,
    paired_difference,
)
from interlace.report.cells import Cell, Condition, Setup
from interlace.report.measures import AVERAGE, HARMONIC, measure, measure_order, target_order

ALPHA = 0.05


class Panel(NamedTuple):
    """What the methods of one comparison have in common, but for the data set."""

    setup: Setup
    protocol: str
    shots: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """A method against the baseline on identical shots.

    Attributes:
        baseline: The method compared to.
        before: The baseline's values, one per pair.
        after: The method's values in the same order.
        unpaired: Seeds of the method without a run of the baseline on the same shots.
        paired: Mean difference, its interval and the paired t-test.
        p_holm: Its p-value, corrected over the methods compared in the same column.
        over: Wilcoxon's test over data sets; None for a single one.
        over_p_holm: Its p-value, corrected in the same way.
    """

    baseline: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    unpaired: tuple[int, ...]
    paired: PairedDifference
    p_holm: float | None = None
    over: OverDataSets | None = None
    over_p_holm: float | None = None

    def bootstrap(self) -> Interval:
        """Return the paired bootstrap interval of the mean difference."""
        return paired_bootstrap(self.before, self.after)

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.p_holm is not None and self.p_holm < ALPHA


@dataclass(frozen=True, slots=True)
class Summary:
    """One measure of one method over seeds, as fractions.

    Attributes:
        panel: What it has in common with those it is compared to.
        data: Data sets it is averaged over; one for the summary of a data set.
        averaged: Whether it is the average over the panel's data sets.
        method: Key of the method.
        target: What was scored: base, novel, hm, joint, all, a data set, average.
        measure: Key of the measure.
        seeds: Seeds that every data set has, in the order of ``values``.
        values: One per seed; of HM, each seed's own.
        interval: Mean over seeds and its t-interval; of HM, the harmonic mean of the means.
        partial: Whether seeds or data sets are missing that other methods have.
        comparison: The difference to the baseline; None for itself and where there is no pair.
    """

    panel: Panel
    data: tuple[str, ...]
    averaged: bool
    method: str
    target: str
    measure: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    interval: Interval
    partial: bool
    comparison: BaselineComparison | None = None

    @property
    def mean(self) -> float:
        """The number that a table shows."""
        return self.interval.mean

    @property
    def mean_of_seeds(self) -> float:
        """The plain mean of ``values``, which for HM is another number than ``mean``."""
        return statistics.fmean(self.values) if self.values else self.mean

    @property
    def verdict(self) -> str:
        """Return ``better`` or ``worse`` where the difference is significant, else ``""``."""
        if self.comparison is None or not self.comparison.significant:
            return ""
        ahead = self.comparison.paired.difference.mean > 0
        return "better" if ahead == measure(self.measure).higher else "worse"


class _Score(NamedTuple):
    value: float
    #: hashes of the shots, one per data set
    splits: tuple[str, ...]


_Series = dict[int, _Score]


def summarize(cells: Iterable[Cell], baseline: str) -> list[Summary]:
    """Summarizes every measure of every target, method and data set, and the averages over these.

    Cells of equal spec must have been told apart before: one value counts per seed.
    """
    by_panel: dict[Panel, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.done:
            panel = Panel(cell.setup, cell.protocol, cell.shots, cell.condition)
            by_panel[panel].append(cell)
    return [
        summary
        for panel, own in by_panel.items()
        for key in _measures(own)
        for summary in _PanelTable(panel, own, key).summaries(baseline)
    ]


def _measures(cells: Sequence[Cell]) -> list[str]:
    found = {name for cell in cells for values in cell.values.values() for name in values}
    return sorted(found, key=measure_order)


class _PanelTable:
    """The values of one measure in one panel."""

    def __init__(self, panel: Panel, cells: Sequence[Cell], key: str) -> None:
        self.panel, self.key = panel, key
        #: by data set, method and target
        self.values: dict[tuple[str, str, str], _Series] = defaultdict(dict)
        self.targets: dict[str, set[str]] = defaultdict(set)
        for cell in sorted(cells, key=lambda cell: cell.date):
            for target, measures in cell.values.items():
                if key in measures:
                    score = _Score(measures[key], (cell.split_hash,))
                    self.values[cell.data, cell.method, target][cell.seed] = score
                    self.targets[cell.data].add(target)
        self.methods = sorted({cell.method for cell in cells})

    def summaries(self, baseline: str) -> list[Summary]:
        """Return those of each data set, then of the targets that all data sets have."""
        found = []
        for data in sorted(self.targets):
            for target in self._shown(data):
                found += self._column((data,), False, target, baseline)
        if len(self.targets) > 1:
            shown = [set(self._shown(data)) for data in self.targets]
            for target in sorted(set.intersection(*shown), key=target_order):
                found += self._column(tuple(sorted(self.targets)), True, target, baseline)
        return found

    def _shown(self, data: str) -> list[str]:
        targets = set(self.targets[data])
        if {"base", "novel"} <= targets and measure(self.key).harmonic:
            targets.add(HARMONIC)
        if len(self._others(data)) > 1:
            targets.add(AVERAGE)
        return sorted(targets, key=target_order)

    def _others(self, data: str) -> list[str]:
        targets = self.targets[data]
        return sorted(targets - {"source"}) if "source" in targets else []

    def _column(
        self, sets: tuple[str, ...], averaged: bool, target: str, baseline: str
    ) -> list[Summary]:
        """Summarizes one target of all methods, and corrects for their number."""
        found = {
            method: summary
            for method in self.methods
            if (summary := self._summary(sets, averaged, target, method)) is not None
        }
        seeds = set().union(*(summary.seeds for summary in found.values()))
        comparisons = {
            method: compared
            for method, summary in found.items()
            if (compared := self._compare(summary, baseline)) is not None
        }
        plain = {name: c.paired.p for name, c in comparisons.items() if c.paired.p is not None}
        wilcoxon = {
            name: c.over.p
            for name, c in comparisons.items()
            if c.over is not None and c.over.p is not None
        }
        corrected, corrected_over = holm(plain), holm(wilcoxon)
        for name, compared in comparisons.items():
            comparisons[name] = replace(
                compared, p_holm=corrected.get(name), over_p_holm=corrected_over.get(name)
            )
        return [
            replace(
                summary,
                comparison=comparisons.get(method),
                partial=len(summary.data) < len(sets) or len(seeds) > len(summary.seeds),
            )
            for method, summary in found.items()
        ]

    def _summary(
        self, sets: tuple[str, ...], averaged: bool, target: str, method: str
    ) -> Summary | None:
        own = tuple(data for data in sets if self._series(data, method, target))
        if not own:
            return None
        series = self._over(own, method, target)
        values = tuple(series[seed].value for seed in sorted(series))
        half = mean_interval(values).half_width if values else None
        return Summary(
            panel=self.panel,
            data=own,
            averaged=averaged,
            method=method,
            target=target,
            measure=self.key,
            seeds=tuple(sorted(series)),
            values=values,
            interval=Interval(len(values), self._center(own, method, target), half),
            partial=False,
        )

    def _series(self, data: str, method: str, target: str) -> _Series:
        """Values of one data set by seed."""
        if target == HARMONIC:
            base, novel = (self._series(data, method, part) for part in ("base", "novel"))
            return {
                seed: _Score(harmonic_mean(base[seed].value, novel[seed].value), base[seed].splits)
                for seed in base.keys() & novel.keys()
            }
        if target == AVERAGE:
            return _mean([self._series(data, method, other) for other in self._others(data)], 1)
        return self.values.get((data, method, target), {})

    def _over(self, sets: Sequence[str], method: str, target: str) -> _Series:
        """Values averaged over data sets by seed, of the seeds that all of them have."""
        if target == HARMONIC:
            base, novel = (self._over(sets, method, part) for part in ("base", "novel"))
            return {
                seed: _Score(harmonic_mean(base[seed].value, novel[seed].value), base[seed].splits)
                for seed in base.keys() & novel.keys()
            }
        return _mean([self._series(data, method, target) for data in sets], len(sets))

    def _center(self, sets: Sequence[str], method: str, target: str) -> float:
        """Return mean over data sets of their means over seeds; of HM, that of two such means."""
        if target == HARMONIC:
            return harmonic_mean(*(self._center(sets, method, part) for part in ("base", "novel")))
        return statistics.fmean(
            statistics.fmean(score.value for score in self._series(data, method, target).values())
            for data in sets
        )

    def _compare(self, summary: Summary, baseline: str) -> BaselineComparison | None:
        if summary.method == baseline:
            return None
        own = self._over(summary.data, summary.method, summary.target)
        other = self._over(summary.data, baseline, summary.target)
        pairs = [
            seed
            for seed in summary.seeds
            if seed in other and all(own[seed].splits) and own[seed].splits == other[seed].splits
        ]
        if not pairs:
            return None
        before, after = ([series[seed].value for seed in pairs] for series in (other, own))
        over = None
        if summary.averaged and len(summary.data) > 1:
            means = [
                [round(self._center((data,), method, summary.target), 12) for data in summary.data]
                for method in (baseline, summary.method)
            ]
            over = over_data_sets(*means)
        return BaselineComparison(
            baseline=baseline,
            before=tuple(before),
            after=tuple(after),
            unpaired=tuple(seed for seed in summary.seeds if seed not in pairs),
            paired=paired_difference(before, after),
            over=over,
        )


def _mean(series: Sequence[_Series], n_splits: int) -> _Series:
    """Averages by seed; the splits are those of the first ``n_splits`` series."""
    if not series:
        return {}
    seeds = set.intersection(*(set(one) for one in series))
    return {
        seed: _Score(
            statistics.fmean(one[seed].value for one in series),
            tuple(split for one in series[:n_splits] for split in one[seed].splits),
        )
        for seed in sorted(seeds)
    }
