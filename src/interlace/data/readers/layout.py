"""Understand how a folder of images is laid out: class folders, or parts with these inside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interlace._util.text import count_of, listed, printable
from interlace.data.source import part_of_folder, part_with_prefix
from interlace.errors import InterlaceError

_MOST_NAMED = 20
_TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


@dataclass
class Node:
    """What a folder holds: images and other files that lie loose in it, and folders by name."""

    images: int = 0
    others: list[str] = field(default_factory=list)
    folders: dict[str, "Node"] = field(default_factory=dict)

    def at(self, parts: Iterable[str]) -> "Node":
        """Return the folder below this one, made where it is new."""
        node = self
        for name in parts:
            node = node.folders.setdefault(name, Node())
        return node

    @property
    def total(self) -> int:
        """Images at any depth."""
        return self.images + sum(own.total for own in self.folders.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Sub-folders in which there are images, sorted."""
        return tuple(sorted(name for name, own in self.folders.items() if own.total))

    @property
    def empty(self) -> tuple[str, ...]:
        """Sub-folders in which there are none, sorted."""
        return tuple(sorted(name for name, own in self.folders.items() if not own.total))


@dataclass(frozen=True)
class FolderLayout:
    """Where the class folders are.

    Attributes:
        base: The folder that keys are relative to: the root, or the one folder inside of it.
        parts: Path below ``base`` of the folder of class folders, for each part.
        notes: What was left out and why, a line each.
    """

    base: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def layout_of(root: Path, top: Node) -> FolderLayout:
    """Find the class folders.

    Names of parts are never taken for classes without a word: what cannot be decided is an error.

    Args:
        root: The folder, for messages.
        top: What is in it.

    Raises:
        InterlaceError: There are no class folders, or it is not clear which folders these are.
    """
    base: tuple[str, ...] = ()
    notes: list[str] = []
    node = top
    while (inner := _wrapped(node)) is not None and not _parts_named(node):
        notes += _left(node, (inner,), "class folder", "".join(f"{name}/" for name in base))
        base, node = (*base, inner), node.folders[inner]
        notes.append(f"the classes are in {'/'.join(base)}/, the only folder with images")
    root = root.joinpath(*base)
    named = _parts_named(node)
    if not named:
        _check_classes(root, node)
        return FolderLayout(
            base, {"train": ()}, (*notes, *_left(node, node.classes, "class folder"))
        )
    nested = {name: part for name, part in named.items() if not _is_flat(node, name, part)}
    rest = tuple(name for name in node.classes if name not in named)
    if not nested:
        return FolderLayout(
            base, {"train": ()}, (*notes, *_class_called_train(root, node, named, rest))
        )
    _check_parts(root, node, nested, rest)
    parts = {part: _class_level(node, name) for name, part in nested.items()}
    for name in sorted(set(named) - set(nested)):
        loose = node.folders[name].total
        if loose:
            notes.append(
                f"{name}/ holds {count_of(loose, 'loose image')} and no class folders: "
                "unlabelled, not used"
            )
    if "test" not in parts and len(nested) < len(named):
        tested = f"{_folder_of(nested, 'val')}/" if "val" in parts else "what the shots leave over"
        notes.append(f"there is no labelled test part: {tested} tests")
    notes += _left(node, tuple(nested), "part (train, val, test)", skip=tuple(named))
    for path in parts.values():
        own = node.at(path)
        notes += _classes_called_parts(root, own, path)
        notes += _left(own, own.classes, "class folder", f"{'/'.join(path)}/")
    return FolderLayout(base, parts, tuple(notes))


def _folder_of(nested: Mapping[str, str], part: str) -> str:
    """Return the folder of a part."""
    return next(name for name, own in nested.items() if own == part)


def _wrapped(node: Node) -> str | None:
    """Name the one sub-folder that holds all the images, in class folders or parts of its own."""
    if node.images or len(node.classes) != 1:
        return None
    name = node.classes[0]
    inner = node.folders[name]
    empty = [own for own in map(node.folders.get, node.empty) if own and not own.others]
    if any(not own.folders for own in empty) and not _parts_named(inner):
        return None  # an empty folder is more likely a class without images
    # a folder of two class folders, or of parts, or of one more such folder
    more = len(inner.classes) > 1 or _parts_named(inner) or _wrapped(inner) is not None
    return name if more and not inner.images else None


def _class_level(node: Node, name: str) -> tuple[str, ...]:
    """Return the path of a part's class folders: ``seg_train/seg_train`` as archives nest it."""
    path: tuple[str, ...] = (name,)
    while (inner := _wrapped(node.at(path))) is not None:
        path = (*path, inner)
    return path


def _is_flat(node: Node, name: str, part: str) -> bool:
    """Say whether a part has no class folders: its images lie loose, or in ``test/test/``."""
    own = node.folders[name]
    same = [inner for inner in own.classes if inner == name or part_of_folder(inner) == part]
    return not own.classes or (
        len(own.classes) == len(same) == 1 and not own.folders[same[0]].classes
    )


