"""Keep composed sets in the user's cache folder, and trust what is there by its hash alone."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from interlace._util.files import write_bytes
from interlace._util.text import first_line
from interlace.data.datasets.suite.compose import ComposedSet, compose, sha256_of
from interlace.data.datasets.suite.raster import SIDE
from interlace.errors import InterlaceError

CACHE_VARIABLE = "INTERLACE_CACHE"
"""The environment variable that names another folder for what can be made anew."""


@cache
def hashes() -> dict[str, str]:
    """Return the SHA-256 that every set has on every machine, by its name."""
    text = (files("interlace.data.datasets.suite") / "hashes.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def cache_folder() -> Path:
    """Return the folder for what can be made anew: INTERLACE_CACHE, or the system's for users."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = "~/Library/Caches"
    elif sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "interlace"


def stored(name: str) -> tuple[ComposedSet, str]:
    """Return a set from the cache, or compose it and put it there.

    A file that is damaged, or somebody else's, has another hash and is made anew. Two processes
    that compose the same set write the same bytes, each in one step.

    Args:
        name: Its name, without a collection.

    Returns:
        The set, and why it could not be kept, or "".

    Raises:
        InterlaceError: It was composed to other bytes than on other machines.
    """
    expected = hashes()[name]
    path = cache_folder() / "suite" / f"{name}-{expected[:16]}.bin"
    found = _read(path, expected)
    if found is not None:
        return found, ""
    progress = _Progress(name)
    try:
        found = compose(name, progress.tell)
    finally:
        progress.close()
    if found.sha256 != expected:
        raise InterlaceError(
            f"the data set {name} was composed to other bytes than on other machines (sha256 "
            f"{found.sha256[:12]}, not {expected[:12]}): the packaged drawings were changed, or "
            "the installed pillow decodes them differently"
        )
    try:  # a home that cannot be written to is no reason to do without the data
        write_bytes(path, found.header + b"\n" + found.pixels.tobytes())
    except InterlaceError as error:
        return found, first_line(error)
    return found, ""


def _read(path: Path, expected: str) -> ComposedSet | None:
    """Read a set; None where there is none, or anything but the one of this hash."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError):
        return None
    header, _, pixels = content.partition(b"\n")
    if sha256_of(header, pixels) != expected:
        return None
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE, 3)
    return ComposedSet(header, images)


class _Progress:
    """One line on a terminal that says how far a set is, and goes when it is done."""

    def __init__(self, name: str) -> None:
        self._name, self._said = name, ""
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def tell(self, done: int, count: int) -> None:
        """Say how many images of how many are done."""
        line = f"composing the data set {self._name}: {100 * done // count} %"
        if self._shown and line != self._said:
            sys.stderr.write(f"\r{line}")
            sys.stderr.flush()
            self._said = line

    def close(self) -> None:
        """Remove the line."""
        if self._said:
            sys.stderr.write("\r" + " " * len(self._said) + "\r")
            sys.stderr.flush()
