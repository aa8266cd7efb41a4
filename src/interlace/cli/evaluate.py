"""``interlace evaluate``: score an adapted model on a folder or a known data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from interlace._util.files import check_writable
from interlace._util.text import count_of, listed
from interlace.cli._many import tell_data
from interlace.cli._options import (
    Data,
    DataRoot,
    Device,
    IgnoreColumns,
    ImageColumn,
    Json,
    LabelColumn,
    RunFolder,
    SplitColumn,
    Strict,
    columns_of,
)
from interlace.cli._output import accuracy_table, out, print_json
from interlace.cli._run_files import drawn, note, picture_of, tell_twins

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel
    from interlace.data.task import FewShotTask
    from interlace.evaluation.classification import Scores


def run(
    bundle: RunFolder,
    data: Data,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    class_names: Annotated[
        Path | None,
        typer.Option(help="File of class names; by default folders are named as in the fit."),
    ] = None,
    confusion: Annotated[
        Path | None,
        typer.Option(help="File for the confusion matrix; by default RUN/confusion-DATA.png."),
    ] = None,
    device: Device = "auto",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Compare an adapted model with zero-shot on labelled images that it was not fitted on.

    A model that was fitted on the base half of the classes is scored on base, novel and all
    classes.

    Example: interlace evaluate run/ photos/
    """
    from interlace.adaptation.header import read_header
    from interlace.adaptation.load import load_adapted
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import confusion_png
    from interlace.protocols import BaseNovelScores, evaluate
    from interlace.train.optim import resolve_device

    if confusion is not None:
        check_writable(confusion, folder=False)
    header = read_header(bundle)
    template = header["template"]
    resolve_device(device)
    task = FewShotTask.load(
        data,
        shots=0,
        class_names=class_names,
        remembered=header["class_names"],
        template=tuple(template) if isinstance(template, list) else template,
        strict=strict,
        root=data_root,
        columns=columns_of(image_column, label_column, split_column, ignore_columns),
    )
    adapted = load_adapted(bundle, device=device)
    tell_data(task)
    tell_twins(adapted.clip, [task])
    result = evaluate(adapted, task)
    known = len(set(task.classes) & set(adapted.trained_classes))
    method, before, after = adapted.config.method, result.zero_shot, result.adapted
    if adapted.trained_classes and not isinstance(after, BaseNovelScores):
        _tell_unknown(adapted, task, known)
    if as_json:
        head = {"task": task.name, "model": adapted.clip.source, "known_classes": known}
        print_json({**head, **result.to_dict()})
        return
    left_out = (
        f"; {count_of(result.left_out, 'image')} it was fitted on "
        f"{'is' if result.left_out == 1 else 'are'} left out"
        if result.left_out
        else ""
    )
    if isinstance(before, BaseNovelScores) or isinstance(after, BaseNovelScores):
        out.print(_halves_table(task.name, before, after, method, left_out))
        return
    trained = "trained on these classes" if result.seen else "not trained on all of these classes"
    classes = result.classes  # a method with fixed classes answers with all of them
    title = f"{task.name}: {after.n} images, {len(classes)} classes"
    caption = f"{method}: {trained}{left_out}"
    out.print(accuracy_table(title, _rows(before, after), method, caption))
    picture = confusion or bundle / picture_of(task.name)
    title = f"{method} on {task.name}"
    if drawn(picture, lambda: confusion_png(picture, after.counts, classes, title)):
        out.print(f"confusion matrix in {picture}")


def _rows(before: Scores, after: Scores) -> list[tuple[str, float | None, float | None]]:
    return [
        ("top-1 accuracy, %", before.top1, after.top1),
        ("mean per class, %", before.mean_per_class, after.mean_per_class),
        ("calibration error, %", before.ece, after.ece),
    ]


def _tell_unknown(adapted: AdaptedModel, task: FewShotTask, known: int) -> None:
    fitted = adapted.trained_classes
    set_of_fitted = set(fitted)
    if not known:
        note(
            f"none of the {len(task.classes)} classes of {task.name} ({listed(task.classes, 3)}) "
            f"is among the {len(fitted)} the model was fitted on ({listed(fitted, 3)}): if they "
            "are meant to be the same, give their names with --class-names"
        )
    elif new := [name for name in dict.fromkeys(task.classes) if name not in set_of_fitted]:
        note(
            f"{known} of the {len(task.classes)} classes of {task.name} are among the "
            f"{len(fitted)} the model was fitted on; new: "
            f"{listed(new, 3)}"
        )


def _halves_table(name: str, before: Any, after: Any, method: str, left_out: str) -> Table:
    rows = [
        ("base, %", before.base, after.base),
        ("novel, %", before.novel, after.novel),
        ("harmonic mean, %", before.harmonic, after.harmonic),
        ("all classes at once, %", before.joint, after.joint),
    ]
    title = f"{name}: {after.n_base} base and {after.n_novel} novel images"
    return accuracy_table(title, rows, method, f"{method} was fitted on the base classes{left_out}")
