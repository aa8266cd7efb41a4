"""What the authors of the methods published: settings for each data set, and the numbers reached.

Both are data of the package: ``configs/presets/published/<method>.yaml`` and
``configs/published_results.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from interlace.config import PUBLISHED, read_packaged


@dataclass(frozen=True)
class Recipe:
    """How a method was run in a protocol.

    Attributes:
        source: paper and repository.
        model: the frozen model, as :func:`interlace.load` takes it.
        shots: training images per class of the published runs.
        seeds: of the published runs; empty where that is not known.
        data_sets: what differs for a data set, for each that has published values; may be empty.
        all: what holds for all of these.
        targets: what the published tests changed for a target: a choice with knowledge of the test,
            which no run of ours takes.
        rule: the rule by which the values of data sets follow, where none was chosen for one.
        templates: prompts that take the place of a data set's own, where the authors had others.
    """

    source: str
    model: str
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    data_sets: Mapping[str, Mapping[str, Any]]
    all: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rule: str | None = None
    templates: Mapping[str, str] = field(default_factory=dict)

    @property
    def tuned(self) -> bool:
        """Whether a data set has values that were chosen for it alone."""
        return self.rule is None and any(self.data_sets.values())


@dataclass(frozen=True)
class Value:
    """A published accuracy.

    Attributes:
        data: name of the data set, or ``average`` for that over all data sets.
        shots: training images per class.
        measure: ``accuracy``, or in base-to-novel ``base``, ``novel`` or ``HM``.
        value: in percent.
        source: who printed it.
        kind: ``paper``, ``quoted``, ``independent re-run`` or ``derived``.
        caution: what to know before comparing with it; may be empty.
    """

    data: str
    shots: int
    measure: str
    value: float
    source: str
    kind: str
    caution: str = ""


@cache
def recipe(method: str, protocol: str) -> Recipe | None:
    """Return how a method was published to be run; None where that is not known here."""
    block = read_packaged(f"presets/{PUBLISHED}/{method}.yaml").get(protocol)
    if block is None:
        return None
    return Recipe(**{**block, "shots": tuple(block["shots"]), "seeds": tuple(block["seeds"])})


@cache
def values(method: str, protocol: str) -> tuple[Value, ...]:
    """Return the published accuracies of a method in a protocol, from one source or several."""
    found: list[Value] = []
    for entry in read_packaged("published_results.yaml"):
        if (entry["method"], entry["protocol"]) != (method, protocol):
            continue
        for data, row in entry["values"].items():
            cautions = (entry.get("caution"), entry.get("cautions", {}).get(data))
            caution = "; ".join(filter(None, cautions))
            found += [
                Value(data, shots, measure, value, entry["source"], entry["kind"], caution)
                for (shots, measure), value in zip(_columns(entry), row, strict=True)
            ]
    return tuple(found)


def _columns(entry: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Shots and measure of each number in a row."""
    shots = entry.get("shots", [16])
    return [(count, measure) for count in shots for measure in entry["columns"]]
