"""Walk a folder for every command: each file is used, or left out and named."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from interlace._util.reading import kind_of, reason_of
from interlace._util.text import printable
from interlace.data.records import Skipped
from interlace.errors import InterlaceError

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .avif"
    " .heic .heif".split()
)
"""File name endings, in lower case, that are read as images."""

_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})


@dataclass(frozen=True, slots=True)
class Walk:
    """What a folder holds, in the order of the paths, whatever the file system's.

    Attributes:
        images: Regular files whose names end like an image's.
        others: Regular files of other names.
        skipped: What looks like data and cannot be used: special files, links to nothing, folders
            that may not be read, names that are not text; and folders named like an image in which
            there is none.
        hidden: Hidden files and folders, and the clutter that systems leave; none is looked into.
    """

    images: tuple[Path, ...]
    others: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    hidden: tuple[Skipped, ...]


def walk(root: Path | str) -> Walk:
    """Walk a folder, past what is hidden; nothing is opened.

    Links are followed, to files and to folders. A folder that two ways lead to is read once: where
    it lies, or else by the first link; the other ways are named.

    Args:
        root: The folder.

    Raises:
        InterlaceError: It is missing, is no folder, or cannot be read.
    """
    root = Path(root)
    check_folder(root)
    walker = _Walker(root)
    walker.enter(root, _identity(os.stat(root)))
    while walker.linked:
        # real folders come first, so that a link to one of them is the way that is left out
        path, state = walker.linked.pop(0)
        walker.enter(path, _identity(state), link=True)
    inside = {parent for path in walker.images for parent in path.parents}
    for folder in walker.folders:
        if folder.suffix.lower() in EXTENSIONS and folder not in inside:
            walker.skip(folder, "a folder named like an image, with no image in it")
    return Walk(
        tuple(sorted(walker.images, key=_in_order)),
        tuple(sorted(walker.others, key=_in_order)),
        tuple(sorted(walker.skipped, key=lambda item: item.key)),
        tuple(sorted(walker.hidden, key=lambda item: item.key)),
    )


def check_folder(root: Path) -> None:
    """Check that a folder is there and can be read.

    Raises:
        InterlaceError: It is missing, is no folder, or cannot be read.
    """
    shown = printable(str(root))
    try:
        state = os.stat(root)
        if stat.S_ISDIR(state.st_mode):
            with os.scandir(root):
                return
    except FileNotFoundError:
        raise InterlaceError(f"no such folder: {shown}") from None
    except OSError as error:
        raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    except ValueError:  # a NUL in the name
        raise InterlaceError(f"{shown}: not a name that a folder can have") from None
    kind = "a file" if stat.S_ISREG(state.st_mode) else kind_of(state.st_mode)
    raise InterlaceError(f"{shown} is {kind}: expected a folder")


def is_hidden(name: str) -> bool:
    """Say whether a file or folder of this name is hidden, or clutter that systems leave."""
    return name.startswith(".") or name.lower() in _CLUTTER


def is_text(name: str) -> bool:
    """Say whether a name is valid text, which names of bytes in another encoding are not."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in name)


@dataclass
class _Walker:
    """Collect what a walk meets."""

    root: Path
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    hidden: list[Skipped] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    linked: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def enter(self, folder: Path, identity: tuple[int, int], link: bool = False) -> None:
        """Walk a folder and those inside of it; linked ones are kept for later."""
        waiting = [(folder, identity)]
        while waiting:
            folder, identity = waiting.pop()
            if identity in self.seen:
                self.skip(folder, "a link to a folder that is read already")
                continue
            self.seen.add(identity)
            self.folders.append(folder)
            for entry in self._entries(folder):
                path = folder / entry.name
                state = self._state(entry, path)
                if state is None:
                    continue
                if not stat.S_ISDIR(state.st_mode):
                    self._file(path, state)
                elif entry.is_symlink():
                    self.linked.append((path, state))
                else:
                    waiting.append((path, _identity(state)))

    def skip(self, path: Path, reason: str) -> None:
        self.skipped.append(Skipped(self._key(path), reason))

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self.skip(folder, f"a folder: {reason_of(error)}")
            return
        yield from entries

    def _state(self, entry: os.DirEntry[str], path: Path) -> os.stat_result | None:
        """Look at an entry; None where it is hidden or cannot be used, which is noted."""
        if is_hidden(entry.name):
            self.hidden.append(Skipped(self._key(path), "hidden"))
            return None
        if not is_text(entry.name):
            self.skip(path, "its name is not valid text (UTF-8): rename it")
            return None
        try:
            return entry.stat()
        except OSError as error:
            gone = entry.is_symlink() and not isinstance(error, PermissionError)
            self.skip(path, "a link to nothing" if gone else reason_of(error))
            return None

    def _file(self, path: Path, state: os.stat_result) -> None:
        if not stat.S_ISREG(state.st_mode):
            self.skip(path, f"{kind_of(state.st_mode)}, not a regular file")
        elif path.suffix.lower() in EXTENSIONS:
            self.images.append(path)
        else:
            self.others.append(path)

    def _key(self, path: Path) -> str:
        return printable(path.relative_to(self.root).as_posix())


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _in_order(path: Path) -> tuple[tuple[str, ...], str]:
    # files of a folder before those of its sub-folders, as a walk from the top meets them
    return path.parts[:-1], path.name
