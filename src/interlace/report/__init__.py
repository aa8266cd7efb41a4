"""Reports: what the cells of ``interlace bench`` amount to, as a page or as tables."""

from interlace.report.cells import Cell, Condition, Setup
from interlace.report.html import write_html
from interlace.report.notices import Notice
from interlace.report.results import Results, load_cells, results_of
from interlace.report.summaries import BaselineComparison, Panel, Summary

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
    "results_of",
    "write_html",
]
