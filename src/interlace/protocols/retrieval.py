"""Retrieval across classes and domains: unseen classes, unseen domains, or both.

Paul, Dutta and Biswas, "Universal Cross-Domain Retrieval", ICCV 2021,
https://arxiv.org/abs/2108.08356; with few shots as in MAIL (NeurIPS 2025).

In a grid, a data set is a set of images and what it holds out: ``picto/retrieval`` stands for all
its settings, ``picto/retrieval:symbola`` for one of them; so a report averages over settings as
papers on cross-domain retrieval do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from interlace.adaptation.model import AdaptedModel
from interlace.data.datasets.benchmarks import data_root
from interlace.data.datasets.retrieval_sets import open_retrieval
from interlace.data.images.loader import Images
from interlace.data.retrieval import RetrievalSet, RetrievalSetting
from interlace.data.retrieval_task import (
    RetrievalKey,
    RetrievalTarget,
    RetrievalTask,
    draw_retrieval,
)
from interlace.data.used import Used
from interlace.errors import InterlaceError
from interlace.protocols.base import Decode, Plan, Protocol
from interlace.protocols.retrieval_search import EncodeProgress, search
from interlace.protocols.setting import Setting


@dataclass(frozen=True)
class RetrievalResult:
    """The figures of one target: means over its queries, and counts."""

    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(self.values)


@dataclass(frozen=True)
class RetrievalPlan(Plan[RetrievalTarget]):
    """What to fit on, and the galleries to search.

    Attributes:
        classes: names of all classes, which the labels of queries and galleries index.
        measures: the two measures that are published for the data set.
    """

    classes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[RetrievalTask]) -> RetrievalPlan:
        """Join the tasks of several protocols, which are all fitted on the same shots."""
        first = parts[0]
        targets = (target for part in parts for target in part.targets.values())
        named = tuple(replace(target, name=_short(target.name)) for target in targets)
        return cls(first.fit, named, first.classes, first.measures)

    def target(self, name: str) -> RetrievalTarget:
        """Find a target by its name.

        Raises:
            InterlaceError: if there is none.
        """
        found = {target.name: target for target in self.targets}
        if name not in found:
            raise InterlaceError(f"no target '{name}': there are {', '.join(found)}")
        return found[name]

    def score(
        self,
        adapted: AdaptedModel,
        decode: Decode = Images,
        report: EncodeProgress | None = None,
    ) -> dict[str, RetrievalResult]:
        """Search every gallery with every query: see :func:`~.retrieval_search.search`.

        Args:
            adapted: the model; its current classes do not matter.
            decode: not used: a gallery may be too large to be kept decoded.
            report: called with the number of images encoded, and of all, after each batch.
        """
        used = Used.of(self.task.train)
        found: dict[str, RetrievalResult] = {}
        for _, own in groupby(self.targets, key=lambda target: target.name.partition("/")[0]):
            results = search(adapted, list(own), self.task.classes, used, report)
            for name, values in results.items():
                # what is published for the data set comes first, for tables to begin with
                first = {measure: values[measure] for measure in self.measures}
                found[name] = RetrievalResult(first | values)
        return found


class Retrieval(Protocol[RetrievalTarget]):
    """Few images of every training class and domain are fitted; queries then search galleries.

    ``retrieval`` runs all three published protocols on one fit.
    """

    name = "retrieval"
    summary = "All three retrieval protocols on one fit (2108.08356)."
    shots = (2,)
    #: Which of the published protocols it runs.
    keys: ClassVar[tuple[RetrievalKey, ...]] = ("ucdr", "uccdr", "udcdr")

    def settings(self, data: RetrievalSet) -> tuple[str, ...]:
        """Return the settings of ``data`` that have queries for the protocol, by name."""
        names = (own.name for key in self.keys for own in data.settings if _asks(key, own))
        return tuple(dict.fromkeys(names))

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
        return tuple(f"{own}:{setting}" for setting in self.settings(data))

    def plan(self, setting: Setting) -> RetrievalPlan:
        """Return the shots of a setting, and the queries and galleries of each protocol.

        Raises:
            InterlaceError: if the data has no such setting, or too few images.
        """
        own, _, held_out = setting.data.partition(":")
        data = _open(own, data_root(setting.root), os.getcwd())
        if held_out not in self.settings(data):
            there = ", ".join(self.data_sets(own, setting.root)) or "none"
            raise InterlaceError(f"{self.name} on {setting.data}: there are {there}")
        return self.plan_for(data, setting.shots, setting.seed, held_out)

    def plan_for(
        self, data: RetrievalSet, shots: int = 2, seed: int = 1, setting: str | None = None
    ) -> RetrievalPlan:
        """Return a plan on images that a program holds.

        Args:
            data: images of several domains.
            shots: images per training class and training domain.
            seed: of the draw.
            setting: one of :meth:`settings`; None where there is only one.

        Raises:
            InterlaceError: as :func:`~interlace.data.retrieval_task.draw_retrieval`.
        """
        chosen = data.setting(setting)
        keys = [key for key in self.keys if _asks(key, chosen)] or self.keys[:1]
        return RetrievalPlan.of([draw_retrieval(data, key, shots, seed, chosen) for key in keys])


class Ucdr(Retrieval):
    """Queries are of unseen classes and from an unseen domain."""

    name = "ucdr"
    summary = "Search with unseen classes from an unseen domain (2108.08356)."
    keys = ("ucdr",)


class Uccdr(Retrieval):
    """Queries are of unseen classes and from a training domain."""

    name = "uccdr"
    summary = "Search with unseen classes from a seen domain (2108.08356)."
    keys = ("uccdr",)


class Udcdr(Retrieval):
    """Queries are of training classes and from an unseen domain."""

    name = "udcdr"
    summary = "Search with seen classes from an unseen domain (2108.08356)."
    keys = ("udcdr",)


def _asks(key: RetrievalKey, setting: RetrievalSetting) -> bool:
    """Say whether a setting has a domain for the queries of a protocol."""
    return bool(setting.seen if key == "uccdr" else setting.held_out)


def _short(target: str) -> str:
    """``ucdr/sketch->real/mixed`` as ``ucdr/mixed``: the setting stands in the data set's name."""
    protocol, _, *rest = target.split("/")
    return "/".join([protocol, *rest])


@lru_cache(maxsize=4)
def _open(name: str, root: Path | None, working_folder: str) -> RetrievalSet:
    return open_retrieval(name, root=root)
