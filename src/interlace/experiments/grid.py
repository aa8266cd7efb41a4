"""A grid of cells: which there are, what would stop all of them, and running those left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlace import methods, protocols
from interlace._util.schema import check, shown
from interlace._util.text import printable
from interlace.adaptation.presets import check_preset
from interlace.backbone.dual import DualEncoder
from interlace.config import TRAINING, Count, check_seed
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, plan_cell, run_config, setting_of, settings_of
from interlace.experiments.engines import Engine
from interlace.experiments.store import Store
from interlace.experiments.summaries import BASELINE
from interlace.protocols.condition import CLEAN


def list_cells(
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
            as the baseline of all.
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
    order = list(dict.fromkeys([BASELINE, *names]))
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


def check_cells(
    specs: Sequence[CellSpec],
    clip: DualEncoder,
    root: Path | str | None = None,
    device: str | None = "auto",
) -> list[FewShotTask]:
    """Prepare each method on each data set once, up to its first step.

    Args:
        specs: cells that are to run, all with one model.
        clip: that model.
        root: the data root, for standard benchmarks.
        device: where they will run; None where that is another machine, so that no more than the
            data and the model are looked at.

    Returns:
        The tasks that are fitted and scored, without those of one name twice.

    Raises:
        InterlaceError: naming the data set and the method that cannot be used, and why.
    """
    tasks: dict[str, FewShotTask] = {}
    looked: set[tuple[str, str]] = set()
    stored: set[tuple[str, int, int]] = set()
    for spec in specs:
        if device is None:
            spec = replace(spec, method=BASELINE, settings={})
        draw = (spec.data, spec.shots, spec.seed)
        known = (spec.data, spec.method) in looked
        if known and (spec.split is None or draw in stored):
            continue
        looked.add((spec.data, spec.method))
        stored.add(draw)
        try:
            if known:  # a stored draw may be missing, whatever there is of others
                protocols.get(spec.protocol).plan(setting_of(spec, clip.template, root))
                continue
            plan = plan_cell(spec, clip, root, device or "cpu").plan
        except InterlaceError as error:
            raise InterlaceError(f"{spec.method} on {spec.data}: {error}") from None
        for task in plan.tasks:
            tasks.setdefault(task.name, task)
    return list(tasks.values())


def check_results(
    specs: Sequence[CellSpec], store: Store, clip: DualEncoder, root: Path | str | None = None
) -> None:
    """See that the results that are there already would come out the same today.

    A record is found by what was asked for. What stands behind it may have changed since: the model
    of a name, the values of a preset, the images of a folder. Such results are not mixed with new
    ones.

    Args:
        specs: cells of a grid, all with one model.
        store: where the records are kept.
        clip: the model of today.
        root: the data root, for standard benchmarks.

    Raises:
        InterlaceError: naming a record that was made otherwise, and in what.
    """
    fingerprint = ""  # takes long to compute: once, and for no record not at all
    looked: set[str] = set()
    for spec in specs:
        record = store.read(spec)
        if record is None or record["status"] != "done":
            continue
        fingerprint = fingerprint or clip.fingerprint()
        if record["backbone"]["fingerprint"] != fingerprint:
            fault = f"with another model than '{printable(clip.source)}' of today"
        else:
            fault = _other_setting(record["run"], run_config(spec, clip, root).to_dict())
        if not fault and spec.data not in looked:
            looked.add(spec.data)
            plan = protocols.get(spec.protocol).plan(setting_of(spec, clip.template, root))
            if record["split_hash"] != plan.split_hash:
                fault = f"with other images of '{printable(spec.data)}'"
        if fault:
            raise InterlaceError(
                f"{store.path(spec)}: this result was made {fault}; name another folder, or delete "
                "the results that are to be made anew"
            )


def _other_setting(before: Mapping[str, Any], today: Mapping[str, Any]) -> str:
    """Say in which setting a run differs from what would be run today, or nothing."""
    then, now = _flat(before), _flat(today)
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            return f"with {name}={shown(then.get(name))}, not {shown(now.get(name))}"
    return ""


def _flat(run: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a run's settings out under one name each, as JSON has them."""
    run = json.loads(json.dumps(run))
    rest = {k: v for k, v in run.items() if k not in ("arguments", "train")}
    return {**rest, **run["arguments"], **run["train"]}


def run_grid(
    specs: Sequence[CellSpec],
    store: Store,
    engine: Engine,
    *,
    started: Callable[[CellSpec], None] | None = None,
    finished: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Run what has not run to its end before, and write each record as it comes.

    Cells that failed, or whose process was killed, are run again; those that are done are not.

    Args:
        specs: the cells.
        store: where the records are kept.
        engine: where the cells run.
        started: called when a cell begins.
        finished: called with the record of a cell when it is written.

    Returns:
        The records of all cells, in the order of ``specs``.
    """
    once = {spec.id: spec for spec in specs}
    open_cells = [spec for spec in once.values() if not store.is_done(spec)]
    for record in engine.run(open_cells, started or (lambda _: None)):
        store.write(record)
        if finished is not None:
            finished(record)
    return list(store.records(list(once.values())))
