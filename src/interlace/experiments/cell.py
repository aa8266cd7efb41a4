"""A cell of a grid: one method, fitted once and scored on what a protocol says."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from interlace import methods, protocols
from interlace.adaptation.fit import configured, fit, ready
from interlace.adaptation.model import AdaptedModel
from interlace.adaptation.presets import preset_name
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import PUBLISHED, TRAINING, RunConfig, read_settings
from interlace.data.datasets.registry import is_known
from interlace.data.images.loader import Images
from interlace.errors import InterlaceError
from interlace.experiments.cost import Measured, environment
from interlace.experiments.details import details
from interlace.experiments.record import CELL_FORMAT
from interlace.protocols.base import Decode, TargetFigures
from interlace.protocols.classification import Scored
from interlace.protocols.condition import CLEAN, Condition
from interlace.protocols.setting import Setting
from interlace.train.callbacks import Progress
from interlace.train.optim import resolve_device

_load = lru_cache(maxsize=1)(load)
#: The images of the last cell stay decoded for the next one: methods and seeds share them.
_decoded = lru_cache(maxsize=1)(Images)


@dataclass(frozen=True)
class CellSpec:
    """What a cell is asked to do; two cells with equal specs have equal results.

    Attributes:
        protocol: name of the protocol.
        data: a folder, a table or the name of a data set.
        method: the method as it was asked for: its key, and settings of its own if it has any, as
            in ``mail:rank=0``.
        shots: training images per class.
        seed: of the draw, of the initial values and of the augmentation.
        settings: for all methods; each takes those that it knows.
        targets: what else to score, as the protocol takes it.
        condition: what a robustness study changes.
        model: the frozen model, as :func:`interlace.load` takes it.
        preset: as in :func:`interlace.fit`; ``published`` is what the method's authors published
            for this protocol and data set.
        template: prompt instead of the data's own.
        split: stored draws to use, with ``{seed}`` in the place of the seed.
    """

    protocol: str
    data: str
    method: str
    shots: int
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    condition: Condition = CLEAN
    model: str = "picto"
    preset: str | None = "auto"
    template: str | None = None
    split: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "settings": dict(self.settings), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CellSpec:
        """Inverse of :meth:`to_dict`."""
        condition = Condition(**data["condition"])
        return cls(**{**data, "targets": tuple(data["targets"]), "condition": condition})

    @property
    def id(self) -> str:
        """Hash of the spec, 16 hex digits."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def key(self) -> str:
        """The method's key, without settings."""
        return self.method.partition(":")[0]

    def __str__(self) -> str:
        condition = "" if self.condition == CLEAN else f", {self.condition}"
        return f"{self.method} on {self.data}, {self.shots} shots, seed {self.seed}{condition}"


