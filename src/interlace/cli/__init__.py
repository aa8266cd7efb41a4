"""The command line: one thin file per command."""

from __future__ import annotations

import sys

import typer

from interlace.cli import demo, evaluate, fit, predict, show
from interlace.cli._output import errors

app = typer.Typer(
    name="interlace",
    help="Adapt CLIP-like models from a few labelled images by coupling their two towers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (fit, evaluate, predict, show, demo):
    app.command(command.run.__name__ if command.NAME is None else command.NAME)(command.run)


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    with errors():
        app()
    sys.exit(0)
