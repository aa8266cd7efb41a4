"""``interlace demo``: the main job on the embedded model and data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace._util.files import check_writable, held
from interlace.cli._output import err, out, print_json, training_bar
from interlace.cli._run_files import drawn, written
from interlace.cli.compare import show, tell
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import GainRow
    from interlace.experiments.compare import ComparedCell

TITLES = {
    "base": "base classes",
    "novel": "novel classes",
    "hm": "harmonic mean",
    "joint": "all classes at once",
}


def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "demo"
    ),
    data: Annotated[str, typer.Option(help="Data set.")] = "picto/animals-nature",
    method: Annotated[str, typer.Option(help="Method.")] = "mmrl++",
    model: Annotated[str, typer.Option(help="Model.")] = "picto",
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 3,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images; by default the preset's.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit on half of the classes of the embedded data and show the gain over zero-shot.

    Shots, initial values and augmentation differ from seed to seed; the test images stay.

    Example: interlace demo -o demo/
    """
    from interlace import methods
    from interlace.backbone.load import load
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import gain_png
    from interlace.experiments.compare import compare
    from interlace.train.callbacks import Progress

    if methods.get(method).fixed_classes:
        raise InterlaceError(
            f"{method} answers only for the classes it was fitted on: the demo needs novel ones"
        )
    check_writable(output, folder=True)
    started = time.perf_counter()
    tasks = {seed: FewShotTask.load(data, shots, seed) for seed in range(1, seeds + 1)}
    clip = load(model)
    adapted: dict[str, AdaptedModel] = {}  # of each method, the last one
    fitted = tasks[1].classes_subset("base")
    err.print(fitted.describe())
    with held(output), training_bar(method) as bar:

        def report(name: str, seed: int, step: Progress) -> None:
            bar(step, f"{name}, seed {seed} of {seeds}")

        def finished(cell: ComparedCell, model: AdaptedModel) -> None:
            tell(cell, model)
            adapted[cell.method] = model

        cells = compare(
            clip,
            tasks.__getitem__,
            [method],
            list(tasks),
            settings={} if epochs is None else {"epochs": epochs},
            report=report,
            finished=finished,
        )
    record = {
        "data": data,
        "model": clip.source,
        "fingerprint": clip.fingerprint(),
        "shots": shots,
        "cells": [cell.to_dict() for cell in cells],
        "seconds": time.perf_counter() - started,
    }
    with written(output / "demo.json", record):
        if as_json:
            print_json(record)
        else:
            show(cells, f"{data}, {shots} shots per base class, {seeds} seeds: accuracy in %")
    picture = output / "demo.png"

    def draw() -> str:
        return gain_png(
            picture,
            _gain_rows(cells, method),
            title=f"{data}: {method} on {shots} images per base class, {seeds} seeds",
            method=method,
            examples=_examples(adapted[method], fitted),
        )

    if drawn(picture, draw) and not as_json:
        out.print(f"picture in {picture}")


def _gain_rows(cells: list[ComparedCell], method: str) -> list[GainRow]:
    from interlace.evaluation.plots import GainRow
    from interlace.experiments.compare import summarize_comparison
    from interlace.experiments.summaries import BASELINE

    found = summarize_comparison(cells)
    pairs = [(title, found[BASELINE, t], found[method, t]) for t, title in TITLES.items()]
    return [
        GainRow(title, before.values, after.values, (before.mean, after.mean))
        for title, before, after in pairs
    ]


def _examples(adapted: AdaptedModel, task: FewShotTask, count: int = 8) -> list[Any]:
    """Base-class test images that changed between right and wrong, evenly spaced over the list."""
    from interlace.data.images.decode import open_image
    from interlace.evaluation.plots import Example

    images = [record.image for record in task.test]
    before = [p.label for p in adapted.zero_shot().predict(images, top=1)]
    after = [p.label for p in adapted.predict(images, top=1)]
    truth = [task.classes[record.label] for record in task.test]
    changed = [i for i, name in enumerate(truth) if (before[i] == name) != (after[i] == name)]
    # gains and losses in their true proportion: nothing is chosen for its looks
    picked = changed[:: max(1, len(changed) // count)][:count]
    return [Example(open_image(images[i]), truth[i], before[i], after[i]) for i in picked]
