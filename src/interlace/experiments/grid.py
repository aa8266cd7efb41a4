"""Run the cells of a grid that have no result yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from interlace.experiments.cell import CellSpec
from interlace.experiments.engines.local import Engine
from interlace.experiments.store import Store


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
