"""What hears of a fit while it runs: progress bars, the memory plan, trackers.

:class:`Callback` is the one protocol. :func:`make_tracker` makes a tracker for TensorBoard or
Weights & Biases; both are optional packages and are imported only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.train.memory import MemoryPlan


@dataclass(frozen=True)
class Progress:
    """One training step, for a progress bar.

    Attributes:
        epoch: 1-based epoch of ``epochs``.
        epochs: epochs of the whole run.
        step: 1-based step of ``steps`` in this epoch.
        steps: steps of this epoch.
        loss: mean loss of the epoch so far.
        accuracy: share of the epoch's images classified right so far, 0 to 1.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float


class Callback:
    """Hears of a fit while it runs; derive from it and override what you need.

    An exception raised here ends the fit, which can be resumed where it has a checkpoint.
    """

    def on_fit_start(self) -> None:
        """Come before anything else, once, whether or not anything is trained."""

    def on_plan(self, plan: MemoryPlan) -> None:
        """Come before the first step, where a step's need of memory was measured.

        Args:
            plan: what a step needs and how it is fitted into memory.
        """

    def on_step(self, progress: Progress) -> None:
        """Come after each optimiser step.

        Args:
            progress: where the fit is.
        """

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        """Come after each epoch and its validation, before its checkpoint is written.

        Args:
            row: epoch (1-based), loss, accuracy, learning rate, and validation accuracy where it
                was computed.
        """

    def on_fit_end(self) -> None:
        """Come last, when the fit has succeeded."""


class Tracker(Protocol):
    """Takes the metrics of a fit as they come."""

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Take note of what is fitted; called once, right before the first epoch."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take ``values`` by name, as they are after ``step`` epochs."""
        ...

    def close(self) -> None:
        """Write out what is left; nothing comes after it."""
        ...


@dataclass
class StepCallback(Callback):
    """Calls a function after each step, such as a progress bar's.

    Attributes:
        report: the function.
    """

    report: Callable[[Progress], None]

    def on_step(self, progress: Progress) -> None:
        """Hand it on."""
        self.report(progress)


@dataclass
class PlanCallback(Callback):
    """Calls a function with the memory that a step needs.

    Attributes:
        planned: the function.
    """

    planned: Callable[[MemoryPlan], None]

    def on_plan(self, plan: MemoryPlan) -> None:
        """Hand it on."""
        self.planned(plan)


@dataclass
class TrackerCallback(Callback):
    """Logs each epoch to a tracker; who made the tracker closes it.

    Attributes:
        tracker: where to.
        settings: what is fitted, by name.
    """

    tracker: Tracker
    settings: Mapping[str, Any]

    def on_fit_start(self) -> None:
        """Begin with the settings."""
        self.tracker.begin(self.settings)

    def on_epoch_end(self, row: Mapping[str, float]) -> None:
        """Log all but the number of the epoch, which is the step."""
        values = {name: value for name, value in row.items() if name != "epoch"}
        self.tracker.log(values, int(row["epoch"]))


def make_callbacks(
    settings: Mapping[str, Any],
    report: Callable[[Progress], None] | None = None,
    planned: Callable[[MemoryPlan], None] | None = None,
    tracker: Tracker | None = None,
) -> list[Callback]:
    """Make callbacks of the functions that :func:`interlace.fit` takes.

    Args:
        settings: what is fitted, for the tracker.
        report: called after each step.
        planned: called with the memory that a step needs.
        tracker: takes the metrics of each epoch.
    """
    made: list[Callback] = []
    if tracker is not None:
        made.append(TrackerCallback(tracker, settings))
    if report is not None:
        made.append(StepCallback(report))
    if planned is not None:
        made.append(PlanCallback(planned))
    return made


def make_tracker(kind: str, folder: Path) -> Tracker:
    """Make a tracker; nothing is written before a fit begins.

    Args:
        kind: ``tensorboard``, which writes to ``folder``/tensorboard, or ``wandb``, which writes
            to ``folder`` too and sends it on as Weights & Biases is set up
            (``WANDB_MODE=offline`` sends nothing).
        folder: output folder of the fit; its name is the run's.

    Raises:
        InterlaceError: if there is no such kind, or its package is not installed.
    """
    makers: dict[str, Callable[[Path], Tracker]] = {
        "tensorboard": _TensorBoard,
        "wandb": _WeightsAndBiases,
    }
    if kind not in makers:
        raise InterlaceError(f"track={kind!r}: must be {' or '.join(makers)}")
    try:
        return makers[kind](folder)
    except ImportError:
        raise InterlaceError(
            f"{kind} is not installed: pip install {kind}, or interlace with [track]"
        ) from None


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._open = partial(SummaryWriter, str(folder / "tensorboard"))
        self._writer: Any = None

    def begin(self, settings: Mapping[str, Any]) -> None:
        self._writer = self._open()
        rows = "\n".join(f"    {name}: {value}" for name, value in settings.items())
        self._writer.add_text("settings", rows)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _WeightsAndBiases:
    def __init__(self, folder: Path) -> None:
        import wandb

        name = folder.resolve().name
        self._open = partial(wandb.init, project="interlace", name=name, dir=str(folder))
        self._run: Any = None

    def begin(self, settings: Mapping[str, Any]) -> None:
        self._run = self._open(config=dict(settings))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
