"""Results as tables: in Markdown, in LaTeX and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from interlace._util.text import printable
from interlace.experiments.measures import HM_DEFINITION
from interlace.experiments.summaries import Summary, mean_costs
from interlace.report.findings import finding
from interlace.report.grids import Grid, by_data, grids
from interlace.report.notices import notices
from interlace.report.numbers import percent, points, with_commas
from interlace.report.results import Results

#: Characters that a column of a terminal's table takes beside its text.
_FRAME = 3
MARKS = {"better": "▲", "worse": "▼", "": ""}
_LATEX_MARKS = {"▲": r"$^{\uparrow}$", "▼": r"$^{\downarrow}$", "†": r"$^{\dagger}$"}
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


def terminal(results: Results, per_data: bool = False, width: int | None = None) -> list[Table]:
    """Make tables that rich prints: the headline of every protocol, and each data set if asked.

    The notes of a table are its caption. Only the first measure of a protocol is shown.

    Args:
        results: what there is.
        per_data: whether each data set has tables of its own.
        width: characters of a line; a table with columns for more goes on in further ones, in
            which the methods stand again. None for no limit.
    """
    return [
        _printed(part, f"{grid.title}: {heading}" + (f", {i} of {len(parts)}" if parts[1:] else ""))
        for heading, found in sections(results, per_data)
        for grid in found
        if grid.measure == _headline_measure(results, grid)
        for parts in [_fitting(grid, width)]
        for i, part in enumerate(parts, 1)
    ]


def _fitting(grid: Grid, width: int | None) -> list[Grid]:
    """Cut a table into parts of which no line has to break a word; notes stand below the last."""
    if width is None:
        return [grid]
    lines = list(_lines(grid, str, lambda text, best: text))
    needed = [
        max(len(word) for text in (label, *texts) for word in text.split()) + _FRAME
        for label, *texts in zip(_headings(grid), *(line[1:] for line in lines), strict=True)
    ]
    room = width - max(len(line[0]) for line in lines) - _FRAME - 1
    groups: list[list[int]] = [[]]
    for place, own in enumerate(needed):
        if groups[-1] and sum(needed[i] for i in groups[-1]) + own > room:
            groups.append([])
        groups[-1].append(place)
    n = len(grid.columns)
    return [
        replace(
            grid,
            columns=tuple(grid.columns[i] for i in group if i < n),
            extras=tuple(grid.extras[i - n] for i in group if i >= n),
            notes=grid.notes if group is groups[-1] else (),
        )
        for group in groups
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
    for line in _lines(grid, Text, lambda text, best: Text(text, style="bold" if best else "")):
        table.add_row(*line)
    return table


def _gains(grid: Grid) -> Table:
    title = f"paired difference to {grid.baseline} in points ± half its 95 % t-interval over seeds"
    table = _empty_table(title, "", [column.label for column in grid.columns])
    for method in grid.rows:
        if method != grid.baseline:
            cells = [column.cells.get(method) for column in grid.columns]
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


def _headline_measure(results: Results, grid: Grid) -> str:
    panel = next(iter(grid.main.cells.values())).panel
    return results.measures(panel.setup, panel.protocol)[0]


def _headings(grid: Grid) -> list[str]:
    return [*(column.label for column in grid.columns), *(label for label, _ in grid.extras)]


_Text = TypeVar("_Text")


def _lines(
    grid: Grid, plain: Callable[[str], _Text], number: Callable[[str, bool], _Text]
) -> Iterator[list[_Text]]:
    """Yield the rows of a table: the method, a number in each column, and what stands beside.

    Args:
        grid: the table.
        plain: writes a text.
        number: writes a number with its marks, and whether it is the best of its column.
    """
    for method in grid.rows:
        cells = [(column.cells.get(method), column) for column in grid.columns]
        numbers = [
            number(_plain(cell), cell is not None and grid.is_best(cell, column))
            for cell, column in cells
        ]
        extras = [plain(texts.get(method, "–")) for _, texts in grid.extras]
        yield [plain(method), *numbers, *extras]


def _plain(cell: Summary | None) -> str:
    if cell is None:
        return "–"
    half = cell.interval.half_width
    text = percent(cell.mean) + ("" if half is None else f" ±{percent(half)}")
    return text + ("†" if cell.partial else "") + MARKS[cell.verdict]


def _markdown_table(grid: Grid) -> Iterator[str]:
    headings = ["method", *map(_md, _headings(grid))]
    yield "| " + " | ".join(headings) + " |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for line in _lines(grid, _md, _md_number):
        yield "| " + " | ".join(line) + " |"


def _md_number(text: str, best: bool) -> str:
    number, _, rest = text.partition(" ")
    return f"**{number}** {rest}".strip() if best else text


def _md(text: str) -> str:
    """Escape what Markdown would read as its own."""
    for sign in "\\`*_[]<>|&~$":
        text = text.replace(sign, "\\" + sign)
    return printable(text.replace("\n", " "))


def _latex_table(grid: Grid, heading: str) -> str:
    headings = ["method", *_headings(grid)]
    lines = _lines(grid, escape_latex, _latex_number)
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering\small",
            rf"  \caption{{{escape_latex(f'{grid.title}: {heading}. ' + ' '.join(grid.notes))}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"    \toprule",
            "    " + " & ".join(map(escape_latex, headings)) + r" \\",
            r"    \midrule",
            *("    " + " & ".join(line) + r" \\" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def _latex_number(text: str, best: bool) -> str:
    if text == "–":
        return "--"
    number, half, marks = re.fullmatch(r"([\d.]+)(?: ±([\d.]+))?(.*)", text).groups()  # type: ignore[union-attr]
    number = rf"\textbf{{{number}}}" if best else number
    if half is not None:
        number += rf" {{\scriptsize$\pm${half}}}"
    return number + "".join(_LATEX_MARKS[mark] for mark in marks)


def escape_latex(text: str) -> str:
    """Escape what LaTeX would read as its own, and write the marks that it has no letter for."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text.replace("\n", " ")))
