"""What ``interlace reproduce`` prints: its table and what it takes to read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from interlace.cli._output import out, print_json

if TYPE_CHECKING:
    from interlace.experiments.published import Recipe
    from interlace.experiments.reproduce import Reproduction, ReproductionRow

TUNED = (
    "values the authors chose for this data set alone; such values were in part chosen on test data"
)


def show(
    asked: Reproduction,
    recipe: Recipe,
    found: Sequence[ReproductionRow],
    notes: Sequence[str],
    tuned: dict[str, str],
) -> None:
    """Print the table, and around it what it takes to read it.

    Args:
        asked: what was to be reproduced.
        recipe: how it was run.
        found: the rows.
        notes: what sets these runs apart from the published ones.
        tuned: the source of values that were chosen for a data set, by its name.
    """
    sources = list(dict.fromkeys((v.kind, v.source) for row in found for v in row.published))
    letters = {source: chr(ord("a") + i) for i, source in enumerate(sources)}
    for note in notes:
        say(note)
    out.print(_table(f"{asked.name}: accuracy in %", found, letters, tuned))
    for (kind, source), letter in letters.items():
        say(f"{letter}  {kind}: {source}")
    cautions = dict.fromkeys(
        f"{row.data}, {letters[v.kind, v.source]}: {v.caution}"
        for row in found
        for v in row.published
        if v.caution
    )
    for caution in cautions:
        say(f"   {caution}")
    if not sources:
        say("No published number of these is known here.")
    say(f"setting: {recipe.source}")
    if tuned:
        say(f"* tuned: {TUNED}")
    say(
        "ours: mean over seeds ± half its 95 % t-interval. difference: ours - published, in points."
        + (" HM: of the averaged base and novel accuracy." if _several(found, "measure") else "")
    )


def _table(
    title: str,
    found: Sequence[ReproductionRow],
    letters: dict[tuple[str, str], str],
    tuned: dict[str, str],
) -> Table:
    """Make the table; a row has a line for each published value."""
    from interlace.experiments.measures import AVERAGE

    several, named = (_several(found, name) for name in ("shots", "measure"))
    table = Table(title=title, title_justify="left")
    table.add_column("data set", no_wrap=True)
    if several:
        table.add_column("shots", justify="right", no_wrap=True)
    if named:
        table.add_column("measure", no_wrap=True)
    for heading in ("ours", "published", "difference", "in interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = ""
    for row in found:
        star = " *" if row.data in tuned or (row.data == AVERAGE and tuned) else ""
        shown = row.data + star if row.data != last else ""
        if shown and last and (several or named):
            table.add_section()
        last = row.data
        head = [shown, *([str(row.shots)] * several), *([row.measure] * named), _ours(row)]
        lines = [
            (
                f"{value.value:.2f} {letters[value.kind, value.source]}",
                _points(row.difference(value)),
                {True: "yes", False: "no", None: "-"}[row.inside(value)],
            )
            for value in row.published
        ] or [("-", "-", "-")]
        for line in lines:
            table.add_row(*head, *line)
            head = [""] * len(head)
    return table


def _several(found: Sequence[ReproductionRow], name: str) -> bool:
    return len({getattr(row, name) for row in found}) > 1


def _ours(row: ReproductionRow) -> str:
    if row.ours is None:
        return "-"
    half = row.ours.half_width
    return f"{row.ours.mean:.2f}" + ("" if half is None else f" ± {half:.2f}")


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def say(line: str) -> None:
    """Print a line that the terminal wraps."""
    out.print(line)


def show_all(as_json: bool) -> None:
    """List what there is to reproduce."""
    from interlace.experiments.reproduce import all_reproductions

    known = all_reproductions()
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "published_values": len(one.values),
                    "setting": one.recipe and one.recipe.source,
                    "tuned": bool(one.recipe and one.recipe.tuned),
                }
                for one in known
            ]
        )
        return
    table = Table(title="published settings and numbers", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("published values", justify="right")
    table.add_column("setting")
    for one in known:
        setting = "not known" if one.recipe is None else "one for all data sets"
        if one.recipe and one.recipe.tuned:
            setting = "tuned for each data set"
        table.add_row(one.name, str(len(one.values)), setting)
    out.print(table)
    say(f"Where the setting is not known, nothing can be run. tuned: {TUNED}.")
