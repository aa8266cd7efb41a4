"""Base to novel: fit on half of the classes, score both halves and all of them.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models", 2022,
https://arxiv.org/abs/2203.05557.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from interlace.adaptation.model import AdaptedModel
from interlace.data.images.loader import Images
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.evaluation.statistics import harmonic_mean
from interlace.protocols.base import Protocol
from interlace.protocols.classification import ClassificationPlan, Target, score
from interlace.protocols.comparison import Comparison, without_shots
from interlace.protocols.setting import Setting


class BaseToNovel(Protocol[Target]):
    """Half of the classes in training, both halves and all classes at once in testing."""

    name = "base_to_novel"
    summary = "Fit on half of the classes, score both halves and all at once (2203.05557)."

    def plan(self, setting: Setting) -> ClassificationPlan:
        """Return the base half as a few-shot task; base, novel and joint as targets."""
        return of_task(setting.draw())


def of_task(task: FewShotTask, share: float = 0.5) -> ClassificationPlan:
    """Cut a task over all classes into base and novel ones.

    ``joint`` are all images among all classes, as classes not trained on: nobody says of an image
    which half its class is in.

    Args:
        task: the task with all its classes.
        share: share of the base classes.

    Raises:
        InterlaceError: if one side has no classes or no test images.
    """
    labels = task.base_and_novel(share)
    base, novel = (
        task.restricted(kept, f"{task.name}:{side}")
        for kept, side in zip(labels, ("base", "novel"), strict=True)
    )
    if not base.test or not novel.test:
        raise InterlaceError(f"{task.name} has no test images of one half of its classes")
    return ClassificationPlan(
        base,
        (
            Target("base", base, seen=True),
            Target("novel", novel, seen=False),
            Target("joint", task, seen=False),
        ),
    )


@dataclass(frozen=True)
class BaseNovelScores:
    """Accuracies of one run, as fractions.

    Attributes:
        base: images of base classes among the base classes, which were trained on.
        novel: images of novel classes among the novel classes; None for a method that answers
            only for the classes it was fitted on.
        joint: all images among all classes; None as for ``novel``.
        n_base: number of base images.
        n_novel: number of novel images.
    """

    base: float
    novel: float | None
    joint: float | None
    n_base: int
    n_novel: int

    @property
    def harmonic(self) -> float | None:
        """Harmonic mean of base and novel; of averages over seeds, average first."""
        return None if self.novel is None else harmonic_mean(self.base, self.novel)

    def to_dict(self) -> dict[str, float | None]:
        """Plain data for JSON."""
        return {**asdict(self), "harmonic": self.harmonic}


def evaluate(
    adapted: AdaptedModel, task: FewShotTask, images: Images | None = None
) -> BaseNovelScores:
    """Score a model that was fitted on the base classes of ``task``, or the frozen one.

    Args:
        adapted: fitted on ``task.classes_subset("base")``; its current classes do not matter.
        task: the task with all its classes.
        images: its test images, where they are kept decoded.

    Raises:
        InterlaceError: if the model was trained on other classes than the base half, or there is
            nothing to score.
    """
    if not task.test:
        raise InterlaceError(f"{task.name} holds no test images")
    return of_plan(adapted, of_task(task), images)


def of_plan(
    adapted: AdaptedModel, plan: ClassificationPlan, images: Images | None = None
) -> BaseNovelScores:
    """As :func:`evaluate`, on what :func:`of_task` made of a task.

    Raises:
        InterlaceError: as :func:`evaluate`.
    """
    base = plan.task.classes
    if adapted.trained_classes and Counter(adapted.trained_classes) != Counter(base):
        raise InterlaceError(
            f"base-to-novel needs a model fitted on the {len(base)} base classes of "
            f"{plan.task.name}; this one was fitted on {len(adapted.trained_classes)} classes"
        )
    targets = plan.targets
    found = {name: scored.scores.top1 for name, scored in score(adapted, targets, images).items()}
    return BaseNovelScores(
        base=found["base"],
        novel=found.get("novel"),
        joint=found.get("joint"),
        n_base=len(targets[0].task.test),
        n_novel=len(targets[1].task.test),
    )


def compare(adapted: AdaptedModel, task: FewShotTask) -> Comparison[BaseNovelScores]:
    """Score ``adapted`` and the frozen model on the base half, the novel half and all classes.

    Args:
        adapted: fitted on ``task.classes_subset("base")``.
        task: the task with all its classes.

    Raises:
        InterlaceError: as :func:`evaluate`.
    """
    task, left_out = without_shots(adapted, task)
    frozen = evaluate(adapted.zero_shot(), task)
    scores = evaluate(adapted, task)
    return Comparison(frozen, scores, seen=False, left_out=left_out, classes=task.classes)
