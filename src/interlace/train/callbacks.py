"""Where a fit's figures go besides its own files: TensorBoard or Weights & Biases.

Both are optional packages and are imported only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from interlace.errors import InterlaceError

TrackerKind = Literal["tensorboard", "wandb"]
KINDS: tuple[TrackerKind, ...] = ("tensorboard", "wandb")


class Tracker(Protocol):
    """Takes the figures of a fit as they come."""

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Take note of what is fitted; called once, right before the first epoch."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take ``values`` by name, as they are after ``step`` epochs."""
        ...

    def close(self) -> None:
        """Write out what is left; nothing comes after it."""
        ...


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
        raise InterlaceError(f"track={kind!r}: must be {' or '.join(KINDS)}")
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
