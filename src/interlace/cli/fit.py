"""``interlace fit``: adapt a model to a folder of images or a known data set."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interlace._util.files import check_writable, write_json
from interlace._util.text import count_of
from interlace.adaptation.header import PICTURE, RESULT, SPLIT
from interlace.cli._many import tell_notes, tell_skipped
from interlace.cli._options import (
    Data,
    DataRoot,
    IgnoreColumns,
    ImageColumn,
    LabelColumn,
    SplitColumn,
    SplitOption,
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
from interlace.cli._run_files import drawn, note, tell_twins
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel
    from interlace.data.task import FewShotTask
    from interlace.data.used import Used
    from interlace.evaluation.classification import Scores
    from interlace.protocols import Comparison

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
    split: SplitOption = None,
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
    from interlace.adaptation.fit import fit
    from interlace.adaptation.presets import check_preset, preset_name
    from interlace.backbone.load import load
    from interlace.config import PUBLISHED, read_settings
    from interlace.data.datasets.registry import is_known
    from interlace.data.task import FewShotTask
    from interlace.data.used import Used
    from interlace.methods.inference import check_distinct
    from interlace.train.callbacks import make_tracker
    from interlace.train.optim import resolve_device

    values = read_settings(config, settings or [])
    chosen = None if preset == "none" else preset
    if preset == PUBLISHED:
        protocol = "base_to_novel" if classes == "base" else "few_shot"
        chosen = None if classes == "novel" else preset_name(protocol, data, data_root)
    check_preset(chosen)
    methods.configure(method, values)  # a misspelt name fails before any reading
    resolve_device(device)
    check_writable(output, folder=True)
    tracker = make_tracker(track, output) if track else None
    whole = FewShotTask.load(
        data,
        shots,
        seed,
        class_names=class_names,
        template=template,
        strict=strict,
        root=data_root,
        split=split,
        columns=columns_of(image_column, label_column, split_column, ignore_columns),
    )
    task = whole.classes_subset(classes)
    clip = load(model)
    if template is None and not is_known(data, data_root):
        task = replace(task, template=clip.template)
    err.print(task.describe())
    tell_notes(task.notes)
    tell_skipped(task.skipped, task.hidden)
    # methods that do not use the template still meet zero-shot with it, after the training
    prompts = clip.prompts(task.classes, task.template)
    if not task.published:
        check_distinct(prompts, task.classes)
    tell_twins(clip, [task])
    if whole.test and not task.test:
        note(f"no test image is of the {classes} classes: nothing will be scored")
    left_out = _check_test(task, Used.of((*task.train, *task.val)))
    results = _Results(task, output, as_json, left_out, asked_published=preset == PUBLISHED)
    with resumable(), ExitStack() as bar:
        report = bar.enter_context(training_bar(f"{method} on {task.name}"))

        def finish(adapted: AdaptedModel) -> None:
            bar.close()
            results.write(adapted)

        fit(
            clip,
            task,
            method,
            seed=seed,
            preset=chosen,
            output=output,
            overwrite=overwrite,
            device=device,
            report=report,
            planned=lambda plan: err.print(plan.describe()),
            tracker=tracker,
            finish=finish,
            class_names=dict(zip(whole.folders, whole.classes, strict=True)),
            **values,
        )
    if tracker is not None:
        tracker.close()
    results.close()


def _check_test(task: FewShotTask, used: Used) -> int:
    """Count the test images that are left out, before anything is learnt.

    Raises:
        InterlaceError: if there are test images and the fit uses all of them.
    """
    if not task.test:  # which the task's own notes say
        return 0
    left = len(used.others(task.test))
    if not left:
        raise InterlaceError(
            f"{task.name}: all {len(task.test)} test images are copies of images that the fit "
            "uses: nothing is left to score"
        )
    return len(task.test) - left


@dataclass
class _Results:
    """What a fit reached: written and printed before it is drawn, and before the run is complete.

    Attributes:
        task: what was fitted.
        output: its folder.
        as_json: whether to print JSON.
        left_out: test images that are copies of shots.
        asked_published: whether published values were asked for.
    """

    task: FewShotTask
    output: Path
    as_json: bool
    left_out: int
    asked_published: bool
    picture: bool = False

    def write(self, adapted: AdaptedModel) -> None:
        """Score, write, print, draw."""
        from interlace.evaluation.plots import confusion_png
        from interlace.protocols import few_shot

        task, method, source = self.task, adapted.config.method, adapted.clip.source
        trained = sum(p.numel() for p in adapted.method.parameters())
        result: dict[str, Any] = {
            "task": task.name,
            "split_hash": task.split_hash,
            "model": source,
            "trained_parameters": trained,
            "run": adapted.config.to_dict(),
            "history": adapted.history,
        }
        scores = few_shot.compare(adapted, task) if task.test else None
        if scores is not None:
            result["test"] = scores.to_dict()
        write_json(self.output / RESULT, result)
        if self.as_json:
            print_json(result)
        else:
            self._print(adapted, scores, trained)
        if scores is not None:
            picture, confusion = self.output / PICTURE, scores.adapted.counts
            title = f"{method} on {task.name}"
            self.picture = drawn(
                picture, lambda: confusion_png(picture, confusion, task.classes, title)
            )

    def _print(
        self, adapted: AdaptedModel, scores: Comparison[Scores] | None, trained: int
    ) -> None:
        method = adapted.config.method
        if self.asked_published and adapted.config.preset is None:
            note(
                f"no published values of {method} for {self.task.name}: the method's own defaults "
                "were used"
            )
        if scores is not None:
            before, after = scores.zero_shot, scores.adapted
            rows = [
                ("top-1 accuracy, %", before.top1, after.top1),
                ("mean per class, %", before.mean_per_class, after.mean_per_class),
            ]
            title = f"{after.n} held-out images, {len(self.task.classes)} classes"
            out.print(accuracy_table(title, rows, method))
        if self.left_out:
            out.print(
                f"{count_of(self.left_out, 'test image')} left out: copies of images of the fit"
            )
        out.print(f"{trained:,} trained parameters")
        if adapted.config.tuned:
            out.print(f"tuned: published values for this data set ({adapted.config.tuned})")

    def close(self) -> None:
        """Say where everything is, once the run is complete."""
        if not self.as_json:
            files = ([PICTURE] if self.picture else []) + [RESULT, SPLIT]
            out.print(f"adapted model in {self.output} ({', '.join(files)})")
