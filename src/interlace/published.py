"""What the authors of the methods published: settings for each data set, and the numbers reached.

Both are data of the package: ``configs/presets/published/<method>.yaml`` and
``configs/published_results.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from interlace._util.schema import check, shown
from interlace._util.text import did_you_mean, listed
from interlace.config import PUBLISHED, preset_defaults, preset_names, read_packaged
from interlace.data.catalog import is_known
from interlace.data.field import FieldSet, field_names, find_field
from interlace.data.retrieval_sets import RetrievalEntry, find_retrieval, retrieval_names
from interlace.errors import InterlaceError

#: The name under which results give the average over all data sets.
AVERAGE = "average"


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
    """

    source: str
    model: str
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    data_sets: Mapping[str, Mapping[str, Any]]
    all: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rule: str | None = None

    @property
    def tuned(self) -> bool:
        """Whether a data set has values that were chosen for it alone."""
        return self.rule is None and any(self.data_sets.values())


@dataclass(frozen=True)
class Value:
    """A published accuracy.

    Attributes:
        data: name of the data set, or ``average``.
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
    """How a method was published to be run in a protocol; None where that is not known here."""
    block = read_packaged(f"presets/{PUBLISHED}/{method}.yaml").get(protocol)
    if block is None:
        return None
    return Recipe(**{**block, "shots": tuple(block["shots"]), "seeds": tuple(block["seeds"])})


@cache
def values(method: str, protocol: str) -> tuple[Value, ...]:
    """The published accuracies of a method in a protocol, from one source or several."""
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


def preset_name(protocol: str, data: str, root: Path | str | None = None) -> str | None:
    """The preset of published values for a data set; None for images of the user's own.

    Args:
        protocol: name of the protocol.
        data: a folder, a table or the name of a data set; of one for retrieval, with or without
            what it holds out (``domainnet:sketch``).
        root: the data root, where the name may be that of a data set below it.
    """
    entry: FieldSet | RetrievalEntry | None
    entry = find_field(data) if is_known(data, root) else find_retrieval(data.partition(":")[0])
    return None if entry is None else f"{PUBLISHED}/{protocol}/{entry.name}"


def check_preset(preset: str | None) -> None:
    """See that a preset exists, before hours of runs that would each find that it does not.

    Args:
        preset: a name, ``published``, ``auto`` or None.

    Raises:
        InterlaceError: if there is none of this name, or no protocol or data set of the name in
            ``published/<protocol>/<data set>``: it would act for no method.
    """
    if preset in (None, "auto", PUBLISHED):
        return
    preset = str(check("preset", preset, str))
    preset_defaults(preset, "zero_shot")
    if preset in preset_names():
        return
    _, protocol, data = preset.split("/")
    there = {"protocol": sorted(_protocols()), "data set": [*field_names(), *retrieval_names()]}
    for what, name in (("protocol", protocol), ("data set", data)):
        if name not in there[what]:
            hint = did_you_mean(name, there[what])
            raise InterlaceError(
                f"preset {shown(preset)}: no {what} {shown(name)}; {hint or listed(there[what])}"
            )


@cache
def _protocols() -> frozenset[str]:
    """Protocols for which the authors of any method published values."""
    folder = files("interlace").joinpath("configs", "presets", PUBLISHED)
    found = (read_packaged(f"presets/{PUBLISHED}/{item.name}") for item in folder.iterdir())
    return frozenset(protocol for blocks in found for protocol in blocks)
