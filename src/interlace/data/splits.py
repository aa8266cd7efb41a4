"""Which images are shots, which validate and which test: drawn by seed, kept as a file."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from interlace._util.files import write_json
from interlace._util.text import count_of, listed, printable
from interlace.data.records import Record
from interlace.data.source import ClassOrder
from interlace.data.split_files import Key, check_parts, read_fields
from interlace.errors import InterlaceError, TooFewImages

MAX_VALIDATION_SHOTS = 4
"""A class gives at most this many validation shots, and never more than it gives shots."""


@dataclass(frozen=True, slots=True)
class Split:
    """The stored outcome of a draw.

    Attributes:
        name: Name of the task.
        seed: Seed of the draw.
        shots: Training images per class.
        classes: Class names, which the labels index.
        train: Key and label of every shot; ``val`` and ``test`` likewise.
    """

    name: str
    seed: int
    shots: int
    classes: tuple[str, ...]
    train: tuple[Key, ...]
    val: tuple[Key, ...]
    test: tuple[Key, ...]

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of all fields: equal hashes mean equal splits."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the split and its hash as JSON, in one step.

        Raises:
            InterlaceError: The file cannot be written.
        """
        content = {**asdict(self), "sha256": self.sha256}
        write_json(path, content)

    @classmethod
    def load(cls, path: Path | str) -> "Split":
        """Read a split, and check its hash and that it can be a draw.

        Raises:
            InterlaceError: The file is missing, is not a split, was changed since it was saved,
                has labels of no class, or names an image twice.
        """
        fields, stored = read_fields(path)
        split = cls(**fields)
        if split.sha256 != stored:
            raise InterlaceError(
                f"{path}: the content has sha256 {split.sha256[:12]} but the file says "
                f"{printable(str(stored)[:12])}: it was changed after it was saved"
            )
        check_parts(split, printable(str(path)))
        return split


def draw_order(records: Iterable[Record], seed: int) -> list[Record]:
    """Shuffle records by seed, each independently of the others.

    The position comes from a hash of the seed and the record's key. So the order depends neither
    on the order of the input nor on any random state or library version; adding an image moves no
    other one relative to its fellows; and the shots of a smaller draw are among those of a larger.
    """
    return sorted(records, key=lambda record: _rank(record.key, seed))


def draw_shots(
    records: Sequence[Record],
    classes: Sequence[str],
    shots: int,
    seed: int,
    spare: int = 0,
    exact: bool = True,
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Draw the same number of images from every class, or up to it.

    Args:
        records: Images to draw from.
        classes: Class names, which the labels index.
        shots: Images to draw per class.
        seed: Seed of the draw.
        spare: Images that each class must have left over.
        exact: Whether a class with too few images is an error. Else it gives what it has, but for
            ``spare`` images where it has more than these.

    Returns:
        The drawn images, by class and then by draw; and all others, in the same order.

    Raises:
        TooFewImages: A class has fewer than ``shots + spare`` images; or none, if not ``exact``.
    """
    by_class = group_by_label(records, len(classes))
    need = shots + spare if exact else 1
    short = [(classes[label], len(own)) for label, own in enumerate(by_class) if len(own) < need]
    if short:
        raise TooFewImages(_too_few(short, shots, spare) if exact else _none_at_all(short))
    drawn: list[Record] = []
    rest: list[Record] = []
    for own in by_class:
        ordered = draw_order(own, seed)
        count = min(shots, max(len(own) - spare, 1))
        drawn += ordered[:count]
        rest += ordered[count:]
    return tuple(drawn), tuple(rest)


def draw_validation(
    rest: Sequence[Record], n_classes: int, shots: int, keep: bool
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Take up to ``min(shots, 4)`` validation shots per class out of what the shots left over.

    Args:
        rest: Images that are not shots, in the order of the draw.
        n_classes: Number of classes.
        shots: Training shots per class.
        keep: Whether the remaining images are the test set. A class with few images then gives at
            most half of them, so that its test images do not become the fewer of the two.

    Returns:
        The validation shots, and the images that remain.
    """
    wanted = min(shots, MAX_VALIDATION_SHOTS)
    val: list[Record] = []
    remaining: list[Record] = []
    for own in group_by_label(rest, n_classes):
        count = min(wanted, len(own) // 2 if keep else len(own))
        val += own[:count]
        remaining += own[count:]
    return tuple(val), tuple(remaining)


def split_records(
    pools: Mapping[str, Sequence[Record]],
    classes: Sequence[str],
    shots: int,
    seed: int,
    exact: bool = True,
) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]:
    """Split records into shots, validation shots and test images.

    Args:
        pools: Images by part: ``"train"``, and ``"val"`` and ``"test"`` if these are set apart
            already.
        classes: Class names, which the labels index.
        shots: Training images per class; 0 leaves everything that may be tested on for testing.
        seed: Seed of the draw.
        exact: Whether a class with fewer images is an error (``draw_shots``).

    Returns:
        Shots, validation shots and test images. Without a ``"train"`` there are test images alone.
        Without a ``"val"``, validation shots come from what the shots left over in ``"train"``;
        without a ``"test"``, all that then remains tests.

    Raises:
        InterlaceError: A class has too few images.
    """
    held_out = pools.get("test")
    if shots == 0 or "train" not in pools:
        return (), (), tuple(pools["train"] if held_out is None else held_out)
    spare = 1 if held_out is None else 0
    train, rest = draw_shots(pools["train"], classes, shots, seed, spare, exact)
    candidates = draw_order(pools["val"], seed) if "val" in pools else rest
    val, remaining = draw_validation(candidates, len(classes), shots, keep=held_out is None)
    return train, val, remaining if held_out is None else tuple(held_out)


def apply_split(
    records: Iterable[Record], classes: Sequence[str], split: Split, name: str
) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]:
    """Split records into shots, validation shots and test images as a stored split does.

    Args:
        records: All images the split may name.
        classes: Class names, which must be those of the split.
        split: The stored split.
        name: What the records are called in an error.

    Raises:
        InterlaceError: The classes differ, or an image of the split is not there.
    """
    if split.classes != tuple(classes):
        raise InterlaceError(
            f"the split '{split.name}' is over {len(split.classes)} classes "
            f"({', '.join(split.classes[:3])}, ...), which are not the {len(classes)} of "
            f"task '{name}'"
        )
    by_key = {record.key: record for record in records}
    missing = [key for key, _ in (*split.train, *split.val, *split.test) if key not in by_key]
    if missing:
        raise InterlaceError(
            f"{len(missing)} images of the split '{printable(split.name)}' are not in task "
            f"'{name}': the first is {printable(missing[0])}"
        )
    check_parts(split, f"the split '{printable(split.name)}'")
    wrong = next(
        (
            (key, label)
            for key, label in (*split.train, *split.val, *split.test)
            if by_key[key].label != label
        ),
        None,
    )
    if wrong is not None:
        key, label = wrong
        raise InterlaceError(
            f"the split '{printable(split.name)}' has {printable(key)} as '{classes[label]}', and "
            f"task '{name}' as '{classes[by_key[key].label]}'"
        )

    def part(keys: Sequence[Key]) -> tuple[Record, ...]:
        return tuple(replace(by_key[key], label=label) for key, label in keys)

    return part(split.train), part(split.val), part(split.test)


