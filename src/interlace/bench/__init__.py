"""A grid of independent runs: one protocol, several data sets, methods, shots and seeds."""

from __future__ import annotations

from interlace.bench.cell import CellSpec, grid, run_cell
from interlace.bench.store import Store

__all__ = ["CellSpec", "Store", "grid", "run_cell"]
