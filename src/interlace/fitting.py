"""From a model and a task to an adapted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from interlace import methods
from interlace.adapted import Adapted
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import RunConfig, preset_names, resolve
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.export.bundle import HEADER
from interlace.train.checkpoint import Checkpoint
from interlace.train.loop import Progress, train
from interlace.train.memory import Plan
from interlace.train.optim import resolve_device
from interlace.train.tracking import Tracker

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
    planned: Callable[[Plan], None] | None = None,
    tracker: Tracker | None = None,
    **settings: Any,
) -> Adapted:
    """Adapt a model to a task.

    Args:
        clip: the frozen model, or what :func:`interlace.load` takes.
        task: classes and their shots.
        method: key of the method; :func:`interlace.list_methods` lists them.
        seed: decides initial values, order of images and augmentation.
        preset: name of a preset of defaults; ``auto`` takes the one named after the model where
            there is one, None none. ``published/few_shot/eurosat`` is what the method's authors
            published for a protocol and a data set of the field.
        output: folder to save to. A fit that was interrupted there is resumed, to the same result.
        overwrite: replace what the folder holds.
        device: ``auto``, ``cpu``, ``cuda``, ...; the model is moved there.
        report: called after each step, for a progress bar.
        planned: called before the first step with the memory that a step needs.
        tracker: takes the figures of each epoch; :func:`interlace.train.tracking.make_tracker`
            makes one for TensorBoard or Weights & Biases, and anything with its methods will
            do. The caller closes it.
        **settings: arguments of the method (``n_tokens=...``) and of
            :class:`~interlace.config.TrainConfig` (``epochs=...``).

    Returns:
        The adapted model over the task's classes.

    Raises:
        InterlaceError: naming the setting, file or value that cannot be used.
    """
    methods.get(method)
    if isinstance(clip, str):
        clip = load(clip)
    if preset == "auto":
        preset = clip.source if clip.source in preset_names() else None
    config = resolve(method, methods.parameters(method), settings, seed=seed, preset=preset)
    clip.to(resolve_device(device))
    folder = None if output is None else Path(output)
    if folder is not None and (folder / HEADER).exists() and not overwrite:
        raise InterlaceError(
            f"{folder} already holds an adapted model; overwrite it or choose another folder"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = methods.create(method, clip, **config.arguments)
    prompts = built.prompts(task.classes, task.template)
    trainable = bool(list(built.parameters())) or built.bound
    if trainable and not task.train:
        raise InterlaceError(f"{method} needs training images, the task {task.name!r} has none")
    checkpoint = None
    if folder is not None and trainable:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint = Checkpoint(folder / CHECKPOINT, _identity(clip, task, config))
        if overwrite:
            checkpoint.remove()
    if tracker is not None:
        tracker.begin({"task": task.name, "model": clip.source, **config.to_dict()})
    history = train(
        built,
        prompts,
        task.train,
        task.val,
        config.train,
        seed=seed,
        checkpoint=checkpoint,
        report=report,
        planned=planned,
        tracker=tracker,
    )
    adapted = Adapted(
        built,
        task.classes,
        task.template,
        trained_classes=task.classes if trainable else (),
        config=config,
        history=history,
        shots=[record.digest() for record in (*task.train, *task.val)],
        split_hash=task.split_hash,
    )
    if folder is not None:
        adapted.save(folder, overwrite=overwrite)
        task.split().save(folder / "split.json")
        if checkpoint is not None:
            checkpoint.remove()
    return adapted


def _identity(clip: DualEncoder, task: FewShotTask, config: RunConfig) -> str:
    """What a checkpoint must agree with to be continued."""
    parts = {
        "run": config.to_dict(),
        "backbone": clip.fingerprint(),
        "split": task.split_hash,
        "template": task.template,
    }
    return json.dumps(parts, sort_keys=True)
