"""What a protocol is: from data, shots and seed to what is fitted and what is scored."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar
from typing import Protocol as StructuralType

import torch

from interlace.adaptation.model import AdaptedModel
from interlace.backbone.prompts import Prompts, Template
from interlace.data.datasets.benchmarks import data_root
from interlace.data.datasets.registry import expand, is_known, open_source
from interlace.data.images.loader import Images, batches
from interlace.data.source import Source
from interlace.data.task import FewShotTask
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.evaluation.classification import Answers, Scores
from interlace.methods.base import Method
from interlace.methods.inference import (
    check_distinct,
    encode_images,
    encode_prompts,
    logits_in_parts,
    take,
)
from interlace.protocols.condition import CLEAN, Condition


@lru_cache(maxsize=8)
def _open(data: str, root: Path | None, working_folder: str) -> Source:
    """Images before any draw; what a relative path means depends on the working folder."""
    return open_source(data, root)


@dataclass(frozen=True)
class Setting:
    """What a protocol is run on.

    Attributes:
        data: a folder, a table or the name of a data set, as :meth:`FewShotTask.load` takes it.
        shots: training images per class.
        seed: of the draw.
        targets: what to score besides, for protocols that go from one data set or domain to others.
        condition: what a robustness study changes.
        template: prompt for the data instead of its own.
        root: the data root, for data sets of the field.
        split: stored draw to use instead of ``shots`` and ``seed``.
        own_template: prompt for images of the user's own, which have none.
    """

    data: str
    shots: int = 16
    seed: int = 1
    targets: tuple[str, ...] = ()
    condition: Condition = CLEAN
    template: Template | None = None
    root: Path | str | None = None
    split: Path | str | None = None
    own_template: str | None = None

    def source(self) -> Source:
        """Return the images before any draw.

        Raises:
            InterlaceError: if they cannot be read.
        """
        # with the folder that the environment names, so that what is kept does not outlive it
        return _open(self.data, data_root(self.root), os.getcwd())

    def draw(self, source: Source | None = None) -> FewShotTask:
        """Return the task over all classes.

        Args:
            source: images to draw from in the place of :meth:`source`.

        Raises:
            InterlaceError: if the data cannot be read or a class has too few images.
        """
        drawn = FewShotTask.from_source(
            source or self.source(), self.shots, self.seed, split=self.split
        )
        template = self.template
        if template is None and not is_known(self.data, self.root):
            template = self.own_template
        return drawn if template is None else replace(drawn, template=template)

    def other(self, name: str) -> FewShotTask:
        """Return the test images of another data set, under its own prompt.

        Raises:
            InterlaceError: if it cannot be read.
        """
        return replace(self, data=name, shots=0, split=None, template=None).draw()


@dataclass(frozen=True)
class Target:
    """Images to score among some classes.

    Attributes:
        name: what it is called in results, such as ``novel``.
        task: the classes, their prompt and the test images.
        seen: whether the method was trained on these classes, on data of this kind.
        left_out: test images that are not scored, because the fit uses them under another name.
    """

    name: str
    task: FewShotTask
    seen: bool
    left_out: int = 0

    def without(self, used: Used) -> Target:
        """Return the same without the test images that a fit uses, by their content.

        Raises:
            InterlaceError: if there is none left, or was none.
        """
        given = self.task.test
        test = used.others(given)
        if not test:
            why = f": all {len(given)} are used by the fit" if given else ""
            raise InterlaceError(f"{self.task.name} holds no test images to score {self.name}{why}")
        left_out = self.left_out + len(given) - len(test)
        return (
            self
            if test == given
            else replace(self, task=replace(self.task, test=test), left_out=left_out)
        )


@dataclass(frozen=True)
class Plan:
    """What to fit on and what to score.

    No image is scored that the fit uses, under whatever name it comes: the plan leaves it out.

    Attributes:
        task: classes and shots of the fit.
        targets: what to score, each by itself.

    Raises:
        InterlaceError: if a target has nothing to score.
    """

    task: FewShotTask
    targets: tuple[Target, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Leave out what the fit uses."""
        used = Used.of((*self.task.train, *self.task.val))
        targets = tuple(target.without(used) for target in self.targets)
        object.__setattr__(self, "targets", targets)

    @property
    def split_hash(self) -> str:
        """Hash of what is fitted on: two runs are on identical shots where it is the same."""
        return self.task.split_hash


