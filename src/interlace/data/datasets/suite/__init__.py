"""The suite: small data sets composed from the packaged drawings when they are first used.

Eleven sets on which methods are compared (``suite``), four shifted variants of one of them
(``suite-shifts``), and sets to choose settings on (``suite-dev``). ``docs/suite.md`` is the data
card.
"""

from __future__ import annotations

import json

from interlace.data.datasets.suite.raster import SIDE
from interlace.data.datasets.suite.store import stored
from interlace.data.datasets.suite.table import CHOSEN, SETS, SHIFTS, SUITE_SOURCE, SuiteSet
from interlace.data.records import Record
from interlace.data.source import Source

__all__ = ["SUITE_SOURCE", "read", "set_names"]


def set_names(collection: str) -> tuple[str, ...]:
    """List the sets of ``suite``, ``suite-dev`` or ``suite-shifts``, without the prefix."""
    return tuple(_sets(collection))


def read(collection: str, name: str) -> Source:
    """Read a set; it is composed where the cache has it not.

    Args:
        collection: ``suite``, ``suite-dev`` or ``suite-shifts``.
        name: Its name, without the prefix.

    Raises:
        InterlaceError: It was composed to other bytes than on other machines.
    """
    found, not_kept = stored(name)
    header = json.loads(found.header)
    pools: dict[str, list[Record]] = {}
    # a portable pixmap holds the pixels as they are, so that its bytes too are the same everywhere
    start = f"P6 {SIDE} {SIDE} 255\n".encode()
    for number, ((part, label, _, style), pixels) in enumerate(
        zip(header["images"], found.pixels, strict=True)
    ):
        key = f"suite:{name}/{part}/{number:04}"
        pools.setdefault(part, []).append(Record(start + pixels.tobytes(), label, key, style))
    return Source(
        name=f"{collection}/{name}",
        description=_sets(collection)[name].description,
        template=header["template"],
        classes=tuple(header["classes"]),
        pools={part: tuple(records) for part, records in pools.items()},
        cleaned=True,
        notes=(f"{collection}/{name} is composed anew each time: {not_kept}",) if not_kept else (),
    )


def _sets(collection: str) -> dict[str, SuiteSet]:
    if collection == "suite-shifts":
        return dict(SHIFTS)
    chosen = collection == "suite"
    return {name: own for name, own in SETS.items() if (name in CHOSEN) == chosen}
