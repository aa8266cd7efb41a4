"""Read the lists that standard benchmarks come with: which image is of which class and part."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlace._util.reading import parse_json, read_text
from interlace._util.text import count_of, printable
from interlace.data.readers.folder import class_folders
from interlace.data.readers.walk import walk
from interlace.errors import InterlaceError

CLASS_NAMES = "classnames.txt"
"""ImageNet's list of class names, which its variants share."""

_PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the lists of a data set say.

    Attributes:
        classes: Class names, which the labels index.
        parts: Images of each part as (key, label, path).
        notes: What is wrong with the folder, a line each.
    """

    classes: tuple[str, ...]
    parts: Mapping[str, Sequence[tuple[str, int, Path]]]
    notes: tuple[str, ...] = ()


Reader = Callable[[Path, str, tuple[str, ...]], Listing]
"""Read a data set from its folder, the place of its images below it, and the names of its lists."""


def split_json(folder: Path, images: str, lists: tuple[str, ...]) -> Listing:
    """Read ``{"train": [[image, label, class name], ...], "val": ..., "test": ...}``."""
    path = folder / lists[0]
    try:
        content = parse_json(read_text(path), str(path))
    except InterlaceError as error:
        raise _no_list(path, str(error).removeprefix(f"{path}: ")) from None
    if not isinstance(content, dict):
        raise _no_list(path, "no JSON object")
    rows = {part: [_listed(row, path) for row in _list(content, part, path)] for part in _PARTS}
    names: dict[int, str] = {}
    for key, label, name in (row for part in rows.values() for row in part):
        if names.setdefault(label, name) != name:
            raise InterlaceError(
                f"{path}: label {label} is '{names[label]}' and, at {key}, '{name}'"
            )
    parts = {
        part: [(key, label, folder / images / key) for key, label, _ in own]
        for part, own in rows.items()
    }
    return Listing(_in_order(names, path), parts)


def _list(content: Mapping[str, object], part: str, path: Path) -> list[object]:
    rows = content.get(part)
    if not isinstance(rows, list):
        raise _no_list(path, f"no list under '{part}'")
    return rows


def _listed(row: object, path: Path) -> tuple[str, int, str]:
    """Read an image of a list; it must lie below the folder of the images."""
    if isinstance(row, list) and len(row) == 3:
        key, label, name = row
        if isinstance(key, str) and type(label) is int and label >= 0 and isinstance(name, str):
            key = key.lstrip("/")
            if key and "\0" not in key and ".." not in key.split("/"):
                return key, label, name
    raise _no_list(path, f"'{printable(repr(row))[:80]}'")


def _no_list(path: Path, what: str) -> InterlaceError:
    return InterlaceError(
        f"{path}: not a benchmark's split file, which lists [image, label, class name] under "
        f"train, val and test ({what})"
    )


def _in_order(names: Mapping[int, str], path: Path) -> tuple[str, ...]:
    absent = next((label for label in range(len(names)) if label not in names), None)
    if absent is not None:
        raise InterlaceError(f"{path}: no image has label {absent}")
    # the one change that CoOp's code makes to names before they enter a prompt
    return tuple(names[label].replace("_", " ") for label in sorted(names))


def aircraft(folder: Path, images: str, lists: tuple[str, ...]) -> Listing:
    """Read the lists of FGVC-Aircraft: variants, and ``<image> <variant>`` lines for each part."""
    classes = tuple(_lines(folder / "variants.txt"))
    label_of = {name: label for label, name in enumerate(classes)}
    parts: dict[str, list[tuple[str, int, Path]]] = {}
    for part in _PARTS:
        path = folder / f"images_variant_{part}.txt"
        found: list[tuple[str, int, Path]] = []
        for line in _lines(path):
            image, _, variant = line.partition(" ")
            if variant not in label_of:
                raise InterlaceError(f"{path}: '{line}': variants.txt has no '{variant}'")
            key = f"{image}.jpg"
            found.append((key, label_of[variant], folder / images / key))
        parts[part] = found
    return Listing(classes, parts)


def imagenet(folder: Path, images: str, lists: tuple[str, ...]) -> Listing:
    """Read ImageNet: class folders by WordNet number; its validation images are the test."""
    names = _wordnet_names(folder)
    wordnet = sorted(names)
    base = folder / images
    parts = {
        part: list(_class_images(base, base / own, wordnet))
        for part, own in (("train", "train"), ("test", "val"))
    }
    notes = []
    if not parts["test"]:
        loose = count_of(_loose(base / "val"), "loose file")
        notes.append(
            f"{base / 'val'} has no class folders ({loose}), so there are no test images: sort "
            f"them into folders such as {wordnet[0] if wordnet else 'n01440764'}/"
        )
    return Listing(tuple(names[number] for number in wordnet), parts, tuple(notes))


def wordnet_test(folder: Path, images: str, lists: tuple[str, ...]) -> Listing:
    """Read class folders by WordNet number that only test: all 1000, or a part of them.

    The classes are those that have a folder. ImageNet-A and -R so answer among their own 200.
    """
    names = _wordnet_names(folder)
    base = folder / images
    wordnet = [number for number in class_folders(base) if re.fullmatch(r"n\d{8}", number)]
    unknown = sorted(set(wordnet) - set(names))
    if unknown:
        raise InterlaceError(f"{base / unknown[0]}: {CLASS_NAMES} has no {unknown[0]}")
    found = list(_class_images(base, base, wordnet))
    return Listing(tuple(names[number] for number in wordnet), {"test": found})


def numbered_test(folder: Path, images: str, lists: tuple[str, ...]) -> Listing:
    """Read ImageNetV2: class folders 0 to 999, numbered as the sorted WordNet numbers are."""
    names = _wordnet_names(folder)
    base = folder / images
    numbers = [str(label) for label in range(len(names))]
    found = list(_class_images(base, base, numbers))
    return Listing(tuple(names[number] for number in sorted(names)), {"test": found})


def _class_images(
    base: Path, parent: Path, folders: Sequence[str]
) -> Iterable[tuple[str, int, Path]]:
    """Walk class folders, whose positions are the labels; keys are relative to ``base``."""
    for label, folder in enumerate(folders):
        if (parent / folder).is_dir():
            for path in walk(parent / folder).images:
                yield path.relative_to(base).as_posix(), label, path


def _loose(folder: Path) -> int:
    """Count files that lie in a folder itself, where class folders are expected."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.is_file() and not entry.name.startswith(".") for entry in entries)
    except OSError:
        return 0


def shared_names(folder: Path) -> Path:
    """Return the class names of ImageNet, which its variants may use in place of a copy."""
    return folder.parent / "imagenet" / CLASS_NAMES


def _wordnet_names(folder: Path) -> dict[str, str]:
    """Read lines such as ``n01440764 tench``."""
    own = folder / CLASS_NAMES
    path = own if os.path.exists(own) else shared_names(folder)
    names: dict[str, str] = {}
    for line in _lines(path):
        number, _, name = line.partition(" ")
        if not re.fullmatch(r"n\d{8}", number) or not name.strip():
            raise InterlaceError(f"{path}: '{line}': expected a line such as 'n01440764 tench'")
        names[number] = name.strip()
    return names


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
