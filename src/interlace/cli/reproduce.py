"""``interlace reproduce``: a published setting run here, its numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from interlace.cli._bench_view import View
from interlace.cli._options import DataRoot, Json
from interlace.cli._output import err, out, print_json
from interlace.cli.bench import EngineName, _engine, drawable, numbers, split_list
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.bench.cell import CellSpec
    from interlace.bench.store import Store
    from interlace.published import Recipe
    from interlace.reproducing import Reproduction, Row

NAME = "reproduce"
TUNED = (
    "values the authors chose for this data set alone, and such are in part chosen on test images"
)


def run(
    name: Annotated[
        str | None, typer.Argument(help="METHOD/PROTOCOL, such as mmrl/base_to_novel.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List what there is.")] = False,
    data: Annotated[
        str, typer.Option(help="Some of the published data sets, separated by commas; all.")
    ] = "",
    data_root: DataRoot = None,
    model: Annotated[
        str | None, typer.Option(help="ViT-B-16:openai, hf:NAME, or a path; the published one.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, separated by commas; the published ones.")
    ] = None,
    shots: Annotated[
        str | None, typer.Option(help="Images per class, separated by commas; the published ones.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the records, one file per cell.")
    ] = Path("runs/reproduce"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value for a trial; no longer the published setting."),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Processes of this machine, or a Ray cluster.")
    ] = EngineName.local,
    workers: Annotated[
        int | None, typer.Option(help="Cells at a time; one per GPU, or else per core.", min=1)
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    as_json: Json = False,
) -> None:
    """Run a method as it was published, and print our numbers beside the published ones.

    Nothing is run that has a result in the output folder already: an interrupted command goes on.

    Example: interlace reproduce mmrl/base_to_novel --data eurosat,dtd --data-root DATA
    """
    from interlace.bench.store import Store
    from interlace.config import read_settings
    from interlace.reproducing import find, incomplete, rows

    if name is None or show_list:
        _list(as_json)
        return
    asked = find(name)
    recipe = asked.setting()
    chosen = asked.chosen(split_list(data))
    _check_data(asked, chosen, data_root)
    values = read_settings(None, settings or [])
    own_seeds = numbers(seeds, "seeds") if seeds else list(recipe.seeds)
    specs = asked.cells(
        chosen,
        model or recipe.model,
        own_seeds,
        numbers(shots, "shots") if shots else recipe.shots,
        values,
    )
    specs = drawable(specs, data_root)
    short = incomplete(asked.needed(chosen), data_root)
    store = Store(output)
    records = _run(specs, store, engine, workers, data_root, device)
    failed = [record for record in records if record["status"] == "failed"]
    done = [record for record in records if record["status"] == "done"]
    found = rows(asked, done)
    used = {record["backbone"]["source"] for record in done}
    notes = _notes(recipe, used, own_seeds, values, short)
    tuned = {r["spec"]["data"]: r["tuned"] for r in done if r["tuned"]}
    if as_json:
        print_json(
            {
                "name": asked.name,
                "setting": recipe.source,
                "model": sorted(used),
                "published_model": recipe.model,
                "as_published": not notes,
                "notes": notes,
                "tuned": tuned,
                "rows": [row.to_dict() for row in found],
                "failed": len(failed),
                "records": str(output),
            }
        )
    elif found:
        _show(asked, recipe, found, notes, tuned)
        if set(chosen) != set(asked.data_sets):
            _say(f"No average: it is over {len(asked.data_sets)} data sets, {len(chosen)} ran.")
    if failed:
        first = failed[0]["error"]["message"]
        _tell(f"{len(failed)} cells failed, the first with: {first}")
        raise typer.Exit(1)


def _check_data(asked: Reproduction, chosen: Sequence[str], root: Path | None) -> None:
    """See that all data sets are there.

    Raises:
        InterlaceError: naming those that are not, how to get them, and what can run without them.
    """
    from interlace.reproducing import missing

    needed = asked.needed(chosen)
    absent = missing(needed, root)
    if not absent:
        return
    sources = set(needed) - set(chosen)
    there = [] if sources & set(absent) else [one for one in chosen if one not in absent]
    hint = f"; those that are there run with --data {','.join(there)}" if there else ""
    raise InterlaceError(
        f"{asked.name}: not there or not complete: {', '.join(absent)}: interlace data check NAME "
        f"says what is missing, interlace data get NAME downloads images{hint}"
    )


def _run(
    specs: list[CellSpec],
    store: Store,
    engine: EngineName,
    workers: int | None,
    root: Path | None,
    device: str,
) -> list[dict[str, Any]]:
    """The records of all cells; those that have none are run.

    Raises:
        InterlaceError: if there is something to run and the model is not there.
    """
    from interlace.backbone.load import load
    from interlace.bench.run import run_grid

    waiting = [spec for spec in specs if not store.is_done(spec)]
    if len(waiting) < len(specs):
        err.print(f"{len(specs) - len(waiting)} of {len(specs)} cells are done already")
    if not waiting:
        return list(store.records(specs))
    model = waiting[0].model
    try:
        load(model)
    except InterlaceError as error:
        raise InterlaceError(
            f"the model {model} is not there: {error}; --model also takes a local folder or file"
        ) from None
    try:
        where = _engine(engine, workers, root, device)
        with View(waiting, where.workers, err) as view:
            return run_grid(specs, store, where, started=view.started, finished=view.finished)
    except KeyboardInterrupt:
        err.print(f"interrupted: the same command goes on with what is in {store.folder}")
        raise typer.Exit(130) from None


def _notes(
    recipe: Recipe,
    used: set[str],
    seeds: Sequence[int],
    settings: dict[str, Any],
    incomplete: Sequence[str],
) -> list[str]:
    """What sets these runs apart from the published ones."""
    notes = []
    others = sorted(used - {recipe.model})
    if others:
        notes.append(
            f"NOT COMPARABLE: the model is {', '.join(others)}, the published numbers are of "
            f"{recipe.model}."
        )
    if settings:
        changed = ", ".join(f"{name}={value}" for name, value in settings.items())
        notes.append(f"NOT THE PUBLISHED SETTING: {changed}.")
    if incomplete:
        notes.append(f"NOT THE PUBLISHED DATA: {'; '.join(incomplete)}.")
    if sorted(seeds) != sorted(recipe.seeds):
        own, theirs = (", ".join(map(str, some)) for some in (seeds, recipe.seeds))
        notes.append(f"Seeds {own}; the published runs have {theirs}.")
    return notes


def _show(
    asked: Reproduction,
    recipe: Recipe,
    found: Sequence[Row],
    notes: Sequence[str],
    tuned: dict[str, str],
) -> None:
    """Print the table, and below it what it takes to read it."""
    from interlace.published import AVERAGE

    sources = list(dict.fromkeys((v.kind, v.source) for row in found for v in row.published))
    letters = {source: chr(ord("a") + i) for i, source in enumerate(sources)}
    several = len({row.shots for row in found}) > 1
    table = Table(title=f"{asked.name}: accuracy in %", title_justify="left")
    table.add_column("data set", no_wrap=True)
    if several:
        table.add_column("shots", justify="right")
    table.add_column("measure", no_wrap=True)
    for heading in ("ours", "published", "difference", "in interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    last = ""
    for row in found:
        star = " *" if row.data in tuned or (row.data == AVERAGE and tuned) else ""
        shown = row.data + star if row.data != last else ""
        if shown and last and not several:
            table.add_section()
        last = row.data
        head = [shown, *([str(row.shots)] if several else []), row.measure, _ours(row)]
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
    for note in notes:
        _say(note)
    out.print(table)
    for (kind, source), letter in letters.items():
        _say(f"{letter}  {kind}: {source}")
    cautions = dict.fromkeys(
        f"{row.data}, {letters[v.kind, v.source]}: {v.caution}"
        for row in found
        for v in row.published
        if v.caution
    )
    for caution in cautions:
        _say(f"   {caution}")
    if not sources:
        _say("No published number of these is known here.")
    _say(f"setting: {recipe.source}")
    if tuned:
        _say(f"* tuned: {TUNED}")
    _say(
        "ours: mean over seeds ± half its 95 % t-interval. difference: ours - published, in points."
        + (" HM: of the averaged base and novel accuracy." if _has_halves(found) else "")
    )


def _has_halves(found: Sequence[Row]) -> bool:
    return any(row.measure == "HM" for row in found)


def _ours(row: Row) -> str:
    if row.ours is None:
        return "-"
    half = row.ours.half_width
    return f"{row.ours.mean:.2f}" + ("" if half is None else f" ± {half:.2f}")


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _tell(line: str) -> None:
    err.print(line, style="bold red", markup=False, highlight=False, soft_wrap=True)


def _list(as_json: bool) -> None:
    """What there is to reproduce."""
    from interlace.reproducing import all_reproductions

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
    _say("Where the setting is not known, nothing can be run. tuned: " + TUNED + ".")
