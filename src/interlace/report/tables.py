"""Results as text: Markdown, CSV, LaTeX, and tables for a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.table import Table
from rich.text import Text

from interlace._util.text import printable
from interlace.experiments.measures import HM_DEFINITION
from interlace.experiments.summaries import Summary, mean_costs
from interlace.report.findings import finding
from interlace.report.grids import Column, Grid, by_data, grids
from interlace.report.notices import notices
from interlace.report.numbers import percent, points, with_commas
from interlace.report.results import Results

MARKS = {"better": "▲", "worse": "▼", "": ""}
_LATEX_MARKS = {"better": r"$^{\uparrow}$", "worse": r"$^{\downarrow}$", "": ""}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "▲": r"$\uparrow$",
    "▼": r"$\downarrow$",
    "†": r"$^{\dagger}$",
    "±": r"$\pm$",
    "−": "--",
    "–": "--",
    "<": r"$<$",
    ">": r"$>$",
    "[": "{[}",  # after the end of a row it would be an argument, and so would a star
    "]": "{]}",
    "*": "{*}",
    "“": "``",
    "”": "''",
}


def sections(results: Results, per_data: bool = True) -> Iterator[tuple[str, list[Grid]]]:
    """List headings with their tables: every setup, protocol and measure, and each data set."""
    for setup in results.setups:
        for protocol in results.protocols(setup):
            own = results.measures(setup, protocol)
            sets = sorted(
                {s.data[0] for s in results.summaries(own[0], protocol=protocol, setup=setup)}
            )
            for key in own:
                name = results.setup_label(setup)
                heading = name if len(sets) > 1 else f"{name}, {sets[0]}"
                yield heading, grids(results, setup, protocol, key)
                if not per_data or len(sets) < 2:
                    continue
                if key == own[0]:
                    yield heading, by_data(results, setup, protocol, key)
                for data in sets:
                    yield f"{name}, {data}", grids(results, setup, protocol, key, data)


def terminal(results: Results, per_data: bool = False) -> list[Table]:
    """Make tables that rich prints: the headline of every protocol, and each data set if asked.

    The notes of a table are its caption. Only the first measure of a protocol is shown.
    """
    return [
        _printed(grid, f"{grid.title}: {heading}")
        for heading, found in sections(results, per_data)
        for grid in found
        if grid.measure == _headline_measure(results, grid)
    ]


def comparison(results: Results, title: str) -> list[Table]:
    """Make the tables of methods on the same shots: accuracy with its cost, then the gains.

    Args:
        results: cells of one protocol on one data set.
        title: what was compared.
    """
    costs = mean_costs(results.done)
    extras = tuple(
        (label, {method: with_commas(own[name]) for method, own in costs.items()})
        for label, name in (("parameters", "parameters"), ("fit, s", "fit"))
    )
    made = []
    for grid in next(own for _, own in sections(results, per_data=False)):
        notes = [f"{HM_DEFINITION}." if n.startswith(HM_DEFINITION) else n for n in grid.notes]
        made.append(_printed(replace(grid, extras=extras, notes=tuple(notes)), title))
        if len(grid.rows) > 1:
            made.append(_gains(grid))
    return made


def _printed(grid: Grid, title: str) -> Table:
    table = _empty_table(title, "\n".join(grid.notes), _headings(grid))
    for method in grid.rows:
        texts = [
            Text(
                _plain(grid.cell(method, column)),
                style="bold" if _best(grid, method, column) else "",
            )
            for column in grid.columns
        ]
        table.add_row(Text(method), *texts, *map(Text, _extra_cells(grid, method)))
    return table


def _gains(grid: Grid) -> Table:
    title = f"paired difference to {grid.baseline} in points ± half its 95 % t-interval over seeds"
    table = _empty_table(title, "", [column.label for column in grid.columns])
    for method in grid.rows:
        if method != grid.baseline:
            cells = [grid.cell(method, column) for column in grid.columns]
            table.add_row(Text(method), *(Text(_gain(cell)) for cell in cells))
    return table


def _gain(cell: Summary | None) -> str:
    if cell is None or cell.comparison is None:
        return "–"
    interval = cell.comparison.paired.difference
    half = "" if interval.half_width is None else f" ±{percent(interval.half_width)}"
    return points(interval.mean) + half


def _empty_table(title: str, caption: str, headings: list[str]) -> Table:
    # as Text: on whatever console it is printed, a name is no markup
    table = Table(
        title=Text(title),
        title_justify="left",
        caption=Text(caption) if caption else None,
        caption_justify="left",
    )
    table.add_column("method", no_wrap=True)
    for label in headings:
        # what is one word stays whole, others make room for it
        table.add_column(Text(label), justify="right", no_wrap=label == "parameters")
    return table


def markdown(results: Results, title: str = "Results") -> str:
    """Write everything as Markdown: findings, notices and tables."""
    lines = [f"# {_md(title)}", ""]
    for notice in notices(results):
        lines += [f"> {'**Warning.** ' if notice.serious else ''}{_md(notice.text)}", ">"]
    if lines[-1] == ">":
        lines[-1] = ""
    for heading, found in sections(results):
        for grid in found:
            lines += [f"## {_md(grid.title)}: {_md(heading)}", ""]
            said = finding(grid)
            if said is not None:
                lines += [f"**{_md(said.best)}** {_md(said.lead)}. {_md(said.rest)}", ""]
            lines += [*_markdown_table(grid), "", *[f"{_md(note)}\n" for note in grid.notes]]
    return "\n".join(lines).rstrip() + "\n"


def latex(results: Results) -> str:
    """Write every table as a LaTeX ``table`` with the rules of booktabs."""
    parts = ["% Needs \\usepackage{booktabs}; the Unicode of names needs a recent LaTeX."]
    for heading, found in sections(results):
        parts += [_latex_table(grid, heading) for grid in found]
    return "\n\n".join(parts) + "\n"


#: What stands for the data set in a row that averages over several.
AVERAGED = "(average)"

FIELDS = (
    "model fingerprint preset settings template protocol data data_sets shots condition severity "
    "method target measure n mean low high mean_of_seeds seeds values partial baseline pairs "
    "unpaired difference difference_low difference_high bootstrap_low bootstrap_high p p_holm "
    "wins ties losses wilcoxon_p wilcoxon_p_holm verdict"
).split()


def rows(results: Results) -> Iterator[dict[str, Any]]:
    """Return one flat row per summary, numbers as fractions; None where there is no value.

    ``wins``, ``ties`` and ``losses`` count data sets in an average, and seeds elsewhere.
    """
    for s in results.summaries():
        setup, condition, compared = s.panel.setup, s.panel.condition, s.comparison
        row: dict[str, Any] = dict.fromkeys(FIELDS)
        row |= {
            "model": setup.model,
            "fingerprint": setup.fingerprint,
            "preset": setup.preset,
            "settings": json.loads(setup.settings),
            "template": setup.template or None,
            "protocol": s.panel.protocol,
            "data": AVERAGED if s.averaged else s.data[0],
            "data_sets": list(s.data),
            "shots": s.panel.shots,
            "condition": condition.kind,
            "severity": condition.severity,
            "method": s.method,
            "target": s.target,
            "measure": s.measure,
            "n": len(s.seeds),
            "mean": s.mean,
            "low": s.interval.low,
            "high": s.interval.high,
            "mean_of_seeds": s.mean_of_seeds,
            "seeds": list(s.seeds),
            "values": list(s.values),
            "partial": s.partial,
        }
        if compared is not None:
            drawn, gain = compared.bootstrap(), compared.paired.difference
            counts = compared.over or compared.paired
            row |= {
                "baseline": compared.baseline,
                "pairs": len(compared.after),
                "unpaired": list(compared.unpaired),
                "difference": gain.mean,
                "difference_low": gain.low,
                "difference_high": gain.high,
                "bootstrap_low": drawn.low,
                "bootstrap_high": drawn.high,
                "p": compared.paired.p,
                "p_holm": compared.p_holm,
                "wins": counts.wins,
                "ties": counts.ties,
                "losses": counts.losses,
                "wilcoxon_p": compared.over and compared.over.p,
                "wilcoxon_p_holm": compared.over_p_holm,
                "verdict": s.verdict or "undecided",
            }
        yield row


def to_csv(results: Results) -> str:
    """Write one line per summary; lists are joined by spaces.

    A text that begins like a formula gets an apostrophe, so that no spreadsheet computes it.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows(results):
        writer.writerow({name: _flat(value) for name, value in row.items()})
    return stream.getvalue()


