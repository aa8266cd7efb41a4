"""What an image may cost: every bound on a file, on its pixels, and the settings that move them."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from interlace.errors import InterlaceError

MAX_FILE_BYTES = 512 << 20
"""Bytes that an encoded image may have."""

MAX_PIXELS = 178_956_970
"""Pixels that an image may have unless ``INTERLACE_MAX_PIXELS`` says otherwise: 13,300 x 13,300.

Decoding holds about eight bytes for each, ten for some formats; ``tests/faults`` measures it.
"""

MAX_SIDE = 200_000
"""Pixels that a side may have, or a 1,000th of ``INTERLACE_MAX_PIXELS`` where that is more."""

LARGE_PIXELS = 1 << 25
"""Pixels from which on threads decode images one at a time: 270 MB and more each."""

PIXELS = "INTERLACE_MAX_PIXELS"
TRUNCATED = "INTERLACE_TRUNCATED"


def max_pixels() -> int:
    """Return how many pixels an image may have. Read anew each time, so that workers inherit it.

    Raises:
        InterlaceError: ``INTERLACE_MAX_PIXELS`` is not a whole number.
    """
    text = os.environ.get(PIXELS, "").strip()
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text)):
        raise InterlaceError(
            f"{PIXELS} = '{text[:40]}': must be a whole number of pixels, such as 400000000"
        )
    return int(text)


def takes_truncated() -> bool:
    """Say whether a file that is cut short is read as far as it goes.

    Raises:
        InterlaceError: ``INTERLACE_TRUNCATED`` is neither 1 nor 0.
    """
    text = os.environ.get(TRUNCATED, "").strip()
    if text not in ("", "0", "1"):
        raise InterlaceError(f"{TRUNCATED} = '{text[:40]}': must be 1 or 0")
    return text == "1"


_one_large = threading.RLock()


def turn(size: tuple[int, int]) -> AbstractContextManager[Any]:
    """Return what to hold while an image of this size is worked on: large ones wait for a turn."""
    return _one_large if size[0] * size[1] > LARGE_PIXELS else nullcontext()


def _forget_turns() -> None:
    global _one_large
    _one_large = threading.RLock()


if hasattr(os, "register_at_fork"):
    # a forked process has none of the threads that may hold it
    os.register_at_fork(after_in_child=_forget_turns)


def check_bytes(count: int) -> None:
    """Check that an encoded image is neither empty nor too large to be read.

    Raises:
        InterlaceError: It is empty or too large; the line does not name it.
    """
    if count == 0:
        raise InterlaceError("the file is empty")
    if count > MAX_FILE_BYTES:
        raise InterlaceError(f"{count:,} bytes; at most {MAX_FILE_BYTES:,} are read of an image")


def check_pixels(size: tuple[int, int], most: int) -> None:
    """Check that an image of ``size`` may be decoded where ``most`` pixels are allowed.

    Raises:
        InterlaceError: It is too large; the line names the setting and not the image.
    """
    width, height = size
    shown, longest = f"{width:,} x {height:,} pixels", max(MAX_SIDE, most // 1000)
    if max(size) > longest:
        raise InterlaceError(
            f"{shown}; no side may have more than {longest:,}: give --max-pixels "
            f"{1000 * max(size)}, or {PIXELS}"
        )
    if width * height > most:
        raise InterlaceError(too_large(shown, width * height, most))


def too_large(shown: str, pixels: int, most: int) -> str:
    """Say that an image has too many pixels, and which setting allows them."""
    return f"{shown}; at most {most:,} are read: give --max-pixels {pixels}, or {PIXELS}"
