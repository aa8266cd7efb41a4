"""What a protocol is run on: data, shots, seed and condition."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from interlace.adaptation.templates import choose_template
from interlace.backbone.prompts import Template
from interlace.data.datasets.benchmarks import data_root
from interlace.data.datasets.registry import open_source
from interlace.data.source import Source
from interlace.data.task import FewShotTask
from interlace.protocols.condition import CLEAN, Condition


@lru_cache(maxsize=8)
def _open(data: str, root: Path | None, working_folder: str) -> Source:
    """Images before any draw; what a relative path means depends on the working folder."""
    return open_source(data, root)


@dataclass(frozen=True)
class Setting:
    """What a protocol is run on.

    Attributes:
        data: a folder, a table or the name of a data set, as :meth:`FewShotTask.load` takes it.
        shots: training images per class.
        seed: of the draw.
        targets: what to score besides, for protocols that go from one data set or domain to others.
        condition: what a robustness study changes.
        template: prompt for the data instead of its own.
        root: the data root, for standard benchmarks.
        split: stored draw to use instead of ``shots`` and ``seed``.
        own_template: prompt for images of the user's own, which have none.
    """

    data: str
    shots: int = 16
    seed: int = 1
    targets: tuple[str, ...] = ()
    condition: Condition = CLEAN
    template: Template | None = None
    root: Path | str | None = None
    split: Path | str | None = None
    own_template: str | None = None

    def source(self) -> Source:
        """Return the images before any draw.

        Raises:
            InterlaceError: if they cannot be read.
        """
        # with the folder that the environment names, so that what is kept does not outlive it
        return _open(self.data, data_root(self.root), os.getcwd())

    def draw(self, source: Source | None = None) -> FewShotTask:
        """Return the task over all classes.

        Args:
            source: images to draw from in the place of :meth:`source`.

        Raises:
            InterlaceError: if the data cannot be read or a class has too few images.
        """
        drawn = FewShotTask.from_source(
            source or self.source(), self.shots, self.seed, split=self.split
        )
        template = choose_template(self.template, self.data, self.root, self.own_template)
        return drawn if template is None else replace(drawn, template=template)

    def other(self, name: str) -> FewShotTask:
        """Return the test images of another data set, under its own prompt.

        Raises:
            InterlaceError: if it cannot be read.
        """
        return replace(self, data=name, shots=0, split=None, template=None).draw()
