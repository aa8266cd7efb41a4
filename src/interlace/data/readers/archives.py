"""Unpack a ZIP of images to a temporary folder, within stated bounds, for as long as we run."""

import atexit
import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from interlace._util.files import is_disk_full, is_running
from interlace._util.reading import check_regular
from interlace._util.text import first_line, printable
from interlace.errors import InterlaceError

MAX_FILES = 2_000_000
"""Files that an archive may hold."""

ARCHIVE_MAX_BYTES = 64 << 30
"""Bytes that an archive may unpack to."""

MAX_RATIO = 200
"""How many times as large as the archive its content may be; images hardly shrink."""

_PREFIX = "interlace-zip"
_unpacked: dict[tuple[str, int, int], Path] = {}


def unpack(path: Path) -> Path:
    """Unpack an archive, or return the folder where this process has unpacked it already.

    Names that lead out of the folder, links and encrypted files are refused.

    Raises:
        InterlaceError: The file is no ZIP archive, is damaged, too large, or not safe.
    """
    state = check_regular(path, "archive")
    known = (str(path.resolve()), state.st_mtime_ns, state.st_size)
    if known not in _unpacked or not _unpacked[known].is_dir():
        _unpacked[known] = _unpack(path)
    return _unpacked[known]


def _unpack(path: Path) -> Path:
    shown = printable(str(path))
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    try:
        with zipfile.ZipFile(path) as archive:
            members = _checked(archive, shown, path.stat().st_size)
            for member, name in members:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("xb") as file:
                    _copy(source, file, member.file_size, f"{shown}: {printable(name)}")
    except InterlaceError:
        _remove(folder, os.getpid())
        raise
    # zipfile answers damage with errors of many types
    except Exception as error:
        _remove(folder, os.getpid())
        if is_disk_full(error):
            raise InterlaceError(
                f"{shown}: no space left to unpack it under {tempfile.gettempdir()}: free some, or "
                "set TMPDIR"
            ) from None
        raise InterlaceError(f"{shown}: cannot be unpacked ({first_line(error)})") from None
    return folder


def _checked(
    archive: zipfile.ZipFile, shown: str, packed: int
) -> list[tuple[zipfile.ZipInfo, str]]:
    """Return the files of an archive, with the names to unpack them under.

    Raises:
        InterlaceError: One is not safe, or they are too many or too large.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_FILES:
        raise InterlaceError(f"{shown}: {len(members):,} files; at most {MAX_FILES:,} are unpacked")
    size = sum(member.file_size for member in members)
    most = min(ARCHIVE_MAX_BYTES, max(MAX_RATIO * packed, 64 << 20))
    if size > most:
        raise InterlaceError(f"{shown}: unpacks to {size:,} bytes; at most {most:,} are unpacked")
    return [(member, _safe_name(member, shown)) for member in members]


def _safe_name(member: zipfile.ZipInfo, shown: str) -> str:
    name = member.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    kind = member.external_attr >> 16
    reason = ""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts or not parts:
        reason = "leads out of the archive"
    elif "\0" in name or printable(name) != name or any(len(p.encode()) > 255 for p in parts):
        reason = "not a name that a file can have"
    elif member.flag_bits & 1:
        reason = "encrypted"
    elif stat.S_IFMT(kind) not in (0, stat.S_IFREG):
        reason = "a link or special file"
    if reason:
        raise InterlaceError(f"{shown}: {printable(member.filename)[:200]}: {reason}")
    return "/".join(parts)


def _copy(source: object, file: object, size: int, where: str) -> None:
    """Copy no more than an archive says there is."""
    left = size
    while chunk := source.read(1 << 20):  # type: ignore[attr-defined]
        left -= len(chunk)
        if left < 0:
            raise InterlaceError(f"{where}: larger than the archive says")
        file.write(chunk)  # type: ignore[attr-defined]


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child leaves it to its parent
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove what processes that were killed left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        found = re.fullmatch(rf"{_PREFIX}-(\d+)-\w+", folder.name)
        if found and not is_running(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)
