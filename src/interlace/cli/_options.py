"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        "--root",
        help="Folder that holds the data sets of the field; by default $INTERLACE_DATA.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        help="Folder with one sub-folder per class, a table (.csv, .parquet, ...), or a name: "
        "picto/food-drink, eurosat."
    ),
]
Split = Annotated[
    Path | None,
    typer.Option(
        help="Stored draw to use instead of --shots and --seed: split.json, shot_k-seed_s.pkl, "
        "or .jsonl."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
