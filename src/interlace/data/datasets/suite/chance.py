"""Randomness that is the same on every machine: a counter hashed with integers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Ints = NDArray[np.int64]

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_BYTES_MEAN, _BYTES_DEVIATION = 1020, 209  # of the sum of eight uniform bytes


def mixed(value: int) -> int:
    """Mix the bits of a 64-bit number (the finisher of splitmix64)."""
    value = (value + _STEP) & _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


class Chance:
    """A stream of draws that follows from words alone.

    Args:
        *words: What the stream is for: set, part, class, index.
    """

    def __init__(self, *words: str | int) -> None:
        text = "\0".join(str(word) for word in words)
        self._key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        self._drawn = 0

    def bits(self) -> int:
        """Draw 64 bits."""
        self._drawn += 1
        return mixed(self._key ^ mixed(self._drawn))

    def below(self, count: int) -> int:
        """Draw a whole number from 0 to ``count`` - 1."""
        return (self.bits() * count) >> 64

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """Draw one of some items."""
        return items[self.below(len(items))]

    def percent(self, share: int) -> bool:
        """Say yes in ``share`` of a hundred cases."""
        return self.below(100) < share

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a drawn order."""
        keyed = [(self.bits(), place) for place in range(len(items))]
        return [items[place] for _, place in sorted(keyed)]

    def field(self, *shape: int) -> NDArray[np.uint64]:
        """Draw an array of 64-bit numbers."""
        count = 1
        for side in shape:
            count *= side
        value = np.arange(count, dtype=np.uint64) + np.uint64(self.bits())
        value = value * np.uint64(_STEP)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(_FIRST)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(_SECOND)
        return (value ^ (value >> np.uint64(31))).reshape(shape)

    def levels(self, count: int, *shape: int) -> Ints:
        """Draw an array of whole numbers from 0 to ``count`` - 1, of at most 2 ** 31."""
        high = (self.field(*shape) >> np.uint64(33)).astype(np.int64)
        return (high * count) >> 31

    def bell(self, deviation: int, *shape: int) -> Ints:
        """Draw an array of whole numbers around 0, nearly normal with a standard deviation."""
        bits = self.field(*shape)
        total = np.zeros(shape, np.int64)
        for byte in range(8):
            total += ((bits >> np.uint64(8 * byte)) & np.uint64(255)).astype(np.int64)
        return (total - _BYTES_MEAN) * deviation // _BYTES_DEVIATION
