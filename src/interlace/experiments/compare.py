"""Several methods on the same shots: base, novel and their harmonic mean over seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlace._util.text import listed
from interlace.adaptation.fit import fit, ready
from interlace.adaptation.model import AdaptedModel
from interlace.adaptation.placement import on_device
from interlace.backbone.dual import DualEncoder
from interlace.config import check_seed
from interlace.data.images.loader import Images
from interlace.data.records import Record
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.evaluation.classification import harmonic_mean
from interlace.evaluation.statistics import PairedDifference, mean_interval, paired_difference
from interlace.experiments.cell import settings_of_each
from interlace.protocols import base_to_novel
from interlace.protocols.base_to_novel import BaseNovelScores
from interlace.train.callbacks import Progress
from interlace.train.optim import resolve_device

MEASURES = ("base", "novel", "harmonic", "joint")


@dataclass(frozen=True)
class Cell:
    """One method on the shots of one seed.

    Attributes:
        method: the method as it was asked for, with settings of its own if it has any.
        seed: of the shots, the initial values and the augmentation.
        scores: what it reached.
        parameters: how many numbers it trained.
        seconds: how long the fit took.
        run: its settings, as JSON.
        split_hash: hash of the shots it was fitted on.
        left_out: test images that were not scored, because the fit used them under another name.
    """

    method: str
    seed: int
    scores: BaseNovelScores
    parameters: int
    seconds: float
    run: Mapping[str, Any]
    split_hash: str
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "scores": self.scores.to_dict(), "run": dict(self.run)}


@dataclass(frozen=True)
class Summary:
    """One measure of one method over all seeds, as fractions.

    Attributes:
        mean: mean over seeds; for the harmonic mean, that of the mean base and novel accuracy.
        half_width: half the 95 % t-interval of the mean; None for a single seed.
        gain: paired difference to zero-shot on identical shots.
    """

    mean: float
    half_width: float | None
    gain: PairedDifference


def compare(
    clip: DualEncoder,
    task: Callable[[int], FewShotTask],
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = "auto",
    device: str = "auto",
    report: Callable[[str, int, Progress], None] | None = None,
    finished: Callable[[Cell, AdaptedModel], None] | None = None,
) -> list[Cell]:
    """Fit each method on the base classes of the same shots, for every seed.

    Zero-shot is always among the results.

    Args:
        clip: the frozen model.
        task: the task of a seed, with all its classes.
        names: keys of the methods; settings of one alone follow its key, as in ``mail:rank=0``.
        seeds: one fit of each method per seed.
        settings: as in :func:`interlace.fit`, for all methods; a setting that only some of them
            know goes to these.
        preset: as in :func:`interlace.fit`.
        device: as in :func:`interlace.fit`.
        report: called after each step with method and seed, for a progress bar.
        finished: called after each cell with it and the adapted model.

    Returns:
        One cell per seed and method.

    Raises:
        InterlaceError: if a method, a setting or the task cannot be used.
    """
    if not names or not seeds:
        raise InterlaceError("a comparison needs at least one method and one seed")
    clip = on_device(clip, resolve_device(device))  # once for all fits
    seeds = [check_seed(seed) for seed in seeds]
    if len(set(seeds)) < len(seeds):
        raise InterlaceError(f"seeds {listed(seeds)}: each counts once")
    order = list(dict.fromkeys(["zero_shot", *names]))
    own = settings_of_each(order, settings or {})
    plans = {seed: base_to_novel.of_task(task(seed)) for seed in seeds}
    for seed, plan in plans.items():
        for name in order:  # what is refused is refused before the first fit
            key = name.partition(":")[0]
            built, *_ = ready(
                clip, plan.task, key, seed=seed, preset=preset, device=device, **own[name]
            )
            plan.check(built)
    decoded: dict[tuple[Record, ...], Images] = {}  # seeds often share their test images
    cells = []
    for seed, plan in plans.items():
        whole = plan.targets[-1]
        images = decoded.setdefault(whole.task.test, Images(whole.task.test))
        for name in order:
            started = time.perf_counter()
            adapted = fit(
                clip,
                plan.task,
                name.partition(":")[0],
                seed=seed,
                preset=preset,
                device=device,
                report=None if report is None else _bind(report, name, seed),
                **own[name],
            )
            seconds = time.perf_counter() - started
            cell = Cell(
                method=name,
                seed=seed,
                scores=base_to_novel.of_plan(adapted, plan, images),
                parameters=sum(p.numel() for p in adapted.method.parameters()),
                seconds=seconds,
                run=adapted.config.to_dict(),
                split_hash=plan.split_hash,
                left_out=whole.left_out,
            )
            cells.append(cell)
            if finished is not None:
                finished(cell, adapted)
    return cells


def _bind(
    report: Callable[[str, int, Progress], None], name: str, seed: int
) -> Callable[[Progress], None]:
    return lambda step: report(name, seed, step)


def summarize(cells: Sequence[Cell], method: str, measure: str) -> Summary | None:
    """One measure of one method over the seeds of ``cells``.

    Args:
        cells: what :func:`compare` returned.
        method: key of a method among them.
        measure: ``base``, ``novel``, ``harmonic`` or ``joint``.

    Returns:
        None where the method has no such value.
    """
    values, zero_shot = (_values(cells, name, measure) for name in (method, "zero_shot"))
    if not values:
        return None
    mean = mean_interval(values).mean
    if measure == "harmonic":
        halves = [mean_interval(_values(cells, method, half)).mean for half in ("base", "novel")]
        mean = harmonic_mean(*halves)
    return Summary(mean, mean_interval(values).half_width, paired_difference(zero_shot, values))


def _values(cells: Sequence[Cell], method: str, measure: str) -> list[float]:
    found = [getattr(cell.scores, measure) for cell in cells if cell.method == method]
    return [value for value in found if value is not None]
