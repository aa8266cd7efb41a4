"""Results as one page that needs nothing else: no network, no font, no script."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from interlace._util.files import write_text
from interlace._util.text import printable
from interlace.report.notices import notices
from interlace.report.numbers import mebibytes, p_value, percent, points, with_commas
from interlace.report.page import configuration, method_styles, sections
from interlace.report.results import Results
from interlace.report.svg import swatch, with_number

_MARKS = {"better": ("▲", "up"), "worse": ("▼", "down")}


def write_html(results: Results, path: Path | str, *, title: str | None = None) -> None:
    """Write the report as one HTML file.

    Args:
        results: what to report.
        path: where to write it; its folder is made.
        title: heading of the page.

    Raises:
        InterlaceError: it cannot be written, as where the disk is full.
    """
    write_text(path, to_html(results, title=title))


def to_html(results: Results, *, title: str | None = None) -> str:
    """Return the report as HTML; see ``write_html``."""
    environment = Environment(
        loader=PackageLoader("interlace.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "p_value": p_value,
        "amount": with_commas,
        "bytes": mebibytes,
    }
    looks = method_styles(results)
    made = sections(results, looks)
    numbers = count(1)
    return environment.get_template("page.html.j2").render(
        title=printable(title) if title else _title(made),
        facts=_facts(results),
        sections=made,
        notices=notices(results),
        baseline=results.baseline,
        legend=[(name, swatch(style)) for name, style in looks.items()],
        failed=results.failed,
        configuration=configuration(results) if results.done else None,
        marks=_MARKS,
        chart=lambda chart: with_number(chart.svg, next(numbers)),
        style=Markup(_resource("page.css")),  # noqa: S704
    )


def _resource(name: str) -> str:
    return files("interlace.report").joinpath("templates", name).read_text(encoding="utf-8")


def _title(made: list[Any]) -> str:
    names = list(dict.fromkeys(section.title.lower() for section in made))
    return "Adaptation methods compared" + (f": {names[0]}" if len(names) == 1 else "")


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    """Return what was run, in pairs of a name and a value."""
    cells = results.cells
    yield "model", ", ".join(dict.fromkeys(results.setup_label(s) for s in results.setups))
    for name, values in (
        ("methods", {cell.method for cell in cells}),
        ("data sets", {cell.data for cell in cells}),
        ("shots", {cell.shots for cell in cells}),
        ("seeds", {cell.seed for cell in cells}),
    ):
        ordered = sorted(values)
        few = len(ordered) <= 5 and name != "methods"
        yield name, ", ".join(map(str, ordered)) if few else str(len(ordered))
    yield (
        "runs",
        f"{len(results.done):,}" + (f" + {len(results.failed)} failed" if results.failed else ""),
    )
    dates = sorted(cell.date[:10] for cell in cells if cell.date)
    if dates:
        yield "run on", " to ".join(dict.fromkeys((dates[0], dates[-1])))
