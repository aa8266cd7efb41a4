"""Engines: where the cells of a grid run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from interlace.experiments.cell import CellSpec


class Engine(Protocol):
    """Runs cells in any order."""

    #: How many run at a time.
    workers: int

    def run(
        self, specs: Sequence[CellSpec], started: Callable[[CellSpec], None]
    ) -> Iterator[dict[str, Any]]:
        """Run every cell, and yield its record when it ends.

        Args:
            specs: the cells.
            started: called when a cell begins, as far as the engine knows.
        """
        ...


def make_engine(
    name: str, workers: int | None = None, root: Path | str | None = None, device: str = "auto"
) -> Engine:
    """Make the engine of a name.

    Args:
        name: ``local`` or ``ray``.
        workers: cells at a time; by default what the engine finds room for.
        root: the data root, for standard benchmarks.
        device: as in :func:`interlace.fit`.

    Raises:
        InterlaceError: if Ray is asked for and not installed, or has no cluster.
    """
    if name == "ray":
        from interlace.experiments.engines.ray import Ray

        return Ray(workers, root, device)
    from interlace.experiments.engines.local import Local

    return Local(workers, root, device)
