"""``interlace reproduce``: a published setting run here, its numbers beside the published ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace._util.files import check_writable
from interlace.cli._bench_view import run_in_view, tell_failed
from interlace.cli._options import (
    DataRoot,
    Device,
    EngineName,
    EngineOption,
    Json,
    Workers,
    numbers,
    split_list,
)
from interlace.cli._output import err, print_json
from interlace.cli._reproduce_view import say, show, show_all
from interlace.cli._run_files import tell_twins
from interlace.errors import InterlaceError, TooFewImages
from interlace.experiments.engines import make_engine

if TYPE_CHECKING:
    from interlace.experiments.cell import CellSpec
    from interlace.experiments.published import Recipe
    from interlace.experiments.reproduce import Reproduction


def run(
    name: Annotated[
        str | None, typer.Argument(help="METHOD/PROTOCOL, such as mmrl/base_to_novel.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List what there is.")] = False,
    data: Annotated[
        str,
        typer.Option(help="Some of the published data sets, separated by commas; by default all."),
    ] = "",
    data_root: DataRoot = None,
    model: Annotated[
        str | None,
        typer.Option(help="ViT-B-16:openai, hf:NAME, or a path; by default the published one."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, separated by commas; by default the published ones.")
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(help="Images per class, separated by commas; by default the published ones."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Stored draws to use, with {data} (its folder), {shots} and {seed} in their "
            "places: DATA/{data}/split_fewshot/shot_{shots}-seed_{seed}.pkl."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the records, one file per cell.")
    ] = Path("runs/reproduce"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value for a trial; no longer the published setting."),
    ] = None,
    engine: EngineOption = EngineName.local,
    workers: Workers = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Run a method as it was published, and print our numbers beside the published ones.

    Cells that have a result in the output folder are not run again: interrupted runs resume.

    Example: interlace reproduce mmrl/base_to_novel --data eurosat,dtd --data-root DATA
    """
    from interlace.backbone.load import load
    from interlace.config import read_settings
    from interlace.experiments.grid import check_cells, check_results
    from interlace.experiments.reproduce import find, incomplete, rows
    from interlace.experiments.store import Store
    from interlace.train.optim import resolve_device

    if name is None or show_list:
        show_all(as_json)
        return
    asked = find(name)
    recipe = asked.setting()
    chosen = asked.chosen(split_list(data))
    values = read_settings(None, settings or [])
    own_seeds = list(recipe.seeds) if seeds is None else numbers(seeds, "seeds")
    specs = asked.cells(
        chosen,
        model or recipe.model,
        own_seeds,
        recipe.shots if shots is None else numbers(shots, "shots"),
        values,
        split,
    )
    check_writable(output, folder=True)
    if engine is EngineName.local:
        resolve_device(device)
    _check_data(asked, chosen, data_root)
    store = Store(output)
    specs = _drawable(specs, data_root)
    waiting = [spec for spec in specs if not store.is_done(spec)]
    if waiting:
        _check_model(waiting[0].model)
        clip = load(waiting[0].model)
        check_results(specs, store, clip, data_root)
        there = device if engine is EngineName.local else None
        tell_twins(clip, check_cells(waiting, clip, data_root, there))
    short = incomplete(asked.needed(chosen), data_root)
    records = run_in_view(specs, store, lambda: make_engine(engine, workers, data_root, device))
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
                "failed": len(records) - len(done),
                "records": str(output),
            }
        )
    elif found:
        show(asked, recipe, found, notes, tuned)
        if set(chosen) != set(asked.data_sets):
            say(f"No average: it is over {len(asked.data_sets)} data sets, {len(chosen)} ran.")
    tell_failed(records)


def _drawable(specs: Sequence[CellSpec], root: Path | None) -> list[CellSpec]:
    """Leave out the shots that a data set has too few images for, and say so.

    Raises:
        InterlaceError: if nothing is left.
    """
    from interlace import protocols
    from interlace.experiments.cell import setting_of

    short: dict[tuple[str, int], bool] = {}
    for spec in specs:
        key = (spec.data, spec.shots)
        if key in short:
            continue
        try:
            protocols.get(spec.protocol).plan(setting_of(spec, "{}", root))
            short[key] = False
        except TooFewImages as error:
            short[key] = True
            err.print(f"left out: {spec.data} with {spec.shots} shots: {error}")
    kept = [spec for spec in specs if not short[spec.data, spec.shots]]
    if not kept:
        raise InterlaceError("no data set has enough images for the published shots")
    return kept


def _check_data(asked: Reproduction, chosen: Sequence[str], root: Path | None) -> None:
    """See that all data sets are there.

    Raises:
        InterlaceError: naming those that are not, how to get them, and what can run without them.
    """
    from interlace.experiments.reproduce import missing

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


def _check_model(model: str) -> None:
    """See that the model is there, once and not in every process.

    Raises:
        InterlaceError: if it is not.
    """
    from interlace.backbone.load import load

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # each retry would be told; the error below says it once
    try:
        load(model)
    except InterlaceError as error:
        raise InterlaceError(
            f"the model {model} is not there: {error}; --model also takes a local folder or file"
        ) from None
    finally:
        log.setLevel(level)


def _notes(
    recipe: Recipe,
    used: set[str],
    seeds: Sequence[int],
    settings: dict[str, Any],
    incomplete: Sequence[str],
) -> list[str]:
    """Return what sets these runs apart from the published ones."""
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