class Protocol(ABC):
    """Decides which images are fitted and scored; knows no method by name."""

    #: The name users call it by.
    name: ClassVar[str]
    #: One sentence and the source.
    summary: ClassVar[str]
    #: Shots per class where nobody says otherwise.
    shots: ClassVar[tuple[int, ...]] = (16,)

    def conditions(self) -> tuple[Condition, ...]:
        """Return what is changed from cell to cell; nothing in most protocols."""
        return (CLEAN,)

    def data_sets(self, name: str, root: Path | str | None = None) -> tuple[str, ...]:
        """Return the data sets that a name stands for: those of a collection, or the one itself."""
        return expand(name)

    @abstractmethod
    def plan(self, setting: Setting) -> Plan:
        """Draw the images to fit on and to score.

        Raises:
            InterlaceError: if the data cannot be used in this way.
        """

    def score(self, adapted: AdaptedModel, plan: Plan) -> Mapping[str, TargetFigures]:
        """Score a model that was fitted on ``plan.task``, or the frozen one.

        Returns:
            The figures of each target that the model can answer for, by its name.

        Raises:
            InterlaceError: if a target has nothing to score.
        """
        return score(adapted, plan.targets, _decoded(plan.targets))


class TargetFigures(StructuralType):
    """The figures of a target."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


@dataclass(frozen=True, eq=False)
class Scored:
    """A model's answers on a target.

    Attributes:
        target: what was scored.
        scores: accuracy and calibration.
        answers: what was said of each of its test images.
    """

    target: Target
    scores: Scores
    answers: Answers

    def to_dict(self) -> dict[str, Any]:
        """Return the figures alone, as plain data for JSON."""
        scores = self.scores
        return {
            "n": scores.n,
            "top1": scores.top1,
            "mean_per_class": scores.mean_per_class,
            "ece": scores.ece,
            "n_left_out": self.target.left_out,
        }


def check_targets(method: Method, targets: Sequence[Target]) -> None:
    """See before a fit that its targets can be scored after it.

    Args:
        method: the method, which need not be fitted.
        targets: what is to be scored.

    Raises:
        InterlaceError: if classes of a target have the same prompt, or one that does not fit.
    """
    for target in targets:
        method.prompt_ids(_prompts(method, target.task))


def _prompts(method: Method, task: FewShotTask) -> Prompts:
    """Return prompts of a task's classes, of which no two are the same but for published names."""
    prompts = method.prompts(task.classes, task.template)
    if not task.published:
        check_distinct(prompts, task.classes)
    return prompts


def score(
    adapted: AdaptedModel, targets: Sequence[Target], images: Images | None = None
) -> dict[str, Scored]:
    """Score a model on every target it can answer for.

    Each image is encoded once, however many targets it is in. A method that answers only for the
    classes it was fitted on has no result for other ones.

    Args:
        adapted: the adapted model; its current classes do not matter.
        targets: what to score.
        images: the test images of all targets, as :func:`images_of` lists them, where they are
            kept decoded.

    Raises:
        InterlaceError: if a target has no test images.
    """
    method = adapted.method
    fitted = adapted.trained_classes
    able = [
        t for t in targets if not (method.fixed_classes and fitted and t.task.classes != fitted)
    ]
    for target in able:
        if not target.task.test:
            raise InterlaceError(f"{target.task.name} holds no test images to score {target.name}")
    images = images or images_of(able)
    rows = {record.image: row for row, record in enumerate(images.records)}
    loader = batches(images, adapted.clip.preprocess.eval_transform(), 64)
    encoded, _ = encode_images(method, loader)
    found = {}
    for target in able:
        task, device = target.task, encoded.features.device
        text = encode_prompts(method, _prompts(method, task))
        index = torch.tensor([rows[record.image] for record in task.test], device=device)
        labels = torch.tensor([record.label for record in task.test], device=device)
        answers = Answers.of(logits_in_parts(method, take(encoded, index), text, target.seen))
        found[target.name] = Scored(target, Scores.from_answers(answers, labels), answers)
    return found


_kept: list[Images] = []


def _decoded(targets: Sequence[Target]) -> Images:
    """Return the test images of ``targets``; the last ones stay decoded for the next model."""
    images = images_of(targets)
    if not _kept or _kept[0].records != images.records:
        _kept[:] = [images]
    return _kept[0]


def images_of(targets: Sequence[Target]) -> Images:
    """Return the test images of all targets, each once."""
    records = (record for target in targets for record in target.task.test)
    return Images(list({record.image: record for record in records}.values()))
