"""Options that several commands take, each declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interlace.errors import InterlaceError

if TYPE_CHECKING:
    from interlace.data.readers import columns

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        "--root",
        help="Folder that holds the standard benchmarks; by default $INTERLACE_DATA.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        help="Folder with one sub-folder per class, a table (.csv, .parquet, ...), a .zip, or a "
        "name: picto/food-drink, eurosat."
    ),
]
SplitOption = Annotated[
    Path | None,
    typer.Option(
        help="Stored split to use instead of --shots and --seed: split.json, shot_k-seed_s.pkl, "
        "or .jsonl."
    ),
]

ImageColumn = Annotated[
    str | None, typer.Option(help="Column of a table that holds the image's path or bytes.")
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column of a table that holds the label or class name.")
]
SplitColumn = Annotated[
    str | None, typer.Option(help="Column of a table that says train, val or test.")
]
IgnoreColumns = Annotated[
    str, typer.Option(help="Columns of a table to ignore, separated by commas.")
]


def columns_of(
    image: str | None, label: str | None, part: str | None, ignore: str
) -> columns.Columns:
    """Make the columns of a table from their options."""
    from interlace.data.readers.columns import Columns

    return Columns(image, label, part, tuple(split_list(ignore)))


class EngineName(StrEnum):
    """Where cells run."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineName, typer.Option(help="Processes of this machine, or a Ray cluster.")
]
Workers = Annotated[
    int | None, typer.Option(help="Cells at a time; one per GPU, or else per core.", min=1)
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `fit` wrote.")]
#: The forms of a model's name that help texts list.
MODELS = "picto, ViT-B-16:openai, hf:NAME, a path"
ModelName = Annotated[str, typer.Option(help=f"{MODELS.replace(', a', ', or a')}.")]
ClassNamesOption = Annotated[
    Path | None,
    typer.Option(help="File of class names: one per line, `folder: name` lines, or JSON."),
]
TemplateOption = Annotated[str | None, typer.Option(help="Prompt with {} for the class name.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, such as lr=1e-3; repeatable.")
]
SettingsFile = Annotated[Path | None, typer.Option("--config", help="YAML file of such settings.")]
BatchSize = Annotated[int, typer.Option(help="Images encoded at a time.", min=1)]
DecodeThreads = Annotated[
    int | None,
    typer.Option("--workers", help="Threads that decode images; chosen by default.", min=1),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on unreadable images.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def split_list(text: str) -> list[str]:
    """Split a list that is separated by commas; empty parts are dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str, name: str) -> list[int]:
    """Read whole numbers that are separated by commas.

    Args:
        text: the list.
        name: what messages call it.

    Raises:
        InterlaceError: if a part is not a whole number of at least 0, one is given twice (a seed
            that counts twice would narrow the intervals), or none is given.
    """
    from interlace._util.schema import check, shown
    from interlace.config import Seed

    parts = split_list(text)
    # isdigit would take "²", and int() digits of every script
    if not parts or not all(part.isascii() and part.isdecimal() for part in parts):
        raise InterlaceError(f"{name} {shown(text)}: expected whole numbers such as 1,2,3")
    found: list[int] = []
    for part in parts:
        if len(part) > 1_000:  # int() refuses to read thousands of digits
            raise InterlaceError(f"{name} {shown(text)}: a number of {len(part):,} digits")
        number = int(check(name, int(part), Seed))
        if number in found:
            raise InterlaceError(f"{name} {shown(text)}: {number} stands there twice")
        found.append(number)
    return found
