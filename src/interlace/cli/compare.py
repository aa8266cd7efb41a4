"""``interlace compare``: several methods on the same shots, in one table."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace._util.files import check_writable, held
from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    Data,
    DataRoot,
    IgnoreColumns,
    ImageColumn,
    LabelColumn,
    SplitColumn,
    columns_of,
    numbers,
    split_list,
)
from interlace.cli._output import err, out, percent, print_json, training_bar
from interlace.cli._run_files import tell_twins, written

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel
    from interlace.experiments.compare import ComparedCell


def run(
    data: Data,
    methods: Annotated[
        str, typer.Option(help="Separated by commas; mail:rank=0 changes a setting of one.")
    ] = "mmrl++",
    model: Annotated[str, typer.Option(help="picto, ViT-B-16:openai, hf:NAME, or a path.")] = (
        "picto"
    ),
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 4,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1,2,3",
    split: Annotated[
        str | None,
        typer.Option(
            help="Stored draws to use instead of --shots, with {seed} in the place of the seed: "
            "split_fewshot/shot_16-seed_{seed}.pkl."
        ),
    ] = None,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    class_names: Annotated[Path | None, typer.Option(help="File of class names.")] = None,
    template: Annotated[str | None, typer.Option(help="Prompt with {} for the class name.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for all methods; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of such settings.")] = None,
    preset: Annotated[str, typer.Option(help="Preset of defaults: auto, none or a name.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write all results to, as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Fit methods on the base classes of the same shots; score base, novel and all classes.

    Example: interlace compare picto/animals-nature --methods mmrl,mmrl++ --shots 2 --seeds 1,2,3
    """
    from interlace.adaptation.presets import check_preset
    from interlace.backbone.load import load
    from interlace.config import read_settings
    from interlace.data.datasets.registry import is_known
    from interlace.data.task import FewShotTask
    from interlace.experiments.compare import compare
    from interlace.experiments.grid import settings_of_each
    from interlace.experiments.summaries import BASELINE
    from interlace.train.callbacks import Progress
    from interlace.train.optim import resolve_device

    names = split_list(methods)
    own_seeds = numbers(seeds, "seeds")
    values = read_settings(config, settings or [])
    chosen = None if preset == "none" else preset
    check_preset(chosen)
    settings_of_each([BASELINE, *names], values)  # a misspelt name fails before any reading
    resolve_device(device)
    if output is not None:
        check_writable(output, folder=False)
    tasks = {
        seed: FewShotTask.load(
            data,
            shots,
            seed,
            class_names=class_names,
            template=template,
            root=data_root,
            split=split and split.replace("{seed}", str(seed)),
            columns=columns_of(image_column, label_column, split_column, ignore_columns),
        )
        for seed in own_seeds
    }
    first = tasks[own_seeds[0]]
    tell_notes(first.notes)
    tell_skipped(first.skipped, first.hidden)
    clip = load(model)
    if template is None and not is_known(data, data_root):
        tasks = {seed: replace(task, template=clip.template) for seed, task in tasks.items()}
    tell_twins(clip, [first])
    with held(output) if output is not None else nullcontext(), training_bar("compare") as bar:

        def report(name: str, seed: int, step: Progress) -> None:
            bar(step, f"{name}, seed {seed}")

        cells = compare(
            clip,
            tasks.__getitem__,
            names,
            own_seeds,
            settings=values,
            preset=chosen,
            device=device,
            report=report,
            finished=tell,
        )
    record = {
        "data": data,
        "model": clip.source,
        "shots": first.shots,  # a stored draw has its own
        "cells": [c.to_dict() for c in cells],
    }
    with written(output, record):
        if as_json:
            print_json(record)
        else:
            up_to = "up to " if len(first.train) < first.shots * len(first.classes) else ""
            what = f"{data}, {up_to}{first.shots} shots per base class, seeds {seeds}"
            show(cells, f"{what}: accuracy in %")


def tell(cell: ComparedCell, adapted: AdaptedModel) -> None:
    """Print one line for a finished cell."""
    scores = cell.scores
    left_out = f", {cell.left_out} images of the fit left out" if cell.left_out else ""
    err.print(
        f"{cell.method}, seed {cell.seed}: base {percent(scores.base)}, "
        f"novel {percent(scores.novel)}, {cell.seconds:.0f} s{left_out}"
    )


def show(cells: list[ComparedCell], title: str) -> None:
    """Print the report's tables of a comparison: accuracy and cost, then the gains."""
    from interlace.report import tables
    from interlace.report.results import results_from

    for table in tables.comparison(results_from(cell.cell for cell in cells), title):
        out.print(table)
    first = cells[0].scores
    out.print(
        f"{first.n_base} base and {first.n_novel} novel test images. joint: all classes at once. "
        "fit, s: seconds of a fit."
    )
    if len({cell.seed for cell in cells}) < 5:
        out.print("Fewer than five seeds: the intervals are wide and rough.")
