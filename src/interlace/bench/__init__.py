"""A grid of independent runs: one protocol, several data sets, methods, shots and seeds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interlace.bench.cell import CellSpec, grid, run_cell
    from interlace.bench.store import Store

__all__ = ["CellSpec", "Store", "grid", "run_cell"]


def __getattr__(name: str) -> Any:
    # late: a report reads records and fits nothing
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'store' if name == 'Store' else 'cell'}"), name)
