"""What stands on the page of a report, before it is HTML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlace.experiments.measures import measure, protocol_label
from interlace.experiments.reading import Cell, Setup
from interlace.experiments.summaries import Summary, mean_costs
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
    "domain_generalization": "Fitted on one domain (source); scored there and on the same kind of "
    "things in other looks.",
    "robustness": "What a growing disturbance costs.",
    "ucdr": "Images of unseen classes from an unseen domain ask; another domain is searched.",
    "uccdr": "Images of unseen classes from a training domain ask; another domain is searched.",
    "udcdr": "Images of training classes from an unseen domain ask; another domain is searched.",
    "retrieval": "Images from one domain ask and another is searched, by image features alone: "
    "unseen classes from an unseen domain (ucdr) and from a training domain (uccdr), and training "
    "classes from an unseen domain (udcdr); in a mixed gallery images of training classes stand "
    "beside the unseen ones.",
}
_COSTS = (
    ("parameters", "trained parameters"),
    ("fit_cpu", "CPU seconds of a fit"),
    ("peak_memory", "peak memory, bytes"),
)


@dataclass(slots=True)
class Section:
    """One protocol of one setup.

    Attributes:
        anchor: Its id on the page.
        title: Its heading.
        explained: What the protocol does.
        setup: Name of the setup where there are several.
        finding: What its first table says.
        more: What the other tables say, by their title.
        tables: Headline tables.
        by_data: Tables with a column per data set.
        per_data: Tables of each data set, by its name.
        others: Headline tables of the other measures, by their name.
        curves: Charts that need the legend of methods.
        charts: Charts of base against novel.
        gains: Charts of what each method gained over the baseline.
        costs: Charts of cost against quality.
        cost_rows: The costs of each method.
        confusions: What the best method confuses, where cells tell.
    """

    anchor: str
    title: str
    explained: str
    setup: str
    finding: Finding | None = None
    more: list[tuple[str, Finding]] = field(default_factory=list)
    tables: list[Grid] = field(default_factory=list)
    by_data: list[Grid] = field(default_factory=list)
    per_data: list[tuple[str, list[Grid]]] = field(default_factory=list)
    others: list[tuple[str, list[Grid]]] = field(default_factory=list)
    curves: list[Chart] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    gains: list[Chart] = field(default_factory=list)
    costs: list[Chart] = field(default_factory=list)
    cost_rows: list[tuple[str, Mapping[str, float]]] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)


def sections(results: Results, looks: Styles) -> list[Section]:
    """Build the sections: each protocol of each setup."""
    found: list[Section] = []
    for setup in results.setups:
        for protocol in results.protocols(setup):
            found.append(_section(results, setup, protocol, looks, f"section-{len(found) + 1}"))
    return found


def method_styles(results: Results) -> Styles:
    """Return every method that has a result the looks it keeps throughout the page."""
    done = {cell.method for cell in results.done}
    return styles([name for name in results.methods if name in done], results.baseline)


def _section(results: Results, setup: Setup, protocol: str, looks: Styles, anchor: str) -> Section:
    keys = results.measures(setup, protocol)
    tables = grids(results, setup, protocol, keys[0])
    made = Section(
        anchor=anchor,
        title=protocol_label(protocol),
        explained=_EXPLAINED.get(protocol, ""),
        setup=results.setup_label(setup) if len(results.setups) > 1 else "",
        finding=finding(tables[0]) if tables else None,
        more=[(t.title, said) for t in tables[1:] if (said := finding(t)) is not None],
        tables=tables,
        by_data=by_data(results, setup, protocol, keys[0]),
    )
    found = results.summaries(keys[0], protocol=protocol, setup=setup)
    sets = sorted({s.data[0] for s in found})
    if len(sets) > 1:
        names = short_names(sets)
        for data in sets:
            own = grids(results, setup, protocol, keys[0], data)
            made.per_data.append((names[data], own))
    made.others = [(measure(key).label, grids(results, setup, protocol, key)) for key in keys[1:]]
    _draw(made, found, looks)
    cells = [c for c in results.done if c.setup == setup and c.protocol == protocol]
    if tables:
        _draw_costs(made, cells, tables[-1], looks)
        made.confusions = _confusions(cells, tables[-1])
    return made


def _draw(made: Section, found: Sequence[Summary], looks: Styles) -> None:
    """Draws what the tables of a section call for."""
    quality = f"{measure(found[0].measure).label}, %" if found else ""
    for name, tables in [("", made.tables), *made.per_data]:
        for grid in tables:
            panels = [next(iter(column.cells.values())).panel for column in grid.columns]
            targets = {s.target for column in grid.columns for s in column.cells.values()}
            title = name or grid.title
            chart = None
            if len({panel.condition for panel in panels}) > 1:
                places = [
                    p.condition.severity if p.condition.kind != CLEAN.kind else 0.0 for p in panels
                ]
                title = f"{grid.title}: {name}" if name else grid.title
                kind = panels[-1].condition.kind.replace("_", " ")
                chart = _curve(grid, places, looks, title, f"severity of {kind}", quality)
            elif len({panel.shots for panel in panels}) > 1:
                places = [float(panel.shots) for panel in panels]
                title = name or ("average over data sets" if made.per_data else grid.title)
                chart = _curve(grid, places, looks, title, "shots per class", quality, True)
            elif {"base", "novel"} <= targets:
                by_target = {
                    next(iter(column.cells.values())).target: column.cells
                    for column in grid.columns
                }
                where = name or ("average over data sets" if made.per_data else grid.title)
                chart = plots.base_and_novel(
                    by_target["base"], by_target["novel"], looks, title=where
                )
                if chart is not None:
                    made.charts.append(chart)
                continue
            if chart is not None:
                made.curves.append(chart)
    for grid in made.by_data[-1:] or made.tables[-1:]:
        made.gains = _gains(grid)


def _curve(
    grid: Grid,
    places: Sequence[float],
    looks: Styles,
    title: str,
    x_label: str,
    quality: str,
    doubling: bool = False,
) -> Chart | None:
    columns = list(zip(places, (column.cells for column in grid.columns), strict=True))
    return plots.curves(
        columns, looks, title=title, x_label=x_label, y_label=quality, doubling=doubling
    )


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
    charts = [
        plots.gains(
            column.cells, grid.rows, title=column.label, baseline=grid.baseline, limit=limit
        )
        for column in grid.columns
    ]
    return [chart for chart in charts if chart is not None]


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
        chart = plots.cost(costs, grid.main.cells, looks, title=label, x_label=label, y_label=what)
        if chart is not None:
            made.costs.append(chart)


def _confusions(cells: Sequence[Cell], grid: Grid) -> list[Confusion]:
    """Of the best method that has details, on each data set and target."""
    groups: dict[tuple[str, str], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    shots = max((cell.shots for cell in cells), default=0)
    for cell in cells:
        if cell.shots == shots and cell.condition.kind == CLEAN.kind:
            for target, values in cell.part("metrics").items():
                if isinstance(values, dict) and values.get("details"):
                    groups[cell.data, target][cell.method].append(cell)
    found = []
    for (_, target), methods in sorted(groups.items()):
        order = [method for method in grid.rows if method in methods] or sorted(methods)
        made = confusion(methods[order[0]], target)
        if made is not None:
            found.append(made)
    return found


def configuration(results: Results) -> dict[str, Any]:
    """Collect how the cells came to be: settings, shots, versions, machines, commits."""
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    splits: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for cell in results.done:
        run, condition = cell.part("run"), cell.condition
        settings = {**(run.get("arguments") or {}), **(run.get("train") or {})}
        settings |= {"preset": run.get("preset")}
        if cell.record.get("tuned"):
            settings["published values of"] = cell.record["tuned"]
        text = ", ".join(f"{name}={_shown(value)}" for name, value in settings.items())
        entry = runs.setdefault((cell.method, text), {"data": {}, "settings": settings})
        entry["data"][cell.data] = None
        name = cell.data if condition.kind == CLEAN.kind else f"{cell.data}, {condition.kind}"
        splits[name, cell.shots][cell.seed] = cell.split_hash
    methods: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (method, text), entry in sorted(runs.items()):
        methods[method].append({"text": text, "data": sorted(entry["data"])})
    facts = {
        "models": _distinct(
            f"{c.setup.model}, weights {c.setup.fingerprint or 'unknown'}" for c in results.done
        ),
        "versions": _distinct(_joined(c.part("versions")) for c in results.done),
        "machines": _distinct(_joined(c.part("machine")) for c in results.done),
        "commits": _distinct(_commit(c) for c in results.done),
        "dates": _dates(results.done),
    }
    return {"methods": dict(methods), "splits": sorted(splits.items()), "facts": facts}


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
