"""The command line: one thin file per command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from interlace import __version__
from interlace.cli import (
    bench,
    compare,
    data,
    demo,
    embed,
    evaluate,
    export,
    fit,
    predict,
    report,
    reproduce,
    search,
    show,
)
from interlace.cli._console import accept_any_text
from interlace.cli._output import errors, out

app = typer.Typer(
    name="interlace",
    help="Adapt CLIP-like models from a few labelled images by coupling their two towers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    fit,
    evaluate,
    predict,
    compare,
    bench,
    report,
    reproduce,
    export,
    embed,
    show,
    demo,
):
    app.command(command.__name__.rpartition(".")[2])(command.run)
app.add_typer(data.app)
app.add_typer(search.app)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"interlace {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Read images of up to N pixels; by default 178956970."
        ),
    ] = None,
    truncated: Annotated[
        bool, typer.Option("--truncated", help="Read truncated image files as far as they go.")
    ] = False,
) -> None:
    """Adapt CLIP-like models from a few labelled images by coupling their two towers."""
    # through the environment, so that processes which the commands start read images alike
    if max_pixels is not None:
        os.environ["INTERLACE_MAX_PIXELS"] = str(max_pixels)
    if truncated:
        os.environ["INTERLACE_TRUNCATED"] = "1"


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    accept_any_text()
    with errors():
        code = app(prog_name="interlace", standalone_mode=False)
    sys.exit(code if isinstance(code, int) else 0)
