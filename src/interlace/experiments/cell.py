"""A cell of a grid: one method, fitted once and scored on what a protocol says."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from interlace import methods, protocols
from interlace._util.schema import check, shown
from interlace.adaptation.fit import fit, ready
from interlace.adaptation.presets import check_preset, preset_name
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.config import PUBLISHED, TRAINING, Count, check_seed, read_settings
from interlace.data.datasets.registry import is_known
from interlace.data.images.loader import Images
from interlace.errors import InterlaceError
from interlace.experiments.details import details
from interlace.experiments.measure import Measured, environment
from interlace.experiments.record import CELL_FORMAT
from interlace.protocols.classification import Scored
from interlace.protocols.condition import CLEAN, Condition
from interlace.protocols.setting import Setting
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
        settings: for all methods; what a method does not know is not for it.
        targets: what to score besides, as the protocol takes it.
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


def grid(
    protocol: str,
    data: Sequence[str],
    names: Sequence[str],
    shots: Sequence[int],
    seeds: Sequence[int],
    *,
    settings: Mapping[str, Any] | None = None,
    kinds: Sequence[str] = (),
    **rest: Any,
) -> list[CellSpec]:
    """List the cells of a grid, and check every setting before the first of them runs.

    Args:
        protocol: name of the protocol.
        data: data sets.
        names: methods, with settings of their own where they have any; zero-shot comes by itself,
            as what all are compared with.
        shots: training images per class.
        seeds: seeds.
        settings: for all methods; one that only some know goes to these.
        kinds: which kinds of conditions to run, of a protocol that has several; all by default.
        **rest: the other fields of :class:`CellSpec`.

    Raises:
        InterlaceError: if a protocol, a method, a setting or a preset is not known, or nothing is
            asked for.
    """
    chosen = protocols.get(protocol)
    check_preset(rest.get("preset"))
    if not (data and names and shots and seeds):
        raise InterlaceError("a grid needs at least one data set, method, number of shots and seed")
    seeds = list(dict.fromkeys(check_seed(seed) for seed in seeds))  # a cell twice is one cell
    shots = list(dict.fromkeys(check("shots", count, Count) for count in shots))
    order = list(dict.fromkeys(["zero_shot", *names]))
    settings_of_each(order, settings or {})  # a wrong one is known before the first cell
    conditions = chosen.conditions()
    known = {condition.kind for condition in conditions} - {CLEAN.kind}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        there = ", ".join(sorted(known)) or "none"
        raise InterlaceError(f"{chosen.name} has no condition {unknown[0]!r}; it has {there}")
    wanted = [c for c in conditions if not kinds or c == CLEAN or c.kind in kinds]
    return [
        CellSpec(chosen.name, one, name, count, seed, settings or {}, condition=condition, **rest)
        for one in dict.fromkeys(data)
        for count in shots
        for seed in seeds
        for condition in wanted
        for name in order
    ]


def settings_of_each(
    names: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Say which settings each method takes.

    Args:
        names: methods; settings of one alone follow its key, as in ``mail:rank=0``.
        settings: for all methods; one that only some know goes to these.

    Raises:
        InterlaceError: if a method is not known, a setting is known to none of them, or a value is
            out of range.
    """
    keys = {name: name.partition(":")[0] for name in names}
    found = {name: settings_of(name, settings) for name in names}
    for setting in settings:
        known = (TRAINING | set(methods.parameters(key)) for key in keys.values())
        if not any(setting in own for own in known):
            raise InterlaceError(f"none of {', '.join(names)} takes a setting {shown(setting)}")
    for name, own in found.items():
        methods.configure(keys[name], own)
    return found


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
        root: the data root, for data sets of the field.
        device: ``auto``, ``cpu``, ``cuda:1``, ...
        threads: threads of the CPU. Sums depend on it in their last bits, so cells that are to be
            compared bit by bit need the same.

    Returns:
        The record of the cell. An error is part of it: nothing is raised but what stops the
        process.
    """
    try:
        torch.set_num_threads(threads)
        record = {**_head(spec), "status": "done", "error": None, **_run(spec, root, device)}
        _check_finite(record)
    except Exception as error:
        reason = {"type": type(error).__name__, "message": str(error)}
        record = failure(spec, {**reason, "traceback": traceback.format_exc()})
    return {**record, **environment(threads)}


def failure(spec: CellSpec, error: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of a cell that came to no result: type, message and traceback say why."""
    return {**_head(spec), "status": "failed", "error": dict(error)}


def _check_finite(record: Mapping[str, Any]) -> None:
    """See that no number of a record is infinite or none: no result can be made of it.

    Raises:
        InterlaceError: naming the first measure that is.
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
        plan: what is fitted and scored.
        preset: the preset of this data set.
        settings: those that the method takes.
    """

    plan: protocols.Plan[Any]
    preset: str | None
    settings: Mapping[str, Any]


def prepared(
    spec: CellSpec, clip: DualEncoder, root: Path | str | None, device: str
) -> PreparedCell:
    """Make all that a cell needs before it learns anything.

    Raises:
        InterlaceError: if it cannot be fitted or its targets could not be scored.
    """
    plan = protocols.get(spec.protocol).plan(setting_of(spec, clip.template, root))
    preset = spec.preset
    if preset == PUBLISHED:
        preset = preset_name(spec.protocol, spec.data, root)
    settings = settings_of(spec.method, spec.settings)
    built, *_ = ready(
        clip, plan.task, spec.key, seed=spec.seed, preset=preset, device=device, **settings
    )
    plan.check(built)  # what cannot be scored is not fitted
    return PreparedCell(plan, preset, settings)


def _run(spec: CellSpec, root: Path | str | None, device: str) -> dict[str, Any]:
    clip = _load(spec.model).to(resolve_device(device))  # once for all cells of this process
    cell = prepared(spec, clip, root, device)
    plan = cell.plan
    cost = Measured(device)
    with cost.measure("fit"):
        adapted = fit(
            clip,
            plan.task,
            spec.key,
            seed=spec.seed,
            preset=cell.preset,
            device=device,
            **cell.settings,
        )
    with cost.measure("score"):
        scored = plan.score(adapted, _decoded)
    own = not is_known(spec.data, root)
    return {
        "run": adapted.config.to_dict(),
        "tuned": adapted.config.tuned,
        "split_hash": plan.split_hash,
        "backbone": {"source": clip.source, "fingerprint": _fingerprint(spec.model)},
        "parameters": sum(p.numel() for p in adapted.method.parameters()),
        "metrics": {
            name: found.to_dict()
            | ({"details": details(found)} if own and isinstance(found, Scored) else {})
            for name, found in scored.items()
        },
        "seconds": cost.seconds,
        "peak_memory": cost.peak_memory,
    }


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
