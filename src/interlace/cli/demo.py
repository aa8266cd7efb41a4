"""``interlace demo``: what adapting is worth, on the embedded model and data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interlace._util.files import check_writable, held
from interlace.cli._options import split_list
from interlace.cli._output import err, out, percent, print_json, training_bar
from interlace.cli._run_files import drawn, note, written
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
    data: Annotated[str, typer.Option(help="Data set.")] = "suite/colours",
    methods: Annotated[
        str, typer.Option(help="Separated by commas; mail:rank=0 changes a setting of one.")
    ] = "mmrl++,mail",
    model: Annotated[str, typer.Option(help="Model.")] = "picto",
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 16,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the images; by default the preset's.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit on half of the classes of an embedded data set, show the gain, and export the result.

    Shots, initial values and augmentation differ from seed to seed; the test images stay. What can
    be merged into plain weights is written for open_clip and scored there.

    Example: interlace demo -o demo/
    """
    from interlace.backbone.load import load
    from interlace.data.task import FewShotTask

    names = _adapting(methods)
    check_writable(output, folder=True)
    started = time.perf_counter()
    tasks = {seed: FewShotTask.load(data, shots, seed) for seed in range(1, seeds + 1)}
    clip = load(model)
    with held(output):
        err.print(tasks[1].classes_subset("base").describe())
        fits = _fitted(clip, tasks, names, {} if epochs is None else {"epochs": epochs})
        if not as_json:
            title = f"{data}, {shots} shots per base class, {seeds} seeds: accuracy in %"
            show(fits.cells, title)
        exports = _exported(fits, tasks[seeds], output)
        if not as_json:
            _tell_exports(exports)
        record = {
            "data": data,
            "model": clip.source,
            "fingerprint": clip.fingerprint(),
            "shots": shots,
            "cells": [cell.to_dict() for cell in fits.cells],
            "exports": exports,
            "seconds": time.perf_counter() - started,
        }
        with written(output / "demo.json", record):
            if as_json:
                print_json(record)
        picture = output / "demo.png"
        title = f"{data}: {shots} images per base class, {seeds} seeds"
        if drawn(picture, lambda: _draw(picture, title, fits, tasks[seeds])) and not as_json:
            out.print(f"picture in {picture}")


def _adapting(methods: str) -> list[str]:
    """Return the names of methods that answer for new classes.

    Raises:
        InterlaceError: if one does not, or there is none.
    """
    from interlace import methods as registry
    from interlace.experiments.summaries import BASELINE

    names = [name for name in dict.fromkeys(split_list(methods)) if name != BASELINE]
    if not names:
        raise InterlaceError(f"--methods {methods!r}: names no method that adapts")
    for name in names:
        if registry.get(name.partition(":")[0]).fixed_classes:
            raise InterlaceError(
                f"{name} answers only for the classes it was fitted on: the demo needs novel ones"
            )
    return names


@dataclass(frozen=True)
class DemoFits:
    """What the demo fitted.

    Attributes:
        names: the methods, as they were asked for.
        cells: all results.
        adapted: the adapted model of each method on the last seed.
    """

    names: Sequence[str]
    cells: list[ComparedCell]
    adapted: Mapping[str, AdaptedModel]


def _fitted(
    clip: Any, tasks: Mapping[int, FewShotTask], names: Sequence[str], settings: Mapping[str, Any]
) -> DemoFits:
    """Fit all methods on all seeds, behind a bar; a line tells of each that is done."""
    from interlace.experiments.compare import compare
    from interlace.train.callbacks import Progress

    adapted: dict[str, AdaptedModel] = {}
    with training_bar(names[0]) as bar:

        def report(name: str, seed: int, step: Progress) -> None:
            bar(step, f"{name}, seed {seed} of {len(tasks)}")

        def finished(cell: ComparedCell, model: AdaptedModel) -> None:
            tell(cell, model)
            adapted[cell.method] = model

        cells = compare(
            clip,
            tasks.__getitem__,
            names,
            list(tasks),
            settings=settings,
            report=report,
            finished=finished,
        )
    return DemoFits(names, cells, adapted)


def _exported(fits: DemoFits, task: FewShotTask, output: Path) -> dict[str, Any]:
    """Export what can be merged and have open_clip score it; say of the others why not.

    Raises:
        InterlaceError: if open_clip finds another accuracy.
    """
    from interlace.adaptation.merge import NotMergeable
    from interlace.experiments.exported import export_and_score
    from interlace.protocols.base_to_novel import of_task

    found = {}
    for cell in fits.cells:
        if cell.method not in fits.names or cell.seed != task.seed:
            continue
        own = {name: figures["top1"] for name, figures in cell.cell.part("metrics").items()}
        folder = output / f"{cell.method.replace(':', '-')}-open_clip"
        try:
            stock = export_and_score(fits.adapted[cell.method], folder, of_task(task).targets, own)
        except NotMergeable as error:
            note(str(error))
            continue
        found[cell.method] = {"folder": str(folder), "open_clip": stock, "interlace": own}
    return found


def _tell_exports(exports: Mapping[str, Any]) -> None:
    """Print what open_clip finds beside what this library found."""
    for name, export in exports.items():
        stock, own = export["open_clip"], export["interlace"]
        pairs = [f"{target} {percent(stock[target])} ({percent(own[target])})" for target in stock]
        out.print(f"{name}, last seed, merged and exported to {export['folder']};")
        out.print(f"scored there by open_clip (and here): {', '.join(pairs)}")


def _draw(picture: Path, title: str, fits: DemoFits, task: FewShotTask) -> str:
    from interlace.evaluation.plots import gain_png

    return gain_png(
        picture,
        _gain_rows(fits),
        title=title,
        methods=fits.names,
        examples=_examples(fits, task.classes_subset("base")),
    )


def _gain_rows(fits: DemoFits) -> list[GainRow]:
    from interlace.evaluation.plots import GainRow
    from interlace.experiments.compare import summarize_comparison
    from interlace.experiments.summaries import BASELINE

    found = summarize_comparison(fits.cells)
    rows = []
    for target, title in TITLES.items():
        before, *after = (found[name, target] for name in (BASELINE, *fits.names))
        means = [summary.mean for summary in (before, *after)]
        rows.append(GainRow(title, before.values, [own.values for own in after], means))
    return rows


def _examples(fits: DemoFits, task: FewShotTask, count: int = 8) -> list[Any]:
    """Base-class test images whose answer changed to or from right, evenly spaced over the list."""
    from interlace.data.images.decode import open_image
    from interlace.evaluation.plots import Example

    images = [record.image for record in task.test]
    adapted = [fits.adapted[name] for name in fits.names]
    answers = [
        [prediction.label for prediction in own.predict(images, top=1)]
        for own in (adapted[0].zero_shot(), *adapted)
    ]
    truth = [task.classes[record.label] for record in task.test]
    changed = [i for i, name in enumerate(truth) if len({own[i] == name for own in answers}) == 2]
    # gains and losses in their true proportion: nothing is chosen for its looks
    picked = changed[:: max(1, len(changed) // count)][:count]
    return [Example(open_image(images[i]), truth[i], [own[i] for own in answers]) for i in picked]
