"""``interlace evaluate``: score an adapted model on a folder or a known data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    Data,
    DataRoot,
    IgnoreColumns,
    ImageColumn,
    LabelColumn,
    SplitColumn,
    columns_of,
)
from interlace.cli._output import accuracy_table, out, print_json

NAME = "evaluate"


def run(
    bundle: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `fit` wrote.")],
    data: Data,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
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
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import confusion_png
    from interlace.export.bundle import load_adapted
    from interlace.protocols import Halves, evaluate

    adapted = load_adapted(bundle, device=device)
    task = FewShotTask.load(
        data,
        shots=0,
        class_names=class_names,
        template=adapted.template,
        strict=strict,
        root=data_root,
        columns=columns_of(image_column, label_column, split_column, ignore_columns),
    )
    tell_notes(task.notes)
    tell_skipped(task.skipped, task.hidden)
    result = evaluate(adapted, task)
    if as_json:
        print_json({"task": task.name, "model": adapted.clip.source, **result.to_dict()})
        return
    method, before, after = adapted.config.method, result.zero_shot, result.adapted
    left_out = (
        f"; {result.left_out} images it was fitted on are left out" if result.left_out else ""
    )
    if isinstance(before, Halves) or isinstance(after, Halves):
        out.print(_halves_table(task.name, before, after, method, left_out))
        return
    picture = confusion or bundle / "confusion.png"
    confusion_png(picture, after.confusion, task.classes, f"{method} on {task.name}")
    rows = [
        ("top-1 accuracy, %", before.top1, after.top1),
        ("mean per class, %", before.mean_per_class, after.mean_per_class),
        ("calibration error, %", before.ece, after.ece),
    ]
    trained = "trained on these classes" if result.seen else "not trained on all of these classes"
    title = f"{task.name}: {after.n} images, {len(task.classes)} classes"
    out.print(accuracy_table(title, rows, method, f"{method}: {trained}{left_out}"))
    out.print(f"confusion matrix in {picture}", highlight=False, soft_wrap=True)


def _halves_table(name: str, before: Any, after: Any, method: str, left_out: str) -> Table:
    rows = [
        ("base, %", before.base, after.base),
        ("novel, %", before.novel, after.novel),
        ("harmonic mean, %", before.harmonic, after.harmonic),
        ("all classes at once, %", before.joint, after.joint),
    ]
    title = f"{name}: {after.n_base} base and {after.n_novel} novel images"
    return accuracy_table(title, rows, method, f"{method} was fitted on the base classes{left_out}")
