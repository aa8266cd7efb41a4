"""Which images a fit has used: they are never scored, under any name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interlace._util.reading import reason_of
from interlace._util.text import printable
from interlace.data.records import Record
from interlace.errors import InterlaceError


@dataclass(frozen=True, slots=True)
class Used:
    """The images of a fit by their content.

    Attributes:
        digests: ``Record.digest`` of each.
        sizes: Their sizes in bytes, so that only files of one of these sizes need to be read; None
            where they are not known, and every file is read.
    """

    digests: frozenset[str] = frozenset()
    sizes: frozenset[int] | None = frozenset()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Used:
        """Look at the images of a fit.

        Raises:
            InterlaceError: One of them cannot be read.
        """
        own = list(records)
        return cls(frozenset(map(_digest, own)), frozenset(map(_size, own)))

    def __or__(self, other: Used) -> Used:
        """Join two fits."""
        known = self.sizes is not None and other.sizes is not None
        sizes = (self.sizes or frozenset()) | (other.sizes or frozenset()) if known else None
        return Used(self.digests | other.digests, sizes)

    def __contains__(self, record: Record) -> bool:
        """Say whether an image is among them.

        Raises:
            InterlaceError: It cannot be read.
        """
        if not self.digests or (self.sizes is not None and _size(record) not in self.sizes):
            return False
        return _digest(record) in self.digests

    def others(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Keep the images that are not among them, in their order.

        Raises:
            InterlaceError: An image cannot be read.
        """
        return tuple(record for record in records if record not in self)


def _digest(record: Record) -> str:
    try:
        return record.digest()
    except OSError as error:
        raise _unreadable(record, error) from None


def _size(record: Record) -> int:
    if isinstance(record.image, bytes):
        return len(record.image)
    try:
        return record.image.stat().st_size
    except OSError as error:
        raise _unreadable(record, error) from None


def _unreadable(record: Record, error: OSError) -> InterlaceError:
    return InterlaceError(f"{printable(str(record.image))}: {reason_of(error)}")