def _flat(value: Any) -> Any:
    if isinstance(value, list):
        if all(isinstance(item, int | float) for item in value):
            return " ".join(map(str, value))  # numbers begin with digits: none is negative
        value = " ".join(map(str, value))
    if isinstance(value, dict):
        value = json.dumps(value, sort_keys=True)
    if isinstance(value, str):
        value = printable(value)
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value


#: With which a spreadsheet begins a formula.
_FORMULA = ("=", "+", "-", "@")


def _headline_measure(results: Results, grid: Grid) -> str:
    panel = next(iter(grid.main.cells.values())).panel
    return results.measures(panel.setup, panel.protocol)[0]


def _headings(grid: Grid) -> list[str]:
    return [*(column.label for column in grid.columns), *(label for label, _ in grid.extras)]


def _extra_cells(grid: Grid, method: str) -> list[str]:
    return [texts.get(method, "–") for _, texts in grid.extras]


def _best(grid: Grid, method: str, column: Column) -> bool:
    cell = grid.cell(method, column)
    return cell is not None and grid.is_best(cell, column)


def _plain(cell: Summary | None) -> str:
    if cell is None:
        return "–"
    half = cell.interval.half_width
    text = percent(cell.mean) + ("" if half is None else f" ±{percent(half)}")
    return text + ("†" if cell.partial else "") + MARKS[cell.verdict]


