"""What commands over many images share: their bar, their interrupt, lines on what was skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from interlace._util.text import count_of, listed
from interlace.cli._output import err

if TYPE_CHECKING:
    from interlace.data.records import Skipped

SHOWN = 10


@contextmanager
def image_bar(title: str, resumes: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar over images; it takes how many are done and how many there are.

    Args:
        title: what is done with them.
        resumes: what an interrupt says after "interrupted:".
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(
            *columns, console=err, transient=True, disable=not err.is_terminal
        ) as progress:
            bar = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)
    except KeyboardInterrupt:
        err.print(f"interrupted: {resumes}")
        raise typer.Exit(130) from None


def tell_skipped(skipped: Sequence[Skipped], hidden: Sequence[Skipped] = ()) -> None:
    """Print the first few files that were left out, and how many more and hidden ones."""
    for item in skipped[:SHOWN]:
        err.print(f"  skipped {item.key}: {item.reason}")
    if len(skipped) > SHOWN:
        err.print(f"  and {len(skipped) - SHOWN} more")
    if hidden:
        names = listed([item.key for item in hidden], 3)
        verb = "was" if len(hidden) == 1 else "were"
        err.print(f"  {count_of(len(hidden), 'hidden file')} {verb} not read: {names}")


class DataNotes(Protocol):
    """What reading a data set tells: a task, or the report of a check."""

    @property
    def notes(self) -> Sequence[str]:
        """How the data was understood."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Files that could not be used."""

    @property
    def hidden(self) -> Sequence[Skipped]:
        """Files that are hidden."""


def tell_data(data: DataNotes) -> None:
    """Print how a data set was understood, and what of it was left out."""
    tell_notes(data.notes)
    tell_skipped(data.skipped, data.hidden)


def tell_notes(notes: Sequence[str]) -> None:
    """Print how data was understood, a line for each note."""
    for note in notes:
        err.print(f"  note: {note}")
