"""Score an adapted model beside the frozen one, as what it was fitted on asks for."""

from __future__ import annotations

from collections import Counter

from interlace.adaptation.model import AdaptedModel
from interlace.data.task import FewShotTask
from interlace.evaluation.classification import Scores
from interlace.protocols import base_to_novel, few_shot
from interlace.protocols.base_to_novel import BaseNovelScores
from interlace.protocols.comparison import Comparison


def evaluate(
    adapted: AdaptedModel, task: FewShotTask
) -> Comparison[Scores] | Comparison[BaseNovelScores]:
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
    base = Counter(task.classes[label] for label in task.base_and_novel()[0])
    if len(task.classes) > base.total() > 0 and Counter(adapted.trained_classes) == base:
        return base_to_novel.compare(adapted, task)
    return few_shot.compare(adapted, task)
