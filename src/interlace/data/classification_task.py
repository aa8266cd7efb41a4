"""A classification task: class names, a prompt template, and which images train and test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from interlace._util.text import count_of, listed, printable
from interlace.data.records import Record, Skipped
from interlace.data.source import DEFAULT_TEMPLATE, ClassOrder
from interlace.data.splits import Split, base_and_novel, keys_of
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.backbone.prompts import Template

ClassSubset = Literal["all", "base", "novel"]


@dataclass(frozen=True)
class ClassificationTask:
    """Classes with the images that train, validate and test; ``FewShotTask`` draws them.

    Attributes:
        name: Name of the folder or of the catalogue entry.
        classes: Class names, which the labels of all records index.
        train: The shots, by class.
        val: Validation shots, by class: none where the shots left no image over.
        test: Images held out, never used to train or to choose.
        template: Prompt with ``{}`` where the class name goes, or several, whose text features are
            averaged.
        shots: Training images per class that were asked for; a class may have fewer.
        seed: Seed of the draw.
        skipped: Files that could not be used.
        order: What sorts the classes before they are cut into base and novel: their names, or
            their labels where the source numbers them, as standard benchmarks do.
        folders: What the source calls each class (its folder, its label), in the order of
            ``classes``; empty where that is not known.
        published: Whether ``classes`` are published names, of which some may be equal.
        hidden: Hidden files and folders, which were not read.
        notes: What a user should know of how the data was understood, a line each.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]
    template: Template
    shots: int
    seed: int
    skipped: tuple[Skipped, ...] = ()
    order: ClassOrder = "name"
    folders: tuple[str, ...] = ()
    published: bool = False
    hidden: tuple[Skipped, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        templates = (self.template,) if isinstance(self.template, str) else self.template
        if not templates:
            raise InterlaceError("no template: there must be at least one prompt")
        for template in templates:
            if template.count("{}") != 1:
                raise InterlaceError(
                    f"template '{printable(template)}': must hold {{}} once, where the class name "
                    f"goes, as in '{DEFAULT_TEMPLATE}'"
                )

    def base_and_novel(self, share: float = 0.5) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the labels of the base and of the novel classes (``splits.base_and_novel``)."""
        return base_and_novel(self.classes, self.order, share)

    def classes_subset(self, which: ClassSubset) -> Self:
        """Keep the base or the novel half of the classes (``splits.base_and_novel``).

        Args:
            which: ``"base"``, ``"novel"`` or ``"all"``.

        Returns:
            A task over these classes alone, with labels that index them, or the task itself.

        Raises:
            InterlaceError: ``which`` is something else.
        """
        if which not in ("all", "base", "novel"):
            raise InterlaceError(f"class subset '{which}': must be 'base', 'novel' or 'all'")
        if which == "all":
            return self
        base, novel = self.base_and_novel()
        return self.restricted(base if which == "base" else novel, f"{self.name}:{which}")

    def restricted(self, kept: Sequence[int], name: str) -> Self:
        """Keep some of the classes and their images.

        Args:
            kept: Labels of the classes, in the order they are to have.
            name: Name of the task that results, whose labels index its own classes.
        """
        new_label = {label: position for position, label in enumerate(kept)}

        def restrict(records: Iterable[Record]) -> tuple[Record, ...]:
            own = (record for record in records if record.label in new_label)
            return tuple(replace(record, label=new_label[record.label]) for record in own)

        return replace(
            self,
            name=name,
            classes=tuple(self.classes[label] for label in kept),
            folders=tuple(self.folders[label] for label in kept) if self.folders else (),
            train=restrict(self.train),
            val=restrict(self.val),
            test=restrict(self.test),
        )

    def split(self) -> Split:
        """Return the draw of this task in the form that is stored."""
        return Split(
            name=self.name,
            seed=self.seed,
            shots=self.shots,
            classes=self.classes,
            train=keys_of(self.train),
            val=keys_of(self.val),
            test=keys_of(self.test),
        )

    @cached_property
    def split_hash(self) -> str:
        """The sha256 of ``split()``."""
        return self.split().sha256

    def describe(self) -> str:
        """Summarise classes, training, validation and held-out images in one line."""
        up_to = "up to " if len(self.train) < self.shots * len(self.classes) else ""
        train = (
            f"{count_of(len(self.train), 'training image')} ({up_to}{self.shots} per class, seed "
            f"{self.seed})"
        )
        skipped = f"; {count_of(len(self.skipped), 'file')} skipped" if self.skipped else ""
        return (
            f"{printable(self.name)}: {count_of(len(self.classes), 'class', 'classes')} "
            f"({listed(self.classes, 6)}); {train}, {len(self.val)} for validation; held out for "
            f"testing: {count_of(len(self.test), 'image')}{skipped}"
        )
