"""``interlace report``: what the cells of a benchmark amount to, as a page or as tables."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from interlace._util.files import check_writable, write_text
from interlace._util.reading import as_path
from interlace.cli._options import Json
from interlace.cli._output import err, out, print_json
from interlace.errors import InterlaceError


class ReportFormat(StrEnum):
    """How a report is written."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"
    LATEX = "latex"


SUFFIXES = {
    ".html": ReportFormat.HTML,
    ".htm": ReportFormat.HTML,
    ".md": ReportFormat.MARKDOWN,
    ".markdown": ReportFormat.MARKDOWN,
    ".csv": ReportFormat.CSV,
    ".tex": ReportFormat.LATEX,
}


def run(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders that interlace bench wrote, or single cells.", metavar="RUNS"),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write: .html, .md, .csv or .tex; else the terminal."
        ),
    ] = None,
    format_: Annotated[
        ReportFormat | None,
        typer.Option("--format", help="By default what the suffix of -o says, else md."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Method that others are compared to; by default zero_shot."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    as_json: Json = False,
) -> None:
    """Report on finished runs: means, intervals, paired tests, curves, costs, failures.

    The page is one file that needs no network and no script. Markdown, CSV and LaTeX go to the
    terminal where no file is named.

    Example: interlace report runs/ -o report.html
    """
    output = None if output is None else as_path(output, "output")
    kind = _format(output, format_, as_json)
    if output is not None:
        check_writable(output, folder=False)
    from interlace.report import flat, load_cells, notices, tables

    results = load_cells(runs, baseline)
    told = notices(results)
    if kind is not None:
        if kind is ReportFormat.HTML:
            from interlace.report.html import to_html

            with err.status("drawing ..."):
                text = to_html(results, title=title)
        elif kind is ReportFormat.MARKDOWN:
            text = tables.markdown(results, title or "Results")
        else:
            text = (flat.to_csv if kind is ReportFormat.CSV else tables.latex)(results)
        if output is not None:
            write_text(output, text)
        elif not as_json:
            sys.stdout.write(text)
    if as_json:
        print_json(
            {
                "baseline": results.baseline,
                "cells": len(results.done),
                "failed": len(results.failed),
                "notices": [asdict(notice) for notice in told],
                "summaries": list(flat.rows(results)),
            }
        )
    for notice in told:
        if notice.serious:
            err.print(f"warning: {notice.text}")
    if output is not None and not as_json:
        out.print(f"{output}: {len(results.done):,} cells")


def _format(output: Path | None, wanted: ReportFormat | None, as_json: bool) -> ReportFormat | None:
    """Decide on the format; None where only JSON is asked for.

    Raises:
        InterlaceError: The suffix says nothing, or HTML has no file to go to.
    """
    if output is not None and output.is_dir():
        raise InterlaceError(f"-o {output} is a folder: name a file such as {output}/report.html")
    if wanted is None and output is not None:
        found = SUFFIXES.get(output.suffix.lower())
        if found is None:
            raise InterlaceError(
                f"-o {output}: the suffix says no format; it may be {', '.join(SUFFIXES)}, or name "
                "the format with --format"
            )
        return found
    if wanted is ReportFormat.HTML and output is None:
        raise InterlaceError("--format html needs a file: -o report.html")
    if output is None and as_json:
        return None
    return wanted or ReportFormat.MARKDOWN
