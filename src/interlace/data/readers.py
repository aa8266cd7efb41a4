"""Reads a folder that holds one sub-folder of images per class."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from interlace.data.images import verify_image
from interlace.data.records import Record, Skipped
from interlace.data.source import PART_NAMES, Source
from interlace.data.walk import EXTENSIONS
from interlace.errors import InterlaceError, UnreadableImage

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
_VERIFY_THREADS = 4


def read_folder(
    root: Path | str, strict: bool = False
) -> tuple[tuple[str, ...], tuple[Record, ...], tuple[Skipped, ...]]:
    """Finds and checks the images of a folder with one sub-folder per class.

    Images may lie at any depth below their class folder. Hidden files are ignored. Every image is
    decoded once, the cheap way (`verify_image`, about 1 ms for a photo of 500 x 400 pixels), so
    that a broken file is known before training starts and not when its evaluation reaches it.

    Args:
        root: The folder.
        strict: Whether a file that is not a readable image is an error instead of being skipped.

    Returns:
        The names of the class folders, sorted, which labels index; the readable images by class
        and path; and the files that were skipped.

    Raises:
        InterlaceError: The folder is missing, has no sub-folder, no image or only one class, or
            `strict` is set and a file cannot be read.
    """
    root = Path(root)
    folders = class_folders(root)
    found: list[Record] = []
    skipped: list[Skipped] = []
    for label, folder in enumerate(folders):
        for path in visible_files(root / folder):
            key = path.relative_to(root).as_posix()
            if path.suffix.lower() in EXTENSIONS:
                found.append(Record(path, label, key))
            else:
                kind = f"'{path.suffix}'" if path.suffix else "without extension"
                skipped.append(Skipped(key, f"files {kind} are not read as images"))
    readable, broken = verified(found)
    skipped += broken
    if strict and skipped:
        raise InterlaceError(f"{root / skipped[0].key}: {skipped[0].reason}")
    if not readable:
        raise InterlaceError(
            f"no readable image in {root}: expected {root.name}/<class>/<image>, "
            f"with images such as .jpg or .png{_first_reason(skipped)}"
        )
    if len(folders) == 1:
        raise InterlaceError(
            f"only one class in {root} ('{folders[0]}'): at least two sub-folders are needed"
        )
    return folders, readable, tuple(skipped)


def read_parts(
    root: Path, strict: bool
) -> tuple[tuple[str, ...], dict[str, Sequence[Record]], tuple[Skipped, ...]]:
    """Reads a folder of class folders, or of `train`, `val` and `test` with class folders in each.

    Args:
        root: The folder. It counts as one with parts if all its sub-folders are named like parts
            and hold sub-folders themselves.
        strict: As in `read_folder`.

    Returns:
        The names of the class folders, sorted; the readable images of `"train"`, `"val"` and
        `"test"`, where a folder without parts is all `"train"`, and a part that only validates
        is taken as `"test"` where there is none; and the files that were skipped.

    Raises:
        InterlaceError: As `read_folder`, or a part has a class that `train` does not have.
    """
    parts = _part_folders(root)
    if parts is None:
        folders, records, skipped = read_folder(root, strict)
        return folders, {"train": records}, skipped
    folders = class_folders(root / parts["train"])
    pools: dict[str, Sequence[Record]] = {}
    all_skipped: list[Skipped] = []
    for part, folder in parts.items():
        own, records, skipped = read_folder(root / folder, strict)
        unknown = sorted(set(own) - set(folders))
        if unknown:
            raise InterlaceError(
                f"{root / folder / unknown[0]}: a class that {root / parts['train']} does not have"
            )
        pools[part] = [
            replace(record, key=f"{folder}/{record.key}", label=folders.index(own[record.label]))
            for record in records
        ]
        all_skipped += [replace(item, key=f"{folder}/{item.key}") for item in skipped]
    if "test" not in pools and "val" in pools:
        pools["test"] = pools.pop("val")
    return folders, pools, tuple(all_skipped)


def read_photos(root: Path | str, strict: bool = False) -> Source:
    """Reads what `read_parts` reads, as the source of a task.

    Raises:
        InterlaceError: As `read_parts`.
    """
    root = Path(root)
    folders, pools, skipped = read_parts(root, strict)
    return Source(root.resolve().name or str(root), folders, pools, skipped=skipped)


def class_folders(root: Path) -> tuple[str, ...]:
    """Names the visible sub-folders, sorted.

    Raises:
        InterlaceError: `root` is missing, is a file, or has no sub-folder.
    """
    if not root.exists():
        raise InterlaceError(f"no such folder: {root}")
    if not root.is_dir():
        raise InterlaceError(
            f"{root} is a file: expected a folder with one sub-folder per class, or a table "
            "(.csv, .tsv, .jsonl, .parquet)"
        )
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and _visible(path.name))
    if not folders:
        raise InterlaceError(
            f"{root} has no sub-folders: expected one for each class, with its images inside"
        )
    return tuple(folders)


def _visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _CLUTTER


def visible_files(folder: Path) -> Iterator[Path]:
    """Walks a folder in a fixed order, whatever the file system's, past what is hidden."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(filter(_visible, folders))
        for name in sorted(filter(_visible, files)):
            yield Path(parent, name)


def verified(records: Sequence[Record]) -> tuple[tuple[Record, ...], list[Skipped]]:
    """Tells the records that `verify_image` can decode from the others, in their order."""
    # threads, since PIL decodes without the interpreter's lock
    with ThreadPoolExecutor(_VERIFY_THREADS) as pool:
        reasons = list(pool.map(_unreadable, records))
    readable = tuple(r for r, reason in zip(records, reasons, strict=True) if not reason)
    broken = [Skipped(r.key, why) for r, why in zip(records, reasons, strict=True) if why]
    return readable, broken


def _unreadable(record: Record) -> str:
    """Says why the image of a record cannot be read, or "" if it can."""
    try:
        verify_image(record.image)
    except UnreadableImage as error:
        return error.reason
    return ""


def _first_reason(skipped: Iterable[Skipped]) -> str:
    first = next(iter(skipped), None)
    return f" ({first.key}: {first.reason})" if first else ""


def _part_folders(root: Path) -> dict[str, str] | None:
    """Maps `train`, `val` and `test` to folders, if these and no others are below root."""
    folders = class_folders(root)
    parts = {PART_NAMES[name.lower()]: name for name in folders if name.lower() in PART_NAMES}
    if len(parts) != len(folders) or "train" not in parts:
        return None
    nested = all(any(path.is_dir() for path in (root / name).iterdir()) for name in folders)
    return parts if nested else None
