"""Several methods on the same shots: a base-to-novel grid that runs in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlace._util.text import listed
from interlace.adaptation.model import AdaptedModel
from interlace.adaptation.placement import on_device
from interlace.backbone.dual import DualEncoder
from interlace.config import check_seed
from interlace.data.images.loader import Images
from interlace.data.records import Record
from interlace.data.task import FewShotTask
from interlace.errors import InterlaceError
from interlace.experiments.cell import CellSpec, PreparedCell, fit_and_score, prepare_cell
from interlace.experiments.grid import settings_of_each
from interlace.experiments.reading import Cell, parse_cell
from interlace.experiments.summaries import BASELINE, Summary, summarize
from interlace.protocols import base_to_novel
from interlace.protocols.base import Decode
from interlace.protocols.base_to_novel import BaseNovelScores
from interlace.protocols.classification import ClassificationPlan
from interlace.train.callbacks import Progress
from interlace.train.optim import resolve_device


@dataclass(frozen=True)
class ComparedCell:
    """One method on the shots of one seed.

    Attributes:
        cell: its record, as a grid keeps it.
        scores: what it reached.
        left_out: test images that were not scored, because the fit used them under another name.
    """

    cell: Cell
    scores: BaseNovelScores
    left_out: int = 0

    @property
    def method(self) -> str:
        """The method as it was asked for, with settings of its own if it has any."""
        return self.cell.method

    @property
    def seed(self) -> int:
        """Seed of the shots, the initial values and the augmentation."""
        return self.cell.seed

    @property
    def parameters(self) -> int:
        """How many parameters it trained."""
        return int(self.cell.record["parameters"])

    @property
    def seconds(self) -> float:
        """How long the fit took."""
        return float(self.cell.part("seconds")["fit"])

    @property
    def run(self) -> Mapping[str, Any]:
        """Its settings, as JSON."""
        return self.cell.part("run")

    @property
    def split_hash(self) -> str:
        """Hash of the shots it was fitted on."""
        return self.cell.split_hash

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "method": self.method,
            "seed": self.seed,
            "scores": self.scores.to_dict(),
            "parameters": self.parameters,
            "seconds": self.seconds,
            "run": dict(self.run),
            "split_hash": self.split_hash,
            "left_out": self.left_out,
        }


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
    finished: Callable[[ComparedCell, AdaptedModel], None] | None = None,
) -> list[ComparedCell]:
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
    order = list(dict.fromkeys([BASELINE, *names]))
    # numbers of numpy as what JSON knows
    plain = {name: getattr(v, "item", lambda v=v: v)() for name, v in (settings or {}).items()}
    settings_of_each(order, plain)
    plans = {seed: base_to_novel.of_task(task(seed)) for seed in seeds}
    prepared = [  # what is refused is refused before the first fit
        prepare_cell(_spec(clip, plan, name, seed, plain, preset), plan, preset, clip, device)
        for seed, plan in plans.items()
        for name in order
    ]
    fingerprint = clip.fingerprint()
    decoded: dict[tuple[Record, ...], Images] = {}  # seeds often share their test images
    found = []
    for own in prepared:
        test = own.plan.targets[-1].task.test
        decode = _kept(decoded.setdefault(test, Images(test)))
        told = None if report is None else _bind(report, own.spec.method, own.spec.seed)
        adapted, _, record = fit_and_score(own, clip, device, decode, fingerprint, told)
        found.append(_compared(own, record))
        if finished is not None:
            finished(found[-1], adapted)
    return found


def _spec(
    clip: DualEncoder,
    plan: ClassificationPlan,
    name: str,
    seed: int,
    settings: Mapping[str, Any],
    preset: str | None,
) -> CellSpec:
    """Say what a cell is asked to do; its data is known by name alone."""
    return CellSpec(
        "base_to_novel",
        plan.targets[-1].task.name,
        name,
        plan.task.shots,
        seed,
        settings,
        model=str(clip.source),
        preset=preset,
    )


def _compared(own: PreparedCell, record: dict[str, Any]) -> ComparedCell:
    base, novel, whole = own.plan.targets
    top1 = {target: figures["top1"] for target, figures in record["metrics"].items()}
    scores = BaseNovelScores(
        base=top1["base"],
        novel=top1.get("novel"),
        joint=top1.get("joint"),
        n_base=len(base.task.test),
        n_novel=len(novel.task.test),
    )
    return ComparedCell(parse_cell(record), scores, whole.left_out)


def _kept(images: Images) -> Decode:
    """Score on test images that are kept decoded, in their own order."""
    return lambda records: images


def _bind(
    report: Callable[[str, int, Progress], None], name: str, seed: int
) -> Callable[[Progress], None]:
    return lambda step: report(name, seed, step)


def summarize_comparison(cells: Iterable[ComparedCell]) -> dict[tuple[str, str], Summary]:
    """Sum up the accuracy of each method over the seeds.

    Args:
        cells: what :func:`compare` returned.

    Returns:
        Summaries by method and target: ``base``, ``novel``, ``hm`` or ``joint``; a method that
        answers only for the classes of its fit has none but the first.
    """
    found = summarize((compared.cell for compared in cells), BASELINE)
    return {(s.method, s.target): s for s in found if s.measure == "top1"}
