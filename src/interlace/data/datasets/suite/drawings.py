"""The packaged drawings that the suite is composed of, and which of them belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from types import MappingProxyType

import numpy as np

from interlace.data.datasets.suite.chance import Chance
from interlace.data.datasets.suite.raster import Sprite, cut_out

HANDS: Mapping[str, str] = MappingProxyType(
    {
        "emojione-v1": "EmojiOne",
        "fluent-3d": "Fluent 3D",
        "fluent-flat": "Fluent Flat",
        "fluent-hc": "Fluent High Contrast",
        "openmoji": "OpenMoji",
        "openmoji-black": "OpenMoji Black",
        "symbola": "Symbola",
    }
)
"""Styles of drawings that pretraining has not seen, and what their projects call them."""

_MOST_TESTED = 60  # of a hundred drawings of a class, where a cluster is large


@dataclass(frozen=True, slots=True)
class Drawing:
    """A packaged drawing.

    Attributes:
        row: Its row in the table of drawings.
        concept: Code points of what it shows.
        name: The concept's name.
        group: The concept's group, and ``subgroup`` likewise.
        style: The hand it is by.
        twins: Drawings of one number are (nearly) the same picture.
    """

    row: int
    concept: str
    name: str
    group: str
    subgroup: str
    style: str
    twins: int


@cache
def unseen() -> tuple[Drawing, ...]:
    """List the drawings that pretraining has not seen, nor a twin of them."""
    from interlace.data.datasets import picto

    table = picto.images()
    names = ("concept", "name", "group", "subgroup", "style", "twins", "seen")
    columns = zip(*(table[name].to_pylist() for name in names), strict=True)
    return tuple(
        Drawing(row, *own)
        for row, (*own, seen) in enumerate(columns)
        if not seen and own[4] in HANDS
    )


@cache
def sprite(row: int) -> Sprite:
    """Decode a drawing and cut it out of its paper."""
    from PIL import Image

    from interlace.data.datasets import picto

    encoded = picto.images()["image"][row].as_py()
    with Image.open(BytesIO(encoded), formats=("WEBP",)) as image:
        return cut_out(np.asarray(image.convert("RGB")))


def clusters(
    drawings: Iterable[Drawing], keys: Sequence[Callable[[Drawing], object]]
) -> list[list[Drawing]]:
    """Put drawings together that share a key, directly or through others.

    Args:
        drawings: The drawings.
        keys: What two of them may share: twins, a concept.

    Returns:
        The clusters, each in the order of the rows, and in the order of their first rows.
    """
    own = list(drawings)
    parent = list(range(len(own)))

    def top(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[int, object], int] = {}
    for place, drawing in enumerate(own):
        for kind, key in enumerate(keys):
            other = top(first.setdefault((kind, key(drawing)), place))
            mine = top(place)
            parent[max(other, mine)] = min(other, mine)
    found: dict[int, list[Drawing]] = {}
    for place, drawing in enumerate(own):
        found.setdefault(top(place), []).append(drawing)
    return list(found.values())


def halves(
    parts: Sequence[Sequence[Drawing]], chance: Chance, share: int, least: int
) -> tuple[list[Drawing], list[Drawing]]:
    """Split clusters of drawings in two, none of them apart.

    Args:
        parts: The clusters, which come to a side in a drawn order.
        chance: What the order is drawn from.
        share: Which part of a hundred drawings is for testing, about.
        least: Drawings that are for testing at least.
    """
    count = sum(map(len, parts))
    wanted, most = max(least, count * share // 100), count * _MOST_TESTED // 100
    train: list[Drawing] = []
    test: list[Drawing] = []
    for part in chance.shuffled(parts):
        tests = len(test) < wanted and len(test) + len(part) <= most
        (test if tests else train).extend(part)
    return train, test
