"""The retrieval protocols as parts of a grid: a data set is a set of images and what it holds out.

``picto/retrieval`` stands for all its settings, ``picto/retrieval:symbola`` for one of them; so a
report averages over settings as papers on cross-domain retrieval do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from interlace.adaptation.model import AdaptedModel
from interlace.data.datasets.benchmarks import data_root
from interlace.data.datasets.retrieval_sets import open_retrieval
from interlace.data.retrieval import RetrievalSet
from interlace.data.retrieval_task import RetrievalTask
from interlace.errors import InterlaceError
from interlace.protocols.base import Plan, Protocol, Setting
from interlace.protocols.ucdr import PROTOCOLS, score


@dataclass(frozen=True)
class RetrievalResult:
    """The figures of one target: means over its queries, and counts."""

    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(self.values)


@dataclass(frozen=True)
class RetrievalPlan(Plan):
    """What to fit on, and the galleries to search.

    Attributes:
        parts: one task for each protocol; all of them are fitted on the same shots.
    """

    parts: tuple[RetrievalTask, ...] = field(default=(), repr=False)


class Retrieval(Protocol):
    """One or several retrieval protocols on one fit.

    Args:
        name: what users call it by.
        summary: one sentence and the source.
        keys: names of the protocols in :mod:`interlace.protocols.ucdr`.
    """

    shots = (2,)

    def __init__(self, name: str, summary: str, keys: tuple[str, ...]) -> None:
        self.name, self.summary = name, summary  # type: ignore[misc]
        self._protocols = tuple(PROTOCOLS[key] for key in keys)

    def data_sets(self, name: str, root: Path | str | None = None) -> tuple[str, ...]:
        """Every setting of a data set that has queries for the protocol.

        Raises:
            InterlaceError: if there is no such data set.
        """
        if name == "picto":
            name = "picto/retrieval"
        own, _, setting = name.partition(":")
        if setting:
            return (name,)
        data = _open(own, data_root(root), os.getcwd())
        names = (c for protocol in self._protocols for c in protocol.conditions(data))
        return tuple(f"{own}:{condition}" for condition in dict.fromkeys(names))

    def plan(self, setting: Setting) -> RetrievalPlan:
        """Return the shots of a setting, and what each protocol asks and searches.

        Raises:
            InterlaceError: if the data has no such setting, or too few images.
        """
        own, _, condition = setting.data.partition(":")
        data = _open(own, data_root(setting.root), os.getcwd())
        parts = tuple(
            protocol.plan(data, setting.shots, setting.seed, condition)
            for protocol in self._protocols
            if condition in protocol.conditions(data)
        )
        if not parts:
            there = ", ".join(self.data_sets(own, setting.root)) or "none"
            raise InterlaceError(f"{self.name} on {setting.data}: there are {there}")
        return RetrievalPlan(parts[0].fit, (), parts)

    def score(self, adapted: AdaptedModel, plan: Plan) -> dict[str, RetrievalResult]:
        """Search every gallery with every query: see :func:`interlace.protocols.ucdr.score`."""
        if not isinstance(plan, RetrievalPlan):
            raise TypeError(f"{self.name} scores its own plans, not {type(plan).__name__}")
        found = {}
        for part in plan.parts:
            for name, values in score(adapted, part).items():
                # what is published for the data set comes first, for tables to begin with
                first = {measure: values[measure] for measure in part.measures}
                found[_short(name)] = RetrievalResult(first | values)
        return found


def _short(target: str) -> str:
    """``ucdr/sketch->real/mixed`` as ``ucdr/mixed``: the setting stands in the data set's name."""
    protocol, _, *rest = target.split("/")
    return "/".join([protocol, *rest])


@lru_cache(maxsize=4)
def _open(name: str, root: Path | None, working_folder: str) -> RetrievalSet:
    return open_retrieval(name, root=root)
