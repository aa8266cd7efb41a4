"""Nearest vectors: exactly in memory, or through an index where there are many.

Up to :data:`EXACT_LIMIT` images all vectors are read once and compared with the query in one matrix
product. LanceDB's own scan is as exact, but reads the vectors again for every query. Above that,
LanceDB keeps an IVF index over vectors of four bits per number (RaBitQ), looks at the partitions
nearest to the query, and compares the best candidates with the stored vectors. The index is made
fine enough for words: they lie apart from all images, which differ little as seen from there.

Shapes: N images, E embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlace.search.table import PhotoTable

#: Up to this many images a search is exact.
EXACT_LIMIT = 100_000
#: Bits per number of the vectors in the index.
BITS = 4
#: Candidates per wanted image that are compared with the stored vectors.
REFINE = 4
#: Share of the partitions that a query looks at, and the least number of them.
PROBED = 1 / 5
LEAST_PROBED = 24

_NAME = "vector_"

Neighbours = list[tuple[str, str | None, float]]


@dataclass(frozen=True)
class Flat:
    """All vectors of a gallery in memory; searched exactly.

    Attributes:
        keys: of the N images.
        labels: of the N images.
        vectors: [N, E], of length 1.
    """

    keys: list[str]
    labels: list[str | None]
    vectors: np.ndarray

    def nearest(self, vector: np.ndarray, k: int) -> Neighbours:
        """Return key, label and cosine of the ``k`` best; ties in the order of their keys."""
        if not self.keys:
            return []
        scores = self.vectors @ vector
        count = min(k, len(scores))
        least = np.partition(scores, -count)[-count]
        # all that reach the k-th score, so that ties do not depend on the order of the rows
        best = np.flatnonzero(scores >= least).tolist()
        best.sort(key=lambda row: (-scores[row], self.keys[row]))
        return [(self.keys[i], self.labels[i], min(1.0, float(scores[i]))) for i in best[:count]]


@dataclass(frozen=True)
class Indexed:
    """A gallery too large to be held in memory; searched through LanceDB.

    Attributes:
        table: LanceDB's table.
        probes: partitions that a query looks at.
        refine: candidates per wanted image that are compared with the stored vectors.
    """

    table: Any
    probes: int
    refine: int = REFINE

    def nearest(self, vector: np.ndarray, k: int) -> Neighbours:
        """Return key, label and cosine of about the ``k`` best; exact without an index."""
        search = self.table.search(vector, vector_column_name="vector").distance_type("cosine")
        search = search.nprobes(self.probes).refine_factor(self.refine).limit(k)
        rows = search.select(["path", "label", "_distance"]).to_arrow().to_pydict()
        found = [
            (key, label, min(1.0, 1.0 - distance))
            for key, label, distance in zip(
                rows["path"], rows["label"], rows["_distance"], strict=True
            )
        ]
        return sorted(found, key=lambda hit: (-hit[2], hit[0]))


def finder(table: PhotoTable) -> Flat | Indexed:
    """Return the search for the present state of a gallery."""
    count = table.count()
    if count > EXACT_LIMIT:
        name = _index_name(table.table)
        made = partitions(count) if name is None else _partitions_of(name, count)
        return Indexed(table.table, probes(made))
    return Flat(*table.vectors())


def partitions(count: int) -> int:
    """Return the number of partitions of an index over ``count`` vectors."""
    return max(1, math.isqrt(count))


def probes(made: int) -> int:
    """Return how many of the partitions a query looks at."""
    return min(made, max(LEAST_PROBED, round(made * PROBED)))


def ensure(table: PhotoTable) -> None:
    """Make the index where a gallery has outgrown exact search.

    One that is there is kept, since LanceDB's ``optimize`` has taken the new rows in, unless the
    gallery has since become four times as large or as small and its partitions no longer fit.
    """
    count = table.count()
    if count <= EXACT_LIMIT:
        return
    from lancedb.index import IvfFlat, IvfRq

    lance, wanted = table.table, partitions(count)
    name = _index_name(lance)
    if name is not None and wanted / 2 < _partitions_of(name, count) < wanted * 2:
        return
    settings: dict[str, Any] = {"distance_type": "cosine", "num_partitions": wanted}
    # the bits of eight numbers are packed into bytes
    whole = table.model.dim % 8 == 0
    config = IvfRq(num_bits=BITS, **settings) if whole else IvfFlat(**settings)
    lance.create_index("vector", config=config, name=f"{_NAME}{wanted}", replace=True)
    if name is not None:
        lance.drop_index(name)


def describe(table: PhotoTable) -> str:
    """Say in words how a gallery is searched."""
    if table.count() <= EXACT_LIMIT:
        return "exact"
    name = _index_name(table.table)
    if name is None:
        return "exact, and slow: there is no index yet"
    stats = table.table.index_stats(name)
    beside = f", {stats.num_unindexed_rows:,} rows beside it" if stats.num_unindexed_rows else ""
    return f"{stats.index_type}, {_partitions_of(name, table.count())} partitions{beside}"


def _index_name(lance: Any) -> str | None:
    return next((i.name for i in lance.list_indices() if i.columns == ["vector"]), None)


def _partitions_of(name: str, count: int) -> int:
    """Read the number of partitions from the index's name, since LanceDB does not tell it."""
    number = name.removeprefix(_NAME)
    return int(number) if number.isdigit() else partitions(count)
