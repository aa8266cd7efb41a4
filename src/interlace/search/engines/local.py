"""Embedding in this process, one unit after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from interlace.search.parts import VectorParts
from interlace.search.sources import Unit
from interlace.search.worker import Worker


def run(worker: Worker, parts: VectorParts, remaining: Sequence[tuple[int, Unit]]) -> Iterator[int]:
    """Embed units and write their parts; the number of images of each as it is finished.

    Args:
        worker: what embeds a unit.
        parts: where the part files are written.
        remaining: units that have no part file yet, with their numbers.

    Raises:
        InterlaceError: if a unit cannot be embedded.
    """
    for number, unit in remaining:
        yield parts.write(number, *worker.embed(unit))
