"""What stands on the page of a report, before it is HTML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlace.experiments.measures import measure, protocol_label
from interlace.experiments.reading import Cell, Setup
from interlace.experiments.summaries import mean_costs
from interlace.protocols.condition import CLEAN
from interlace.report import plots
from interlace.report.confusion import Confusion, confusion
from interlace.report.findings import Finding, finding
from interlace.report.grids import Grid, by_data, grids, short_names
from interlace.report.plots import Chart, Styles
from interlace.report.results import Results
from interlace.report.svg import styles

_EXPLAINED = {
    "base_to_novel": "Fitted on the first half of the classes; scored on these (base), on the "
    "other half (novel), and on the images of both with all names to choose from (joint).",
    "few_shot": "Fitted on a few images of every class; scored on held-out images of all classes.",
    "cross_dataset": "Fitted on one data set (source); scored there and, with no further fit, on "
    "the others.",
    "domain_generalization": "Fitted on one domain (source); scored there and on the same classes "
    "in other visual domains.",
    "robustness": "Accuracy under increasing corruption.",
    "ucdr": "Images of unseen classes from an unseen domain ask; another domain is searched.",
    "uccdr": "Images of unseen classes from a training domain ask; another domain is searched.",
    "udcdr": "Images of training classes from an unseen domain ask; another domain is searched.",
    "retrieval": "Images from one domain ask and another is searched, by image features alone: "
    "unseen classes from an unseen domain (ucdr) and from a training domain (uccdr), and training "
    "classes from an unseen domain (udcdr); in a mixed gallery images of training classes stand "
    "beside the unseen ones.",
}
_COSTS = (
    ("parameters", "trainable parameters"),
    ("fit_cpu", "CPU seconds of a fit"),
    ("peak_memory", "peak memory, bytes"),
)


#: Tables with their name.
NamedGrids = list[tuple[str, list[Grid]]]


@dataclass(slots=True)
class Section:
    """One protocol of one setup.

    Attributes:
        anchor: its id on the page.
        title: its heading.
        explained: what the protocol does.
        setup: name of the setup where there are several.
        tables: headline tables.
        by_data: tables with a column per data set.
        per_data: tables of each data set, by its name.
        others: headline tables of the other measures, by their name.
        finding: what its first table says.
        more: what the other tables say, by their title.
        curves: charts that need the legend of methods.
        charts: charts of base against novel.
        gains: charts of what each method gained over the baseline.
        costs: charts of cost against quality.
        cost_rows: the costs of each method.
        confusions: what the best method confuses, where cells tell.
    """

    anchor: str
    title: str
    explained: str
    setup: str
    tables: list[Grid]
    by_data: list[Grid]
    per_data: NamedGrids
    others: NamedGrids
    finding: Finding | None = None
    more: list[tuple[str, Finding]] = field(default_factory=list)
    curves: list[Chart] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    gains: list[Chart] = field(default_factory=list)
    costs: list[Chart] = field(default_factory=list)
    cost_rows: list[tuple[str, Mapping[str, float]]] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)


def sections(results: Results, looks: Styles) -> list[Section]:
    """Build the sections: each protocol of each setup."""
    both = [(setup, p) for setup in results.setups for p in results.protocols(setup)]
    return [_section(results, *one, looks, f"section-{i}") for i, one in enumerate(both, 1)]


def method_styles(results: Results) -> Styles:
    """Return every method that has a result the looks it keeps throughout the page."""
    done = {cell.method for cell in results.done}
    return styles([name for name in results.methods if name in done], results.baseline)


def _section(results: Results, setup: Setup, protocol: str, looks: Styles, anchor: str) -> Section:
    main, *others = results.measures(setup, protocol)
    sets = sorted({s.data[0] for s in results.summaries(main, protocol=protocol, setup=setup)})
    names = short_names(sets) if len(sets) > 1 else {}
    made = Section(
        anchor=anchor,
        title=protocol_label(protocol),
        explained=_EXPLAINED.get(protocol, ""),
        setup=results.setup_label(setup) if len(results.setups) > 1 else "",
        tables=grids(results, setup, protocol, main),
        by_data=by_data(results, setup, protocol, main),
        per_data=[(n, grids(results, setup, protocol, main, data)) for data, n in names.items()],
        others=[(measure(key).label, grids(results, setup, protocol, key)) for key in others],
    )
    if made.tables:
        first, *rest = made.tables
        made.finding = finding(first)
        made.more = [(t.title, said) for t in rest if (said := finding(t)) is not None]
        cells = [c for c in results.done if (c.setup, c.protocol) == (setup, protocol)]
        _draw(made, f"{measure(main).label}, %", looks)
        _draw_costs(made, cells, made.tables[-1], looks)
        made.gains = _gains((made.by_data or made.tables)[-1])
        made.confusions = _confusions(cells, made.tables[-1])
    return made


def _draw(made: Section, quality: str, looks: Styles) -> None:
    """Draw what the tables of a section call for."""
    for name, tables in [("", made.tables), *made.per_data]:
        for grid in tables:
            firsts = [next(iter(column.cells.values())) for column in grid.columns]
            panels = [first.panel for first in firsts]
            title = name or ("average over data sets" if made.per_data else grid.title)
            if len({panel.condition for panel in panels}) > 1:
                severities = [p.condition.severity * (p.condition != CLEAN) for p in panels]
                label = f"severity of {panels[-1].condition.kind.replace('_', ' ')}"
                title = f"{grid.title}: {name}" if name else grid.title
                made.curves += _curve(grid, severities, looks, title, label, quality)
            elif len({panel.shots for panel in panels}) > 1:
                shots = [float(panel.shots) for panel in panels]
                made.curves += _curve(grid, shots, looks, title, "shots per class", quality, True)
            else:
                columns = {f.target: c.cells for f, c in zip(firsts, grid.columns, strict=True)}
                base, novel = columns.get("base", {}), columns.get("novel", {})
                made.charts += _kept(plots.base_and_novel(base, novel, looks, title=title))


def _kept(*charts: Chart | None) -> list[Chart]:
    """Leave out charts that have nothing to show."""
    return [chart for chart in charts if chart is not None]


def _curve(
    grid: Grid,
    places: Sequence[float],
    looks: Styles,
    title: str,
    x_label: str,
    quality: str,
    doubling: bool = False,
) -> list[Chart]:
    columns = list(zip(places, (column.cells for column in grid.columns), strict=True))
    labels = {"title": title, "x_label": x_label, "y_label": quality}
    return _kept(plots.curves(columns, looks, **labels, doubling=doubling))


def _gains(grid: Grid) -> list[Chart]:
    """One chart per data set, all with the same reach."""
    ends = [
        abs(s.comparison.paired.difference.mean)
        for column in grid.columns
        for s in column.cells.values()
        if s.comparison is not None
    ]
    if not ends:
        return []
    limit = 1.25 * (max(ends) or 0.01)
    return _kept(
        *(
            plots.gains(c.cells, grid.rows, title=c.label, baseline=grid.baseline, limit=limit)
            for c in grid.columns
        )
    )


def _draw_costs(made: Section, cells: Sequence[Cell], grid: Grid, looks: Styles) -> None:
    panel = next(iter(grid.main.cells.values())).panel
    means = mean_costs(c for c in cells if (c.shots, c.condition) == (panel.shots, panel.condition))
    order = [method for method in grid.rows if method in means]
    made.cost_rows = [(method, means[method]) for method in order]
    what = f"{grid.main.label}, %"
    if next(iter(grid.main.cells.values())).target == "all":
        what = f"{measure(grid.measure).label} ({grid.main.label}), %"
    for name, label in _COSTS:
        costs = {method: own[name] for method, own in means.items() if name in own}
        labels = {"title": label, "x_label": label, "y_label": what}
        made.costs += _kept(plots.cost(costs, grid.main.cells, looks, **labels))


def _confusions(cells: Sequence[Cell], grid: Grid) -> list[Confusion]:
    """Return what the best method that has details confuses, on each data set and target."""
    groups: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    shots = max((cell.shots for cell in cells), default=0)
    for cell in cells:
        if cell.shots == shots and cell.condition.kind == CLEAN.kind:
            for target, values in cell.part("metrics").items():
                if isinstance(values, dict) and values.get("details"):
                    groups[cell.data, target][cell.method].append(cell)
    found = []
    for (_, target), own in sorted(groups.items()):
        best = next((method for method in grid.rows if method in own), min(own))
        found.append(confusion(own[best], target))
    return [one for one in found if one is not None]


def configuration(results: Results) -> dict[str, Any]:
    """Collect how the cells came to be: settings, shots, versions, machines, commits."""
    runs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    splits: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for cell in results.done:
        run, kind = cell.part("run"), cell.condition.kind
        settings = {**(run.get("arguments") or {}), **(run.get("train") or {})}
        settings |= {"preset": run.get("preset")}
        if cell.record.get("tuned"):
            settings["published values of"] = cell.record["tuned"]
        text = ", ".join(f"{name}={_shown(value)}" for name, value in settings.items())
        runs[cell.method][text].add(cell.data)
        name = cell.data if kind == CLEAN.kind else f"{cell.data}, {kind}"
        splits[name, cell.shots][cell.seed] = cell.split_hash
    methods = {
        method: [{"text": text, "data": sorted(data)} for text, data in sorted(own.items())]
        for method, own in sorted(runs.items())
    }
    facts = {
        "models": _distinct(
            f"{c.setup.model}, weights {c.setup.fingerprint or 'unknown'}" for c in results.done
        ),
        "versions": _distinct(_joined(c.part("versions")) for c in results.done),
        "machines": _distinct(_joined(c.part("machine")) for c in results.done),
        "commits": _distinct(_commit(c) for c in results.done),
        "dates": _dates(results.done),
    }
    return {"methods": methods, "splits": sorted(splits.items()), "facts": facts}


def _commit(cell: Cell) -> str:
    commit = str(cell.record.get("commit") or "unknown")
    return commit + (" with uncommitted changes" if cell.record.get("uncommitted_changes") else "")


def _dates(cells: Sequence[Cell]) -> list[str]:
    dates = sorted(cell.date for cell in cells if cell.date)
    ends = dict.fromkeys((dates[0][:16], dates[-1][:16])) if dates else {}
    return [" to ".join(end.replace("T", " ") for end in ends)] if ends else []


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _distinct(texts: Any) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
