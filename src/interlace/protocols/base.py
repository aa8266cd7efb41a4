"""What a protocol is: from data, shots and seed to what is fitted and what is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar
from typing import Protocol as StructuralType

from interlace.adaptation.model import AdaptedModel
from interlace.data.datasets.registry import expand, transfer_source
from interlace.data.images.loader import Images
from interlace.data.records import Record
from interlace.data.task import FewShotTask
from interlace.methods.base import Method
from interlace.protocols.condition import CLEAN, Condition
from interlace.protocols.setting import Setting

TargetT = TypeVar("TargetT")

#: Makes the images of records ready to be decoded. Who scores several models on the same images
#: passes one that remembers what it made, such as ``lru_cache(maxsize=1)(Images)``.
Decode = Callable[[tuple[Record, ...]], Images]


class TargetFigures(StructuralType):
    """The figures of a target."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


@dataclass(frozen=True)
class Plan(ABC, Generic[TargetT]):
    """What to fit on and what to score; it scores a model itself, since it knows its targets.

    No image is scored that the fit uses, under whatever name it comes.

    Attributes:
        task: classes and shots of the fit.
        targets: what to score.
    """

    task: FewShotTask
    targets: tuple[TargetT, ...] = field(repr=False)

    @property
    def split_hash(self) -> str:
        """Hash of what is fitted on: two runs are on identical shots where it is the same."""
        return self.task.split_hash

    @property
    def tasks(self) -> tuple[FewShotTask, ...]:
        """The task of the fit, and those whose class names are scored."""
        return (self.task,)

    def check(self, method: Method) -> None:
        """See before a fit that the targets can be scored after it.

        Args:
            method: the method, which need not be fitted.

        Raises:
            InterlaceError: if they cannot, with the reason.
        """
        return

    @abstractmethod
    def score(self, adapted: AdaptedModel, decode: Decode = ...) -> Mapping[str, TargetFigures]:
        """Score a model that was fitted on ``task``, or the frozen one.

        Args:
            adapted: the model; its current classes do not matter.
            decode: makes the images ready, and may keep them for the next model.

        Returns:
            The figures of each target that the model can answer for, by its name.

        Raises:
            InterlaceError: if a target has nothing to score.
        """


class Protocol(ABC, Generic[TargetT]):
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
    def plan(self, setting: Setting) -> Plan[TargetT]:
        """Draw the images to fit on and to score.

        Raises:
            InterlaceError: if the data cannot be used in this way.
        """


class TransferProtocol(Protocol[TargetT]):
    """A protocol from one data set to others: of a collection, the one that is made for it."""

    def data_sets(self, name: str, root: Path | str | None = None) -> tuple[str, ...]:
        """Return the source of a collection where it has one, else what a name stands for."""
        source = transfer_source(name)
        return (source,) if source else super().data_sets(name, root)
