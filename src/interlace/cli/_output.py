"""What the commands share: consoles, the progress bar, tables of accuracies, error lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from interlace._util.files import is_disk_full
from interlace._util.text import first_line
from interlace.cli._console import PlainConsole
from interlace.cli._usage import UsageError, usage_line
from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.train.callbacks import Progress as Step

#: Results; stays clean of anything else, so it can be piped.
out = PlainConsole()
#: Progress and messages.
err = PlainConsole(stderr=True)


@contextmanager
def errors() -> Iterator[None]:
    """Turn what the user can fix into one line on stderr and exit code 2.

    That is an :class:`InterlaceError`, a wrong call, a path that cannot be used, a full disk, too
    little memory, or an argument that is not text. Anything else is a bug and stays a traceback.
    """
    try:
        yield
    except InterlaceError as error:
        _refuse(str(error))
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # has printed the help, or is it
            sys.stderr.write(str(error))
            sys.exit(2)
        _refuse(usage_line(error))
    except typer.Abort:  # standard input ended where an answer was awaited
        sys.exit(1)
    except BrokenPipeError:
        # the reader of a pipe has gone; python would complain once more at shutdown
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        _refuse("not enough memory: give it less at a time, or use a machine with more")
    except UnicodeEncodeError as error:
        _refuse(f"{_shortened(str(error.object))}: not valid text (UTF-8)")
    except OSError as error:
        if error.filename is None and not is_disk_full(error):
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        _refuse(f"{where}{error.strerror or first_line(error)}")


def _refuse(reason: str) -> NoReturn:
    tell_error(f"error: {reason}")
    sys.exit(2)


def tell_error(line: str) -> None:
    """Print one line that says what went wrong, whatever it contains."""
    err.print(line, style="bold red")


def _shortened(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."


def print_json(data: Any) -> None:
    """Print ``data`` as JSON: in ASCII, with finite numbers only."""
    sys.stdout.write(json.dumps(data, indent=1, allow_nan=False) + "\n")


@contextmanager
def resumable() -> Iterator[None]:
    """On an interrupt, say how to resume; the command line's own handler is silent."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("interrupted: the same command resumes after the last finished epoch")
        raise typer.Exit(130) from None


@contextmanager
def training_bar(title: str) -> Iterator[Callable[..., None]]:
    """Show a progress bar over the steps of a fit, with loss and accuracy.

    Args:
        title: what is fitted.

    Yields:
        What takes a step, and a new title where another fit began.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("epoch {task.fields[epoch]}"),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("accuracy {task.fields[accuracy]:.1%}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(title, total=None, epoch="-", loss=0.0, accuracy=0.0)

        def report(step: Step, title: str = title) -> None:
            progress.update(
                bar,
                description=title,
                total=step.epochs * step.steps,
                completed=(step.epoch - 1) * step.steps + step.step,
                epoch=f"{step.epoch}/{step.epochs}",
                loss=step.loss,
                accuracy=step.accuracy,
            )

        yield report


def accuracy_table(
    title: str,
    rows: Sequence[tuple[str, float | None, float | None]],
    method: str,
    caption: str = "",
) -> Table:
    """Make a table of zero-shot against an adapted model.

    Args:
        title: stands above it.
        rows: name, zero-shot and adapted value as fractions.
        method: heading of the adapted values.
        caption: stands below it.
    """
    table = Table(title=title, caption=caption or None, title_justify="left")
    table.add_column("")
    for heading in ("zero-shot", method, "gain"):
        table.add_column(heading, justify="right")
    for name, before, after in rows:
        gain = None if before is None or after is None else after - before
        table.add_row(name, percent(before), percent(after), signed_points(gain))
    return table


def percent(value: float | None) -> str:
    """Format a fraction in percent with one decimal; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def signed_points(value: float | None) -> str:
    """Format a difference of fractions in points, with its sign; a dash where there is none."""
    return "-" if value is None else f"{100 * value:+.1f}"
