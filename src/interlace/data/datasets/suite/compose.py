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
from interlace.data.datasets.suite.table import SETS, SHIFTS

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


class Composition:
    """What a set consists of, before any image is made; each is made on its own.

    Args:
        name: Its name, without a collection.
    """

    def __init__(self, name: str) -> None:
        own = SETS[name] if name in SETS else SHIFTS[name]
        self._name, self._paint, self._pools = name, own.paint, own.pools(name)
        self._plan = [
            (part, label, drawing)
            for part, count in (("train", own.train), ("test", own.test))
            for label, side in enumerate(self._side(part))
            for drawing in _subjects(side, count, Chance(name, part, label))
        ]
        self.header = _canonical(own.template, self._pools.classes, self._plan)

    def __len__(self) -> int:
        return len(self._plan)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Make an image [48, 48, 3]."""
        part, label, drawing = self._plan[index]
        classes, side = self._pools.classes, self._side(part)
        others = side[(label + 1) % len(classes)]
        chance = Chance(self._name, part, label, index)
        canvas = self._paint(drawing, others, classes[label], chance)
        return canvas.clip(0, 255).astype(np.uint8)

    def _side(self, part: str) -> Sequence[Sequence[Drawing]]:
        return self._pools.train if part == "train" else self._pools.test


def compose(name: str, tell: Tell = lambda done, count: None) -> ComposedSet:
    """Compose a set.

    Args:
        name: Its name, without a collection.
        tell: Is told how far it is.
    """
    plan = Composition(name)
    pixels = np.empty((len(plan), SIDE, SIDE, 3), np.uint8)
    for index in range(len(plan)):
        pixels[index] = plan.image(index)
        tell(index + 1, len(plan))
    return ComposedSet(plan.header, pixels)


def _canonical(
    template: str, classes: Sequence[str], plan: Sequence[tuple[str, int, Drawing]]
) -> bytes:
    images = [[part, label, drawing.row, drawing.style] for part, label, drawing in plan]
    header = {"template": template, "classes": list(classes), "images": images}
    return json.dumps(header, separators=(",", ":")).encode()


def _subjects(side: Sequence[Drawing], count: int, chance: Chance) -> list[Drawing]:
    """List drawings in a drawn order, each as often as the others but for one."""
    found: list[Drawing] = []
    while len(found) < count:
        found += chance.shuffled(side)
    return found[:count]
