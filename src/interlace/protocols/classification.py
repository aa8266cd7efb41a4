"""Plans of classification: which images are scored, among which classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from interlace.adaptation.model import AdaptedModel
from interlace.backbone.prompts import Prompts
from interlace.data.images.loader import Images, batches
from interlace.data.records import Record
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
from interlace.protocols.base import Decode, Plan


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
class ClassificationPlan(Plan[Target]):
    """A plan whose targets are test images, each set among classes of its own.

    Raises:
        InterlaceError: if a target has nothing to score.
    """

    def __post_init__(self) -> None:
        """Leave out what the fit uses."""
        used = Used.of((*self.task.train, *self.task.val))
        targets = tuple(target.without(used) for target in self.targets)
        object.__setattr__(self, "targets", targets)

    @property
    def tasks(self) -> tuple[FewShotTask, ...]:
        """The task of the fit, and those of the targets."""
        return (self.task, *(target.task for target in self.targets))

    def check(self, method: Method) -> None:
        """See before a fit that its targets can be scored after it.

        Args:
            method: the method, which need not be fitted.

        Raises:
            InterlaceError: if classes of a target have the same prompt, or one that does not fit.
        """
        for target in self.targets:
            method.prompt_ids(_prompts(method, target.task))

    def score(self, adapted: AdaptedModel, decode: Decode = Images) -> dict[str, Scored]:
        """Score a model on its targets: see :func:`score`.

        Args:
            adapted: the model; its current classes do not matter.
            decode: makes the images ready, and may keep them for the next model.
        """
        return score(adapted, self.targets, decode(scored_images(self.targets)))


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


def score(
    adapted: AdaptedModel, targets: Sequence[Target], images: Images | None = None
) -> dict[str, Scored]:
    """Score a model on every target it can answer for.

    Each image is encoded once, however many targets it is in. A method that answers only for the
    classes it was fitted on has no result for other ones.

    Args:
        adapted: the adapted model; its current classes do not matter.
        targets: what to score.
        images: the test images of all targets, as :func:`scored_images` lists them, where they are
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
    images = images or Images(scored_images(able))
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


def scored_images(targets: Sequence[Target]) -> tuple[Record, ...]:
    """List the test images of all targets, each once."""
    records = (record for target in targets for record in target.task.test)
    return tuple({record.image: record for record in records}.values())


def _prompts(method: Method, task: FewShotTask) -> Prompts:
    """Return prompts of a task's classes, of which no two are the same but for published names."""
    prompts = method.prompts(task.classes, task.template)
    if not task.published:
        check_distinct(prompts, task.classes)
    return prompts
