"""Run a published setting, and set our numbers beside the published ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from interlace import methods
from interlace.config import PUBLISHED
from interlace.data.check import check
from interlace.data.datasets.benchmark_table import (
    BENCHMARKS,
    CROSS_DATASET_TARGETS,
    DOMAIN_GENERALIZATION_TARGETS,
    SOURCE_DATA_SET,
)
from interlace.data.datasets.benchmarks import data_root, find_benchmark
from interlace.errors import InterlaceError
from interlace.evaluation.classification import harmonic_mean
from interlace.evaluation.statistics import Interval, mean_interval
from interlace.experiments.cell import CellSpec, grid
from interlace.experiments.published import AVERAGE, Recipe, Value, recipe, values

_TARGETS = {
    "cross_dataset": CROSS_DATASET_TARGETS,
    "domain_generalization": DOMAIN_GENERALIZATION_TARGETS,
}
#: What is reported of each protocol, in this order.
MEASURES = {"base_to_novel": ("base", "novel", "HM")}
#: The protocols whose numbers are accuracies. Of retrieval only settings are known, and no numbers.
_PROTOCOLS = ("few_shot", "base_to_novel", *_TARGETS)


@dataclass(frozen=True)
class Reproduction:
    """A method in a protocol: how it was published to be run, and what it reached.

    Attributes:
        method: key of the method.
        protocol: name of the protocol.
        recipe: how it is run; None where the published setting is not known here.
        values: the published accuracies; may be empty.
    """

    method: str
    protocol: str
    recipe: Recipe | None
    values: tuple[Value, ...]

    @property
    def name(self) -> str:
        """What users call it by."""
        return f"{self.method}/{self.protocol}"

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets that are scored, without the one that others are reached from."""
        if self.protocol in _TARGETS:
            return _TARGETS[self.protocol]
        return tuple(self.recipe.data_sets) if self.recipe else ()

    def setting(self) -> Recipe:
        """How it is run.

        Raises:
            InterlaceError: if that is not known here.
        """
        if self.recipe is None:
            raise InterlaceError(
                f"{self.name}: numbers are published, but the setting that reached them is not "
                "known here"
            )
        return self.recipe

    def chosen(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Return the data sets to score out of those a user names; all where none is named.

        Raises:
            InterlaceError: if one of them is not part of the published runs.
        """
        found = []
        for name in wanted:
            entry = find_benchmark(name)
            if entry is None or entry.name not in self.data_sets:
                raise InterlaceError(
                    f"{self.name} was not published on {name!r}: there are "
                    f"{', '.join(self.data_sets)}"
                )
            found.append(entry.name)
        return tuple(dict.fromkeys(found)) or self.data_sets

    def needed(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """Return the data sets that must be on disk to score ``chosen``."""
        return ((SOURCE_DATA_SET,) if self.protocol in _TARGETS else ()) + tuple(chosen)

    def cells(
        self,
        chosen: Sequence[str],
        model: str,
        seeds: Sequence[int],
        shots: Sequence[int],
        settings: Mapping[str, Any],
        split: str | None = None,
    ) -> list[CellSpec]:
        """Return the cells to run.

        Args:
            chosen: data sets to score.
            model: the frozen model.
            seeds: seeds.
            shots: training images per class.
            settings: what is changed of the published setting; nothing, to reproduce it.
            split: stored draws to use, with ``{data}`` in the place of the data set's folder,
                ``{shots}`` and ``{seed}``.

        Raises:
            InterlaceError: if a setting is not known.
        """
        transfer = self.protocol in _TARGETS
        cells = grid(
            self.protocol,
            [SOURCE_DATA_SET] if transfer else chosen,
            [self.method],
            shots,
            seeds,
            settings=settings,
            targets=tuple(chosen) if transfer else (),
            model=model,
            preset=PUBLISHED,
        )
        prompts = self.recipe.templates if self.recipe else {}
        own = [
            replace(cell, template=prompts.get(cell.data))
            for cell in cells
            if cell.method == self.method
        ]
        if split is None:
            return own
        return [
            replace(
                cell,
                split=split.replace("{data}", BENCHMARKS[cell.data].folder).replace(
                    "{shots}", str(cell.shots)
                ),
            )
            for cell in own
        ]


def all_reproductions() -> list[Reproduction]:
    """Every accuracy with a published setting or published numbers."""
    found = [
        Reproduction(method, protocol, recipe(method, protocol), values(method, protocol))
        for method in methods.available()
        for protocol in _PROTOCOLS
    ]
    return [one for one in found if one.recipe or one.values]


def find(name: str) -> Reproduction:
    """Return the reproduction of a name such as ``mmrl/base_to_novel``.

    Raises:
        InterlaceError: if there is none.
    """
    known = {one.name: one for one in all_reproductions()}
    method, _, protocol = name.strip().lower().partition("/")
    wanted = f"{method}/{protocol.replace('-', '_')}"
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else "--list shows what there is"
        raise InterlaceError(f"nothing published of {name!r} is known here: {hint}")
    return known[wanted]


def missing(names: Iterable[str], root: Path | str | None) -> list[str]:
    """Which of the data sets are not below the data root.

    Raises:
        InterlaceError: if no data root is known.
    """
    base = data_root(root)
    if base is None:
        raise InterlaceError(
            "where are the data sets? Give the folder that holds them with --data-root, or set "
            "INTERLACE_DATA; interlace data list says what belongs there"
        )
    if not base.is_dir():
        raise InterlaceError(f"no such folder: {base}, which is to hold the data sets")
    return [name for name in names if BENCHMARKS[name].missing(base)]


def incomplete(names: Iterable[str], root: Path | str | None) -> list[str]:
    """Return the first thing wrong with each data set that is there and not complete."""
    reports = [check(name, root) for name in names]
    return [report.summary().partition(";")[0] for report in reports if not report.ok]


@dataclass(frozen=True)
class ReproductionRow:
    """Our number and the published ones, in percent.

    Attributes:
        data: name of the data set, or ``average``.
        shots: training images per class.
        measure: what is measured.
        ours: mean over seeds and its 95 % t-interval; None without a run.
        published: the published values, one for each source.
    """

    data: str
    shots: int
    measure: str
    ours: Interval | None
    published: tuple[Value, ...]

    def difference(self, value: Value) -> float | None:
        """Ours minus the published one, in points."""
        return None if self.ours is None else self.ours.mean - value.value

    def inside(self, value: Value) -> bool | None:
        """Whether a published value lies in our interval; None where we have none."""
        if self.ours is None or self.ours.low is None or self.ours.high is None:
            return None
        return self.ours.low <= value.value <= self.ours.high

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        published = [
            {**asdict(value), "difference": self.difference(value), "inside": self.inside(value)}
            for value in self.published
        ]
        ours = None if self.ours is None else asdict(self.ours)
        return {
            "data": self.data,
            "shots": self.shots,
            "measure": self.measure,
            "ours": ours,
            "published": published,
        }


#: Percent by seed, for each data set, number of shots and measure.
_Reached = dict[tuple[str, int, str], dict[int, float]]


def rows(reproduction: Reproduction, records: Iterable[Mapping[str, Any]]) -> list[ReproductionRow]:
    """Set what the cells reached beside what was published.

    The average is there only where all data sets are, each with the same seeds. The HM is that of
    the averaged base and novel accuracy; the half width of its interval is that of the seeds' HMs.

    Args:
        reproduction: what was to be reproduced.
        records: records of its cells; those that failed count as not there.
    """
    reached = _reached(records)
    measures = MEASURES.get(reproduction.protocol, ("accuracy",))
    shots = sorted({count for _, count, _ in reached})
    scored = [name for name in BENCHMARKS if any(data == name for data, _, _ in reached)]
    _average(reached, reproduction.data_sets, shots, measures)
    return [
        ReproductionRow(
            data,
            count,
            measure,
            _interval(reached, data, count, measure),
            tuple(
                value
                for value in reproduction.values
                if (value.data, value.shots, value.measure) == (data, count, measure)
            ),
        )
        for data in (*scored, AVERAGE)
        for count in shots
        for measure in measures
        if (data, count, measures[0]) in reached
    ]


def _reached(records: Iterable[Mapping[str, Any]]) -> _Reached:
    found: _Reached = {}
    for record in records:
        if record["status"] != "done":
            continue
        spec = CellSpec.from_dict(record["spec"])
        entry = find_benchmark(spec.data)
        own = spec.data if entry is None else entry.name
        for target, scores in record["metrics"].items():
            if spec.protocol == "base_to_novel":
                data, measure = own, target
            else:
                data, measure = own if target in ("all", "source") else target, "accuracy"
            found.setdefault((data, spec.shots, measure), {})[spec.seed] = 100 * scores["top1"]
    return found


def _average(
    reached: _Reached, data_sets: Sequence[str], shots: Sequence[int], measures: Sequence[str]
) -> None:
    for count in shots:
        for measure in measures:
            own = [reached.get((data, count, measure), {}) for data in data_sets]
            seeds = set(own[0]) if own else set()
            if measure != "HM" and seeds and all(set(values) == seeds for values in own):
                reached[AVERAGE, count, measure] = {
                    seed: fmean(values[seed] for values in own) for seed in sorted(seeds)
                }


def _interval(reached: _Reached, data: str, shots: int, measure: str) -> Interval | None:
    if measure != "HM":
        own = reached.get((data, shots, measure))
        return mean_interval(list(own.values())) if own else None
    base, novel = (reached.get((data, shots, half), {}) for half in ("base", "novel"))
    both = [seed for seed in base if seed in novel]
    if not both:
        return None
    spread = mean_interval([harmonic_mean(base[seed], novel[seed]) for seed in both])
    mean = harmonic_mean(fmean(base[s] for s in both), fmean(novel[s] for s in both))
    return Interval(spread.n, mean, spread.half_width)
