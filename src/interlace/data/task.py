"""A few-shot task: class names, a prompt template, and which images train, validate and test."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from interlace.data.catalog import is_catalog_name, read_catalog, unknown_name
from interlace.data.class_names import ClassNames, resolve_class_names
from interlace.data.readers import read_parts
from interlace.data.records import Record, Skipped
from interlace.data.splits import Split, base_and_novel, deal, keys_of
from interlace.errors import InterlaceError

DEFAULT_TEMPLATE = "a photo of a {}."

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
        template: Prompt with `{}` where the class name goes.
        shots: Training images per class.
        seed: Seed of the draw.
        skipped: Files that could not be used.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[Record, ...]
    val: tuple[Record, ...]
    test: tuple[Record, ...]
    template: str
    shots: int
    seed: int
    skipped: tuple[Skipped, ...] = ()

    def __post_init__(self) -> None:
        if self.template.count("{}") != 1:
            raise InterlaceError(
                f"template '{self.template}': must hold {{}} once, where the class name goes, "
                f"as in '{DEFAULT_TEMPLATE}'"
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
    ) -> "FewShotTask":
        """Makes a task from a folder with one sub-folder of images per class.

        If all sub-folders have the names of parts (`train`, `val`, `test` and the like) with the
        class folders below, shots come from `train`, validation shots from `val` if it is there,
        and the test images are those of `test` (or of `val` where there is no `test`). Otherwise
        every image that is neither a shot nor a validation shot is held out for testing.

        Args:
            root: The folder.
            shots: Training images per class; 0 draws none, so that every image (or, with parts, all
                of the test part) is for testing.
            seed: Seed of the draw (see `splits.draw_order`).
            class_names: Where the folder names do not say it: see `resolve_class_names`.
            template: Prompt with `{}` where the class name goes.
            strict: Whether a file that cannot be used is an error instead of being skipped.

        Returns:
            The task, all of whose images are readable.

        Raises:
            InterlaceError: The folder is not as described, or a class has too few images.
        """
        _check_draw(shots, seed)
        root = Path(root)
        folders, pools, skipped = read_parts(root, strict)
        classes = resolve_class_names(folders, class_names)
        train, val, test = deal(pools, classes, shots, seed)
        name = root.resolve().name or str(root)
        return cls(name, classes, train, val, test, template, shots, seed, skipped)

    @classmethod
    def from_catalog(cls, name: str, shots: int = 16, seed: int = 1) -> "FewShotTask":
        """Makes a task from a data set that Interlace knows, such as `"picto/food-drink"`.

        Args:
            name: Name in the catalogue (`catalog.catalog_names`).
            shots: Training images per class; 0 leaves only the test images.
            seed: Seed of the draw; the test images are the data set's own.

        Returns:
            The task.

        Raises:
            InterlaceError: The name is unknown, or a class has too few images.
        """
        _check_draw(shots, seed)
        entry = read_catalog(name)
        pools = {"train": entry.train, "test": entry.test}
        train, val, test = deal(pools, entry.classes, shots, seed)
        return cls(entry.name, entry.classes, train, val, test, entry.template, shots, seed)

    @classmethod
    def load(
        cls,
        source: Path | str,
        shots: int = 16,
        seed: int = 1,
        *,
        class_names: ClassNames | None = None,
        template: str | None = None,
        strict: bool = False,
    ) -> "FewShotTask":
        """Makes a task from a folder or from a name in the catalogue: a folder comes first.

        Args:
            source: Path of a folder, or a name such as `"picto/food-drink"`.
            shots: Training images per class.
            seed: Seed of the draw.
            class_names: As in `from_folder`, or one name per class of the catalogue entry.
            template: Prompt with `{}` where the class name goes; None takes the source's own.
            strict: As in `from_folder`.

        Returns:
            The task.

        Raises:
            InterlaceError: `source` is neither, or cannot be used.
        """
        if isinstance(source, str) and is_catalog_name(source) and not Path(source).exists():
            task = cls.from_catalog(source, shots, seed)
            classes = resolve_class_names(task.classes, class_names or list(task.classes))
            return replace(task, classes=classes, template=template or task.template)
        if not Path(source).exists():
            raise unknown_name(str(source))
        return cls.from_folder(
            source,
            shots,
            seed,
            class_names=class_names,
            template=template or DEFAULT_TEMPLATE,
            strict=strict,
        )

    def classes_subset(self, which: ClassSubset) -> "FewShotTask":
        """Keeps the base or the novel half of the classes (`splits.base_and_novel`).

        Args:
            which: `"base"`, `"novel"` or `"all"`.

        Returns:
            A task over these classes alone, with labels that index them, or the task itself.

        Raises:
            InterlaceError: `which` is something else.
        """
        if which not in ("all", "base", "novel"):
            raise InterlaceError(f"class subset '{which}': must be 'base', 'novel' or 'all'")
        if which == "all":
            return self
        base, novel = base_and_novel(self.classes)
        kept = base if which == "base" else novel
        new_label = {label: position for position, label in enumerate(kept)}

        def restrict(records: Iterable[Record]) -> tuple[Record, ...]:
            own = (record for record in records if record.label in new_label)
            return tuple(replace(record, label=new_label[record.label]) for record in own)

        return replace(
            self,
            name=f"{self.name}:{which}",
            classes=tuple(self.classes[label] for label in kept),
            train=restrict(self.train),
            val=restrict(self.val),
            test=restrict(self.test),
        )

    def with_split(self, split: Split) -> "FewShotTask":
        """Deals this task's images as a stored split does, whatever its own draw was.

        Raises:
            InterlaceError: The classes differ, or an image of the split is not there.
        """
        if split.classes != self.classes:
            raise InterlaceError(
                f"the split '{split.name}' is over {len(split.classes)} classes "
                f"({', '.join(split.classes[:3])}, ...), which are not the {len(self.classes)} of "
                f"task '{self.name}'"
            )
        records = {record.key: record for record in (*self.train, *self.val, *self.test)}
        missing = [key for key, _ in (*split.train, *split.val, *split.test) if key not in records]
        if missing:
            raise InterlaceError(
                f"{len(missing)} images of the split '{split.name}' are not in task "
                f"'{self.name}': the first is {missing[0]}"
            )
        parts = (
            tuple(replace(records[key], label=label) for key, label in keys)
            for keys in (split.train, split.val, split.test)
        )
        train, val, test = parts
        return replace(self, train=train, val=val, test=test, shots=split.shots, seed=split.seed)

    def split(self) -> Split:
        """Gives the draw of this task in the form that is stored."""
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
        """The sha256 of `split()`."""
        return self.split().sha256

    def describe(self) -> str:
        """Says in one line what trains, what validates and what was held out."""
        train = f"{len(self.train)} training images ({self.shots} per class, seed {self.seed})"
        count = len(self.skipped)
        skipped = f"; {count} file{'s' if count > 1 else ''} skipped" if count else ""
        return (
            f"{self.name}: {len(self.classes)} classes; {train}, {len(self.val)} for validation; "
            f"held out for testing: {len(self.test)} images{skipped}"
        )


def _check_draw(shots: int, seed: int) -> None:
    if shots < 0:
        raise InterlaceError(f"shots = {shots}: must be 0 or more images per class")
    if seed < 0:
        raise InterlaceError(f"seed = {seed}: must be 0 or more")
