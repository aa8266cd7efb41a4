"""Compose a set of the suite: the same bytes on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from interlace.data.datasets.suite.chance import Chance
from interlace.data.datasets.suite.drawings import Drawing
from interlace.data.datasets.suite.raster import SIDE
from interlace.data.datasets.suite.table import SETS, SHIFTS, SuiteSet

Tell = Callable[[int, int], None]
"""Takes how many images are done, and of how many."""


@dataclass(frozen=True)
class ComposedSet:
    """Images and what they show.

    Attributes:
        header: Canonical JSON of template, classes and, for every image, part, label and drawing.
        pixels: The images [N, 48, 48, 3], in the order of the header.
    """

    header: bytes
    pixels: NDArray[np.uint8]

    @cached_property
    def sha256(self) -> str:
        """Hash over template, classes, parts, labels, drawings and pixels."""
        return sha256_of(self.header, self.pixels.tobytes())


def sha256_of(header: bytes, pixels: bytes) -> str:
    """Hash a header and the pixels after it."""
    return hashlib.sha256(header + b"\n" + pixels).hexdigest()


def specification(name: str) -> SuiteSet:
    """Return what a set is made of, of whatever collection."""
    return SETS[name] if name in SETS else SHIFTS[name]


def compose(name: str, tell: Tell = lambda done, count: None) -> ComposedSet:
    """Compose a set.

    Args:
        name: Its name, without a collection.
        tell: Is told how far it is.
    """
    own = specification(name)
    pools = own.pools(name)
    plan = [
        (part, label, drawing)
        for part, sides, count in (("train", pools.train, own.train), ("test", pools.test, own.test))
        for label, side in enumerate(sides)
        for drawing in _subjects(side, count, Chance(name, part, label))
    ]
    pixels = np.empty((len(plan), SIDE, SIDE, 3), np.uint8)
    for index, (part, label, drawing) in enumerate(plan):
        others = (pools.train if part == "train" else pools.test)[(label + 1) % len(pools.classes)]
        chance = Chance(name, part, label, index)
        pixels[index] = own.paint(drawing, others, pools.classes[label], chance).clip(0, 255)
        tell(index + 1, len(plan))
    header = {
        "template": own.template,
        "classes": list(pools.classes),
        "images": [[part, label, drawing.row, drawing.style] for part, label, drawing in plan],
    }
    return ComposedSet(json.dumps(header, separators=(",", ":")).encode(), pixels)


def _subjects(side: Sequence[Drawing], count: int, chance: Chance) -> list[Drawing]:
    """List drawings in a drawn order, each as often as the others but for one."""
    found: list[Drawing] = []
    while len(found) < count:
        found += chance.shuffled(side)
    return found[:count]
