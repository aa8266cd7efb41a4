"""``interlace demo``: the main job on the embedded model and data."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from interlace.cli._output import err, out, percent, print_json, signed_points, training_bar

if TYPE_CHECKING:
    from interlace.adapted import Adapted
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import GainRow
    from interlace.protocols.base_to_novel import BaseToNovel

NAME = "demo"
MEASURES = ("base", "novel", "harmonic", "joint")
TITLES = {
    "base": "base classes",
    "novel": "novel classes",
    "harmonic": "harmonic mean",
    "joint": "all classes at once",
}


def run(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "demo"
    ),
    data: Annotated[str, typer.Option(help="Data set.")] = "picto/food-drink",
    method: Annotated[str, typer.Option(help="Method.")] = "mmrl++",
    model: Annotated[str, typer.Option(help="Model.")] = "picto",
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 4,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit on half of the classes of the embedded data and show what zero-shot gained.

    Shots, initial values and augmentation differ from seed to seed; the test images stay.

    Example: interlace demo -o demo/
    """
    from interlace.backbone.load import load
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import gain_png
    from interlace.fitting import fit
    from interlace.protocols import base_to_novel

    started = time.perf_counter()
    clip = load(model)
    rows: list[tuple[BaseToNovel, BaseToNovel]] = []
    for seed in range(1, seeds + 1):
        task = FewShotTask.load(data, shots, seed)
        fitted = task.classes_subset("base")
        if seed == 1:
            err.print(fitted.describe(), highlight=False, soft_wrap=True)
        with training_bar(f"{method}, seed {seed} of {seeds}") as report:
            adapted = fit(clip, fitted, method, seed=seed, report=report)
        result = base_to_novel.compare(adapted, task)
        rows.append((result.zero_shot, result.adapted))
        err.print(
            f"seed {seed}: base {percent(rows[-1][0].base)} -> {percent(rows[-1][1].base)}, "
            f"novel {percent(rows[-1][0].novel)} -> {percent(rows[-1][1].novel)}",
            highlight=False,
        )
    output.mkdir(parents=True, exist_ok=True)
    seconds = time.perf_counter() - started
    record = {
        "data": data,
        "model": clip.source,
        "method": method,
        "shots": shots,
        "run": adapted.config.to_dict(),
        "zero_shot": [before.to_dict() for before, _ in rows],
        "adapted": [after.to_dict() for _, after in rows],
        "seconds": seconds,
    }
    (output / "demo.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    picture = output / "demo.png"
    gain_png(
        picture,
        [_gain_row(name, rows) for name in MEASURES],
        title=f"{data}: {method} on {shots} images per base class, {seeds} seeds",
        method=method,
        examples=_examples(adapted, fitted),
    )
    if as_json:
        print_json(record)
        return
    out.print(_table(rows, f"{data}, {shots} shots, {seeds} seeds: accuracy in %", method))
    out.print(
        "harmonic mean: of the mean base and the mean novel accuracy; "
        "+- is the half width of the 95 % t-interval over seeds",
        highlight=False,
    )
    out.print(f"picture in {picture}; {seconds:.0f} s", highlight=False, soft_wrap=True)


def _values(name: str, rows: list[tuple[BaseToNovel, BaseToNovel]], which: int) -> list[float]:
    return [getattr(row[which], name) for row in rows]


def _center(name: str, rows: list[tuple[BaseToNovel, BaseToNovel]], which: int) -> float:
    from interlace.evaluation import harmonic_mean, mean_interval

    if name == "harmonic":
        base, novel = (mean_interval(_values(n, rows, which)).mean for n in ("base", "novel"))
        return harmonic_mean(base, novel)
    return mean_interval(_values(name, rows, which)).mean


def _gain_row(name: str, rows: list[tuple[BaseToNovel, BaseToNovel]]) -> GainRow:
    from interlace.evaluation.plots import GainRow

    return GainRow(
        TITLES[name],
        _values(name, rows, 0),
        _values(name, rows, 1),
        centers=(_center(name, rows, 0), _center(name, rows, 1)),
    )


def _table(rows: list[tuple[BaseToNovel, BaseToNovel]], title: str, method: str) -> Table:
    from interlace.evaluation import mean_interval, paired_difference

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("images", "zero-shot", method, "gain", "p"):
        table.add_column(heading, justify="right")
    first = rows[0][0]
    images = {"base": first.n_base, "novel": first.n_novel}
    for name in MEASURES:
        gain = paired_difference(_values(name, rows, 0), _values(name, rows, 1))
        before, after = _center(name, rows, 0), _center(name, rows, 1)
        table.add_row(
            TITLES[name],
            str(images.get(name, first.n_base + first.n_novel)),
            percent(before),
            _with_width(percent(after), mean_interval(_values(name, rows, 1)).half_width),
            _with_width(signed_points(after - before), gain.difference.half_width),
            "" if gain.p is None else f"{gain.p:.3f}",
        )
    return table


def _with_width(text: str, half_width: float | None) -> str:
    return text if half_width is None else f"{text} +- {percent(half_width)}"


def _examples(adapted: Adapted, task: FewShotTask, count: int = 8) -> list[Any]:
    """Base-class test images that changed between right and wrong, evenly spaced over the list."""
    from interlace.data.images import open_image
    from interlace.evaluation.plots import Example

    images = [record.image for record in task.test]
    before = [p.label for p in adapted.zero_shot().predict(images, top=1)]
    after = [p.label for p in adapted.predict(images, top=1)]
    truth = [task.classes[record.label] for record in task.test]
    changed = [i for i, name in enumerate(truth) if (before[i] == name) != (after[i] == name)]
    # gains and losses in their true proportion: nothing is chosen for its looks
    picked = changed[:: max(1, len(changed) // count)][:count]
    return [Example(open_image(images[i]), truth[i], before[i], after[i]) for i in picked]
