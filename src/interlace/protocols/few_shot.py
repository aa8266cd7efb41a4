"""Few-shot: fit on shots of all classes, score all classes on the held-out images."""

from __future__ import annotations

from interlace.adapted import Adapted
from interlace.data.task import FewShotTask
from interlace.evaluation.classify import Scores
from interlace.protocols.base import Plan, Protocol, Setting, Target
from interlace.protocols.comparison import Comparison, without_shots


class FewShot(Protocol):
    """All classes in training and in testing."""

    name = "few_shot"
    summary = "Fit on shots of all classes, score all classes (2109.01134)."
    shots = (1, 2, 4, 8, 16)

    def plan(self, setting: Setting) -> Plan:
        """The task itself, and its test images as ``all``."""
        task = setting.draw()
        return Plan(task, (Target("all", task, seen=True),))


def compare(adapted: Adapted, task: FewShotTask) -> Comparison[Scores]:
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
    frozen = adapted.zero_shot().evaluate(task.test)
    return Comparison(frozen, adapted.evaluate(task.test), adapted.seen, left_out)
