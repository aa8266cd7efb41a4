"""Running a grid in sight of its user: the live table, what is left, what an interrupt leaves."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from interlace.cli._output import err, percent, tell_error

if TYPE_CHECKING:
    from interlace.experiments.cell import CellSpec
    from interlace.experiments.engines import Engine
    from interlace.experiments.store import Store

_MOST_COLUMNS = 4


def run_in_view(
    specs: Sequence[CellSpec], store: Store, make: Callable[[], Engine]
) -> list[dict[str, Any]]:
    """Run the cells that have no result yet, and show how they get on.

    Args:
        specs: all cells of the grid.
        store: where their records are.
        make: makes the engine, if there is anything to run.

    Returns:
        The records of all cells.
    """
    from interlace.experiments.grid import run_grid

    waiting = [spec for spec in specs if not store.is_done(spec)]
    if len(waiting) < len(specs):
        err.print(f"{len(specs) - len(waiting)} of {len(specs)} cells are done already")
    if not waiting:
        return list(store.records(specs))
    try:
        engine = make()
        with View(waiting, engine.workers, err) as view:
            return run_grid(specs, store, engine, started=view.started, finished=view.finished)
    except KeyboardInterrupt:
        err.print(f"interrupted: the same command resumes from what is in {store.folder}")
        raise typer.Exit(130) from None


def tell_failed(records: Sequence[dict[str, Any]]) -> None:
    """Say how many cells failed, if any, and why the first did; the command fails then."""
    failed = [record for record in records if record["status"] == "failed"]
    if failed:
        first = failed[0]["error"]["message"]
        tell_error(f"{len(failed)} cells failed, the first with: {first}")
        raise typer.Exit(1)


class View:
    """Shows a grid while it runs; one line per cell where there is no terminal.

    Args:
        specs: the cells that will run.
        workers: how many run at a time.
        console: where to.
    """

    def __init__(self, specs: Sequence[CellSpec], workers: int, console: Console) -> None:
        self._workers, self._console = workers, console
        self._total = len(specs)
        self._of_method: dict[str, int] = defaultdict(int)
        for spec in specs:
            self._of_method[spec.method] += 1
        self._running: dict[str, tuple[CellSpec, float]] = {}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._failed: dict[str, int] = defaultdict(int)
        self._reached: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._live = Live(get_renderable=self._render, console=console, transient=True)

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def started(self, spec: CellSpec) -> None:
        """Take note that a cell begins."""
        self._running[spec.id] = (spec, time.monotonic())

    def finished(self, record: dict[str, Any]) -> None:
        """Take note that a cell has ended, and say what it reached."""
        spec, began = self._running.pop(record["id"])
        if record["status"] == "failed":
            self._failed[spec.method] += 1
            self._say(f"{spec}: failed: {record['error']['message']}")
            return
        self._seconds[spec.method].append(time.monotonic() - began)
        for target, values in record["metrics"].items():
            self._reached[spec.method][target].append(_headline(values))
        if not self._console.is_terminal:
            found = record["metrics"].items()
            reached = ", ".join(f"{target} {percent(_headline(own))}" for target, own in found)
            self._say(f"{self._count()}/{self._total} {spec}: {reached}, {self._left()} left")

    def _say(self, line: str) -> None:
        self._console.print(line)

    def _count(self) -> int:
        return sum(map(len, self._seconds.values())) + sum(self._failed.values())

    def _left(self) -> str:
        """Return the time that is left: what each method took so far, for its cells to come."""
        known = [second for own in self._seconds.values() for second in own]
        if not known:
            return "?"
        usual, total = fmean(known), 0.0
        for method, count in self._of_method.items():
            own = self._seconds[method]
            mean = fmean(own) if own else usual
            total += mean * (count - len(own) - self._failed[method])
        now = time.monotonic()
        total -= sum(min(now - began, usual) for _, began in self._running.values())
        minutes, seconds = divmod(round(max(total, 0.0) / self._workers), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"

    def _render(self) -> Group:
        targets = list(dict.fromkeys(t for own in self._reached.values() for t in own))
        shown = targets[:_MOST_COLUMNS]
        table = Table(box=None, pad_edge=False)
        table.add_column("method", no_wrap=True)
        for heading in ("done", "failed", "s", *(f"{target}, %" for target in shown)):
            table.add_column(heading, justify="right", no_wrap=True)
        for method, count in self._of_method.items():
            own, failed = self._seconds[method], self._failed[method]
            means = [self._reached[method].get(target) for target in shown]
            table.add_row(
                method,
                f"{len(own)}/{count}",
                str(failed) if failed else "",
                f"{fmean(own):.1f}" if own else "",
                *("" if not m else percent(fmean(m)) for m in means),
            )
        done = self._count()
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=self._total, completed=done, width=30),
            f"{done}/{self._total} cells, {self._left()} left",
        )
        running = [Text(str(spec), style="dim") for spec, _ in self._running.values()]
        return Group(table, Text(), bar, *running[:8])


def _headline(values: dict[str, Any]) -> float:
    """Return the measure that a target is known by: the first, before which a count may stand."""
    return next(float(value) for name, value in values.items() if name != "n")
