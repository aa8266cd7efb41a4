"""Files written whole or not at all, and outputs that one command holds at a time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlace._util.reading import as_path
from interlace._util.text import first_line
from interlace.errors import InterlaceError

_PARTIAL = ".partial"


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Give a path to write to; what is there at the end takes the place of ``path`` in one step.

    A reader finds the old file or the new one, never a part. What a killed process left of an
    earlier try is removed.

    Raises:
        InterlaceError: if the file cannot be written: disk full, no permission, a bad name.
    """
    path = Path(path)
    if "\0" in str(path):
        raise InterlaceError(f"cannot write {path}: not a name that a file can have")
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        yield temporary
        _to_disk(temporary)
        os.replace(temporary, path)
    except Exception as error:
        with contextlib.suppress(OSError, UnicodeError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError | UnicodeError) or is_disk_full(error):
            raise cannot_write(path, error) from None
        raise
    except BaseException:  # an interrupt
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a file in one step; see :func:`written_whole`."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 file in one step; lone surrogates, which no file can hold, are escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: Any, indent: int | None = 1) -> None:
    """Write JSON in one step.

    Raises:
        InterlaceError: if the file cannot be written.
        ValueError: if a number in ``value`` is not finite, which JSON cannot say.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def sweep(path: Path) -> None:
    """Remove what processes that are gone left of ``path`` when they were killed in writing it."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.(\d+){re.escape(_PARTIAL)}")
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            found = pattern.fullmatch(entry.name)
            if found and not is_running(int(found[1])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def is_running(process: int) -> bool:
    """Say whether a process of this number exists on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def is_disk_full(error: BaseException) -> bool:
    """Say whether an error, of whatever library, means that there is no space left."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return (isinstance(error, OSError) and error.errno in full) or any(
        sign in str(error) for sign in ("No space left on device", "Disk quota exceeded")
    )


def cannot_write(path: Path | str, error: BaseException) -> InterlaceError:
    """Make the one line that says why a file could not be written."""
    if is_disk_full(error):
        reason = "no space left on the disk: free some, then run the same command again"
    else:
        reason = getattr(error, "strerror", None) or first_line(error)
    return InterlaceError(f"cannot write {path}: {reason}")


def check_writable(path: Path | str, *, folder: bool) -> None:
    """See, before hours of work, that a file or folder can be written; nothing is made.

    Args:
        path: what will be written; it need not exist, nor what it lies in.
        folder: whether it is to be a folder.

    Raises:
        InterlaceError: if it cannot.
    """
    path = Path(path)
    try:
        if "\0" in str(path):
            raise ValueError("not a name that a file can have")
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder, give a file in it")
        there = path if folder else path.parent
        while not there.exists() and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{there} is not a folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except (OSError, ValueError) as error:  # a NUL in a name
        raise cannot_write(path, error) from None


def _to_disk(path: Path) -> None:
    """Have the content on the disk before a name points to it: renaming does not order the two."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(output: Path | str) -> Iterator[None]:
    """Hold an output, so that a second command on this machine that writes to it is told.

    The lock is a file of the system's temporary folder that the kernel gives up with the process,
    so a kill leaves nothing to clean up beside the output.

    Args:
        output: a file, a folder or an address; it need not exist.

    Raises:
        InterlaceError: if another process holds it, or no file can have its name.
    """
    from filelock import FileLock, Timeout

    text = str(output)
    place = text if "://" in text else str(as_path(text).resolve())
    folder = Path(tempfile.gettempdir(), f"interlace-{os.getuid() if hasattr(os, 'getuid') else 0}")
    name = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise InterlaceError(
            f"another interlace command is writing to {output}: wait until it is done, or choose "
            "another output"
        ) from None
    except OSError as error:
        raise InterlaceError(f"cannot lock {output} under {folder}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
