"""``interlace fit``: adapt a model to a folder of images or a known data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    Data,
    DataRoot,
    IgnoreColumns,
    ImageColumn,
    LabelColumn,
    Split,
    SplitColumn,
    columns_of,
)
from interlace.cli._output import (
    accuracy_table,
    err,
    out,
    print_json,
    resumable,
    training_bar,
)

NAME = "fit"


def run(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write the adapted model to.")
    ] = Path("run"),
    method: Annotated[str, typer.Option(help="Method; `interlace show` lists them.")] = "mmrl++",
    model: Annotated[
        str,
        typer.Option(help="picto, ViT-B-16:openai, hf:NAME, or a path."),
    ] = "picto",
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Decides which images and all else by chance.")] = 1,
    split: Split = None,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    classes: Annotated[
        Literal["all", "base", "novel"], typer.Option(help="Which half of the classes to fit.")
    ] = "all",
    class_names: Annotated[
        Path | None,
        typer.Option(help="File of class names: one per line, `folder: name` lines, or JSON."),
    ] = None,
    template: Annotated[str | None, typer.Option(help="Prompt with {} for the class name.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, such as lr=1e-3; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of such settings.")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="Preset of defaults: auto, none, a name, or published: what the authors of the "
            "method published for this data set."
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what the output folder holds.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Unusable image files are errors.")
    ] = False,
    track: Annotated[
        Literal["tensorboard", "wandb"] | None,
        typer.Option(help="Where the figures of each epoch go besides."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Adapt a model from a few labelled images and compare it with zero-shot.

    Images that are neither shots nor validation shots are held out and score the result.
    An interrupted fit is resumed by the same command.

    Example: interlace fit photos/ --shots 4 --method mmrl++ -o run/
    """
    from interlace import methods
    from interlace.backbone.load import load
    from interlace.config import PUBLISHED, read_settings, resolve
    from interlace.data.catalog import is_known
    from interlace.data.task import FewShotTask
    from interlace.evaluation.plots import confusion_png
    from interlace.fitting import fit
    from interlace.protocols import few_shot
    from interlace.published import check_preset, preset_name
    from interlace.train.tracking import make_tracker

    values = read_settings(config, settings or [])
    chosen = None if preset == "none" else preset
    if preset == PUBLISHED:
        protocol = "base_to_novel" if classes == "base" else "few_shot"
        chosen = None if classes == "novel" else preset_name(protocol, data, data_root)
    check_preset(chosen)
    resolve(method, methods.parameters(method), values)  # a misspelt name fails before any reading
    tracker = make_tracker(track, output) if track else None
    task = FewShotTask.load(
        data,
        shots,
        seed,
        class_names=class_names,
        template=template,
        strict=strict,
        root=data_root,
        split=split,
        columns=columns_of(image_column, label_column, split_column, ignore_columns),
    ).classes_subset(classes)
    clip = load(model)
    if template is None and not is_known(data, data_root):
        task = replace(task, template=clip.template)
    err.print(task.describe(), highlight=False, soft_wrap=True)
    tell_notes(task.notes)
    tell_skipped(task.skipped, task.hidden)
    # methods that do not use the template still meet zero-shot with it, after the training
    clip.prompts(task.classes, task.template)
    with resumable(), training_bar(f"{method} on {task.name}") as report:
        adapted = fit(
            clip,
            task,
            method,
            seed=seed,
            preset=chosen,
            output=output,
            overwrite=overwrite,
            device=device,
            report=report,
            planned=lambda plan: err.print(plan.describe(), highlight=False, soft_wrap=True),
            tracker=tracker,
            **values,
        )
    if tracker is not None:
        tracker.close()
    if preset == PUBLISHED and adapted.config.preset is None:
        err.print(
            f"no published values of {method} for {data}: the method's own defaults were used",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    trained = sum(p.numel() for p in adapted.method.parameters())
    result: dict[str, Any] = {
        "task": task.name,
        "split_hash": task.split_hash,
        "model": clip.source,
        "trained_parameters": trained,
        "run": adapted.config.to_dict(),
        "history": adapted.history,
    }
    if task.test:
        scores = few_shot.compare(adapted, task)
        result["test"] = scores.to_dict()
        confusion_png(
            output / "confusion.png",
            scores.adapted.confusion,
            task.classes,
            f"{method} on {task.name}",
        )
    (output / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    if as_json:
        print_json(result)
        return
    if task.test:
        rows = [
            ("top-1 accuracy, %", scores.zero_shot.top1, scores.adapted.top1),
            ("mean per class, %", scores.zero_shot.mean_per_class, scores.adapted.mean_per_class),
        ]
        out.print(
            accuracy_table(
                f"{scores.adapted.n} held-out images, {len(task.classes)} classes", rows, method
            )
        )
    out.print(f"{trained:,} trained parameters", highlight=False)
    if adapted.config.tuned:
        out.print(
            f"tuned: published values for this data set ({adapted.config.tuned})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    files = "confusion.png, result.json, split.json" if task.test else "result.json, split.json"
    out.print(f"adapted model in {output} ({files})", highlight=False, soft_wrap=True)