def _markdown_table(grid: Grid) -> list[str]:
    headings = ["method", *_headings(grid)]
    lines = [
        "| " + " | ".join(map(_md, headings)) + " |",
        "|---|" + "---:|" * (len(headings) - 1),
    ]
    for method in grid.rows:
        cells = [_md(method)]
        for column in grid.columns:
            text = _plain(grid.cell(method, column))
            number, _, rest = text.partition(" ")
            cells.append(f"**{number}** {rest}".strip() if _best(grid, method, column) else text)
        lines.append("| " + " | ".join([*cells, *_extra_cells(grid, method)]) + " |")
    return lines


def _md(text: str) -> str:
    """Escape what Markdown would read as its own."""
    for sign in "\\`*_[]<>|&~$":
        text = text.replace(sign, "\\" + sign)
    return printable(text.replace("\n", " "))


def _latex_table(grid: Grid, heading: str) -> str:
    headings = ["method", *_headings(grid)]
    body = []
    for method in grid.rows:
        cells = [_latex_cell(grid, method, column) for column in grid.columns]
        line = [escape_latex(method), *cells, *map(escape_latex, _extra_cells(grid, method))]
        body.append("    " + " & ".join(line) + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering\small",
            rf"  \caption{{{escape_latex(f'{grid.title}: {heading}. ' + ' '.join(grid.notes))}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"    \toprule",
            "    " + " & ".join(map(escape_latex, headings)) + r" \\",
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_cell(grid: Grid, method: str, column: Column) -> str:
    cell = grid.cell(method, column)
    if cell is None:
        return "--"
    number = percent(cell.mean)
    text = rf"\textbf{{{number}}}" if _best(grid, method, column) else number
    if cell.interval.half_width is not None:
        text += rf" {{\scriptsize$\pm${percent(cell.interval.half_width)}}}"
    return text + (r"$^{\dagger}$" if cell.partial else "") + _LATEX_MARKS[cell.verdict]


def escape_latex(text: str) -> str:
    """Escape what LaTeX would read as its own, and write the marks that it has no letter for."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text.replace("\n", " ")))