def settings_of(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``settings`` that a method knows, and over them its own.

    Args:
        name: a method; settings of its own follow its key, as in ``mail:rank=0``.
        settings: for all methods.

    Raises:
        InterlaceError: if the method is not known, or a setting of its own is no ``key=value``.
    """
    key, *own = name.split(":")
    methods.get(key)
    known = TRAINING | set(methods.parameters(key))
    return {k: v for k, v in settings.items() if k in known} | read_settings(None, own)


def run_cell(
    spec: CellSpec, *, root: Path | str | None = None, device: str = "auto", threads: int = 1
) -> dict[str, Any]:
    """Fit and score one cell.

    Args:
        spec: the cell.
        root: the data root, for standard benchmarks.
        device: ``auto``, ``cpu``, ``cuda:1``, ...
        threads: threads of the CPU. Sums depend on it in their last bits, so cells that are to be
            compared bit by bit need the same.

    Returns:
        The record of the cell. An error is part of it: nothing is raised but what stops the
        process.
    """
    try:
        torch.set_num_threads(threads)
        record = _run(spec, root, device)
        _check_finite(record)
    except Exception as error:
        reason = {"type": type(error).__name__, "message": str(error)}
        record = failure(spec, {**reason, "traceback": traceback.format_exc()})
    return {**record, **environment(threads)}


def failure(spec: CellSpec, error: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a cell that came to no result: type, message and traceback say why."""
    return {**_head(spec), "status": "failed", "error": dict(error)}


def _check_finite(record: Mapping[str, Any]) -> None:
    """See that every number of a record is finite.

    Raises:
        InterlaceError: naming the first measure that is not.
    """
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        wrong = (
            f" ({name} of {target})"
            for target, measures in record["metrics"].items()
            for name, value in measures.items()
            if isinstance(value, float) and not math.isfinite(value)
        )
        raise InterlaceError(
            f"the result holds a number that is not finite{next(wrong, '')}: the fit diverged"
        ) from None


def _head(spec: CellSpec) -> dict[str, Any]:
    return {"format": CELL_FORMAT, "id": spec.id, "spec": spec.to_dict()}


@dataclass(frozen=True)
class PreparedCell:
    """A cell before its first step.

    Attributes:
        spec: what is asked for.
        plan: what is fitted and scored.
        preset: the preset of this data set.
        settings: those that the method takes.
    """

    spec: CellSpec
    plan: protocols.Plan[Any]
    preset: str | None
    settings: Mapping[str, Any]


def plan_cell(
    spec: CellSpec, clip: DualEncoder, root: Path | str | None, device: str
) -> PreparedCell:
    """Draw what a cell is fitted and scored on, and prepare it.

    Raises:
        InterlaceError: as :func:`prepare_cell`, or if the data cannot be used.
    """
    plan = protocols.get(spec.protocol).plan(setting_of(spec, clip.template, root))
    return prepare_cell(spec, plan, _preset(spec, root), clip, device)


def _preset(spec: CellSpec, root: Path | str | None) -> str | None:
    if spec.preset == PUBLISHED:
        return preset_name(spec.protocol, spec.data, root)
    return spec.preset


def run_config(spec: CellSpec, clip: DualEncoder, root: Path | str | None) -> RunConfig:
    """Return the settings with which a cell would run today."""
    settings = settings_of(spec.method, spec.settings)
    return configured(clip, spec.key, settings, seed=spec.seed, preset=_preset(spec, root))


def prepare_cell(
    spec: CellSpec, plan: protocols.Plan[Any], preset: str | None, clip: DualEncoder, device: str
) -> PreparedCell:
    """Make all that a cell needs before it learns anything.

    Raises:
        InterlaceError: if it cannot be fitted or its targets could not be scored.
    """
    settings = settings_of(spec.method, spec.settings)
    built, *_ = ready(
        clip, plan.task, spec.key, seed=spec.seed, preset=preset, device=device, **settings
    )
    plan.check(built)  # what cannot be scored is not fitted
    return PreparedCell(spec, plan, preset, settings)


def fit_and_score(
    cell: PreparedCell,
    clip: DualEncoder,
    device: str,
    decode: Decode,
    fingerprint: str,
    report: Callable[[Progress], None] | None = None,
) -> tuple[AdaptedModel, Mapping[str, TargetFigures], dict[str, Any]]:
    """Fit and score a prepared cell: the one way in which experiments do it.

    Args:
        cell: the cell.
        clip: the frozen model.
        device: as in :func:`interlace.fit`.
        decode: makes the images to score ready, and may keep them for the next cell.
        fingerprint: of ``clip``, which takes long to compute.
        report: as in :func:`interlace.fit`.

    Returns:
        The adapted model, the figures of each target, and what the record of the cell says of them.
    """
    cost = Measured(device)
    with cost.measure("fit"):
        adapted = fit(
            clip,
            cell.plan.task,
            cell.spec.key,
            seed=cell.spec.seed,
            preset=cell.preset,
            device=device,
            report=report,
            **cell.settings,
        )
    with cost.measure("score"):
        scored = cell.plan.score(adapted, decode)
    record = {
        **_head(cell.spec),
        "status": "done",
        "error": None,
        "run": adapted.config.to_dict(),
        "tuned": adapted.config.tuned,
        "split_hash": cell.plan.split_hash,
        "backbone": {"source": clip.source, "fingerprint": fingerprint},
        "parameters": sum(p.numel() for p in adapted.method.parameters()),
        "metrics": {name: figures.to_dict() for name, figures in scored.items()},
        "seconds": cost.seconds,
        "peak_memory": cost.peak_memory,
    }
    return adapted, scored, record


def _run(spec: CellSpec, root: Path | str | None, device: str) -> dict[str, Any]:
    clip = _load(spec.model).to(resolve_device(device))  # once for all cells of this process
    cell = plan_cell(spec, clip, root, device)
    _, scored, record = fit_and_score(cell, clip, device, _decoded, _fingerprint(spec.model))
    if not is_known(spec.data, root):  # of a user's own images, what it confuses
        for name, found in scored.items():
            if isinstance(found, Scored):
                record["metrics"][name]["details"] = details(found)
    return record


def setting_of(spec: CellSpec, own_template: str, root: Path | str | None) -> Setting:
    """Return what the protocol of a cell is run on.

    ``own_template`` is for images of the user's own.
    """
    return Setting(
        data=spec.data,
        shots=spec.shots,
        seed=spec.seed,
        targets=spec.targets,
        condition=spec.condition,
        template=spec.template,
        root=root,
        split=spec.split and spec.split.replace("{seed}", str(spec.seed)),
        own_template=own_template,
    )


@lru_cache(maxsize=1)
def _fingerprint(model: str) -> str:
    return _load(model).fingerprint()
