"""Folders written whole: the old one or the new one is there at every moment, never neither."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interlace._util.files import cannot_write, held, is_disk_full, is_running
from interlace._util.text import printable
from interlace.errors import InterlaceError

_WORKSPACE = ".workspace"
_CURRENT_FOLDER = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give a new folder to fill; at the end it takes the place of ``target`` in one step.

    Where ``target`` exists the two are exchanged, so a process killed at any point leaves the old
    folder or the new one, complete. File systems that cannot exchange rename twice; what a kill
    between the two leaves is put right by :func:`recovered`. Hidden folders of processes that
    were killed are removed by the next write to the same place.

    Args:
        target: the folder; its parents are made if need be.

    Raises:
        InterlaceError: if another process writes to ``target``, or it cannot be written: disk
            full, no permission, a bad name.
    """
    try:
        target = Path(os.path.realpath(target))  # a link stays one
    except ValueError:  # a NUL in the name
        raise InterlaceError(
            f"{printable(str(target))}: not a name that a folder can have"
        ) from None
    workspace = target.with_name(f".{target.name}.{os.getpid()}{_WORKSPACE}")
    with held(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            recovered(target)
            fresh = workspace / "new"
            fresh.mkdir(parents=True)
            yield fresh
            _to_disk(fresh)
            _put(fresh, target, workspace / "old")
        except InterlaceError as error:  # of a file inside, under the name that it will have
            final = str(error).replace(str(workspace / "new"), str(target))
            raise type(error)(final) from None
        except Exception as error:
            if isinstance(error, OSError | UnicodeError) or is_disk_full(error):
                raise cannot_write(target, error) from None
            raise
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


def recovered(target: Path) -> None:
    """Remove what killed processes left of ``target``; put back an old folder taken away."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d+){re.escape(_WORKSPACE)}")
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in list(entries):
            found = pattern.fullmatch(entry.name)
            if not found or (is_running(int(found[1])) and int(found[1]) != os.getpid()):
                continue
            old = Path(entry.path, "old")
            if old.is_dir() and not target.exists():
                old.rename(target)
            shutil.rmtree(entry.path, ignore_errors=True)


def _put(fresh: Path, target: Path, old: Path) -> None:
    if not target.exists():
        fresh.rename(target)
    elif not _exchanged(fresh, target):
        target.rename(old)
        fresh.rename(target)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, _EXCHANGE)
        else:
            first, second = names
            failed = library.renameat2(_CURRENT_FOLDER, first, _CURRENT_FOLDER, second, _EXCHANGE)
    except (OSError, AttributeError, TypeError):  # a system or C library without the call
        return False
    if failed and ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed


def _to_disk(folder: Path) -> None:
    """Have every file on the disk before the folder gets its name."""
    for place, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(place, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