def base_and_novel(
    classes: Sequence[str], order: ClassOrder = "name", share: float = 0.5
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split classes in two: the first ceil(n * share) in their order, and the rest.

    Args:
        classes: Class names, which the labels index.
        order: Whether they are sorted by name, or stay as the labels number them. Benchmarks do
            the latter, which matters where numbers do not follow the alphabet (Flowers, Cars).
        share: Share of the base classes, in (0, 1); published results use one half.

    Returns:
        The labels of the base classes and those of the novel classes, both ascending.

    Raises:
        InterlaceError: The share is out of range.
    """
    if not 0 < share < 1:
        raise InterlaceError(f"share of base classes = {share}: must lie between 0 and 1")
    labels = list(range(len(classes)))
    if order == "name":
        labels.sort(key=lambda label: classes[label])
    # 5 / 6 of 12 classes are 10, whatever the last bit of the product says
    half = math.ceil(round(len(classes) * share, 9))
    return tuple(sorted(labels[:half])), tuple(sorted(labels[half:]))


def group_by_label(records: Iterable[Record], n_classes: int) -> list[list[Record]]:
    """List the records of each class, in the order given."""
    groups: list[list[Record]] = [[] for _ in range(n_classes)]
    for record in records:
        groups[record.label].append(record)
    return groups


def keys_of(records: Iterable[Record]) -> tuple[Key, ...]:
    """Return the identity and label of each record."""
    return tuple((record.key, record.label) for record in records)


def _rank(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogateescape")).digest()


def fewer_shots(train: Iterable[Record], classes: Sequence[str], shots: int) -> str:
    """Name the classes that have fewer shots than were asked for, or ``""``."""
    counts = [len(own) for own in group_by_label(train, len(classes))]
    short = [f"{classes[i]} {n}" for i, n in enumerate(counts) if n < shots]
    if not short:
        return ""
    return f"fewer than {count_of(shots, 'shot')} because of too few images: {listed(short, 8)}"


def _none_at_all(short: list[tuple[str, int]]) -> str:
    names = listed([f"'{name}'" for name, _ in short], 8)
    return f"no image to train on for {names}: add images or remove the class"


def _too_few(short: list[tuple[str, int]], shots: int, spare: int) -> str:
    need = count_of(shots, "shot") + (f" and {spare} held out for testing" if spare else "")
    shown = ", ".join(f"'{printable(name)}' has {count}" for name, count in short[:8])
    more = f" and {count_of(len(short) - 8, 'more class', 'more classes')}" if short[8:] else ""
    most = min(count for _, count in short) - spare
    hint = f"use at most {count_of(most, 'shot')}" if most > 0 else "add images or remove the class"
    return f"too few images for {need} per class: {shown}{more}: {hint}"
