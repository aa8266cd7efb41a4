"""``interlace fit``: adapt a model to a folder of images or a known data set."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interlace._util.files import check_writable, write_json
from interlace._util.text import count_of
from interlace.adaptation.header import PICTURE, RESULT, SPLIT
from interlace.cli._many import tell_data
from interlace.cli._options import (
    ClassNamesOption,
    Data,
    DataRoot,
    Device,
    IgnoreColumns,
    ImageColumn,
    Json,
    LabelColumn,
    ModelName,
    Settings,
    SettingsFile,
    SplitColumn,
    SplitOption,
    Strict,
    TemplateOption,
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
from interlace.cli._run_files import drawn, note, prompted, tell_twins

if TYPE_CHECKING:
    from interlace.adaptation.model import AdaptedModel
    from interlace.backbone.dual import DualEncoder
    from interlace.data.task import FewShotTask
    from interlace.evaluation.classification import Scores
    from interlace.protocols import Comparison


def run(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write the adapted model to.")
    ] = Path("run"),
    method: Annotated[str, typer.Option(help="Method; `interlace show` lists them.")] = "mmrl++",
    model: ModelName = "picto",
    shots: Annotated[int, typer.Option(help="Training images per class.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Seed for shots, initialisation and augmentation.")] = 1,
    split: SplitOption = None,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    ignore_columns: IgnoreColumns = "",
    classes: Annotated[
        Literal["all", "base", "novel"], typer.Option(help="Fit all classes, or one half.")
    ] = "all",
    class_names: ClassNamesOption = None,
    template: TemplateOption = None,
    settings: Settings = None,
    config: SettingsFile = None,
    preset: Annotated[
        str,
        typer.Option(
            help="Preset of defaults: auto, none, a name, or published: the values that the "
            "method's authors published for this data set."
        ),
    ] = "auto",
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what the output folder holds.")
    ] = False,
    strict: Strict = False,
    track: Annotated[
        Literal["tensorboard", "wandb"] | None,
        typer.Option(help="Also log per-epoch metrics to TensorBoard or Weights & Biases."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Adapt a model from a few labelled images and compare it with zero-shot.

    Images that are neither shots nor validation shots are held out as the test set.
    An interrupted fit resumes when the same command is run again.

    Example: interlace fit photos/ --shots 4 --method mmrl++ -o run/
    """
    from interlace import methods
    from interlace.adaptation.fit import count_reused, fit
    from interlace.adaptation.presets import choose_preset
    from interlace.backbone.load import load
    from interlace.config import PUBLISHED, read_settings
    from interlace.data.task import FewShotTask
    from interlace.train.callbacks import make_tracker
    from interlace.train.optim import resolve_device

    values = read_settings(config, settings or [])
    protocol = {"all": "few_shot", "base": "base_to_novel", "novel": None}[classes]
    chosen = choose_preset(preset, protocol, data, data_root)
    methods.configure(method, values)  # a misspelt name fails before anything is read
    place = resolve_device(device)
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
    clip = load(model).to(place)
    task = prompted(task, clip, data, data_root, template)
    _tell_task(task, clip)
    if whole.test and not task.test:
        note(f"no test image is of the {classes} classes: nothing will be scored")
    left_out = count_reused(task)
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


def _tell_task(task: FewShotTask, clip: DualEncoder) -> None:
    """Print what will be fitted.

    Raises:
        InterlaceError: if zero-shot, which is scored after the training, cannot distinguish two
            classes; the method may use other prompts.
    """
    from interlace.methods.inference import check_distinct

    err.print(task.describe())
    tell_data(task)
    prompts = clip.prompts(task.classes, task.template)
    if not task.published:
        check_distinct(prompts, task.classes)
    tell_twins(clip, [task])


@dataclass
class _Results:
    """The results of a fit: written and printed before they are drawn and the run is complete.

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
        result: dict[str, Any] = {
            "task": task.name,
            "split_hash": task.split_hash,
            "model": source,
            "trained_parameters": adapted.trained_parameters,
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
            self._print(adapted, scores)
        if scores is not None:
            picture, confusion = self.output / PICTURE, scores.adapted.counts
            title = f"{method} on {task.name}"
            self.picture = drawn(
                picture, lambda: confusion_png(picture, confusion, task.classes, title)
            )

    def _print(self, adapted: AdaptedModel, scores: Comparison[Scores] | None) -> None:
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
        out.print(f"{adapted.trained_parameters:,} trained parameters")
        if adapted.config.tuned:
            out.print(f"tuned: published values for this data set ({adapted.config.tuned})")

    def close(self) -> None:
        """Print where everything is, once the run is complete."""
        if not self.as_json:
            files = ([PICTURE] if self.picture else []) + [RESULT, SPLIT]
            out.print(f"adapted model in {self.output} ({', '.join(files)})")
