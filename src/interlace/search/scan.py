"""What a folder holds, and which of it a gallery does not know yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from interlace._util.reading import as_path, read_regular, reason_of
from interlace._util.text import printable
from interlace.data.readers.walk import is_text, walk
from interlace.data.records import Skipped
from interlace.errors import InterlaceError


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file as the file system describes it.

    Attributes:
        key: its path below the scanned folder, with forward slashes.
        path: where it is.
        size: in bytes.
        mtime: time of its last change, in nanoseconds.
    """

    key: str
    path: Path
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Known:
    """What a gallery remembers of a file."""

    size: int
    mtime: int
    hash: str


@dataclass(frozen=True)
class Difference:
    """What to do to make a gallery equal to a folder.

    Attributes:
        look: files to open: new ones, or of another size or time, in the folder's order.
        removed: keys of files that are gone.
        unchanged: how many files need not be opened.
    """

    look: tuple[Photo, ...]
    removed: tuple[str, ...]
    unchanged: int


def list_photos(folder: Path) -> tuple[list[Photo], list[Skipped]]:
    """Find the image files of a folder, at any depth, in a fixed order; nothing is opened.

    Returns:
        The files whose names end like an image's, and what cannot be used.

    Raises:
        InterlaceError: if there is no such folder, or its path is not valid text.
    """
    folder = as_path(folder, "folder")
    if not is_text(str(folder.absolute())):
        raise InterlaceError(f"{printable(str(folder))}: its path is not valid text (UTF-8)")
    found = walk(folder)
    photos: list[Photo] = []
    skipped = list(found.skipped)
    for path in found.images:
        key = path.relative_to(folder).as_posix()
        try:
            state = path.stat()
        except OSError as error:  # it went while others were looked at
            skipped.append(Skipped(printable(key), reason_of(error)))
        else:
            photos.append(Photo(key, path, state.st_size, state.st_mtime_ns))
    return photos, skipped


def read_image(path: Path) -> bytes:
    """Read the encoded bytes of an image file.

    Raises:
        OSError: with the reason, if it cannot be read, is no regular file, or is too large.
    """
    try:
        return read_regular(path, "image")
    except InterlaceError as error:
        raise OSError(str(error).removeprefix(f"{printable(str(path))}: ")) from None


def difference(photos: Sequence[Photo], known: Mapping[str, Known]) -> Difference:
    """Compare a folder with what a gallery knows of it, by size and time of change."""
    look = tuple(photo for photo in photos if not _same(photo, known.get(photo.key)))
    here = {photo.key for photo in photos}
    gone = tuple(key for key in known if key not in here)
    return Difference(look, gone, len(photos) - len(look))


def _same(photo: Photo, known: Known | None) -> bool:
    return known is not None and (photo.size, photo.mtime) == (known.size, known.mtime)


def label_of(key: str) -> str | None:
    """Return the class folder of a file: the first part of its key, if there is more than one."""
    parts = PurePosixPath(key).parts
    return parts[0] if len(parts) > 1 else None


def only_skipped(folder: Path, skipped: Iterable[Skipped]) -> InterlaceError:
    """Make the error for a folder without a usable image."""
    first = next(iter(skipped), None)
    reason = f" ({first.key}: {first.reason})" if first else ", such as .jpg or .png"
    return InterlaceError(f"no image in {printable(str(folder))}{reason}")