def _check_classes(root: Path, node: Node) -> None:
    """Check that parts are above the classes and not inside of each.

    Raises:
        InterlaceError: Class folders hold folders named like different parts.
    """
    for name in node.classes:
        inside = {part_of_folder(own): own for own in node.folders[name].classes}
        inside.pop("", None)
        if len(inside) > 1 and len(inside) == len(node.folders[name].classes):
            first, second = sorted(inside.values())[:2]
            raise InterlaceError(
                f"{_shown(root / name)}: holds {first}/ and {second}/: parts must lie above the "
                f"classes, as in {first}/{printable(name)}/ and {second}/{printable(name)}/"
            )


def _classes_called_parts(root: Path, node: Node, path: tuple[str, ...]) -> list[str]:
    """Say where a class inside of a part is called ``train``, as the vehicle is.

    Raises:
        InterlaceError: It is called like another part.
    """
    where = "/".join(path)
    named = [name for name in node.classes if part_of_folder(name)]
    odd = [name for name in named if name.lower() != "train"]
    if odd:
        raise InterlaceError(
            f"{_shown(root.joinpath(*path, odd[0]))}: a part inside of a part, or a class that is "
            "named like one: rename it, or give the folder of the class folders"
        )
    return [f"'{where}/{name}' is taken for a class, as the folders beside it" for name in named]


def _parts_named(node: Node) -> dict[str, str]:
    """Map sub-folders whose names mean a part to this part."""
    named = {name: part_of_folder(name) for name in node.folders}
    named = {name: part for name, part in named.items() if part}
    if named:
        return named
    # seg_train and seg_test; but one train_station among other classes is none
    prefixed = {name: part_with_prefix(name) for name in node.folders}
    parts_of: dict[str, set[str]] = {}
    for part, rest in prefixed.values():
        if part:
            parts_of.setdefault(rest, set()).add(part)
    return {
        name: part
        for name, (part, rest) in prefixed.items()
        if part and len(parts_of[rest]) > 1 and "train" in parts_of[rest]
    }


def _check_parts(root: Path, node: Node, nested: Mapping[str, str], rest: tuple[str, ...]) -> None:
    twice = [part for part, count in Counter(nested.values()).items() if count > 1]
    if twice:
        both = [name for name, part in nested.items() if part == twice[0]]
        raise InterlaceError(
            f"{_shown(root)}: {listed(sorted(both))} are both named like the {twice[0]} part: keep "
            "one, or give the folder of one of them"
        )
    unclear = "train" not in nested.values()
    if set(nested.values()) == {"train"}:  # a class with folders inside, among more such?
        unclear = len(rest) > len(node.folders[_folder_of(nested, "train")].classes)
    if rest and unclear:
        odd = sorted(nested)[0]
        raise InterlaceError(
            f"{_shown(root)}: '{odd}' is named like a part and has class folders inside, but lies "
            f"beside {listed(rest)}: give {_shown(root / odd)} itself as the folder, or rename it "
            "if it is a class"
        )


def _class_called_train(
    root: Path, node: Node, named: Mapping[str, str], rest: tuple[str, ...]
) -> list[str]:
    """Take a folder ``train`` among flat class folders for a class (the vehicle), with a note.

    Raises:
        InterlaceError: Other folders are named like parts, or there are no class folders at all.
    """
    full = sorted(name for name in named if node.folders[name].total)
    if not full:
        return _left(node, node.classes, "class folder")
    if not rest:
        raise InterlaceError(
            f"{_shown(root)}: {listed([f'{name}/' for name in full])} "
            f"{'holds' if len(full) == 1 else 'hold'} loose images and no class folders, so no "
            f"image has a label: expected {full[0]}/<class>/<image>{table_hint(root, node)}"
        )
    if len(named) == 1 and full[0].lower() == "train":
        lines = _left(node, node.classes, "class folder")
        return [f"'{full[0]}' is taken for a class, as the folders beside it", *lines]
    raise InterlaceError(
        f"{_shown(root)}: '{full[0]}' is named like a part of a data set but lies beside "
        f"{listed(rest)}: if it is a class, rename it (to '{full[0]} class'); if its images have "
        f"no labels, move it out; if {listed(rest, 3)} are training classes, move them to train/"
    )


def _left(
    node: Node, used: tuple[str, ...], what: str, where: str = "", skip: tuple[str, ...] = ()
) -> list[str]:
    """Name what is not used of a folder: sub-folders, and images that lie loose."""
    lines = []
    unused = sorted(set(node.folders) - set(used) - set(skip))
    for name in unused[:_MOST_NAMED]:
        total = node.folders[name].total
        why = f"no {what}, its {count_of(total, 'image')} left out" if total else "no image in it"
        lines.append(f"{where}{printable(name)}/ is not used: {why}")
    if more := unused[_MOST_NAMED:]:
        total = sum(node.folders[name].total for name in more)
        lines.append(
            f"{where}{count_of(len(more), 'more folder')} "
            f"{'is' if len(more) == 1 else 'are'} not used, with "
            f"{count_of(total, 'image')}: {listed([f'{name}/' for name in more])}"
        )
    if node.images:
        lines.append(
            f"{count_of(node.images, 'image')} in no class folder of {where or 'the data'}: "
            "not used"
        )
    return lines


def table_hint(root: Path, node: Node) -> str:
    """Point to a table that lies in a folder which was given in its place."""
    tables = sorted(name for name in node.others if name.lower().endswith(_TABLE_ENDINGS))
    return f"; or give the table itself: {_shown(root / tables[0])}" if tables else ""


def _shown(path: Path) -> str:
    return printable(str(path))
