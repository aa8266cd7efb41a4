"""From a model and a task to an adapted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interlace import methods
from interlace._util.files import check_writable, held
from interlace.adaptation.bundle import already_there, saving
from interlace.adaptation.header import HEADER, RESULT, SPLIT, read_header
from interlace.adaptation.load import load_adapted
from interlace.adaptation.model import AdaptedModel
from interlace.adaptation.placement import frozen, on_device
from interlace.adaptation.presets import check_preset
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.backbone.prompts import Prompts
from interlace.config import RunConfig, preset_names
from interlace.data.task import FewShotTask
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.methods.base import Method
from interlace.methods.inference import check_distinct
from interlace.train.callbacks import Callback, Progress, Tracker, make_callbacks
from interlace.train.checkpoint import Checkpoint
from interlace.train.memory import MemoryPlan
from interlace.train.optim import resolve_device
from interlace.train.trainer import Trainer, check_training

CHECKPOINT = "checkpoint.safetensors"


def fit(
    clip: DualEncoder | str,
    task: FewShotTask,
    method: str = "mmrl++",
    *,
    seed: int = 1,
    preset: str | None = "auto",
    output: Path | str | None = None,
    overwrite: bool = False,
    device: str = "auto",
    report: Callable[[Progress], None] | None = None,
    planned: Callable[[MemoryPlan], None] | None = None,
    tracker: Tracker | None = None,
    callbacks: Sequence[Callback] = (),
    finish: Callable[[AdaptedModel], None] | None = None,
    class_names: Mapping[str, str] | None = None,
    **settings: Any,
) -> AdaptedModel:
    """Adapt a model to a task.

    Args:
        clip: the frozen model, or what :func:`interlace.load` takes.
        task: classes and their shots.
        method: key of the method; :func:`interlace.list_methods` lists them.
        seed: decides initial values, order of images and augmentation.
        preset: name of a preset of defaults; ``auto`` takes the one named after the model where
            there is one, None none. ``published/few_shot/eurosat`` holds the values that the
            method's authors published for a protocol and a standard benchmark.
        output: folder to save to. A fit that was interrupted there, at any point, resumes and ends
            with the same result; it is complete when ``bundle.json`` is there.
        overwrite: replace what the folder holds.
        device: ``auto``, ``cpu``, ``cuda``, ...; a ``clip`` that is elsewhere is copied there and
            stays where it is. To share one copy among several fits, move it first.
        report: called after each step, for a progress bar.
        planned: called before the first step with the memory that a step needs.
        tracker: takes the metrics of each epoch; :func:`interlace.train.callbacks.make_tracker`
            makes one for TensorBoard or Weights & Biases, and any object with its methods works.
            The caller closes it.
        callbacks: hear of the fit after the three above; each is an
            :class:`interlace.train.callbacks.Callback`.
        finish: called with the adapted model when its tensors are in ``output``. Files it writes
            there are part of the run, which is complete only after it has returned.
        class_names: name of each class by what the data calls it (its folder), kept with the
            model; by default those of ``task``.
        **settings: arguments of the method (``n_tokens=...``) and of
            :class:`~interlace.config.TrainConfig` (``epochs=...``).

    Returns:
        The adapted model over the task's classes.

    Raises:
        InterlaceError: naming the setting, file or value that cannot be used.
    """
    built, prompts, config = ready(
        clip, task, method, seed=seed, preset=preset, device=device, **settings
    )
    used = Used.of((*task.train, *task.val))
    about = {"task": task.name, "model": built.clip.source, **config.to_dict()}
    heard = (*make_callbacks(about, report, planned, tracker), *callbacks)
    run = _Fit(task, used, built, prompts, config, heard, class_names)
    if output is None:
        return run.learn(None)
    folder = Path(output)
    check_writable(folder, folder=True)
    with held(folder):
        return run.into(folder, overwrite, finish)


def configured(
    clip: DualEncoder, method: str, settings: Mapping[str, Any], *, seed: int, preset: str | None
) -> RunConfig:
    """Return the settings of a fit; the arguments are those of :func:`fit`.

    Raises:
        InterlaceError: if a setting or the preset is not known, or a value is out of range.
    """
    if preset == "auto":
        preset = clip.source if clip.source in preset_names() else None
    return methods.configure(method, settings, seed=seed, preset=preset)


def ready(
    clip: DualEncoder | str,
    task: FewShotTask,
    method: str,
    *,
    seed: int = 1,
    preset: str | None = "auto",
    device: str = "auto",
    **settings: Any,
) -> tuple[Method, Prompts, RunConfig]:
    """Prepare a fit, before anything is trained or written; the arguments are those of :func:`fit`.

    Arguments that :func:`fit` refuses are refused here.

    Returns:
        The method with its initial values, the prompts of the classes, and the settings.

    Raises:
        InterlaceError: naming the setting, class or value that cannot be used.
    """
    methods.get(method)
    check_preset(preset)
    place = resolve_device(device)
    if isinstance(clip, str):
        clip = load(clip)
    config = configured(clip, method, settings, seed=seed, preset=preset)
    clip = on_device(clip, place)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = methods.create(method, clip, **config.arguments)
    check_training(built, config.train)
    prompts = built.prompts(task.classes, task.template)
    if not task.published:
        check_distinct(prompts, task.classes)
    built.prompt_ids(prompts)
    if _is_trained(built) and not task.train:
        raise InterlaceError(f"{method} needs training images, the task {task.name!r} has none")
    return built, prompts, config


def count_reused(task: FewShotTask) -> int:
    """Count the test images that are copies of images of the fit, which are not scored.

    Raises:
        InterlaceError: if there are test images and none would be left.
    """
    if not task.test:
        return 0
    left = len(Used.of((*task.train, *task.val)).others(task.test))
    if not left:
        raise InterlaceError(
            f"{task.name}: all {len(task.test)} test images are copies of images that the fit "
            "uses: nothing is left to score"
        )
    return len(task.test) - left


def _is_trained(method: Method) -> bool:
    return bool(list(method.parameters())) or method.fixed_classes


@dataclass(frozen=True)
class _Fit:
    """One fit: a task, and a method with its initial values.

    Attributes:
        task: classes and their shots.
        used: its images.
        method: what learns.
        prompts: of the task's classes.
        config: all settings.
        callbacks: hear of the training.
        class_names: name of each class by what the data calls it; None for those of the task.
    """

    task: FewShotTask
    used: Used
    method: Method
    prompts: Prompts
    config: RunConfig
    callbacks: tuple[Callback, ...]
    class_names: Mapping[str, str] | None

    def learn(self, checkpoint: Checkpoint | None) -> AdaptedModel:
        """Train, from the start or from where ``checkpoint`` stands."""
        task = self.task
        with frozen(self.method.clip):
            trainer = Trainer(
                self.method,
                self.prompts,
                task.train,
                task.val,
                self.config.train,
                seed=self.config.seed,
                checkpoint=checkpoint,
                callbacks=self.callbacks,
            )
            history = trainer.fit()
        named = dict(zip(task.folders, task.classes, strict=True)) if task.folders else {}
        return AdaptedModel(
            self.method,
            task.classes,
            task.template,
            trained_classes=task.classes if _is_trained(self.method) else (),
            config=self.config,
            history=history,
            used=self.used,
            split_hash=task.split_hash,
            class_names=named if self.class_names is None else self.class_names,
            published=task.published,
        )

    def into(
        self, folder: Path, overwrite: bool, finish: Callable[[AdaptedModel], None] | None
    ) -> AdaptedModel:
        """Learn and save, or go on where an earlier try was interrupted."""
        checkpoint = Checkpoint(folder / CHECKPOINT, self._identity())
        if (folder / HEADER).exists() and not overwrite:
            return self._complete(folder, checkpoint, finish)
        if overwrite and not checkpoint.is_ours():
            checkpoint.remove()
        folder.mkdir(parents=True, exist_ok=True)
        adapted = self.learn(checkpoint if _is_trained(self.method) else None)
        with saving(folder, adapted.header(), adapted.method.state_dict()):
            self.task.split().save(folder / SPLIT)
            if finish is not None:
                finish(adapted)
        checkpoint.remove()
        return adapted

    def _complete(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        finish: Callable[[AdaptedModel], None] | None,
    ) -> AdaptedModel:
        """Do what is missing of a run whose model is there: its results, or tidying up.

        A kill right before the end leaves the checkpoint; earlier versions wrote the results last.

        Raises:
            InterlaceError: if it is another run, or nothing is missing.
        """
        clip, header = self.method.clip, read_header(folder)
        ours = (
            header["run"] == json.loads(json.dumps(self.config.to_dict()))
            and header["split_hash"] == self.task.split_hash
            and header["backbone"]["fingerprint"] == clip.fingerprint()
        )
        unfinished = checkpoint.is_ours() or (finish is not None and not (folder / RESULT).exists())
        if not ours or not unfinished:
            raise already_there(folder)
        adapted = load_adapted(folder, clip, device=str(clip.device))
        self.task.split().save(folder / SPLIT)
        if finish is not None:
            finish(adapted)
        checkpoint.remove()
        return adapted

    def _identity(self) -> str:
        """Return what a checkpoint must agree with to be continued."""
        parts = {
            "run": self.config.to_dict(),
            "backbone": self.method.clip.fingerprint(),
            "split": self.task.split_hash,
            "template": self.task.template,
        }
        return json.dumps(parts, sort_keys=True)
