"""An adapted model beside the frozen one, on images neither has been fitted on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from interlace._util.text import listed
from interlace.adaptation.model import AdaptedModel
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError


class _Plain(Protocol):
    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


ScoresT = TypeVar("ScoresT", bound=_Plain)


@dataclass(frozen=True)
class Comparison(Generic[ScoresT]):
    """What both models reached on the same images.

    Attributes:
        zero_shot: result of the frozen model.
        adapted: result of the adapted model.
        seen: whether the adapted model was trained on all classes of the task.
        left_out: test images that were not scored, because the fit had used them.
        classes: the classes that were scored among: the task's, or those of the fit for a method
            that answers only for these.
    """

    zero_shot: ScoresT
    adapted: ScoresT
    seen: bool
    left_out: int = 0
    classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "zero_shot": self.zero_shot.to_dict(),
            "adapted": self.adapted.to_dict(),
            "seen": self.seen,
            "left_out": self.left_out,
        }


def without_shots(adapted: AdaptedModel, task: FewShotTask) -> tuple[FewShotTask, int]:
    """Drop the test images that ``adapted`` was fitted or selected on, by their content.

    Returns:
        The task that remains, and how many images were dropped.

    Raises:
        InterlaceError: if none remains.
    """
    test = adapted.used.others(task.test)
    if not test:
        used = f"all {len(task.test)} were used to fit this model" if task.test else "it has none"
        raise InterlaceError(f"{task.name}: no images to evaluate on: {used}")
    return replace(task, test=test), len(task.test) - len(test)


def among_fitted(adapted: AdaptedModel, task: FewShotTask) -> FewShotTask:
    """Return the images of ``task`` among the classes that a model can answer for.

    A method that answers only for the classes of its fit is asked among all of these, in their
    order, even where the task lacks some; any other is asked among the task's.

    Raises:
        InterlaceError: if the task has a class that such a method does not know.
    """
    fitted = adapted.trained_classes
    if not adapted.method.fixed_classes or not fitted or task.classes == fitted:
        return task
    places: dict[str, list[int]] = {}
    for place, name in enumerate(fitted):
        places.setdefault(name, []).append(place)
    new = [name for name in dict.fromkeys(task.classes) if name not in places]
    if new:
        raise InterlaceError(
            f"{adapted.method.key} answers only for the {len(fitted)} classes it was fitted on, "
            f"and {task.name} has others: {listed(new)}"
        )
    met: Counter[str] = Counter()
    labels = []
    for name in task.classes:  # of equal published names, the second stays the second
        labels.append(places[name][min(met[name], len(places[name]) - 1)])
        met[name] += 1
    return replace(
        task,
        classes=fitted,
        folders=(),
        train=(),
        val=(),
        test=tuple(replace(record, label=labels[record.label]) for record in task.test),
        published=adapted.published or task.published,
    )
