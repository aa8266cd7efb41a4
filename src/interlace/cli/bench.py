"""``interlace bench``: a protocol over data sets, methods, shots and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace._util.files import check_writable
from interlace.cli._bench_view import run_in_view, tell_failed
from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    DataRoot,
    Device,
    EngineName,
    EngineOption,
    Workers,
    numbers,
    split_list,
)
from interlace.cli._output import err, out, print_json
from interlace.cli._run_files import tell_twins
from interlace.errors import InterlaceError, TooFewImages
from interlace.experiments.engines import make_engine

if TYPE_CHECKING:
    from interlace.data.task import FewShotTask
    from interlace.experiments.cell import CellSpec
    from interlace.protocols import Protocol


def run(
    protocol: Annotated[
        str,
        typer.Argument(
            help="few_shot, base_to_novel, cross_dataset, domain_generalization, robustness; "
            "retrieval, ucdr, uccdr, udcdr."
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Data sets, separated by commas: picto (all of its sets), eurosat, a folder, ..."
        ),
    ] = "picto",
    methods: Annotated[
        str,
        typer.Option(help="Separated by commas, or all; mail:rank=0 changes a setting of one."),
    ] = "all",
    shots: Annotated[
        str | None,
        typer.Option(help="Images per class, separated by commas; by default the protocol's own."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1,2,3,4,5",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the records, one file per cell.")
    ] = Path("runs"),
    targets: Annotated[
        str, typer.Option(help="Data sets or domains to score, where the protocol has such.")
    ] = "",
    conditions: Annotated[
        str, typer.Option(help="Kinds of a robustness study, separated by commas; by default all.")
    ] = "",
    model: Annotated[str, typer.Option(help="picto, ViT-B-16:openai, hf:NAME, or a path.")] = (
        "picto"
    ),
    split: Annotated[
        str | None,
        typer.Option(help="Stored draws to use, with {seed} in the place of the seed."),
    ] = None,
    data_root: DataRoot = None,
    template: Annotated[str | None, typer.Option(help="Prompt with {} for the class name.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for all methods; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of such settings.")] = None,
    preset: Annotated[
        str, typer.Option(help="auto, none, published (docs/reproduce.md), or a name.")
    ] = "auto",
    engine: EngineOption = EngineName.local,
    workers: Workers = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print all records as JSON.")] = False,
) -> None:
    """Run a grid of independent cells; those that have a result already are skipped.

    Interrupt it at any time: the same command resumes. ``interlace report`` makes a page of the
    records.

    Example: interlace bench base_to_novel --data picto --methods all --shots 2 -o runs/
    """
    from interlace import methods as registry
    from interlace import protocols
    from interlace.backbone.load import load
    from interlace.config import read_settings
    from interlace.experiments.grid import check_cells, check_results, list_cells
    from interlace.experiments.store import Store
    from interlace.train.optim import resolve_device

    chosen = protocols.get(protocol)
    names = registry.available() if methods == "all" else split_list(methods)
    asked = None if shots is None else numbers(shots, "shots")
    own_grid = partial(
        list_cells,
        chosen.name,
        names=names,
        seeds=numbers(seeds, "seeds"),
        settings=read_settings(config, settings or []),
        kinds=split_list(conditions),
        targets=tuple(split_list(targets)),
        model=model,
        preset=None if preset == "none" else preset,
        template=template,
        split=split,
    )
    check_writable(output, folder=True)
    if engine is EngineName.local:
        resolve_device(device)
    given = split_list(data)
    if not given:
        raise InterlaceError(f"--data {data!r}: names no data set")
    data_sets = [own for name in given for own in chosen.data_sets(name, data_root)]
    specs = _drawable(own_grid, data_sets, chosen, asked, data_root)
    store = Store(output)
    clip = load(model)
    check_results(specs, store, clip, data_root)
    waiting = [spec for spec in specs if not store.is_done(spec)]
    if waiting:
        asked_for = ("zero_shot", *(() if methods == "all" else names))
        first = [spec for spec in waiting if spec.method in asked_for] or waiting
        there = device if engine is EngineName.local else None
        tell_twins(clip, check_cells(first, clip, data_root, there))
    records = run_in_view(specs, store, lambda: make_engine(engine, workers, data_root, device))
    if as_json:
        print_json(records)
    else:
        show(records)
        n_done = sum(record["status"] == "done" for record in records)
        out.print(f"{n_done} cells in {output}")
    tell_failed(records)


def _drawable(
    list_cells: Callable[..., list[CellSpec]],
    data_sets: Sequence[str],
    protocol: Protocol[Any],
    shots: Sequence[int] | None,
    root: Path | None,
) -> list[CellSpec]:
    """List the cells that there are enough images for, and say how each data set was understood.

    Args:
        list_cells: lists the cells of data sets and shots.
        data_sets: data sets.
        protocol: the protocol.
        shots: what was asked for; None for the protocol's own.
        root: the data root.

    Raises:
        InterlaceError: if there are none.
    """
    from interlace.experiments.cell import setting_of

    specs: list[CellSpec] = []
    planned: dict[str, FewShotTask] = {}
    for one in data_sets:

        def draw(count: int, one: str = one) -> None:
            plan = protocol.plan(setting_of(list_cells([one], shots=[count])[0], "{}", root))
            planned[one] = plan.task

        counts = usable_shots(shots, protocol.shots, draw, one)
        specs += list_cells([one], shots=counts) if counts else []
    for task in planned.values():
        tell_notes(task.notes)
        tell_skipped(task.skipped, task.hidden)
    if not specs:
        raise InterlaceError("no data set has enough images for these shots")
    return specs


def show(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the tables that the report makes of records."""
    from interlace.report import results_of, tables

    if any(record["status"] == "done" for record in records):
        for table in tables.terminal(results_of(records), width=out.width):
            out.print(table)


def usable_shots(
    asked: Sequence[int] | None, usual: Sequence[int], draw: Callable[[int], object], data: str
) -> list[int]:
    """Return the numbers of shots that a data set has enough images for; say which it has not.

    Args:
        asked: what was asked for; None for the protocol's own numbers, or, where the data set has
            too few images for all of them, the most that it has enough for.
        usual: the protocol's own.
        draw: draws with a number of shots.
        data: name of the data set.
    """
    found, reason = [], ""
    for shots in asked or usual:
        try:
            draw(shots)
            found.append(shots)
        except TooFewImages as error:
            reason = reason or str(error)
            if asked:
                err.print(f"left out: {data} with {shots} shots: {error}")
    if found or asked:
        return found
    for shots in range(min(usual) - 1, 0, -1):
        try:
            draw(shots)
            err.print(f"{data}: {shots} shots, because there are {reason}")
            return [shots]
        except TooFewImages:
            continue
    err.print(f"left out: {data}: {reason}")
    return []
