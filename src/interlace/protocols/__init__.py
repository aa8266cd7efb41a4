"""Protocols decide which classes to fit and to score, and know no method by name."""

from __future__ import annotations

from interlace.adapted import Adapted
from interlace.data.task import FewShotTask
from interlace.evaluation.classify import Scores
from interlace.protocols import base_to_novel, few_shot
from interlace.protocols.base_to_novel import BaseToNovel
from interlace.protocols.comparison import Comparison

__all__ = ["BaseToNovel", "Comparison", "evaluate"]


def evaluate(adapted: Adapted, task: FewShotTask) -> Comparison[Scores] | Comparison[BaseToNovel]:
    """Score an adapted model and the frozen one on the held-out images of ``task``.

    Images the model was fitted on are left out, whatever their names.

    Args:
        adapted: the adapted model.
        task: classes and test images.

    Returns:
        Base, novel and joint accuracy for a model that was fitted on the base half of the task's
        classes; for any other model, its scores over all classes of the task.

    Raises:
        InterlaceError: if no test image is left that the fit has not used.
    """
    base, novel = base_to_novel.halves(task)
    if novel and adapted.trained_classes and set(adapted.trained_classes) == set(base):
        return base_to_novel.compare(adapted, task)
    return few_shot.compare(adapted, task)
