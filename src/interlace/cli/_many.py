"""What commands over many images share: their bar, their interrupt, what they skip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
def image_bar(title: str, goes_on: str) -> Iterator[Callable[[int, int | None], None]]:
    """Return a progress bar over images; it takes how many are done and how many there are.

    Args:
        title: what is done with them.
        goes_on: what an interrupt says after "interrupted:".
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
        err.print(f"interrupted: {goes_on}")
        raise typer.Exit(130) from None


def tell_skipped(skipped: Sequence[Skipped], hidden: Sequence[Skipped] = ()) -> None:
    """Return the first few files that were left out, and in a line how many more and hidden."""
    for item in skipped[:SHOWN]:
        err.print(f"  skipped {item.key}: {item.reason}")
    if len(skipped) > SHOWN:
        err.print(f"  and {len(skipped) - SHOWN} more")
    if hidden:
        names = listed([item.key for item in hidden], 3)
        verb = "was" if len(hidden) == 1 else "were"
        err.print(f"  {count_of(len(hidden), 'hidden file')} {verb} not read: {names}")


def tell_notes(notes: Sequence[str]) -> None:
    """Return what a user should know of how data was understood, a line each."""
    for note in notes:
        err.print(f"  note: {note}")


def tell(line: str) -> None:
    """Return a line for the user, as it is."""
    err.print(line)
