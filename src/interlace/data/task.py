"""A few-shot task: class names, a prompt template, and which images train, validate and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from interlace._util.text import count_of, listed, printable
from interlace.data.datasets.registry import is_known, open_source, read_catalog
from interlace.data.names import (
    ClassNames,
    notes_on_names,
    remembered_names,
    resolve_class_names,
)
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.folder import read_photos
from interlace.data.readers.stored_draws import read_draw
from interlace.data.records import Record, Skipped
from interlace.data.source import DEFAULT_TEMPLATE, ClassOrder, Source
from interlace.data.splits import (
    Split,
    apply_split,
    base_and_novel,
    fewer_shots,
    keys_of,
    split_records,
)
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.backbone.prompts import Template

ClassSubset = Literal["all", "base", "novel"]


@dataclass(frozen=True)
class FewShotTask:
    """A classification task with a few labelled images per class.

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
            their labels where the source numbers them, as the data sets of the field do.
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

    @classmethod
    def from_folder(
        cls,
        root: Path | str,
        shots: int = 16,
        seed: int = 1,
        *,
        class_names: ClassNames | None = None,
        template: str = DEFAULT_TEMPLATE,
        strict: bool = False,
        exact: bool = False,
    ) -> FewShotTask:
        """Make a task from a folder with one sub-folder of images per class.

        If sub-folders have the names of parts (``train``, ``val``, ``test`` and the like) with the
        class folders below, shots come from ``train``, validation shots from ``val`` if it is
        there, and the test images are those of ``test`` (or of ``val`` where there is no
        ``test``). Otherwise every image that is neither a shot nor a validation shot is held out
        for testing.

        Args:
            root: The folder.
            shots: Training images per class; 0 draws none, so that every image (or, with parts, all
                of the test part) is for testing.
            seed: Seed of the draw (see ``splits.draw_order``).
            class_names: Where the folder names do not say it: see ``resolve_class_names``.
            template: Prompt with ``{}`` where the class name goes.
            strict: Whether a file that cannot be used is an error instead of being skipped.
            exact: As in ``load``.

        Returns:
            The task, all of whose images are readable.

        Raises:
            InterlaceError: The folder is not as described, or a class has too few images.
        """
        _check_draw(shots, seed)
        source = read_photos(root, strict)
        return cls.from_source(
            source, shots, seed, class_names=class_names, template=template, exact=exact
        )

    @classmethod
    def from_catalog(
        cls,
        name: str,
        shots: int = 16,
        seed: int = 1,
        *,
        root: Path | str | None = None,
        strict: bool = False,
    ) -> FewShotTask:
        """Make a task from a data set that Interlace knows: ``"picto/food-drink"``, ``"eurosat"``.

        Args:
            name: Name of an embedded data set (``catalog.catalog_names``) or of one of the field
                (``benchmarks.benchmark_names``).
            shots: Training images per class; 0 leaves only the test images.
            seed: Seed of the draw; the test images are the data set's own.
            root: The data root, for data sets of the field; None takes the environment variable
                INTERLACE_DATA.
            strict: Whether a missing image is an error instead of being skipped.

        Returns:
            The task. Where a data set only tests, it has no shots.

        Raises:
            InterlaceError: The name is unknown, the data set is not there, or a class has too few
                images.
        """
        _check_draw(shots, seed)
        return cls.from_source(read_catalog(name, root, strict), shots, seed)

    @classmethod
    def load(
        cls,
        source: Path | str,
        shots: int = 16,
        seed: int = 1,
        *,
        class_names: ClassNames | None = None,
        remembered: Mapping[str, str] = MappingProxyType({}),
        template: Template | None = None,
        strict: bool = False,
        root: Path | str | None = None,
        split: Split | Path | str | None = None,
        columns: Columns = BY_NAME,
        exact: bool | None = None,
    ) -> FewShotTask:
        """Make a task from images of your own or from a data set that Interlace knows.

        Args:
            source: A folder with one sub-folder per class, a table of images (``.csv``, ``.tsv``,
                ``.jsonl``, ``.json``, ``.parquet``), a ``.zip`` of either, a folder that Hugging
                Face ``datasets`` or its hub made, or a name such as ``"picto/food-drink"`` or
                ``"eurosat"``. What exists on disk comes before a name, but for the data sets of
                the field where the data root is known.
            shots: Training images per class.
            seed: Seed of the draw.
            class_names: As in ``from_folder``, or one name per class of the source.
            remembered: Names that an earlier task gave to the same folders
                (``Adapted.class_names``), for where ``class_names`` is None; folders that are not
                among them are cleaned.
            template: Prompt with ``{}`` where the class name goes; None takes the source's own.
            strict: Whether a file that cannot be used is an error instead of being skipped.
            root: The data root, for data sets of the field; None takes the environment variable
                INTERLACE_DATA.
            split: A stored draw to use instead of a new one: a ``Split``, the path of one, or of a
                draw that other code made (``fewshot_files.read_draw``). Its shots and seed count.
            columns: Columns of a table that are named.
            exact: Whether every class must have ``shots`` images, and one to test on where there is
                no test part. Else a class that has fewer gives what it has, and is named in
                ``notes``. None asks for it of data sets known by name alone.

        Returns:
            The task.

        Raises:
            InterlaceError: ``source`` is none of these, or cannot be used.
        """
        _check_draw(shots, seed)
        if exact is None:
            exact = is_known(source, root)
        return cls.from_source(
            open_source(source, root, strict, columns),
            shots,
            seed,
            class_names=class_names,
            remembered=remembered,
            template=template,
            split=split,
            exact=exact,
        )

    @classmethod
    def from_source(
        cls,
        source: Source,
        shots: int = 16,
        seed: int = 1,
        *,
        class_names: ClassNames | None = None,
        remembered: Mapping[str, str] = MappingProxyType({}),
        template: Template | None = None,
        split: Split | Path | str | None = None,
        exact: bool = True,
    ) -> FewShotTask:
        """Make a task from labelled images that have been read; the arguments are ``load``'s.

        Raises:
            InterlaceError: An argument is not as described, or a class has too few images.
        """
        _check_draw(shots, seed)
        classes = source.classes
        if class_names is None and any(remembered.get(one, one) != one for one in classes):
            classes = remembered_names(classes, remembered)
        elif class_names is not None or not source.cleaned:
            classes = resolve_class_names(source.classes, class_names, source.order == "label")
        notes = [*source.problems, *source.notes]
        if not source.published:
            notes += notes_on_names(source.classes, classes, class_names)
        if split is None:
            train, val, test = split_records(source.pools, classes, shots, seed, exact)
            notes += [fewer] if (fewer := fewer_shots(train, classes, shots)) and train else []
            shots = shots if "train" in source.pools else 0
        else:
            if not isinstance(split, Split):
                split = _read_split(Path(split), source, classes)
            train, val, test = apply_split(source.records(), classes, split, source.name)
            shots, seed = split.shots, split.seed
        if not test:
            notes.append("there are no test images: nothing will be scored")
        return cls(
            source.name,
            classes,
            train,
            val,
            test,
            template or source.template,
            shots,
            seed,
            source.skipped,
            source.order,
            source.classes,
            source.published and classes == source.classes,
            source.hidden,
            tuple(notes),
        )

    def base_and_novel(self, share: float = 0.5) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the labels of the base and of the novel classes (``splits.base_and_novel``)."""
        return base_and_novel(self.classes, self.order, share)

    def classes_subset(self, which: ClassSubset) -> FewShotTask:
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

    def restricted(self, kept: Sequence[int], name: str) -> FewShotTask:
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

    def with_split(self, split: Split) -> FewShotTask:
        """Deals this task's images as a stored split does, whatever its own draw was.

        Raises:
            InterlaceError: The classes differ, or an image of the split is not there.
        """
        own = (*self.train, *self.val, *self.test)
        train, val, test = apply_split(own, self.classes, split, self.name)
        return replace(self, train=train, val=val, test=test, shots=split.shots, seed=split.seed)

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
        """Says in one line what the classes are, what trains and validates, what was held out."""
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


def _read_split(path: Path, source: Source, classes: tuple[str, ...]) -> Split:
    if path.suffix.lower() == ".json":
        return Split.load(path)
    return read_draw(path).split(source, classes)


def _check_draw(shots: int, seed: int) -> None:
    # late: what only lists data sets does without the settings of runs
    from interlace._util.schema import check
    from interlace.config import Count, check_seed

    check("shots", shots, Count)
    check_seed(seed)
