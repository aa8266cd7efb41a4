"""Few-shot: fit on shots of all classes, score all classes on the held-out images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from interlace.adapted import Adapted
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.evaluation.classify import Scores


@dataclass(frozen=True)
class FewShot:
    """An adapted model and the frozen one on the same images.

    Attributes:
        adapted: scores of the adapted model.
        zero_shot: scores of the frozen model.
        seen: whether the adapted model was trained on all of the classes.
        left_out: test images that were not scored, because the fit had used them.
    """

    adapted: Scores
    zero_shot: Scores
    seen: bool
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "adapted": self.adapted.to_dict(),
            "zero_shot": self.zero_shot.to_dict(),
            "seen": self.seen,
            "left_out": self.left_out,
        }


def without_shots(adapted: Adapted, task: FewShotTask) -> tuple[FewShotTask, int]:
    """Drop the test images that ``adapted`` was fitted or selected on, by their content.

    Returns:
        The task that remains, and how many images were dropped.

    Raises:
        InterlaceError: if none remains.
    """
    test = tuple(r for r in task.test if r.digest() not in adapted.shots)
    if not test:
        raise InterlaceError(
            f"{task.name}: all {len(task.test)} images were used to fit this model, none is left "
            "to evaluate on"
        )
    return replace(task, test=test), len(task.test) - len(test)


def evaluate(adapted: Adapted, task: FewShotTask) -> FewShot:
    """Score ``adapted`` and the frozen model over the classes of ``task``.

    The classes of ``task`` need not be those of the fit. The current classes of ``adapted`` become
    those of ``task``.

    Args:
        adapted: the adapted model.
        task: classes and test images.

    Raises:
        InterlaceError: if no test image is left that the fit has not used.
    """
    task, left_out = without_shots(adapted, task)
    adapted.set_classes(task.classes)
    frozen = adapted.zero_shot()
    return FewShot(adapted.evaluate(task.test), frozen.evaluate(task.test), adapted.seen, left_out)
