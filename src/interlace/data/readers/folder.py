"""Read a folder that holds one sub-folder of images per class."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interlace._util.text import count_of, listed, printable
from interlace.data.readers.layout import FolderLayout, Node, layout_of, table_hint
from interlace.data.readers.walk import Walk, check_folder, is_hidden, walk
from interlace.data.records import Record, Skipped
from interlace.data.source import Source
from interlace.errors import InterlaceError, UnreadableImage

_VERIFY_THREADS = 4


def read_photos(root: Path | str, strict: bool = False) -> Source:
    """Read a folder of class folders, or of parts (``train``, ``val``, ``test``) that hold them.

    Images may lie at any depth below their class folder. Hidden files are not read. Every image is
    decoded once, the cheap way (``verify_image``, about 1 ms for a photo of 500 x 400 pixels), so
    that a broken file is known before training starts and not when its evaluation reaches it.
    ``docs/data.md`` says which folders are parts.

    Args:
        root: The folder.
        strict: Whether a file that is not a readable image, or a contradiction, is an error.

    Returns:
        The images. Classes are the class folders of ``"train"``, sorted; a folder without parts is
        all ``"train"``, and a part that only validates is taken as ``"test"`` where there is none.

    Raises:
        InterlaceError: The folder is missing, has no sub-folder, no image or only one class; a
            part has a class that ``train`` does not have; it is not clear which folders are
            classes; or ``strict`` is set and something cannot be used.
    """
    root = Path(root)
    top, found = _look(root)
    layout = layout_of(root, top)
    base = root.joinpath(*layout.base)
    node = top.at(layout.base)
    main = layout.parts.get("train")
    classes = _classes(node, layout) if main is None else node.at(main).classes
    if main is not None:
        _check_known(base, node, layout, classes)
    records, skipped = _records(base, layout, classes, found)
    readable, broken = verified([record for own in records.values() for record in own])
    skipped += broken
    name = root.resolve().name or str(root)
    problems = (
        *unreadable_classes(classes, records.get("train", ()), readable),
        *(f"{s.key}: {s.reason}" for s in found.skipped if _is_class_folder(root, base, s, layout)),
    )
    twice = tuple(twins(readable, classes))
    refuse_strict(root, strict, skipped, (*problems, *twice))
    if not readable:
        raise InterlaceError(
            f"no readable image in {printable(str(root))}: expected {printable(name)}/<class>/"
            f"<image>, with images such as .jpg or .png{_first_reason(skipped)}"
            f"{table_hint(base, node)}"
        )
    if len(classes) == 1:
        raise InterlaceError(
            f"only one class in {printable(str(base))} ('{printable(classes[0])}'): at least two "
            f"sub-folders are needed{table_hint(base, node)}"
        )
    kept = set(readable)
    pools: dict[str, Sequence[Record]] = {
        part: [record for record in own if record in kept] for part, own in records.items()
    }
    if "test" not in pools and "val" in pools:
        pools["test"] = pools.pop("val")
    return Source(
        name,
        classes,
        pools,
        skipped=tuple(skipped),
        hidden=found.hidden,
        notes=(*twice, *layout.notes),
        problems=problems,
    )


def class_folders(root: Path) -> tuple[str, ...]:
    """Name the visible sub-folders, sorted.

    Raises:
        InterlaceError: ``root`` is missing, is a file, or has no sub-folder.
    """
    _check_root(root)
    folders = _sub_folders(root)
    if not folders:
        beside = Node(others=[path.name for path in walk(root).others if path.parent == root])
        raise InterlaceError(
            f"{root} has no sub-folders: expected one for each class, with its images inside"
            f"{table_hint(root, beside)}"
        )
    return folders


def verified(records: Sequence[Record]) -> tuple[tuple[Record, ...], list[Skipped]]:
    """Separate the records that ``verify_image`` can decode from the others, in their order."""
    # threads, since PIL decodes without the interpreter's lock
    with ThreadPoolExecutor(_VERIFY_THREADS) as pool:
        reasons = list(pool.map(_unreadable, records))
    readable = tuple(r for r, reason in zip(records, reasons, strict=True) if not reason)
    broken = [Skipped(r.key, why) for r, why in zip(records, reasons, strict=True) if why]
    return readable, broken


def twins(records: Sequence[Record], classes: Sequence[str]) -> Iterator[str]:
    """Say where one picture, byte for byte, lies in two classes: one of the labels is wrong.

    Only images of equal size are read for it.
    """
    by_size: dict[int, list[Record]] = {}
    for record in records:
        image = record.image
        size = len(image) if isinstance(image, bytes) else os.stat(image).st_size
        by_size.setdefault(size, []).append(record)
    first: dict[str, Record] = {}
    pairs: list[tuple[Record, Record]] = []
    for own in by_size.values():
        if len({record.label for record in own}) > 1:
            for record in own:
                other = first.setdefault(record.digest(), record)
                if other.label != record.label:
                    pairs.append((other, record))
    if pairs:
        one, two = pairs[0]
        more = f", and {len(pairs) - 1} more such images" if len(pairs) > 1 else ""
        yield (
            f"one picture is in two classes: {printable(one.key)} ('{printable(classes[one.label])}"
            f"') and {printable(two.key)} ('{printable(classes[two.label])}'){more}"
        )


def unreadable_classes(
    classes: Sequence[str], found: Iterable[Record], readable: Iterable[Record]
) -> Iterator[str]:
    """Name the classes of which no image can be read."""
    good = {record.label for record in readable}
    lost = sorted({record.label for record in found} - good)
    if lost:
        names = listed([f"'{classes[label]}'" for label in lost], 8)
        yield f"{count_of(len(lost), 'class', 'classes')} without a readable image: {names}"


def refuse_strict(
    where: Path | str, strict: bool, skipped: Sequence[Skipped], problems: Sequence[str]
) -> None:
    """Make the first thing that cannot be used an error, where that is asked for.

    Raises:
        InterlaceError: ``strict`` is set, and there is one.
    """
    if strict and skipped:
        raise InterlaceError(f"{printable(str(where))}/{skipped[0].key}: {skipped[0].reason}")
    if strict and problems:
        raise InterlaceError(f"{printable(str(where))}: {problems[0]}")


def _check_root(root: Path) -> None:
    if root.is_file():
        raise InterlaceError(
            f"{root} is a file: expected a folder with one sub-folder per class, or a table "
            "(.csv, .tsv, .jsonl, .json, .parquet) or a .zip"
        )
    check_folder(root)


def _look(root: Path) -> tuple[Node, Walk]:
    """Walk a folder and count what is where; sub-folders without files are in it too."""
    class_folders(root)
    found = walk(root)
    top = Node()
    for path in found.images:
        top.at(path.relative_to(root).parts[:-1]).images += 1
    for path in found.others:
        top.at(path.relative_to(root).parts[:-1]).others.append(path.name)
    for name in _sub_folders(root):
        for inner in _sub_folders(root / name):
            top.at((name, inner))
        top.at((name,))
    return top, found


def _sub_folders(root: Path) -> tuple[str, ...]:
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:  # the walk names it
        return ()
    return tuple(sorted(name for name in names if not is_hidden(name)))


def _classes(node: Node, layout: FolderLayout) -> tuple[str, ...]:
    """Return the classes of a data set that only tests: those of all its parts."""
    return tuple(sorted({name for path in layout.parts.values() for name in node.at(path).classes}))


def _check_known(base: Path, node: Node, layout: FolderLayout, classes: Sequence[str]) -> None:
    train = base.joinpath(*layout.parts["train"])
    for path in layout.parts.values():
        unknown = sorted(set(node.at(path).classes) - set(classes))
        if unknown:
            where = base.joinpath(*path) / unknown[0]
            raise InterlaceError(
                f"{printable(str(where))}: a class that {printable(str(train))} does not have"
            )


def _records(
    base: Path, layout: FolderLayout, classes: Sequence[str], found: Walk
) -> tuple[dict[str, list[Record]], list[Skipped]]:
    """Return the images of each part, and the files in class folders that are none."""
    label_of = {name: label for label, name in enumerate(classes)}
    part_at = {path: part for part, path in layout.parts.items()}
    depths = sorted({len(path) for path in part_at})

    def place(path: Path) -> tuple[str, int, str] | None:
        if not path.is_relative_to(base):
            return None
        steps = path.relative_to(base).parts
        for depth in depths:
            part = part_at.get(steps[:depth])
            # a class folder, and a file somewhere below it
            if part and len(steps) > depth + 1 and steps[depth] in label_of:
                return part, label_of[steps[depth]], "/".join(steps)
        return None

    records: dict[str, list[Record]] = {part: [] for part in layout.parts}
    for path in found.images:
        at = place(path)
        if at is not None:
            records[at[0]].append(Record(path, at[1], at[2]))
    skipped = [s for s in found.skipped if _is_used(s.key, layout)]
    for path in found.others:
        at = place(path)
        if at is not None:
            kind = f"'{path.suffix}'" if path.suffix else "without extension"
            skipped.append(Skipped(at[2], f"files {kind} are not read as images"))
    if all(not own for own in records.values()):  # nothing at all: say of what there is why not
        skipped += [
            Skipped(
                path.relative_to(base).as_posix(), f"files '{path.suffix}' are not read as images"
            )
            for path in found.others
            if path.is_relative_to(base) and path.parent != base
        ]
    return records, skipped


def _is_used(key: str, layout: FolderLayout) -> bool:
    """Say whether something that was skipped lies where classes are read from."""
    steps = tuple(key.split("/"))
    used = (*layout.base,)
    return len(steps) == 1 or any(
        steps[: len(used) + len(path)] == (*used, *path) for path in layout.parts.values()
    )


def _is_class_folder(root: Path, base: Path, item: Skipped, layout: FolderLayout) -> bool:
    """Say whether what was skipped stands where a class folder is expected."""
    steps = tuple(item.key.split("/"))
    places = [(*layout.base, *path) for path in layout.parts.values()]
    lost = item.reason.startswith(("a folder:", "a link to"))
    return lost and any(steps[:-1] == place for place in places)


def _unreadable(record: Record) -> str:
    """Say why the image of a record cannot be read, or "" if it can."""
    from interlace.data.images.decode import verify_image

    try:
        verify_image(record.image)
    except UnreadableImage as error:
        return error.reason
    return ""


def _first_reason(skipped: Iterable[Skipped]) -> str:
    first = next(iter(skipped), None)
    return f" ({first.key}: {first.reason})" if first else ""
