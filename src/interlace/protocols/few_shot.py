"""Few-shot: fit on shots of all classes, score all classes on the held-out images."""

from __future__ import annotations

from copy import copy

from interlace.adaptation.model import AdaptedModel
from interlace.data.task import FewShotTask
from interlace.evaluation.classification import Scores
from interlace.protocols.base import Protocol
from interlace.protocols.classification import ClassificationPlan, Target
from interlace.protocols.comparison import Comparison, among_fitted, without_shots
from interlace.protocols.setting import Setting


class FewShot(Protocol[Target]):
    """All classes in training and in testing."""

    name = "few_shot"
    summary = "Fit on shots of all classes, score all classes (2109.01134)."
    shots = (1, 2, 4, 8, 16)

    def plan(self, setting: Setting) -> ClassificationPlan:
        """Return the task itself, and its test images as ``all``."""
        task = setting.draw()
        return ClassificationPlan(task, (Target("all", task, seen=True),))


def compare(adapted: AdaptedModel, task: FewShotTask) -> Comparison[Scores]:
    """Score ``adapted`` and the frozen model over the classes of ``task``.

    The classes of ``task`` need not be those of the fit, but for a method that answers only for
    these: it, and the frozen model beside it, are then scored among all of them. The current
    classes of ``adapted`` stay as they are.

    Args:
        adapted: the adapted model.
        task: classes and test images.

    Raises:
        InterlaceError: if no test image is left that the fit has not used, or a class is not known
            to a method that answers only for those of the fit.
    """
    task, left_out = without_shots(adapted, among_fitted(adapted, task))
    own = copy(adapted)  # the same tensors over other classes
    own.set_classes(task.classes, task.published)
    frozen = own.zero_shot().evaluate(task.test)
    return Comparison(frozen, own.evaluate(task.test), own.seen, left_out, task.classes)
