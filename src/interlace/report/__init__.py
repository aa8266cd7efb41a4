"""Reports: what cells amount to, as a page or as tables."""

from typing import TYPE_CHECKING

from interlace._util.on_demand import on_demand
from interlace.experiments.reading import Cell, Setup
from interlace.experiments.summaries import BaselineComparison, Panel, Summary
from interlace.protocols.condition import Condition
from interlace.report.notices import Notice, notices
from interlace.report.results import Results, load_cells, results_of

if TYPE_CHECKING:
    from interlace.report.html import write_html

__all__ = [
    "BaselineComparison",
    "Cell",
    "Condition",
    "Notice",
    "Panel",
    "Results",
    "Setup",
    "Summary",
    "load_cells",
    "notices",
    "results_of",
    "write_html",
]


# draws, and text needs no drawings
__getattr__ = on_demand(__name__, {"write_html": "report.html"})
