"""Draw a few-shot task from a folder, a table, a known data set or what a program holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from interlace._util.schema import check
from interlace.config import Count, check_seed
from interlace.data.classification_task import ClassificationTask
from interlace.data.datasets.registry import is_known, open_source
from interlace.data.names import (
    ClassNames,
    notes_on_names,
    remembered_names,
    resolve_class_names,
)
from interlace.data.readers.columns import BY_NAME, Columns
from interlace.data.readers.folder import read_photos
from interlace.data.readers.memory import MapDataset, Pairs, read_datasets
from interlace.data.readers.stored_draws import read_draw
from interlace.data.source import DEFAULT_TEMPLATE, Source
from interlace.data.splits import Split, apply_split, fewer_shots, split_records
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.backbone.prompts import Template


@dataclass(frozen=True)
class FewShotTask(ClassificationTask):
    """A classification task with a few labelled images per class, and the ways to make one.

    ``load`` takes what lies on disk or is known by name, ``from_dataset`` and ``from_arrays`` take
    what a program holds. The attributes are those of ``ClassificationTask``.
    """

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

        Sub-folders that are named like parts (``train``, ``val``, ``test``) are parts, with the
        class folders below. Without a test part, every image that is neither a shot nor a
        validation shot is held out for testing. The arguments are those of ``load``.

        Raises:
            InterlaceError: The folder is not as described, or a class has too few images.
        """
        _check_draw(shots, seed)
        source = read_photos(root, strict)
        return cls.from_source(
            source, shots, seed, class_names=class_names, template=template, exact=exact
        )

    @classmethod
    def from_dataset(
        cls,
        dataset: MapDataset,
        class_names: Sequence[str] | None = None,
        shots: int = 16,
        seed: int = 1,
        *,
        test: MapDataset | None = None,
        template: Template = DEFAULT_TEMPLATE,
        split: Split | Path | str | None = None,
        exact: bool = False,
        name: str = "",
    ) -> FewShotTask:
        """Make a task from a map-style data set, such as those of torch and torchvision.

        Every item is read once and held in memory, without loss: give the data set without
        transforms, since the model brings its own.

        Args:
            dataset: Items are pairs of an image and a label. An image is a PIL image, a path,
                encoded bytes, or a uint8 array or tensor [H, W], [H, W, 1|3|4] or [1|3, H, W];
                floats are refused. A label is a whole number from 0.
            class_names: Names of the classes, which the labels index; None takes
                ``dataset.classes``.
            shots: Training images per class.
            seed: Seed of the draw, which does not depend on the order of the items.
            test: Data set of test images; without it, what the shots leave over is tested on.
            template: Prompt with ``{}`` where the class name goes.
            split: As in ``load``.
            exact: As in ``load``.
            name: Name of the task; by default the class of the data set.

        Raises:
            InterlaceError: An item is not as described, which the message names by its index, or a
                class has too few images.
        """
        _check_draw(shots, seed)
        parts = {"train": dataset} if test is None else {"train": dataset, "test": test}
        source = read_datasets(parts, class_names, name or type(dataset).__name__)
        return cls.from_source(source, shots, seed, template=template, split=split, exact=exact)

    @classmethod
    def from_arrays(
        cls,
        images: Sequence[Any],
        labels: Sequence[int],
        class_names: Sequence[str],
        shots: int = 16,
        seed: int = 1,
        *,
        test: tuple[Sequence[Any], Sequence[int]] | None = None,
        name: str = "arrays",
        **rest: Any,
    ) -> FewShotTask:
        """Make a task from images [N, H, W, 3] of uint8, or from a list of images.

        Args:
            images: An array, a tensor, or a list of what ``from_dataset`` takes as an image.
            labels: Their labels [N], whole numbers from 0.
            class_names: Names of the classes, which the labels index.
            shots: Training images per class.
            seed: Seed of the draw, which does not depend on the order of the images.
            test: Test images and their labels.
            name: Name of the task.
            **rest: The other arguments of ``from_dataset``.

        Raises:
            InterlaceError: As ``from_dataset``.
        """
        if test is not None and (not isinstance(test, tuple | list) or len(test) != 2):
            raise InterlaceError("test: must be a pair of images and labels")
        held_out = None if test is None else Pairs(*test)
        pairs = Pairs(images, labels)
        return cls.from_dataset(pairs, class_names, shots, seed, test=held_out, name=name, **rest)

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
                ``"eurosat"``. What exists on disk comes before a name, but for standard benchmarks
                where the data root is known.
            shots: Training images per class; 0 leaves all that may be tested on for testing.
            seed: Seed of the draw (``splits.draw_order``).
            class_names: Where the folder names do not say it (``names.resolve_class_names``), or
                one name per class of the source.
            remembered: Names that an earlier task gave to the same folders
                (``Adapted.class_names``), for where ``class_names`` is None; folders that are not
                among them are cleaned.
            template: Prompt with ``{}`` where the class name goes; None takes the source's own.
            strict: Whether a file that cannot be used is an error instead of being skipped.
            root: The data root, for standard benchmarks; None takes the environment variable
                INTERLACE_DATA.
            split: A stored draw to use instead of a new one: a ``Split``, the path of one, or of a
                draw that other code made (``stored_draws.read_draw``). Its shots and seed count.
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


def _read_split(path: Path, source: Source, classes: tuple[str, ...]) -> Split:
    if path.suffix.lower() == ".json":
        return Split.load(path)
    return read_draw(path).split(source, classes)


def _check_draw(shots: int, seed: int) -> None:
    check("shots", shots, Count)
    check_seed(seed)
