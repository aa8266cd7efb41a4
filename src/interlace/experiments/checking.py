"""What a grid would fail with in every cell, found before the first of them runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from interlace import protocols
from interlace.backbone.dual import DualEncoder
from interlace.backbone.load import load
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, prepared, setting_of


def check_cells(
    specs: Sequence[CellSpec], root: Path | str | None = None, device: str | None = "auto"
) -> tuple[DualEncoder, list[FewShotTask]]:
    """Prepare each method on each data set once, up to its first step.

    Args:
        specs: cells that are to run, all with one model.
        root: the data root, for data sets of the field.
        device: where they will run; None where that is another machine, so that no more than the
            data and the model are looked at.

    Returns:
        The model, and the tasks that are fitted and scored, without those of one name twice.

    Raises:
        InterlaceError: naming the data set and the method that cannot be used, and why.
    """
    clip = load(specs[0].model)
    tasks: dict[str, FewShotTask] = {}
    looked: set[tuple[str, str]] = set()
    stored: set[tuple[str, int, int]] = set()
    for spec in specs:
        if device is None:
            spec = replace(spec, method="zero_shot", settings={})
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
            plan = prepared(spec, clip, root, device or "cpu").plan
        except InterlaceError as error:
            raise InterlaceError(f"{spec.method} on {spec.data}: {error}") from None
        for task in plan.tasks:
            tasks.setdefault(task.name, task)
    return clip, list(tasks.values())
