"""An adapted model beside the frozen one, on images neither has been fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from interlace.adapted import Adapted
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError


class _Plain(Protocol):
    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


T = TypeVar("T", bound=_Plain)


@dataclass(frozen=True)
class Comparison(Generic[T]):
    """What both models reached on the same images.

    Attributes:
        zero_shot: result of the frozen model.
        adapted: result of the adapted model.
        seen: whether the adapted model was trained on all classes of the task.
        left_out: test images that were not scored, because the fit had used them.
    """

    zero_shot: T
    adapted: T
    seen: bool
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "zero_shot": self.zero_shot.to_dict(),
            "adapted": self.adapted.to_dict(),
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
        used = f"all {len(task.test)} were used to fit this model" if task.test else "it has none"
        raise InterlaceError(f"{task.name}: no images to evaluate on: {used}")
    return replace(task, test=test), len(task.test) - len(test)
