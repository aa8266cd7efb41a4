"""The one place that sums cells up: means over seeds, and how methods differ on the same shots."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from interlace.evaluation.statistics import (
    Interval,
    OverDataSets,
    PairedDifference,
    harmonic_mean,
    holm,
    mean_interval,
    over_data_sets,
    paired_bootstrap,
    paired_difference,
)
from interlace.experiments.measures import AVERAGE, HARMONIC, measure, measure_order, target_order
from interlace.experiments.reading import Cell, Setup
from interlace.protocols.condition import Condition

ALPHA = 0.05
#: The method that others are compared to where nobody names one.
BASELINE = "zero_shot"


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
        baseline: the method compared to.
        before: the baseline's values, one per pair.
        after: the method's values in the same order.
        unpaired: seeds of the method without a run of the baseline on the same shots.
        paired: mean difference, its interval and the paired t-test.
        p_holm: its p-value, corrected over the methods compared in the same column.
        over: wilcoxon's test over data sets; None for a single one.
        over_p_holm: its p-value, corrected in the same way.
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
        panel: what it has in common with those it is compared to.
        data: data sets it is averaged over; one for the summary of a data set.
        averaged: whether it is the average over the panel's data sets.
        method: as it was asked for.
        target: what was scored: base, novel, hm, joint, all, a data set, average.
        measure: name of the measure.
        seeds: seeds that every data set has, in the order of ``values``.
        values: one per seed; of HM, each seed's own.
        interval: mean over seeds and its t-interval; of HM, the harmonic mean of the means.
        partial: whether seeds or data sets are missing that other methods have.
        comparison: the difference to the baseline; None for itself and where there is no pair.
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
    """Sum up every measure of every target, method and data set, and the averages over these.

    One value counts per seed: cells of equal spec must bear different method names.
    """
    by_panel: dict[Panel, list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.done:
            panel = Panel(cell.setup, cell.protocol, cell.shots, cell.condition)
            by_panel[panel].append(cell)
    found: list[Summary] = []
    for panel, own in by_panel.items():
        names = (name for cell in own for values in cell.values.values() for name in values)
        for key in sorted(dict.fromkeys(names), key=measure_order):  # unknown ones as they come
            found += _PanelTable(panel, own, key).summaries(baseline)
    return found


def mean_costs(cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """Average by method what its cells cost: parameters, seconds of each part, peak memory."""
    spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        for name, value in cell.costs().items():
            spent[cell.method][name].append(value)
    return {
        method: {name: statistics.fmean(values) for name, values in own.items()}
        for method, own in spent.items()
    }


def not_different(best: Summary, others: Iterable[Summary]) -> tuple[set[str], int]:
    """Test which methods are not significantly different from the best one, seed by seed.

    Args:
        best: the method with the best mean.
        others: the methods to test; those without two seeds in common, or on other data, are not.

    Returns:
        The methods whose paired t-test gives p >= 0.05 after Holm, and how many were tested.
    """
    own = dict(zip(best.seeds, best.values, strict=True))
    p_values = {}
    for other in others:
        pairs = [(own[s], v) for s, v in zip(other.seeds, other.values, strict=True) if s in own]
        if other.data == best.data and len(pairs) > 1:
            p = paired_difference([a for a, _ in pairs], [b for _, b in pairs]).p
            if p is not None:
                p_values[other.method] = p
    tied = {method for method, p in holm(p_values).items() if p >= ALPHA}
    return tied, len(p_values)


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
        found: list[Summary] = []
        shown = {data: self._shown(data) for data in sorted(self.targets)}
        for data, targets in shown.items():
            for target in targets:
                found += self._column((data,), False, target, baseline)
        if len(shown) > 1:
            shared = set.intersection(*map(set, shown.values()))
            for target in sorted(shared, key=target_order):
                found += self._column(tuple(shown), True, target, baseline)
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
        """Sum up one target of all methods, and correct for their number."""
        found = {
            method: summary
            for method in self.methods
            if (summary := self._summary(sets, averaged, target, method)) is not None
        }
        seeds = set().union(*(summary.seeds for summary in found.values()))
        compared = _corrected(
            {
                method: comparison
                for method, summary in found.items()
                if (comparison := self._compare(summary, baseline)) is not None
            }
        )
        return [
            replace(
                summary,
                comparison=compared.get(method),
                partial=len(summary.data) < len(sets) or len(seeds) > len(summary.seeds),
            )
            for method, summary in found.items()
        ]

    def _summary(
        self, sets: tuple[str, ...], averaged: bool, target: str, method: str
    ) -> Summary | None:
        own = tuple(data for data in sets if self._series((data,), method, target))
        if not own:
            return None
        series = self._series(own, method, target)
        values = tuple(score.value for score in series.values())
        half = mean_interval(values).half_width if values else None
        return Summary(
            panel=self.panel,
            data=own,
            averaged=averaged,
            method=method,
            target=target,
            measure=self.key,
            seeds=tuple(series),
            values=values,
            interval=Interval(len(values), self._center(own, method, target), half),
            partial=False,
        )

    def _series(self, sets: Sequence[str], method: str, target: str) -> _Series:
        """Values averaged over data sets by seed, of the seeds that all of them have."""
        if target == HARMONIC:
            base, novel = (self._series(sets, method, part) for part in ("base", "novel"))
            return {
                seed: _Score(harmonic_mean(own.value, novel[seed].value), own.splits)
                for seed, own in base.items()
                if seed in novel
            }
        return _mean([self._of_target(data, method, target) for data in sets], len(sets))

    def _of_target(self, data: str, method: str, target: str) -> _Series:
        if target == AVERAGE:
            others = self._others(data)
            return _mean([self.values.get((data, method, other), {}) for other in others], 1)
        return self.values.get((data, method, target), {})

    def _center(self, sets: Sequence[str], method: str, target: str) -> float:
        """Return mean over data sets of their means over seeds; of HM, that of two such means."""
        if target == HARMONIC:
            return harmonic_mean(*(self._center(sets, method, part) for part in ("base", "novel")))
        return statistics.fmean(
            statistics.fmean(score.value for score in series.values())
            for series in (self._of_target(data, method, target) for data in sets)
        )

    def _compare(self, summary: Summary, baseline: str) -> BaselineComparison | None:
        if summary.method == baseline:
            return None
        own = self._series(summary.data, summary.method, summary.target)
        other = self._series(summary.data, baseline, summary.target)
        pairs = [
            seed
            for seed in summary.seeds
            if seed in other and all(own[seed].splits) and own[seed].splits == other[seed].splits
        ]
        if not pairs:
            return None
        before, after = (tuple(series[seed].value for seed in pairs) for series in (other, own))
        over = None
        if summary.averaged and len(summary.data) > 1:
            means = [
                [round(self._center((data,), method, summary.target), 12) for data in summary.data]
                for method in (baseline, summary.method)
            ]
            over = over_data_sets(*means)
        return BaselineComparison(
            baseline=baseline,
            before=before,
            after=after,
            unpaired=tuple(seed for seed in summary.seeds if seed not in pairs),
            paired=paired_difference(before, after),
            over=over,
        )


def _corrected(found: Mapping[str, BaselineComparison]) -> dict[str, BaselineComparison]:
    """Return comparisons of one column with their p-values corrected for their number."""
    paired = holm({name: c.paired.p for name, c in found.items() if c.paired.p is not None})
    over = holm({name: c.over.p for name, c in found.items() if c.over and c.over.p is not None})
    return {
        name: replace(c, p_holm=paired.get(name), over_p_holm=over.get(name))
        for name, c in found.items()
    }


def _mean(series: Sequence[_Series], n_splits: int) -> _Series:
    """Average by seed, in their order; the splits are those of the first ``n_splits`` series."""
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
