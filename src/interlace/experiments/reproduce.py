"""A published setting as a grid of cells, and what they reached beside the published numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from interlace import methods
from interlace._util.text import did_you_mean
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
from interlace.evaluation.statistics import Interval
from interlace.experiments.cell import CellSpec
from interlace.experiments.grid import list_cells
from interlace.experiments.measures import AVERAGE, HARMONIC
from interlace.experiments.published import Recipe, Value, recipe, values
from interlace.experiments.reading import Cell, parse_cell
from interlace.experiments.summaries import Summary, summarize

_TARGETS = {
    "cross_dataset": CROSS_DATASET_TARGETS,
    "domain_generalization": DOMAIN_GENERALIZATION_TARGETS,
}
#: What is published of each protocol, in this order; the accuracy of most.
MEASURES_OF = {"base_to_novel": ("base", "novel", "HM")}
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
        """Return how it is run.

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
        cells = list_cells(
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
    """List every method and protocol with a published setting or published numbers."""
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
        hint = did_you_mean(wanted, known, count=2) or "--list shows what there is"
        raise InterlaceError(f"nothing published of {name!r} is known here: {hint}")
    return known[wanted]


def missing(names: Iterable[str], root: Path | str | None) -> list[str]:
    """Return those of the data sets that are not below the data root.

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
        """Return ours minus the published value, in points."""
        return None if self.ours is None else self.ours.mean - value.value

    def inside(self, value: Value) -> bool | None:
        """Say whether a published value lies in our interval; None where we have none."""
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


def rows(reproduction: Reproduction, records: Iterable[Mapping[str, Any]]) -> list[ReproductionRow]:
    """Set what the cells reached beside what was published.

    The average is there only where all data sets are, each with the same seeds. The HM is that of
    the averaged base and novel accuracy; the half width of its interval is that of the seeds' HMs.

    Args:
        reproduction: what was to be reproduced.
        records: records of its cells; those that failed count as not there.
    """
    reached = _reached(reproduction, records)
    measures = MEASURES_OF.get(reproduction.protocol, ("accuracy",))
    return [
        ReproductionRow(
            data,
            shots,
            measure,
            reached.get((data, shots, measure)),
            tuple(
                value
                for value in reproduction.values
                if (value.data, value.shots, value.measure) == (data, shots, measure)
            ),
        )
        for data in (*BENCHMARKS, AVERAGE)
        for shots in sorted({count for _, count, _ in reached})
        for measure in measures
        if (data, shots, measures[0]) in reached
    ]


def _reached(
    asked: Reproduction, records: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, int, str], Interval]:
    """Return what was reached in percent, by data set, number of shots and measure."""
    done = [parse_cell(record) for record in records if record["status"] == "done"]
    # one setting: weights that were fetched anew do not divide it
    cells = [replace(c, setup=done[0].setup) for cell in done for c in _by_data_set(cell)]
    found = [  # the data set that others are reached from is no part of the average
        summary
        for inside in (True, False)
        for summary in summarize(
            (cell for cell in cells if (cell.data in asked.data_sets) is inside), asked.method
        )
        if summary.measure == "top1"
    ]
    return {
        (AVERAGE if s.averaged else s.data[0], s.panel.shots, _PRINTED.get(s.target, s.target)): (
            _in_percent(s.interval)
        )
        for s in found
        if not s.averaged or _is_whole(asked, s, found)
    }


#: Names of targets in published tables.
_PRINTED = {HARMONIC: "HM", "all": "accuracy"}


def _by_data_set(cell: Cell) -> Iterator[Cell]:
    """Divide a cell that scores several data sets; each has its own name as a benchmark."""
    entry = find_benchmark(cell.data)
    own = cell.data if entry is None else entry.name
    if cell.protocol == "base_to_novel":
        yield replace(cell, data=own)
    else:
        for target, values in cell.values.items():
            data = own if target in ("all", "source") else target
            yield replace(cell, data=data, values={"all": values})


def _is_whole(asked: Reproduction, average: Summary, found: Sequence[Summary]) -> bool:
    """Say whether an average is over all data sets, each with the same seeds."""
    place = (average.panel, average.target)
    parts = [s for s in found if (s.panel, s.target) == place and s.data[0] in asked.data_sets]
    return set(average.data) == set(asked.data_sets) and all(
        part.seeds == average.seeds for part in parts
    )


def _in_percent(interval: Interval) -> Interval:
    half = interval.half_width
    return replace(
        interval, mean=100 * interval.mean, half_width=None if half is None else 100 * half
    )
