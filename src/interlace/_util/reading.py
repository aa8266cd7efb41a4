"""Reading files that somebody else wrote, each within a stated bound."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError

#: Bytes that a text file (a table, a list, a configuration) may have; tables of images have rows of
#: about 100 bytes, so this is some five million of them.
TEXT_BYTES = 512 << 20
#: Bytes that a JSON file of settings or of a header may have.
JSON_BYTES = 256 << 20
#: Bytes that one encoded image may have.
IMAGE_BYTES = 1 << 30
#: How deep JSON may nest: ours needs six levels, and Python's parser recurses on each.
JSON_DEPTH = 64


def check_regular(path: Path | str, what: str = "file") -> os.stat_result:
    """See that ``path`` is an ordinary file: a pipe would hang, a device might never end.

    Args:
        path: the file; links are followed.
        what: what messages call it.

    Raises:
        InterlaceError: if it is missing, is something else, or cannot be looked at.
    """
    shown = printable(str(path))
    try:
        state = os.stat(path)
    except FileNotFoundError:
        kind = "a link to nothing" if os.path.islink(path) else f"no such {what}"
        raise InterlaceError(f"{shown}: {kind}") from None
    except OSError as error:
        raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    except ValueError:  # a NUL in the name
        raise InterlaceError(f"{shown}: not a name that a file can have") from None
    if stat.S_ISDIR(state.st_mode):
        raise InterlaceError(f"{shown}: a folder, where a {what} is expected")
    if not stat.S_ISREG(state.st_mode):
        raise InterlaceError(f"{shown}: {kind_of(state.st_mode)}, not a regular file")
    return state


def kind_of(mode: int) -> str:
    """Name what a file mode that is no regular file means."""
    for test, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if test(mode):
            return name
    return "a special file"


def reason_of(error: OSError) -> str:
    """Say in plain words why the system refused a file."""
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return error.strerror or first_line(error)


def as_path(name: Path | str, what: str = "path") -> Path:
    """Give a path that the system can take, with ``~`` resolved; it need not exist.

    Raises:
        InterlaceError: if it holds a NUL or is too long, or there is no such home.
    """
    try:
        path = Path(name).expanduser()
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # it need not be there, and who opens it says it better
    except (OSError, ValueError, RuntimeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else first_line(error)
        shown = printable(str(name))
        shown = shown if len(shown) <= 200 else f"{shown[:200]} ..."
        raise InterlaceError(f"{shown}: not a usable {what} ({reason})") from None
    return path


def open_regular(path: Path | str, what: str = "file") -> BinaryIO:
    """Open an ordinary file for reading, and see that it is what was opened.

    A file may have become a pipe since a folder was listed; opening a pipe would wait for ever.

    Raises:
        InterlaceError: if it is missing, is something else, or cannot be read.
    """
    check_regular(path, what)
    shown = printable(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOT_WAITING)
    except OSError as error:
        raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InterlaceError(f"{shown}: {kind_of(mode)}, not a regular file")
    return os.fdopen(descriptor, "rb")


#: Flags of opening that not every system has.
_NOT_WAITING = (
    getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)


def read_regular(path: Path | str, what: str = "file", most: int = IMAGE_BYTES) -> bytes:
    """Read an ordinary file that has at most ``most`` bytes.

    Raises:
        InterlaceError: as :func:`open_regular`, or if it is larger.
    """
    shown = printable(str(path))
    with open_regular(path, what) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            # what grows meanwhile is read up to here; some systems give files of theirs no size
            content = b"" if size > most else file.read(max(size, min(most, 1 << 16)) + 1)
        except OSError as error:
            raise InterlaceError(f"{shown}: {reason_of(error)}") from None
    if max(size, len(content)) > most:
        raise InterlaceError(f"{shown}: {size:,} bytes; at most {most:,} are read of a {what}")
    return content


def read_text(path: Path | str, what: str = "file", most: int = TEXT_BYTES) -> str:
    """Read a UTF-8 file, with or without a byte order mark.

    Raises:
        InterlaceError: if it is missing, no regular file, too large, or not UTF-8.
    """
    try:
        return read_regular(path, what, most).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InterlaceError(f"{printable(str(path))}: not UTF-8 text") from None


def parse_json(text: str | bytes, where: str, depth: int = JSON_DEPTH) -> Any:
    """Parse JSON of finite numbers, not nested deeper than ``depth``, and no key twice.

    Raises:
        InterlaceError: if it is something else; the line begins with ``where``.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a JSON number")

    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=_object)
    except _Twice as error:
        raise InterlaceError(f"{where}: {error}") from None
    except RecursionError:
        raise InterlaceError(f"{where}: JSON nested deeper than {depth} levels") from None
    except ValueError as error:  # also UnicodeDecodeError, and integers of thousands of digits
        raise InterlaceError(f"{where}: not JSON ({first_line(error)})") from None
    if _deeper_than(value, depth):
        raise InterlaceError(f"{where}: JSON nested deeper than {depth} levels")
    return value


def read_json(path: Path | str, what: str = "file", most: int = JSON_BYTES) -> Any:
    """Read a JSON file; see :func:`read_text` and :func:`parse_json`."""
    return parse_json(read_text(path, what, most), printable(str(path)))


def read_json_object(
    path: Path | str, what: str = "file", most: int = JSON_BYTES
) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        InterlaceError: as :func:`read_json`, or if it holds something else.
    """
    value = read_json(path, what, most)
    if not isinstance(value, dict):
        raise InterlaceError(f"{printable(str(path))}: expected a JSON object")
    return value


class _Twice(Exception):
    """A key that stands twice in an object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of which no field was lost to a later one of its name."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            shown = name if len(name) <= 80 else f"{name[:80]}..."
            raise _Twice(f"'{printable(shown)}' stands twice in one object")
        found[name] = value
    return found


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True
