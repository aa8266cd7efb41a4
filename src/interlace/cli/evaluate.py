"""``interlace evaluate``: score an adapted model on a folder or a known data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from interlace.adapted import Adapted
from interlace.cli._output import accuracy_table, out, print_json
from interlace.data.task import FewShotTask
from interlace.evaluation.plots import confusion_png
from interlace.export.bundle import load_adapted
from interlace.protocols import base_to_novel, few_shot

NAME = "evaluate"


def run(
    bundle: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `fit` wrote.")],
    data: Annotated[str, typer.Argument(help="Folder with one sub-folder per class, or a name.")],
    class_names: Annotated[Path | None, typer.Option(help="File of class names.")] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Where to draw the confusion matrix (RUN/confusion.png).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Unusable image files are errors.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score an adapted model against zero-shot; images it was fitted on are left out.

    A model fitted on the base half of the classes is scored on base, novel and all classes.

    Example: interlace evaluate run/ photos/
    """
    adapted = load_adapted(bundle, device=device)
    task = FewShotTask.load(
        data, shots=0, class_names=class_names, template=adapted.template, strict=strict
    )
    base, novel = base_to_novel.halves(task)
    if novel and set(adapted.trained_classes) == set(base):
        _base_to_novel(adapted, task, as_json)
        return
    scores = few_shot.evaluate(adapted, task)
    picture = confusion or bundle / "confusion.png"
    method = adapted.config.method
    confusion_png(picture, scores.adapted.confusion, task.classes, f"{method} on {task.name}")
    if as_json:
        print_json({"task": task.name, "model": adapted.clip.source, **scores.to_dict()})
        return
    rows = [
        ("top-1 accuracy, %", scores.zero_shot.top1, scores.adapted.top1),
        ("mean per class, %", scores.zero_shot.mean_per_class, scores.adapted.mean_per_class),
        ("calibration error, %", scores.zero_shot.ece, scores.adapted.ece),
    ]
    trained = "trained on these classes" if scores.seen else "not trained on all of these classes"
    caption = f"{method}: {trained}"
    if scores.left_out:
        caption += f"; {scores.left_out} images it was fitted on are left out"
    title = f"{task.name}: {scores.adapted.n} images, {len(task.classes)} classes"
    out.print(accuracy_table(title, rows, method, caption))
    out.print(f"confusion matrix in {picture}", highlight=False, soft_wrap=True)


def _base_to_novel(adapted: Adapted, task: FewShotTask, as_json: bool) -> None:
    task, left_out = few_shot.without_shots(adapted, task)
    after = base_to_novel.evaluate(adapted, task)
    before = base_to_novel.evaluate(adapted.zero_shot(), task)
    if as_json:
        result: dict[str, Any] = {"task": task.name, "model": adapted.clip.source}
        result |= {"adapted": after.to_dict(), "zero_shot": before.to_dict()}
        print_json({**result, "left_out": left_out})
        return
    rows = [
        ("base, %", before.base, after.base),
        ("novel, %", before.novel, after.novel),
        ("harmonic mean, %", before.harmonic, after.harmonic),
        ("all classes at once, %", before.joint, after.joint),
    ]
    title = f"{task.name}: {after.n_base} base and {after.n_novel} novel images"
    caption = f"{adapted.config.method} was fitted on the base classes"
    if left_out:
        caption += f"; {left_out} images it was fitted on are left out"
    out.print(accuracy_table(title, rows, adapted.config.method, caption))
